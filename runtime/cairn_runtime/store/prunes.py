"""Carrying a policy out over one run of a store: walk over its headers, and prune in batches.

Who calls: the runner at its end, the operator on its rounds, the command line. Two at once are harmless: a
checkpoint goes once, and whoever comes second finds less to do.
Each batch is one short call of the store, and between two of them others get their turn, so no writer waits
for more than one batch. The newest go first: a delta that is still there needs what comes before it.
Stopping anywhere leaves a run as sound as it was, and the next pass goes on.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from cairn_runtime.model.ids import utc_now
from cairn_runtime.store.base import Checkpoint, Store
from cairn_runtime.store.retention import Entry, Policy, Walk, entry_of

BATCH = 50
"""Checkpoints that one call of `Store.prune` takes at most.

Beside calls of 200 on Postgres the slowest of a hundred commits took four times as long as alone.
"""
_PAGE = 500


@dataclass(slots=True)
class Pruned:
    """What a pass took, or would take, and what it left."""

    checkpoints: int = 0
    bytes: int = 0
    left: int = 0
    left_bytes: int = 0
    whole: bool = True
    """Whether the pass came to the end of the run."""
    again_at: datetime | None = None
    """When age lets go of something that this pass kept; None: never by age alone."""


async def prune_run(  # noqa: PLR0913 - what is bounded or watched, all by name
    store: Store,
    run_id: str,
    policy: Policy,
    now: datetime,
    *,
    dry_run: bool = False,
    at_most: int | None = None,
    between: Callable[[], None] = lambda: None,
) -> Pruned:
    """Take what the policy lets go from a run, newest first; `at_most` bounds how many.

    `between` is called before each batch: where a test ends the process.

    Raises:
        RunNotFound: it was deleted, perhaps meanwhile.
        StoreUnavailable: no answer; what went is gone, and the next pass goes on.
    """
    keep = frozenset(await store.pins(run_id)) | frozenset(await store.holds(run_id))
    walk = Walk(policy, now, keep)
    out = Pruned()
    batch: list[Entry] = []

    async def take() -> None:
        if not dry_run:
            between()
            await store.prune(run_id, [entry.seq for entry in batch])
            await asyncio.sleep(0)
        out.checkpoints += len(batch)
        out.bytes += sum(entry.size for entry in batch)
        batch.clear()

    async for checkpoint in headers(store, run_id):
        entry = entry_of(checkpoint)
        if not walk.goes(entry):
            out.left += 1
            out.left_bytes += entry.size
            continue
        if at_most is not None and out.checkpoints + len(batch) >= at_most:
            out.whole = False
            break
        batch.append(entry)
        if len(batch) == BATCH:
            await take()
    if batch:
        await take()
    if walk.oldest_kept is not None:
        out.again_at = walk.oldest_kept + timedelta(seconds=policy.max_age_seconds)
    return out


async def time_of(store: Store) -> datetime:
    """Read the clock by which checkpoints grow old: the store's own, one for all who prune it.

    That of a machine may be off by hours, and would take in one round what was to stay for days.

    Raises:
        StoreUnavailable: no answer.
    """
    return (await store.check()).now or utc_now()


async def headers(store: Store, run_id: str) -> AsyncIterator[Checkpoint]:
    """Every checkpoint of a run as a header, newest first, page by page."""
    before: int | None = None
    while page := await store.checkpoints(run_id, before=before, limit=_PAGE):
        for row in page:
            yield row
        if len(page) < _PAGE:
            return
        before = page[-1].seq
