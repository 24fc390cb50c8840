"""A store of one JSON document per run, in a folder: `tiny:///absolute/folder`.

The whole idea is in `_change`: take the lock, read the run's document, let the ledger decide, write the
document beside the old one, sync it, and put it in the old one's place.
So a write is fenced (it decides on what it has read under the lock), atomic (one rename) and durable (two
syncs before it returns), and readers need no lock: they see the document before or the one after.

It is made to be read, not to be fast: each commit writes the run anew.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote, unquote

import orjson

from cairn_runtime.errors import (
    CairnError,
    CheckpointCorrupted,
    CheckpointNotFound,
    Fault,
    HistoryConflict,
    RunNotFound,
    StoreTooNew,
    StoreUnusable,
    StoreUrlInvalid,
)
from cairn_runtime.model.ids import new_id, utc_now
from cairn_runtime.model.values import JSONObject
from cairn_runtime.store.audits import check_entry, entry_in, entry_out, following
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
from cairn_runtime.store.places import free_bytes, refuse_network, refused
from cairn_runtime.store.pruning import droppable, hold_counts
from cairn_runtime.store.rows import check_claim, check_commit, check_heads, check_import, page_of, still_held
from cairn_runtime.store.threads import ThreadedStore
from tiny_store.documents import Document, pack, unpack

VERSION = 1


class TinyStore(ThreadedStore):
    """What the entry point names: the folder's calls, each carried out on a thread of the store's own."""

    def __init__(self, url: StoreUrl) -> None:
        super().__init__(Folder(url))


class Folder:
    """The store's work; a method never suspends. See `Store` in `cairn_runtime.store.base` for the rules."""

    def __init__(self, url: StoreUrl) -> None:
        url.check_options()
        if url.host or not url.path.startswith("/"):
            raise StoreUrlInvalid([Fault(url.safe, "write tiny:///absolute/folder")])
        self.url = url.safe
        self._root = Path(url.path)
        self._id = ""
        self._read: dict[str, tuple[tuple[int, int], Document]] = {}
        """Documents by run as they were read last, to be looked at only, and what their files were then."""

    def fault(self, error: Exception) -> CairnError | None:
        """A full disk may be tried again, a missing right may not; any other error is a mistake here."""
        return refused(error, self._root) if isinstance(error, OSError) else None

    # -- the place ----------------------------------------------------------------------------------

    async def open(self) -> None:
        """Make the folder, or look whose it is."""
        refuse_network(self._root)
        self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self._locked():
            mark = self._root / "place"
            if not mark.exists():
                _replace(mark, orjson.dumps({"format": "tiny store", "version": VERSION, "id": new_id()}))
            place = orjson.loads(mark.read_bytes())
        if place.get("format") != "tiny store":
            raise StoreUnusable(f"{self._root} is no tiny store")
        if place["version"] > VERSION:
            raise StoreTooNew(f"{self._root} has version {place['version']}; this release knows {VERSION}")
        self._id = place["id"]

    async def close(self) -> None:
        """Nothing is kept open."""
        self._read.clear()

    async def migrate(self) -> int:
        """There is one version."""
        return VERSION

    async def check(self) -> Health:
        """Read the mark and measure how long it takes."""
        started = time.perf_counter()
        (self._root / "place").read_bytes()
        took = time.perf_counter() - started
        used = sum(file.stat().st_size for file in self._root.iterdir())
        durable = "written to the run's document and synced to its disk, at each commit"
        return Health("tiny", durable, took, VERSION, used_bytes=used, free_bytes=free_bytes(self._root))

    # -- documents ----------------------------------------------------------------------------------

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Be the only writer, among threads and processes; the lock of one that dies is let go."""
        with (self._root / "lock").open("ab") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    @contextmanager
    def _change(self, run_id: str) -> Iterator[Document]:
        """Hold the lock, and write the run's document when all went well."""
        with self._locked():
            document = self._fresh(run_id)
            document.ledger.there()
            yield document
            # Also where nothing changed: whoever wrote it may have died before the sync.
            self._write(document)

    def _write(self, document: Document) -> None:
        _replace(self._path(document.ledger.new.run_id), pack(document))

    def _path(self, run_id: str) -> Path:
        return self._root / f"{quote(run_id, safe='')}.json"

    def _fresh(self, run_id: str) -> Document:
        """Read a document that may be changed. Raises `RunNotFound`, `CheckpointCorrupted`."""
        path = self._path(run_id)
        try:
            return unpack(path.read_bytes())
        except FileNotFoundError:
            raise RunNotFound(run_id) from None
        except (ValueError, KeyError, TypeError) as error:
            raise CheckpointCorrupted(f"{path} is damaged: {error}") from error

    def _seen(self, run_id: str) -> Document | None:
        """Read a document to look at it, tombstones too; None where there is none."""
        try:
            stat = self._path(run_id).stat()
        except FileNotFoundError:
            return None
        known = self._read.get(run_id)
        if known is None or known[0] != (stat.st_ino, stat.st_mtime_ns):
            known = self._read[run_id] = ((stat.st_ino, stat.st_mtime_ns), self._fresh(run_id))
        return known[1]

    def _all(self) -> dict[str, Document]:
        """Look at every document."""
        names = [unquote(path.stem) for path in self._root.glob("*.json")]
        return {name: seen for name in names if (seen := self._seen(name)) is not None}

    def _there(self, run_id: str) -> Ledger:
        """The ledger of a run that is there. Raises `RunNotFound`."""
        seen = self._seen(run_id)
        if seen is None:
            raise RunNotFound(run_id)
        return seen.ledger.there()

    def _rows(self, run_id: str) -> Ledger | None:
        """The ledger of a run if it is there, for listings that are empty otherwise."""
        seen = self._seen(run_id)
        return None if seen is None or seen.ledger.deleted else seen.ledger

    def _next_change(self) -> int:
        """Count a change; the lock is held, and tombstones keep their numbers."""
        return max((seen.change for seen in self._all().values()), default=0) + 1

    def _checkpoints(self) -> dict[str, Checkpoint]:
        """Every checkpoint in the place, by id."""
        return {row.id: row for seen in self._all().values() for row in seen.ledger.rows.values()}

    def _found(self, checkpoint_id: str) -> Checkpoint:
        found = self._checkpoints().get(checkpoint_id)
        if found is None:
            raise CheckpointNotFound(checkpoint_id)
        return found

    # -- rows of runs ---------------------------------------------------------------------------------

    async def create_run(self, new: NewRun) -> Run:
        """Write a new document, or answer the row that is there."""
        return self._created(new, lambda: Ledger.begin(new, utc_now()))

    def _created(self, new: NewRun, begin: Callable[[], Ledger]) -> Run:
        with self._locked():
            try:
                document = self._fresh(new.run_id)
                document.ledger.may_create(new)
            except RunNotFound:
                document = Document(begin(), change=self._next_change())
            self._write(document)
            return document.ledger.row

    async def import_run(self, new: NewRun, fence: Fence) -> Run:
        """Write the document of a run that comes from elsewhere, or answer the row that is there."""
        check_claim(fence.claim_id)
        return self._created(new, lambda: Ledger.begin_import(new, fence, utc_now()))

    async def run(self, run_id: str) -> Run:
        """Read a run's row."""
        return self._there(run_id).row

    async def runs(
        self, *, workflow: str = "", thread: str = "", limit: int = 100, before: str = ""
    ) -> list[Run]:
        """List runs, newest first."""
        ledgers = {run_id: seen.ledger for run_id, seen in self._all().items()}
        return [found.row for found in page(ledgers, workflow, thread, limit=limit, before=before)]

    async def claim(self, run_id: str, expected_epoch: int, claim_id: str, runner: str = "") -> Fence:
        """Raise the epoch and write the claim."""
        check_claim(claim_id)
        with self._change(run_id) as document:
            if document.ledger.may_claim(expected_epoch, claim_id):
                document.ledger.apply_claim(claim_id, runner, utc_now())
                document.change = self._next_change()
            return document.ledger.row.fence

    async def heads(self, run_ids: list[str]) -> dict[str, Head]:
        """Read many heads."""
        check_heads(run_ids)
        return {run_id: ledger.head for run_id in run_ids if (ledger := self._rows(run_id)) is not None}

    async def changed(self, cursor: str) -> tuple[list[str], str]:
        """Name the runs whose row changed; under the lock, so that no smaller number is still to come."""
        place, _, number = cursor.rpartition(":")
        since = int(number) if place == self._id and number.isascii() and number.isdigit() else 0
        with self._locked():
            changes = {run_id: seen.change for run_id, seen in self._all().items()}
        newest = max(changes.values(), default=0)
        return [run_id for run_id, change in changes.items() if change > since], f"{self._id}:{newest}"

    async def annotate(self, run_id: str, changes: JSONObject) -> None:
        """Set notes beside a run."""
        with self._change(run_id) as document:
            document.ledger.apply_annotate(changes)

    # -- writing ----------------------------------------------------------------------------------------

    async def commit(
        self,
        run_id: str,
        fence: Fence,
        expected_head: int,
        write_id: str,
        checkpoints: list[Checkpoint],
        outcome: Outcome | None = None,
    ) -> None:
        """Append checkpoints and change the row."""
        check_commit(run_id, fence, expected_head, write_id, checkpoints)
        with self._change(run_id) as document:
            if not document.ledger.may_commit(fence, expected_head, write_id, checkpoints):
                return
            self._refuse_taken(checkpoints)
            document.ledger.apply_commit(write_id, checkpoints, outcome, utc_now())
            document.change = self._next_change()

    def _refuse_taken(self, checkpoints: list[Checkpoint]) -> None:
        taken = self._checkpoints().keys() & {row.id for row in checkpoints}
        if taken:
            raise HistoryConflict(f"another checkpoint has the id {min(taken)}")

    async def import_checkpoints(
        self, run_id: str, fence: Fence, expected_head: int, checkpoints: list[Checkpoint], gaps: list[Gap]
    ) -> None:
        """Append checkpoints as they were elsewhere."""
        check_import(run_id, fence, expected_head, checkpoints, gaps)
        with self._change(run_id) as document:
            if not document.ledger.may_commit(fence, expected_head, "", checkpoints):
                return
            self._refuse_taken(checkpoints)
            document.ledger.apply_import(checkpoints, gaps, utc_now())
            document.change = self._next_change()

    async def heartbeat(self, run_id: str, fence: Fence, metrics: JSONObject | None = None) -> Beat:
        """Say that the holder of the fence lives, and leave its numbers."""
        with self._change(run_id) as document:
            document.ledger.check_fence(fence)
            now = utc_now()
            document.ledger.apply_heartbeat(metrics, now)
            return Beat(document.ledger.signals_pending, now)

    async def put_progress(self, run_id: str, fence: Fence, task: str, value: bytes) -> None:
        """Keep a task's progress."""
        with self._change(run_id) as document:
            document.ledger.check_fence(fence)
            document.progress[task] = bytes(value)

    async def progress(self, run_id: str) -> dict[str, bytes]:
        """Read the progress of all tasks."""
        seen = self._seen(run_id)
        return {} if seen is None else dict(seen.progress)

    async def send(self, run_id: str, signal: NewSignal) -> Signal:
        """Queue a signal."""
        with self._change(run_id) as document:
            now = utc_now()
            stored = document.ledger.may_send(signal, now)
            if stored is None:
                stored = document.ledger.apply_send(signal, now)
                document.change = self._next_change()
            return private(stored)

    async def signals(self, run_id: str) -> list[Signal]:
        """List what no commit has consumed."""
        ledger = self._rows(run_id)
        return [] if ledger is None else [private(signal) for signal in ledger.pending]

    # -- history ------------------------------------------------------------------------------------------

    async def checkpoints(
        self, run_id: str, *, before: int | None = None, limit: int = 100
    ) -> list[Checkpoint]:
        """List headers, newest first."""
        ledger = self._rows(run_id)
        rows = [] if ledger is None else ledger.listed(before, limit)
        return [row._replace(payload=None) for row in rows]

    async def checkpoint(self, checkpoint_id: str) -> Checkpoint:
        """Read one checkpoint."""
        return self._found(checkpoint_id)

    async def find_checkpoints(self, prefix: str) -> list[Checkpoint]:
        """List headers by either end of their id."""
        everything = self._checkpoints()
        ids = [id_ for id_ in everything if id_.startswith(prefix) or id_.endswith(prefix)]
        newest = sorted(ids, reverse=True)[:FOUND_AT_MOST]
        return [everything[id_]._replace(payload=None) for id_ in newest]

    async def load(self, run_id: str, seq: int | None = None) -> list[Checkpoint]:
        """Read what a checkpoint is folded from: one document, so one view."""
        return self._there(run_id).folded_from(seq)

    async def read(self, run_id: str, *, after: int = 0) -> list[Checkpoint]:
        """Read a page of checkpoints with their payloads, ascending."""
        ledger = self._rows(run_id)
        return [] if ledger is None else list(page_of(ledger.after(after)))

    async def gaps(self, run_id: str) -> list[Gap]:
        """The gaps that prunes left."""
        ledger = self._rows(run_id)
        return [] if ledger is None else list(ledger.gaps)

    async def usage(self, run_ids: list[str]) -> dict[str, Usage]:
        """Count what is kept of many runs."""
        check_heads(run_ids)
        return {run_id: ledger.usage for run_id in run_ids if (ledger := self._rows(run_id)) is not None}

    # -- what stays and what goes -------------------------------------------------------------------------

    async def pin(self, checkpoint_id: str, *, pinned: bool) -> None:
        """Pin a checkpoint or let it go."""
        row = self._found(checkpoint_id)
        with self._change(row.run_id) as document:
            _still_there(document, row)
            document.ledger.apply_pin(row.seq, pinned=pinned)

    async def pins(self, run_id: str) -> set[int]:
        """Seqs that are pinned."""
        ledger = self._rows(run_id)
        return set() if ledger is None else set(ledger.pins)

    async def hold(self, checkpoint_id: str, child_run_id: str) -> None:
        """Keep a fork's origin."""
        row = self._found(checkpoint_id)
        try:
            with self._change(row.run_id) as document:
                _still_there(document, row)
                document.ledger.holds.setdefault((row.seq, child_run_id), utc_now())
        except RunNotFound:
            raise CheckpointNotFound(checkpoint_id) from None

    async def release_hold(self, child_run_id: str) -> None:
        """Let go of the origin."""
        with self._locked():
            self._release(child_run_id)

    def _release(self, child_run_id: str) -> None:
        for run_id, seen in self._all().items():
            if any(child == child_run_id for _, child in seen.ledger.holds):
                document = self._fresh(run_id)
                document.ledger.apply_release(child_run_id)
                self._write(document)

    async def holds(self, run_id: str) -> dict[int, set[str]]:
        """Seqs that are held."""
        ledger = self._rows(run_id)
        return {} if ledger is None else ledger.held()

    def _forget_dead_holds(self, ledger: Ledger) -> None:
        for key, taken_at in list(ledger.holds.items()):
            child = self._seen(key[1])
            if not hold_counts(
                child_head=None if child is None else child.ledger.head_seq,
                child_deleted=child is not None and child.ledger.deleted,
                age_seconds=(utc_now() - taken_at).total_seconds(),
            ):
                del ledger.holds[key]

    async def prune(self, run_id: str, drop: list[int]) -> int:
        """Remove what nothing needs."""
        with self._change(run_id) as document:
            ledger = document.ledger
            self._forget_dead_holds(ledger)
            kinds = {seq: row.kind for seq, row in ledger.rows.items()}
            gone = droppable(kinds, drop, ledger.pins | set(ledger.held()))
            ledger.apply_prune(gone)
            return len(gone)

    async def swap_payloads(self, run_id: str, swaps: list[Swap]) -> int:
        """Put other bytes in the place of payloads that are still the old ones."""
        with self._change(run_id) as document:
            rows, done = document.ledger.rows, 0
            for swap in swaps:
                stored = rows[swap.seq].payload if swap.seq in rows else None
                if stored is not None and stored in (swap.old, swap.new):
                    rows[swap.seq] = rows[swap.seq]._replace(payload=swap.new)
                    done += 1
            return done

    async def swap_progress(self, run_id: str, task: str, old: bytes, new: bytes) -> bool:
        """Put other bytes in the place of a task's progress that is still the old one."""
        with self._change(run_id) as document:
            if document.progress.get(task) not in (old, new):
                return False
            document.progress[task] = new
            return True

    async def audit(self, entry: NewEntry) -> Entry:
        """Append a line to the audit."""
        check_entry(entry)
        with self._locked():
            lines = self._audit()
            known = next((line for line in lines if line.id == entry.id), None)
            if known is None:
                last = (lines[-1].number, lines[-1].hash) if lines else None
                known = following(last, entry, utc_now())
                text = b"\n".join(entry_out(line) for line in [*lines, known])
                _replace(self._root / "audit", text)
            return known

    async def audits(self, *, after: int = 0, limit: int = 1000) -> list[Entry]:
        """Read lines of the audit."""
        return self._audit()[max(after, 0) :][:limit]

    def _audit(self) -> list[Entry]:
        path = self._root / "audit"
        return [entry_in(line) for line in path.read_bytes().split(b"\n")] if path.exists() else []

    async def delete_run(self, run_id: str) -> bool:
        """Leave a tombstone; a crash before the last line leaves holds that count no more."""
        try:
            with self._change(run_id) as document:
                self._forget_dead_holds(document.ledger)
                if document.ledger.holds:
                    raise still_held(run_id, document.ledger.held())
                document.ledger.apply_delete(utc_now())
                document.progress.clear()
                document.change = self._next_change()
        except RunNotFound:
            return False
        await self.release_hold(run_id)
        return True


def _still_there(document: Document, row: Checkpoint) -> None:
    """Look again, now that the lock is held. Raises `CheckpointNotFound`."""
    if row.seq not in document.ledger.rows:
        raise CheckpointNotFound(row.id)


def _replace(path: Path, data: bytes) -> None:
    """Put a file in the place of another: whole or not at all, and on the disk when this returns."""
    new = path.with_name(f".{path.name}.new")
    with new.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
