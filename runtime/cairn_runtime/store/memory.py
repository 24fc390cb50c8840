"""The memory store: for tests and for runs that need not last.

`memory:` is private to the object; `memory:NAME` is one place for all of the process that open it by that
name, from any thread or event loop, and lives as long as the process.
No call suspends: a commit is a few microseconds under one lock.

What was saved is never copied on the way out, so the store proves that nobody changes it: a checkpoint whose
metadata was mutated after it was committed is an `AssertionError` for whoever reads it next.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from itertools import islice

import orjson

from cairn_runtime.errors import (
    CheckpointNotFound,
    Fault,
    HistoryConflict,
    RunNotFound,
    StoreUnusable,
    StoreUrlInvalid,
)
from cairn_runtime.model.ids import new_id, utc_now
from cairn_runtime.model.values import JSONObject
from cairn_runtime.store.audits import check_entry, following
from cairn_runtime.store.base import (
    FOUND_AT_MOST,
    Beat,
    Checkpoint,
    Entry,
    Fence,
    Gap,
    Head,
    Health,
    NewEntry,
    NewRun,
    NewSignal,
    Outcome,
    Run,
    Signal,
    Swap,
    Usage,
)
from cairn_runtime.store.ledger import Ledger, page, private
from cairn_runtime.store.opening import StoreUrl
from cairn_runtime.store.pruning import droppable, hold_counts
from cairn_runtime.store.rows import check_claim, check_commit, check_heads, check_import, page_of, still_held

_NO_METADATA = orjson.dumps({})


class _Place:
    """The rows of one memory store, and the lock that guards them."""

    def __init__(self) -> None:
        self.id = new_id()
        self.lock = threading.Lock()
        self.ledgers: dict[str, Ledger] = {}
        self.progress: dict[str, dict[str, bytes]] = {}
        self.checkpoints: dict[str, Checkpoint] = {}
        self.metadata: dict[str, bytes] = {}
        """Metadata by checkpoint id as it was when committed, where there was any."""
        self.audit: list[Entry] = []
        self.change = 0
        self.changes: dict[str, int] = {}
        """Number of each run's last change, in ascending order."""

    def ledger(self, run_id: str) -> Ledger:
        """Return the ledger of a run. Raises `RunNotFound`."""
        ledger = self.ledgers.get(run_id)
        if ledger is None:
            raise RunNotFound(run_id)
        return ledger.there()

    def rows(self, run_id: str) -> Ledger | None:
        """Return the ledger of a run if there is one, for listings that are empty otherwise."""
        ledger = self.ledgers.get(run_id)
        return None if ledger is None or ledger.deleted else ledger

    def touch(self, run_id: str) -> None:
        """Mark a run changed."""
        self.change += 1
        self.changes.pop(run_id, None)
        self.changes[run_id] = self.change

    def checkpoint(self, checkpoint_id: str) -> Checkpoint:
        """Return a checkpoint by its id. Raises `CheckpointNotFound`."""
        found = self.checkpoints.get(checkpoint_id)
        if found is None:
            raise CheckpointNotFound(checkpoint_id)
        return found

    def untouched(self, rows: Iterable[Checkpoint]) -> list[Checkpoint]:
        """Return rows that nobody has changed since they were saved."""
        out = list(rows)
        for row in out:
            if orjson.dumps(row.metadata) != self.metadata.get(row.id, _NO_METADATA):
                raise AssertionError(f"the metadata of saved checkpoint {row.id} was changed")
        return out

    def add(self, rows: Sequence[Checkpoint]) -> None:
        """Let checkpoints be found by id. Raises `HistoryConflict` where one is there, and adds none."""
        for row in rows:
            if row.id in self.checkpoints:
                raise HistoryConflict(f"another checkpoint has the id {row.id}")
        for row in rows:
            self.checkpoints[row.id] = row
            if row.metadata:
                self.metadata[row.id] = orjson.dumps(row.metadata)

    def forget(self, rows: Iterable[Checkpoint]) -> None:
        """Drop checkpoints from what is found by id."""
        for row in rows:
            self.checkpoints.pop(row.id, None)
            self.metadata.pop(row.id, None)

    def live_holds(self, ledger: Ledger, now: datetime) -> dict[int, set[str]]:
        """Return the holds that count, and take away the others."""
        for key, taken_at in list(ledger.holds.items()):
            child = self.ledgers.get(key[1])
            if not hold_counts(
                child_head=None if child is None else child.head_seq,
                child_deleted=child is not None and child.deleted,
                age_seconds=(now - taken_at).total_seconds(),
            ):
                del ledger.holds[key]
        return ledger.held()


