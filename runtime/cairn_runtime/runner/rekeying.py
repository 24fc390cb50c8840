"""Encrypting what a store holds with the first key of the ring, while it is in use.

    each run, newest first ── a page of headers ── read, encrypt anew, exchange where still the same

Nothing is remembered between calls: what has the first key already is passed over, so whoever starts it again
goes on where it was. What was pruned or exchanged by others between reading and writing is counted, no more.
What cannot be read (damaged, or its key is missing) stays as it is and is named.
Who calls: the command line.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

from cairn_runtime.errors import CheckpointNotFound, Fault, PayloadError, RunNotFound, SettingsInvalid
from cairn_runtime.runner.naming import all_runs
from cairn_runtime.store.base import Checkpoint, Store, Swap
from cairn_runtime.store.codec import Codec
from cairn_runtime.store.keys import VARIABLE
from cairn_runtime.store.patience import insist

PATIENCE_SECONDS = 30.0
_PAGE = 200
_BATCH_BYTES = 8 * 1024**2
_T = TypeVar("_T")


@dataclass(slots=True)
class Rekeyed:
    """What was done."""

    runs: int = 0
    payloads: int = 0
    """Encrypted now with the first key, by this call."""
    progress: int = 0
    already: int = 0
    """Payloads that had the first key."""
    overtaken: int = 0
    """Payloads that others took away or exchanged meanwhile."""
    unreadable: list[Fault] = field(default_factory=list)
    """What stays as it was: `RUN/SEQ`, or `RUN/TASK`, and why."""


async def rekey(store: Store, codec: Codec, told: Callable[[Rekeyed], None] = lambda _: None) -> Rekeyed:
    """Encrypt every payload and all progress with the first key; `told` hears of each run that is done.

    Raises:
        SettingsInvalid: there is no key.
        StoreUnavailable: no answer for a while; call again, it goes on.
    """
    if codec.keys is None:
        raise SettingsInvalid([Fault(VARIABLE, "is not set; it names the file whose first key is used")])
    done = Rekeyed()
    async for run in all_runs(store):
        work = _Run(store, codec, run.run_id, done)
        try:
            await work.payloads()
            await work.progress()
        except RunNotFound:
            continue  # deleted meanwhile
        done.runs += 1
        told(done)
    return done


@dataclass(frozen=True, slots=True)
class _Run:
    """One run's turn."""

    store: Store
    codec: Codec
    run_id: str
    done: Rekeyed

    async def payloads(self) -> None:
        """Page by page, from the head back."""
        before: int | None = None
        while page := await _insist(partial(self._page, before)):
            batch, size = list[Swap](), 0
            for header in page:
                swap = await self._swap(header)
                if swap is not None:
                    batch.append(swap)
                    size += len(swap.old) + len(swap.new)
                if size > _BATCH_BYTES:
                    await self._exchange(batch)
                    batch, size = [], 0
            await self._exchange(batch)
            before = page[-1].seq

    async def _page(self, before: int | None) -> list[Checkpoint]:
        return await self.store.checkpoints(self.run_id, before=before, limit=_PAGE)

    async def _swap(self, header: Checkpoint) -> Swap | None:
        """Encrypt one payload anew; None where there is nothing to do, or nothing can be done."""
        try:
            row = await _insist(partial(self.store.checkpoint, header.id))
            payload = self.codec.relock(row)
        except CheckpointNotFound:
            return None  # pruned meanwhile
        except PayloadError as error:
            self.done.unreadable.append(Fault(f"{self.run_id}/{header.seq}", error.message))
            return None
        if payload is None:
            self.done.already += 1
            return None
        return Swap(row.seq, row.payload or b"", payload)

    async def _exchange(self, batch: list[Swap]) -> None:
        if batch:
            count = await _insist(partial(self.store.swap_payloads, self.run_id, batch))
            self.done.payloads += count
            self.done.overtaken += len(batch) - count

    async def progress(self) -> None:
        """What a task saves meanwhile is newer, and under the key of whoever saves it."""
        for task, old in (await _insist(partial(self.store.progress, self.run_id))).items():
            try:
                new = self.codec.relock_progress(self.run_id, task, old)
            except PayloadError as error:
                self.done.unreadable.append(Fault(f"{self.run_id}/{task}", error.message))
                continue
            if new is not None:
                swap = partial(self.store.swap_progress, self.run_id, task, old, new)
                self.done.progress += await _insist(swap)


async def _insist(call: Callable[[], Awaitable[_T]]) -> _T:
    return await insist(call, seconds=PATIENCE_SECONDS)
