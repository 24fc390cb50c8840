"""What keeps checkpoints in the SQLite store and what takes them away: pins, holds, prunes, deletion.

The half of `BlockingSQLite` that no runner waits for; also how both find a run and what guards a write.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from cairn_runtime.errors import CheckpointNotFound, RunNotFound
from cairn_runtime.model.ids import from_wire, to_wire
from cairn_runtime.store.audits import check_entry, following
from cairn_runtime.store.base import Entry, Gap, NewEntry, Run, Swap, Usage
from cairn_runtime.store.pruning import droppable, gaps_with, hold_counts
from cairn_runtime.store.rows import check_heads, still_held
from cairn_runtime.store.sqlite_files import SQLiteFile
from cairn_runtime.store.sqlite_rows import MAX_SEQ, SEQ_BITS, key_range, moment_or, run_of, usage_of


class SQLiteRetention:
    """Pins, holds, prunes, gaps and tombstones; see `store.base.Store` for what each method promises."""

    def __init__(self, db: SQLiteFile, *, clock: Callable[[], datetime]) -> None:
        self._db = db
        self._clock = clock
        self._numbers: dict[str, int] = {}

    async def pin(self, checkpoint_id: str, *, pinned: bool) -> None:
        """Keep a checkpoint from every prune, or let it go."""
        with self._db.write():
            self._db.execute("pin" if pinned else "unpin", {"key": self._key(checkpoint_id)})

    async def pins(self, run_id: str) -> set[int]:
        """Seqs of a run that are pinned."""
        keys = self._keys(run_id)
        return set() if keys is None else {row[0] & MAX_SEQ for row in self._db.all("pins", keys)}

    async def hold(self, checkpoint_id: str, child_run_id: str) -> None:
        """Keep a fork's origin until the child has its own first checkpoint."""
        with self._db.write():
            key = self._key(checkpoint_id)
            self._db.execute("hold", {"key": key, "child": child_run_id, "now": to_wire(self._clock())})

    async def release_hold(self, child_run_id: str) -> None:
        """Let go of the origin."""
        with self._db.write():
            self._db.execute("release_hold", {"child": child_run_id})

    async def holds(self, run_id: str) -> dict[int, set[str]]:
        """Seqs of a run that are held, and by which children."""
        keys = self._keys(run_id)
        found: dict[int, set[str]] = {}
        for key, child, *_ in [] if keys is None else self._db.all("holds", keys):
            found.setdefault(key & MAX_SEQ, set()).add(child)
        return found

    async def prune(self, run_id: str, drop: list[int]) -> int:
        """Remove those of the given seqs that nothing needs."""
        run = self._number(run_id)
        keys = key_range(run)
        wanted = [seq for seq in drop if 0 < seq <= MAX_SEQ]
        with self._db.write():
            self._guard(run, run_id)
            rows: dict[int, tuple[str, str]] = {}
            if wanted:
                ends = {"low": keys["first"] + min(wanted), "high": keys["first"] + max(wanted)}
                found = self._db.all("history", {"last": keys["last"], **ends})
                rows = {key & MAX_SEQ: (kind, hash_) for key, kind, hash_ in found}
            pins = {key & MAX_SEQ for (key,) in self._db.all("pins", keys)}
            keep = pins | set(self._live_holds(keys))
            gone = droppable({seq: row[0] for seq, row in rows.items()}, wanted, keep)
            if gone:
                self._drop(run, gone, {seq: row[1] for seq, row in rows.items() if seq not in gone})
        return len(gone)

    def _drop(self, run: int, gone: set[int], hashes: dict[int, str]) -> None:
        gaps = gaps_with(self._gaps(run), gone, hashes)
        self._db.many("drop_checkpoint", [((run << SEQ_BITS) + seq,) for seq in gone])
        self._db.execute("drop_gaps", {"run": run})
        self._add_gaps(run, gaps)

    def _add_gaps(self, run: int, gaps: list[Gap]) -> None:
        rows = [(run, gap.first_seq, gap.last_seq, gap.hash_before, gap.hash_after) for gap in gaps]
        self._db.many("add_gap", rows)

    def _live_holds(self, keys: dict[str, int]) -> dict[int, set[str]]:
        """Return the holds that count, and take away the others."""
        now = self._clock()
        live: dict[int, set[str]] = {}
        for key, child, taken_at, child_head, child_deleted in self._db.all("holds", keys):
            age_seconds = (now - moment_or(now, taken_at)).total_seconds()
            if hold_counts(child_head=child_head, child_deleted=bool(child_deleted), age_seconds=age_seconds):
                live.setdefault(key & MAX_SEQ, set()).add(child)
            else:
                self._db.execute("drop_hold", {"key": key, "child": child})
        return live

    async def swap_payloads(self, run_id: str, swaps: list[Swap]) -> int:
        """Put other bytes in the place of payloads that are still the old ones."""
        run = self._number(run_id)
        with self._db.write():
            self._guard(run, run_id)
            return sum(
                self._db.execute(
                    "swap_payload", {"key": (run << SEQ_BITS) + seq, "old": old, "new": new}
                ).rowcount
                for seq, old, new in swaps
                if 0 < seq <= MAX_SEQ
            )

    async def swap_progress(self, run_id: str, task: str, old: bytes, new: bytes) -> bool:
        """Put other bytes in the place of a task's progress that is still the old one."""
        run = self._number(run_id)
        with self._db.write():
            self._guard(run, run_id)
            values = {"run": run, "task": task, "old": old, "new": new}
            return self._db.execute("swap_progress", values).rowcount == 1

    async def gaps(self, run_id: str) -> list[Gap]:
        """The gaps that prunes left."""
        run = self._number_or_none(run_id)
        return [] if run is None else self._gaps(run)

    def _gaps(self, run: int) -> list[Gap]:
        return [Gap(*row) for row in self._db.all("gaps", {"run": run})]

    async def usage(self, run_ids: list[str]) -> dict[str, Usage]:
        """Count what is kept of many runs, in one view."""
        check_heads(run_ids)
        found: dict[str, Usage] = {}
        with self._db.read():
            for run_id in run_ids:
                run = self._number_or_none(run_id)
                if run is not None and self._db.maybe("guard", run=run) is not None:
                    found[run_id] = usage_of(self._db.one("usage", **key_range(run)))
        return found

    async def audit(self, entry: NewEntry) -> Entry:
        """Append a line to the audit."""
        check_entry(entry)
        with self._db.write():
            known = self._db.maybe("audit_of", id=entry.id)
            if known is not None:
                return _entry_of(known)
            made = following(self._db.maybe("last_audit"), entry, self._clock())
            self._db.execute("add_audit", {**made._asdict(), "at": to_wire(made.at)})
            return made

    async def audits(self, *, after: int = 0, limit: int = 1000) -> list[Entry]:
        """Read lines of the audit."""
        return [_entry_of(row) for row in self._db.all("audits", {"after": after, "limit": limit})]

    async def delete_run(self, run_id: str) -> bool:
        """Remove a run's rows, leaving a tombstone."""
        run = self._number_or_none(run_id)
        if run is None:
            return False
        keys = key_range(run)
        with self._db.write():
            if self._db.maybe("guard", run=run) is None:
                return False
            held = self._live_holds(keys)
            if held:
                raise still_held(run_id, held)
            self._db.execute("bury", {"run": run, "now": to_wire(self._clock())})
            for name in ("drop_checkpoints", "drop_pins", "drop_holds"):
                self._db.execute(name, {**keys, "run_id": run_id})
            for name in (
                "empty_run",
                "drop_row_writes",
                "drop_heartbeat",
                "drop_progress",
                "drop_signals",
                "drop_gaps",
            ):
                self._db.execute(name, {"run": run})
        return True

    def _run(self, run_id: str) -> Run:
        row = self._db.maybe("run", run_id=run_id)
        if row is None:
            raise RunNotFound(run_id)
        return run_of(row)

    def _age(self, run_id: str) -> str | None:
        """When the run was created that ends the page before."""
        if not run_id:
            return None
        row = self._db.maybe("age", run_id=run_id)
        if row is None:
            raise RunNotFound(run_id)
        return str(row[0])

    def _guard(self, run: int, run_id: str) -> tuple[Any, ...]:
        """Read what a write is judged by. Raises `RunNotFound`."""
        row = self._db.maybe("guard", run=run)
        if row is None:
            raise RunNotFound(run_id)
        return row

    def _number(self, run_id: str) -> int:
        """Return the number of a run, deleted or not. Raises `RunNotFound`."""
        run = self._number_or_none(run_id)
        if run is None:
            raise RunNotFound(run_id)
        return run

    def _number_or_none(self, run_id: str) -> int | None:
        known = self._numbers.get(run_id)
        if known is None:
            row = self._db.maybe("run_number", run_id=run_id)
            if row is None:
                return None
            known = self._numbers[run_id] = int(row[0])
        return known

    def _keys(self, run_id: str) -> dict[str, int] | None:
        run = self._number_or_none(run_id)
        return None if run is None else key_range(run)

    def _key(self, checkpoint_id: str) -> int:
        row = self._db.maybe("key_of", id=checkpoint_id)
        if row is None:
            raise CheckpointNotFound(checkpoint_id)
        return int(row[0])


def _entry_of(row: tuple[Any, ...]) -> Entry:
    return Entry(row[0], row[1], from_wire(row[2]), *row[3:])
