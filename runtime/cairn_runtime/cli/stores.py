"""Which store a verb talks to, and the care that reading makes nothing.

A verb that only reads never creates a store: where there is none it says so, and how to get one.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from cairn_runtime.errors import NotFound, StoreUnusable
from cairn_runtime.store.base import Store
from cairn_runtime.store.opening import StoreUrl, open_store, parse_store_url

DEFAULT_URL = "sqlite:///.cairn/cairn.db"


def store_url(option: str | None) -> str:
    """The store that is meant: `--store`, else CAIRN_STORE_URL, else the file in this folder."""
    return option or os.environ.get("CAIRN_STORE_URL") or DEFAULT_URL


@asynccontextmanager
async def existing_store(option: str | None) -> AsyncIterator[Store]:
    """Open a store that is there, and close it.

    Raises:
        NotFound: there is none; nothing was made.
        StoreError, StoreUrlInvalid: see `open_store`.
    """
    url = store_url(option)
    require_store(url)
    store = await open_store(url)
    try:
        yield store
    finally:
        await store.close()


def is_local(url: str) -> bool:
    """Whether a store is a file or a folder of this machine.

    Raises:
        StoreUrlInvalid: the URL cannot be used.
    """
    return _place(parse_store_url(url)) is not None


def require_store(url: str) -> None:
    """Refuse a local store that is not there.

    Raises:
        NotFound: saying where was looked.
        StoreUnusable: this user may not look there.
        StoreUrlInvalid: the URL cannot be used.
    """
    place = _place(parse_store_url(url))
    if place is None:
        return
    try:
        there = place.exists()
    except OSError as error:
        problem = f"{place}: {error.strerror}; the store needs a place that this user may write to"
        raise StoreUnusable(problem) from None
    if not there:
        raise NotFound(f"no runs yet in {place}; start one with: cairn run FILE")


def _place(url: StoreUrl) -> Path | None:
    """The file or folder of a local store; None for others, which answer for themselves."""
    match url.scheme:
        case "sqlite" if len(url.path) > 1 and "://" in url.full:
            return Path(url.path[1:])
        case "file" if url.path:
            return Path(url.path)
        case _:
            return None
