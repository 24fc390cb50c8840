"""A store of its own for every test, and one that loses answers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from cairn_runtime.errors import StoreUnavailable
from cairn_runtime.store.base import Run, Store
from cairn_runtime.store.opening import open_store


class Losing:
    """A store in front of another: named calls lose their answer once, or fail before they arrive."""

    def __init__(self, inner: Store) -> None:
        self.inner = inner
        self.calls: list[str] = []
        self._lost: list[str] = []
        self._dead_at: int | None = None

    def lose(self, *names: str) -> None:
        """Let the next call of each of these names be carried out and its answer be lost."""
        self._lost += names

    def die_at(self, number: int) -> None:
        """Let the caller die in place of its write with this number, from 0."""
        self._dead_at = number

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.inner, name)
        if name not in WRITES:
            return found

        async def called(*args: Any, **kwargs: Any) -> Any:
            if self._dead_at is not None and len(self.calls) == self._dead_at:
                raise Died
            self.calls.append(name)
            answer = await found(*args, **kwargs)
            if name in self._lost:
                self._lost.remove(name)
                raise StoreUnavailable("the answer was lost")
            return answer

        return called


WRITES = frozenset({"create_run", "claim", "commit", "hold", "release_hold", "send"})


class Died(BaseException):
    """The process died here."""


async def until(store: Store, run_id: str, holds: Callable[[Run], bool]) -> Run:
    """Let other tasks run until a run's row is as it should be; pytest's timeout ends what never comes."""
    while not holds(row := await store.run(run_id)):  # noqa: ASYNC110 - turns of the loop are what is waited for
        await asyncio.sleep(0)
    return row


@pytest.fixture
async def store():
    opened = await open_store("memory:")
    yield opened
    await opened.close()


@pytest.fixture
async def losing(store):
    return Losing(store)
