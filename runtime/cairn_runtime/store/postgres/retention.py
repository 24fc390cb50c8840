"""What keeps checkpoints in the Postgres store and what takes them away: pins, holds, prunes, deletion.

The half of `PostgresStore` that no runner waits for.
Those that change what a prune decides by take turns by the run's row in `runs`, which no commit touches: a
prune is never in a writer's way.
"""

from __future__ import annotations

from cairn_runtime.errors import CheckpointNotFound, RunNotFound
from cairn_runtime.model.values import JSONObject
from cairn_runtime.store.audits import check_entry, following
from cairn_runtime.store.base import Entry, Gap, NewEntry, Swap, Usage
from cairn_runtime.store.postgres.rows import MAX_BIGINT, annotation_values, gap_values
from cairn_runtime.store.postgres.sessions import Sessions
from cairn_runtime.store.postgres.values import Value
from cairn_runtime.store.postgres.wire import Wire
from cairn_runtime.store.pruning import droppable, gaps_with, hold_counts
from cairn_runtime.store.rows import check_heads, still_held

_PARTS = (
    "drop_checkpoints",
    "drop_pins",
    "drop_row_writes",
    "drop_heartbeat",
    "drop_progress",
    "drop_signals",
    "drop_gaps",
)


class PostgresRetention:
    """Notes, pins, holds, prunes, gaps and tombstones; see `store.base.Store` for the promises."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    async def annotate(self, run_id: str, changes: JSONObject) -> None:
        """Set notes beside a run."""
        async with self._sessions.transaction() as wire:
            run = await _locked(wire, run_id)
            rows = await wire.fetch("annotations", run=run)
            if not rows:
                raise RunNotFound(run_id)
            await wire.change("annotate", annotation_values(run, rows[0][0], changes))

    async def pin(self, checkpoint_id: str, *, pinned: bool) -> None:
        """Keep a checkpoint from every prune, or let it go."""
        ((found,),) = await self._sessions.fetch("pin" if pinned else "unpin", id=checkpoint_id)
        if not found:
            raise CheckpointNotFound(checkpoint_id)

    async def pins(self, run_id: str) -> set[int]:
        """Seqs of a run that are pinned."""
        return {seq for (seq,) in await self._sessions.fetch("pins", run_id=run_id)}

    async def hold(self, checkpoint_id: str, child_run_id: str) -> None:
        """Keep a fork's origin until the child has its own first checkpoint."""
        ((found,),) = await self._sessions.fetch("hold", id=checkpoint_id, child=child_run_id)
        if not found:
            raise CheckpointNotFound(checkpoint_id)

    async def release_hold(self, child_run_id: str) -> None:
        """Let go of the origin."""
        await self._sessions.fetch("release_hold", child=child_run_id)

    async def holds(self, run_id: str) -> dict[int, set[str]]:
        """Seqs of a run that are held, and by which children."""
        found: dict[int, set[str]] = {}
        for seq, child, *_ in await self._sessions.fetch("holds", run_id=run_id):
            found.setdefault(seq, set()).add(child)
        return found

    async def prune(self, run_id: str, drop: list[int]) -> int:
        """Remove those of the given seqs that nothing needs."""
        wanted = [seq for seq in drop if 0 < seq <= MAX_BIGINT]
        # A prune that a crash undoes has harmed nobody, and one that does not sync is in no commit's way.
        async with self._sessions.transaction(patient=True, synced=False) as wire:
            run = await _locked_there(wire, run_id)
            rows: dict[int, tuple[str, str]] = {}
            if wanted:
                found = await wire.fetch("history", run=run, first=min(wanted), last=max(wanted))
                rows = {seq: (kind, hash_) for seq, kind, hash_ in found}
            pins = {seq for (seq,) in await wire.fetch("pins", run_id=run_id)}
            keep = pins | set(await _live_holds(wire, run, run_id))
            gone = droppable({seq: row[0] for seq, row in rows.items()}, wanted, keep)
            if gone:
                hashes = {seq: row[1] for seq, row in rows.items() if seq not in gone}
                await _drop(wire, run, run_id, gone, hashes)
        return len(gone)

    async def swap_payloads(self, run_id: str, swaps: list[Swap]) -> int:
        """Put other bytes in the place of payloads that are still the old ones."""
        wanted = [swap for swap in swaps if 0 < swap.seq <= MAX_BIGINT]
        async with self._sessions.transaction(patient=True) as wire:
            run = await _locked_there(wire, run_id)
            if not wanted:
                return 0
            values: dict[str, Value] = {
                "run": run,
                "seqs": [swap.seq for swap in wanted],
                "olds": [swap.old for swap in wanted],
                "news": [swap.new for swap in wanted],
            }
            return await wire.change("swap_payloads", values)

    async def swap_progress(self, run_id: str, task: str, old: bytes, new: bytes) -> bool:
        """Put other bytes in the place of a task's progress that is still the old one."""
        async with self._sessions.transaction() as wire:
            run = await _locked_there(wire, run_id)
            values: dict[str, Value] = {"run": run, "task": task, "old": old, "new": new}
            return await wire.change("swap_progress", values) == 1

    async def gaps(self, run_id: str) -> list[Gap]:
        """The gaps that prunes left."""
        return [Gap(*row) for row in await self._sessions.fetch("gaps", run_id=run_id)]

    async def usage(self, run_ids: list[str]) -> dict[str, Usage]:
        """Count what is kept of many runs, in one statement: it may take long, and keeps nobody waiting."""
        check_heads(run_ids)
        async with self._sessions.transaction(patient=True) as wire:
            rows = await wire.fetch("usage", run_ids=run_ids)
        return {run_id: Usage(*numbers) for run_id, *numbers in rows}

    async def audit(self, entry: NewEntry) -> Entry:
        """Append a line to the audit."""
        check_entry(entry)
        async with self._sessions.transaction() as wire:
            ((now,),) = await wire.fetch("lock_audit")
            known = await wire.fetch("audit_of", id=entry.id)
            if known:
                return Entry._make(known[0])
            last = await wire.fetch("last_audit")
            made = following(last[0] if last else None, entry, now)
            await wire.change("add_audit", made._asdict())
            return made

    async def audits(self, *, after: int = 0, limit: int = 1000) -> list[Entry]:
        """Read lines of the audit."""
        asked: dict[str, Value] = {"after": min(after, MAX_BIGINT), "limit": limit}
        return [Entry._make(row) for row in await self._sessions.fetch("audits", **asked)]

    async def delete_run(self, run_id: str) -> bool:
        """Remove a run's rows, leaving a tombstone."""
        async with self._sessions.transaction(patient=True) as wire:
            try:
                run = await _locked(wire, run_id)
            except RunNotFound:
                return False
            held = await _live_holds(wire, run, run_id)
            if not await wire.fetch("there", run_id=run_id):
                return False
            if held:
                raise still_held(run_id, held)
            # First the tombstone: it waits for a commit that is under way, and none comes after it.
            await wire.change("bury", {"run": run})
            await wire.change("drop_holds", {"run": run, "run_id": run_id})
            await wire.change("empty_run", {"run": run})
            for name in _PARTS:
                await wire.change(name, {"run": run})
        return True