_named: dict[str, _Place] = {}
_naming = threading.Lock()


class MemoryStore:
    """Keeps checkpoints in dicts; see `store.base.Store` for what each method promises."""

    def __init__(self, url: StoreUrl, *, clock: Callable[[], datetime] = utc_now) -> None:
        url.check_options()
        if url.host or "/" in url.path:
            raise StoreUrlInvalid([Fault(url.safe, "write memory: or memory:NAME")])
        self._url = url
        self._clock = clock
        self._opened: _Place | None = None

    @property
    def url(self) -> str:
        """The address."""
        return self._url.safe

    @property
    def _place(self) -> _Place:
        if self._opened is None:
            raise StoreUnusable(f"the store {self.url} is not open")
        return self._opened

    async def open(self) -> None:
        """Begin an empty place, or join the one of this name."""
        if self._opened is not None:
            return
        if not self._url.path:
            self._opened = _Place()
            return
        with _naming:
            self._opened = _named.setdefault(self._url.path, _Place())

    async def close(self) -> None:
        """Let go of the place; a private one is gone with it."""
        self._opened = None

    async def migrate(self) -> int:
        """There is no schema; version 1."""
        return 1

    async def check(self) -> Health:
        """Say what there is."""
        with self._place.lock:
            used = sum(ledger.bytes for ledger in self._place.ledgers.values())
        durable = "nothing: all is gone with the process"
        return Health(
            "memory", durable, 0.0, schema_version=1, used_bytes=used, free_bytes=None, now=self._clock()
        )

    async def create_run(self, new: NewRun) -> Run:
        """Make the row of a run, or answer the row that is there."""
        place = self._place
        with place.lock:
            ledger = place.ledgers.get(new.run_id)
            if ledger is None:
                ledger = place.ledgers[new.run_id] = Ledger.begin(new, self._clock())
                place.touch(new.run_id)
            else:
                ledger.may_create(new)
            return ledger.row

    async def run(self, run_id: str) -> Run:
        """Read a run's row."""
        place = self._place
        with place.lock:
            return place.ledger(run_id).row

    async def runs(
        self, *, workflow: str = "", thread: str = "", limit: int = 100, before: str = ""
    ) -> list[Run]:
        """List runs, newest first."""
        place = self._place
        with place.lock:
            return [
                ledger.row for ledger in page(place.ledgers, workflow, thread, limit=limit, before=before)
            ]

    async def claim(self, run_id: str, expected_epoch: int, claim_id: str, runner: str = "") -> Fence:
        """Raise the epoch and write the claim."""
        check_claim(claim_id)
        place = self._place
        with place.lock:
            ledger = place.ledger(run_id)
            if ledger.may_claim(expected_epoch, claim_id):
                ledger.apply_claim(claim_id, runner, self._clock())
                place.touch(run_id)
            return Fence(ledger.epoch, claim_id)

    async def heads(self, run_ids: list[str]) -> dict[str, Head]:
        """Read many heads at once."""
        check_heads(run_ids)
        place = self._place
        with place.lock:
            return {run_id: ledger.head for run_id in run_ids if (ledger := place.rows(run_id)) is not None}

    async def changed(self, cursor: str) -> tuple[list[str], str]:
        """Name the runs whose row changed since the cursor."""
        place = self._place
        origin, _, number = cursor.rpartition(":")
        since = int(number) if origin == place.id and number.isdigit() else 0
        found: list[str] = []
        with place.lock:
            for run_id, change in reversed(place.changes.items()):
                if change <= since:
                    break
                found.append(run_id)
            return found[::-1], f"{place.id}:{place.change}"

    async def commit(
        self,
        run_id: str,
        fence: Fence,
        expected_head: int,
        write_id: str,
        checkpoints: list[Checkpoint],
        outcome: Outcome | None = None,
    ) -> None:
        """Append checkpoints and change the row, under one lock."""
        check_commit(run_id, fence, expected_head, write_id, checkpoints)
        place = self._place
        with place.lock:
            ledger = place.ledger(run_id)
            if not ledger.may_commit(fence, expected_head, write_id, checkpoints):
                return
            place.add(checkpoints)
            ledger.apply_commit(write_id, checkpoints, outcome, self._clock())
            place.touch(run_id)

    async def annotate(self, run_id: str, changes: JSONObject) -> None:
        """Set notes beside a run."""
        place = self._place
        with place.lock:
            place.ledger(run_id).apply_annotate(changes)

    async def heartbeat(self, run_id: str, fence: Fence, metrics: JSONObject | None = None) -> Beat:
        """Say that the holder of the fence lives, and leave its numbers."""
        place = self._place
        with place.lock:
            ledger = place.ledger(run_id)
            ledger.check_fence(fence)
            now = self._clock()
            ledger.apply_heartbeat(metrics, now)
            return Beat(ledger.signals_pending, now)

    async def checkpoints(
        self, run_id: str, *, before: int | None = None, limit: int = 100
    ) -> list[Checkpoint]:
        """List headers, newest first."""
        place = self._place
        with place.lock:
            ledger = place.rows(run_id)
            rows = [] if ledger is None else ledger.listed(before, limit)
            return [row._replace(payload=None) for row in place.untouched(rows)]

    async def checkpoint(self, checkpoint_id: str) -> Checkpoint:
        """Read one checkpoint with its payload."""
        place = self._place
        with place.lock:
            return place.untouched([place.checkpoint(checkpoint_id)])[0]

    async def find_checkpoints(self, prefix: str) -> list[Checkpoint]:
        """List headers whose id starts or ends with the given text."""
        place = self._place
        with place.lock:
            newest = sorted(place.checkpoints, reverse=True)
            ids = (id_ for id_ in newest if id_.startswith(prefix) or id_.endswith(prefix))
            rows = [place.checkpoints[id_] for id_ in islice(ids, FOUND_AT_MOST)]
            return [row._replace(payload=None) for row in place.untouched(rows)]

    async def load(self, run_id: str, seq: int | None = None) -> list[Checkpoint]:
        """Read what a checkpoint is folded from, ascending."""
        place = self._place
        with place.lock:
            return place.untouched(place.ledger(run_id).folded_from(seq))

    async def read(self, run_id: str, *, after: int = 0) -> list[Checkpoint]:
        """Read a page of checkpoints with their payloads, ascending."""
        place = self._place
        with place.lock:
            ledger = place.rows(run_id)
            return [] if ledger is None else place.untouched(page_of(ledger.after(after)))

    async def import_run(self, new: NewRun, fence: Fence) -> Run:
        """Make the row of a run that comes from another store, or answer the row that is there."""
        check_claim(fence.claim_id)
        place = self._place
        with place.lock:
            ledger = place.ledgers.get(new.run_id)
            if ledger is None:
                ledger = place.ledgers[new.run_id] = Ledger.begin_import(new, fence, self._clock())
                place.touch(new.run_id)
            else:
                ledger.may_create(new)
            return ledger.row

    async def import_checkpoints(
        self, run_id: str, fence: Fence, expected_head: int, checkpoints: list[Checkpoint], gaps: list[Gap]
    ) -> None:
        """Append checkpoints as they were elsewhere, under one lock."""
        check_import(run_id, fence, expected_head, checkpoints, gaps)
        place = self._place
        with place.lock:
            ledger = place.ledger(run_id)
            if not ledger.may_commit(fence, expected_head, "", checkpoints):
                return
            place.add(checkpoints)
            ledger.apply_import(checkpoints, gaps, self._clock())
            place.touch(run_id)

    async def put_progress(self, run_id: str, fence: Fence, task: str, value: bytes) -> None:
        """Keep a task's progress."""
        place = self._place
        with place.lock:
            place.ledger(run_id).check_fence(fence)
            place.progress.setdefault(run_id, {})[task] = bytes(value)

    async def progress(self, run_id: str) -> dict[str, bytes]:
        """Read the progress of all tasks of a run."""
        place = self._place
        with place.lock:
            return dict(place.progress.get(run_id, {}))

    async def send(self, run_id: str, signal: NewSignal) -> Signal:
        """Store a signal and mark the run changed."""
        place = self._place
        with place.lock:
            ledger = place.ledger(run_id)
            now = self._clock()
            stored = ledger.may_send(signal, now)
            if stored is None:
                stored = ledger.apply_send(signal, now)
                place.touch(run_id)
            return private(stored)

    async def signals(self, run_id: str) -> list[Signal]:
        """List the signals that no commit has consumed."""
        place = self._place
        with place.lock:
            ledger = place.rows(run_id)
            return [] if ledger is None else [private(signal) for signal in ledger.pending]

    async def pin(self, checkpoint_id: str, *, pinned: bool) -> None:
        """Keep a checkpoint from every prune, or let it go."""
        place = self._place
        with place.lock:
            row = place.checkpoint(checkpoint_id)
            place.ledgers[row.run_id].apply_pin(row.seq, pinned=pinned)

    async def pins(self, run_id: str) -> set[int]:
        """Seqs of a run that are pinned."""
        place = self._place
        with place.lock:
            ledger = place.rows(run_id)
            return set() if ledger is None else set(ledger.pins)

    async def hold(self, checkpoint_id: str, child_run_id: str) -> None:
        """Keep a fork's origin until the child has its own first checkpoint."""
        place = self._place
        with place.lock:
            row = place.checkpoint(checkpoint_id)
            place.ledgers[row.run_id].holds.setdefault((row.seq, child_run_id), self._clock())

    async def release_hold(self, child_run_id: str) -> None:
        """Let go of the origin."""
        place = self._place
        with place.lock:
            for ledger in place.ledgers.values():
                ledger.apply_release(child_run_id)

    async def holds(self, run_id: str) -> dict[int, set[str]]:
        """Seqs of a run that are held, and by which children."""
        place = self._place
        with place.lock:
            ledger = place.rows(run_id)
            return {} if ledger is None else ledger.held()

    async def prune(self, run_id: str, drop: list[int]) -> int:
        """Remove those of the given seqs that nothing needs."""
        place = self._place
        with place.lock:
            ledger = place.ledger(run_id)
            keep = ledger.pins | set(place.live_holds(ledger, self._clock()))
            gone = droppable({seq: row.kind for seq, row in ledger.rows.items()}, drop, keep)
            place.forget(ledger.rows[seq] for seq in gone)
            ledger.apply_prune(gone)
            return len(gone)

    async def swap_payloads(self, run_id: str, swaps: list[Swap]) -> int:
        """Put other bytes in the place of payloads that are still the old ones."""
        place = self._place
        with place.lock:
            ledger = place.ledger(run_id)
            done = 0
            for swap in swaps:
                row = ledger.rows.get(swap.seq)
                if row is not None and row.payload in (swap.old, swap.new):
                    changed = row._replace(payload=bytes(swap.new))
                    ledger.rows[swap.seq] = place.checkpoints[row.id] = changed
                    done += 1
            return done

    async def swap_progress(self, run_id: str, task: str, old: bytes, new: bytes) -> bool:
        """Put other bytes in the place of a task's progress that is still the old one."""
        place = self._place
        with place.lock:
            place.ledger(run_id)
            progress = place.progress.get(run_id, {})
            if progress.get(task) not in (old, new):
                return False
            progress[task] = bytes(new)
            return True

    async def gaps(self, run_id: str) -> list[Gap]:
        """The gaps that prunes left."""
        place = self._place
        with place.lock:
            ledger = place.rows(run_id)
            return [] if ledger is None else list(ledger.gaps)

    async def usage(self, run_ids: list[str]) -> dict[str, Usage]:
        """Count what is kept of many runs."""
        check_heads(run_ids)
        place = self._place
        with place.lock:
            found = {run_id: place.rows(run_id) for run_id in run_ids}
            return {run_id: ledger.usage for run_id, ledger in found.items() if ledger is not None}

    async def audit(self, entry: NewEntry) -> Entry:
        """Append a line to the audit."""
        check_entry(entry)
        place = self._place
        with place.lock:
            known = next((line for line in place.audit if line.id == entry.id), None)
            if known is None:
                last = (place.audit[-1].number, place.audit[-1].hash) if place.audit else None
                known = following(last, entry, self._clock())
                place.audit.append(known)
            return known

    async def audits(self, *, after: int = 0, limit: int = 1000) -> list[Entry]:
        """Read lines of the audit."""
        place = self._place
        with place.lock:
            first = max(after, 0)
            return place.audit[first : first + limit]

    async def delete_run(self, run_id: str) -> bool:
        """Remove a run's rows, leaving a tombstone."""
        place = self._place
        with place.lock:
            ledger = place.rows(run_id)
            if ledger is None:
                return False
            held = place.live_holds(ledger, self._clock())
            if held:
                raise still_held(run_id, held)
            place.forget(ledger.rows.values())
            place.progress.pop(run_id, None)
            ledger.apply_delete(self._clock())
            for other in place.ledgers.values():
                other.apply_release(run_id)
            place.touch(run_id)
            return True
