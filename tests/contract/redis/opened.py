"""What the tests of the Redis store share: stores that are closed again, and the names of keys."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

from cairn_runtime.store.opening import store_for
from cairn_runtime.store.redis import RedisStore
from cairn_runtime.store.redis.keys import PARTS


@asynccontextmanager
async def opened(url: str, **options: str) -> AsyncIterator[RedisStore]:
    """A store at an address, with options added to it."""
    added = "&".join(f"{name}={value}" for name, value in options.items())
    store = cast("RedisStore", store_for(f"{url}{'&' if '?' in url else '?'}{added}" if added else url))
    await store.open()
    try:
        yield store
    finally:
        await store.close()


def keys_of(run_id: str, prefix: str = "cairn") -> dict[str, str]:
    """The names of a run's keys, by their part."""
    return {part: f"{prefix}:{{{run_id}}}:{part}" for part in PARTS}


def prefix_of(url: str) -> str:
    """The prefix that a fixture chose."""
    return url.rpartition("prefix=")[2]


def contents(client: Any, run_id: str) -> dict[str, Any]:
    """Everything that the server keeps of a run, byte for byte."""
    return {part: client.dump(key) for part, key in keys_of(run_id).items()}