async def _locked(wire: Wire, run_id: str) -> int:
    """Wait for this run's turn and answer its number. Raises `RunNotFound`."""
    rows = await wire.fetch("lock_run", run_id=run_id)
    if not rows:
        raise RunNotFound(run_id)
    return int(rows[0][0])


async def _locked_there(wire: Wire, run_id: str) -> int:
    """The same for a run that was not deleted. Raises `RunNotFound`."""
    run = await _locked(wire, run_id)
    if not await wire.fetch("there", run_id=run_id):
        raise RunNotFound(run_id)
    return run


async def _live_holds(wire: Wire, run: int, run_id: str) -> dict[int, set[str]]:
    """Return the holds that count, and take away the others."""
    live: dict[int, set[str]] = {}
    dead: list[tuple[int, str]] = []
    for seq, child, age_seconds, child_head, child_deleted in await wire.fetch("holds", run_id=run_id):
        if hold_counts(child_head=child_head, child_deleted=child_deleted, age_seconds=age_seconds):
            live.setdefault(seq, set()).add(child)
        else:
            dead.append((seq, child))
    if dead:
        seqs, children = [seq for seq, _ in dead], [child for _, child in dead]
        await wire.change("drop_held", {"run": run, "seqs": seqs, "children": children})
    return live


async def _drop(wire: Wire, run: int, run_id: str, gone: set[int], hashes: dict[int, str]) -> None:
    """Remove checkpoints and write down the gaps that they leave."""
    before = [Gap(*row) for row in await wire.fetch("gaps", run_id=run_id)]
    gaps = gaps_with(before, gone, hashes)
    await wire.change("drop_seqs", {"run": run, "seqs": sorted(gone)})
    await wire.change("drop_gaps", {"run": run})
    await wire.change(
        "add_gaps",
        {"run": run, **gap_values(gaps)},
    )
