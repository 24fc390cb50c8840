"""The file store: one folder per run with a log that can be read by eye.

Durable means: the line is written and synced (`fdatasync`) before a commit returns.
A write takes the run's lock, reads the fence from the log, appends one line, syncs it and unlocks; what such
a line holds is visible as a whole or, torn by a crash, not at all.
Made for looking into and for places without SQLite; it lists and finds by reading every run's log once.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from itertools import islice
from pathlib import Path
from urllib.parse import quote, unquote

import orjson

from cairn_runtime.errors import (
    CairnError,
    Fault,
    HistoryConflict,
    InvalidInput,
    StoreTooNew,
    StoreUnusable,
    StoreUrlInvalid,
)
from cairn_runtime.model.ids import from_wire, new_id, to_wire, utc_now
from cairn_runtime.model.values import JSONObject
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
from cairn_runtime.store.file_audit import FileAudit
from cairn_runtime.store.file_index import RunLogs, is_folder_name
from cairn_runtime.store.file_logs import RunLog
from cairn_runtime.store.file_records import (
    claim_line,
    commit_line,
    copy_line,
    create_line,
    hold_line,
    import_line,
    note_line,
    pin_line,
    release_line,
    send_line,
)
from cairn_runtime.store.ledger import page, private
from cairn_runtime.store.opening import StoreUrl, timeout_option
from cairn_runtime.store.places import (
    free_bytes,
    make_folder,
    refuse_network,
    refused,
    replace_file,
    sync_folder,
)
from cairn_runtime.store.pruning import droppable, hold_counts
from cairn_runtime.store.rows import (
    check_claim,
    check_commit,
    check_heads,
    check_import,
    metrics_out,
    page_of,
    still_held,
)
from cairn_runtime.store.threads import ThreadedStore

SCHEMA_VERSION = 1
_MARK = "cairn.json"
_FORMAT = "cairn file store"
_PROGRESS = ".progress"


class FileStore(ThreadedStore):
    """Keeps checkpoints in a folder; `?timeout=5s` is how long to wait for other writers."""

    def __init__(self, url: StoreUrl, *, clock: Callable[[], datetime] = utc_now) -> None:
        super().__init__(BlockingFile(url, clock=clock))


class BlockingFile:
    """The store's work, for one thread; see `store.base.Store` for what each method promises."""

    def __init__(self, url: StoreUrl, *, clock: Callable[[], datetime]) -> None:
        url.check_options("timeout")
        self._url = url
        # From the root: a step may change the folder that others are named from.
        self._root = _root_of(url).absolute()
        self._clock = clock
        self._runs = RunLogs(self._root / "runs", timeout_seconds=timeout_option(url))
        self._audit = FileAudit(self._root, timeout_seconds=timeout_option(url))

    @property
    def url(self) -> str:
        """The address."""
        return self._url.safe

    def fault(self, error: Exception) -> CairnError | None:
        """Translate what the system says."""
        return refused(error, self._root) if isinstance(error, OSError) else None

    async def open(self) -> None:
        """Check the folder, or make it."""
        refuse_network(self._root)
        make_folder(self._root)
        if not os.access(self._root, os.R_OK | os.W_OK | os.X_OK):
            raise StoreUnusable(f"{self._root}: this user may not read and write it")
        _check_mark(self._root)
        make_folder(self._runs.folder)
        sync_folder(self._root)

    async def close(self) -> None:
        """Close all files."""
        self._runs.close()

    async def migrate(self) -> int:
        """There is one schema so far."""
        return SCHEMA_VERSION

    async def check(self) -> Health:
        """Ask the file system."""
        begin = time.perf_counter()
        names = [folder.name for folder in self._runs.folder.iterdir()]
        latency = time.perf_counter() - begin
        used = 0
        for name in names:
            with suppress(FileNotFoundError):
                used += (self._runs.folder / name / "run.log").stat().st_size
        durable = "appended to the run's log and synced to its disk, at each commit"
        space = (used, free_bytes(self._root))
        return Health("file", durable, latency, SCHEMA_VERSION, *space, "files", self._clock())

    async def create_run(self, new: NewRun) -> Run:
        """Make the row of a run, or answer the row that is there."""
        return self._created(new, lambda now: create_line(new, now))

    def _created(self, new: NewRun, line: Callable[[datetime], bytes]) -> Run:
        """Begin a run's log with a line, or answer the row that is there."""
        if not is_folder_name(new.run_id):
            raise InvalidInput([Fault("run_id", f'"{new.run_id}" cannot be the name of a folder')])
        make_folder(self._runs.folder / new.run_id)
        run = self._runs.at(new.run_id)
        with self._runs.locked(run):
            ledger = run.ledger
            if ledger is None:
                run.create(line(self._clock()))
            else:
                ledger.may_create(new)
            return self._row(run)

    async def run(self, run_id: str) -> Run:
        """Read a run's row."""
        run = self._runs.known(run_id)
        run.refresh()
        return self._row(run)

    async def runs(
        self, *, workflow: str = "", thread: str = "", limit: int = 100, before: str = ""
    ) -> list[Run]:
        """List runs, newest first; a damaged one is logged and left out."""
        ledgers = {run.run_id: ledger for run, ledger in self._runs.all()}
        found = page(ledgers, workflow, thread, limit=limit, before=before)
        return [self._row(self._runs.at(ledger.new.run_id)) for ledger in found]

    async def claim(self, run_id: str, expected_epoch: int, claim_id: str, runner: str = "") -> Fence:
        """Raise the epoch and write the claim."""
        check_claim(claim_id)
        run = self._runs.known(run_id)
        with self._runs.locked(run):
            if run.there.may_claim(expected_epoch, claim_id):
                run.append(claim_line(claim_id, runner, self._clock()))
            else:
                run.sync()
            return Fence(run.there.epoch, claim_id)

    async def heads(self, run_ids: list[str]) -> dict[str, Head]:
        """Read many heads at once."""
        check_heads(run_ids)
        found: dict[str, Head] = {}
        for run_id in run_ids:
            ledger = self._runs.rows(run_id)
            if ledger is not None:
                alive_at = _later(ledger.alive_at, self._beat(run_id)[0])
                found[run_id] = ledger.head._replace(heartbeat_at=alive_at)
        return found

    async def changed(self, cursor: str) -> tuple[list[str], str]:
        """Name the runs whose log changed since the cursor, as this opening has seen it."""
        return self._runs.changed(cursor)

    async def commit(
        self,
        run_id: str,
        fence: Fence,
        expected_head: int,
        write_id: str,
        checkpoints: list[Checkpoint],
        outcome: Outcome | None = None,
    ) -> None:
        """Append one line with the checkpoints and the change of the row."""
        check_commit(run_id, fence, expected_head, write_id, checkpoints)
        run = self._runs.known(run_id)
        with self._runs.locked(run):
            if not run.there.may_commit(fence, expected_head, write_id, checkpoints):
                # Whoever wrote it may have died before it synced.
                run.sync()
                return
            self._refuse_taken(checkpoints)
            run.append(commit_line(write_id, checkpoints, outcome, self._clock()))

    def _refuse_taken(self, checkpoints: list[Checkpoint]) -> None:
        for checkpoint in checkpoints:
            if self._runs.holder_of(checkpoint.id) is not None:
                raise HistoryConflict(f"another checkpoint has the id {checkpoint.id}")

    async def annotate(self, run_id: str, changes: JSONObject) -> None:
        """Set notes beside a run."""
        run = self._runs.known(run_id)
        with self._runs.locked(run):
            if run.there.noted(changes):
                run.sync()
            else:
                run.append(note_line(changes))

    async def heartbeat(self, run_id: str, fence: Fence, metrics: JSONObject | None = None) -> Beat:
        """Say that the holder of the fence lives, and leave its numbers."""
        said = metrics_out(metrics)
        run = self._runs.known(run_id)
        with self._runs.locked(run):
            run.there.check_fence(fence)
            now = self._clock()
            kept = self._beat(run_id)[1] if said is None else metrics
            text = orjson.dumps({"at": to_wire(now), "epoch": fence[0], "claim": fence[1], "metrics": kept})
            replace_file(run.folder / "heartbeat", [text], durable=False)
            return Beat(run.there.signals_pending, now)

    async def checkpoints(
        self, run_id: str, *, before: int | None = None, limit: int = 100
    ) -> list[Checkpoint]:
        """List headers, newest first."""
        ledger = self._runs.rows(run_id)
        return [] if ledger is None else ledger.listed(before, limit)

    async def checkpoint(self, checkpoint_id: str) -> Checkpoint:
        """Read one checkpoint with its payload."""
        run, seq = self._runs.find(checkpoint_id)
        return run.whole(run.there.rows[seq])

    async def find_checkpoints(self, prefix: str) -> list[Checkpoint]:
        """List headers whose id starts or ends with the given text."""
        rows = (row for _, ledger in self._runs.all() if not ledger.deleted for row in ledger.rows.values())
        found = [row for row in rows if row.id.startswith(prefix) or row.id.endswith(prefix)]
        return list(islice(sorted(found, key=lambda row: row.id, reverse=True), FOUND_AT_MOST))

    async def load(self, run_id: str, seq: int | None = None) -> list[Checkpoint]:
        """Read what a checkpoint is folded from, ascending."""
        run = self._runs.known(run_id)
        run.refresh()
        return [run.whole(row) for row in run.there.folded_from(seq)]

    async def read(self, run_id: str, *, after: int = 0) -> list[Checkpoint]:
        """Read a page of checkpoints with their payloads, ascending."""
        ledger = self._runs.rows(run_id)
        if ledger is None:
            return []
        run = self._runs.known(run_id)
        return [run.whole(row) for row in page_of(ledger.after(after))]

    async def import_run(self, new: NewRun, fence: Fence) -> Run:
        """Make the row of a run that comes from another store, or answer the row that is there."""
        check_claim(fence.claim_id)
        return self._created(new, lambda now: import_line(new, fence, now))

    async def import_checkpoints(
        self, run_id: str, fence: Fence, expected_head: int, checkpoints: list[Checkpoint], gaps: list[Gap]
    ) -> None:
        """Append one line with checkpoints as they were elsewhere."""
        check_import(run_id, fence, expected_head, checkpoints, gaps)
        run = self._runs.known(run_id)
        with self._runs.locked(run):
            if not run.there.may_commit(fence, expected_head, "", checkpoints):
                run.sync()
                return
            self._refuse_taken(checkpoints)
            run.append(copy_line(checkpoints, gaps, self._clock()))

    async def put_progress(self, run_id: str, fence: Fence, task: str, value: bytes) -> None:
        """Keep a task's progress in a file of its own."""
        run = self._runs.known(run_id)
        with self._runs.locked(run):
            run.there.check_fence(fence)
            folder = run.folder / "progress"
            if not folder.exists():
                make_folder(folder)
                sync_folder(run.folder)
            replace_file(self._progress_file(run, task), [value], durable=True)

    async def progress(self, run_id: str) -> dict[str, bytes]:
        """Read the progress of all tasks of a run."""
        if self._runs.rows(run_id) is None:
            return {}
        files = (self._runs.folder / run_id / "progress").glob(f"*{_PROGRESS}")
        return {unquote(file.name.removesuffix(_PROGRESS)): file.read_bytes() for file in files}

    async def send(self, run_id: str, signal: NewSignal) -> Signal:
        """Store a signal and mark the run changed."""
        run = self._runs.known(run_id)
        with self._runs.locked(run):
            now = self._clock()
            if run.there.may_send(signal, now) is None:
                run.append(send_line(signal, now))
            else:
                run.sync()
            return private(run.there.signals[signal.client_id])

    async def signals(self, run_id: str) -> list[Signal]:
        """List the signals that no commit has consumed."""
        ledger = self._runs.rows(run_id)
        return [] if ledger is None else [private(signal) for signal in ledger.pending]

    async def pin(self, checkpoint_id: str, *, pinned: bool) -> None:
        """Keep a checkpoint from every prune, or let it go."""
        with self._runs.locked_with(checkpoint_id) as (run, seq):
            if (seq in run.there.pins) is not pinned:
                run.append(pin_line(seq, pinned=pinned))

    async def pins(self, run_id: str) -> set[int]:
        """Seqs of a run that are pinned."""
        ledger = self._runs.rows(run_id)
        return set() if ledger is None else set(ledger.pins)

    async def hold(self, checkpoint_id: str, child_run_id: str) -> None:
        """Keep a fork's origin until the child has its own first checkpoint."""
        with self._runs.locked_with(checkpoint_id) as (run, seq):
            if (seq, child_run_id) not in run.there.holds:
                run.append(hold_line(seq, child_run_id, self._clock()))

    async def release_hold(self, child_run_id: str) -> None:
        """Let go of the origin."""
        for run, ledger in self._runs.all():
            if any(child == child_run_id for _, child in ledger.holds):
                with self._runs.locked(run):
                    run.append(release_line([child_run_id]))

    async def holds(self, run_id: str) -> dict[int, set[str]]:
        """Seqs of a run that are held, and by which children."""
        ledger = self._runs.rows(run_id)
        return {} if ledger is None else ledger.held()

    async def prune(self, run_id: str, drop: list[int]) -> int:
        """Remove those of the given seqs that nothing needs, by writing the log anew."""
        run = self._runs.known(run_id)
        with self._runs.locked(run):
            ledger = run.there
            self._forget_dead_holds(run)
            keep = ledger.pins | set(ledger.held())
            gone = droppable({seq: row.kind for seq, row in ledger.rows.items()}, drop, keep)
            if gone:
                ledger.apply_prune(gone)
                run.rewrite()
            return len(gone)

    async def swap_payloads(self, run_id: str, swaps: list[Swap]) -> int:
        """Put other bytes in the place of payloads that are still the old ones, by writing the log anew."""
        run = self._runs.known(run_id)
        with self._runs.locked(run):
            rows = run.there.rows
            stored = {swap.seq: run.payload(swap.seq) for swap in swaps if swap.seq in rows}
            standing = [swap for swap in swaps if stored.get(swap.seq) in (swap.old, swap.new)]
            changed = {swap.seq: swap.new for swap in standing if stored[swap.seq] != swap.new}
            if changed:
                run.rewrite(changed)
            return len(standing)

    async def swap_progress(self, run_id: str, task: str, old: bytes, new: bytes) -> bool:
        """Put other bytes in the place of a task's progress that is still the old one."""
        run = self._runs.known(run_id)
        with self._runs.locked(run):
            run.there.there()
            file = self._progress_file(run, task)
            if not file.exists() or file.read_bytes() not in (old, new):
                return False
            replace_file(file, [new], durable=True)
            return True

    def _progress_file(self, run: RunLog, task: str) -> Path:
        return run.folder / "progress" / (quote(task, safe="#[]") + _PROGRESS)

    async def gaps(self, run_id: str) -> list[Gap]:
        """The gaps that prunes left."""
        ledger = self._runs.rows(run_id)
        return [] if ledger is None else list(ledger.gaps)

    async def usage(self, run_ids: list[str]) -> dict[str, Usage]:
        """Count what is kept of many runs."""
        check_heads(run_ids)
        found = {run_id: self._runs.rows(run_id) for run_id in run_ids}
        return {run_id: ledger.usage for run_id, ledger in found.items() if ledger is not None}

    async def audit(self, entry: NewEntry) -> Entry:
        """Append a line to the audit."""
        return self._audit.append(entry, self._clock)

    async def audits(self, *, after: int = 0, limit: int = 1000) -> list[Entry]:
        """Read lines of the audit."""
        return self._audit.entries(after=after, limit=limit)

    async def delete_run(self, run_id: str) -> bool:
        """Remove a run's rows, leaving a tombstone in its folder."""
        if self._runs.rows(run_id) is None:
            return False
        run = self._runs.known(run_id)
        with self._runs.locked(run):
            if self._runs.rows(run_id) is None:
                return False  # another deletion came first
            ledger = run.there
            self._forget_dead_holds(run)
            if ledger.holds:
                raise still_held(run_id, ledger.held())
            ledger.apply_delete(self._clock())
            run.rewrite()
            for file in [run.folder / "heartbeat", *(run.folder / "progress").glob("*")]:
                file.unlink(missing_ok=True)
        await self.release_hold(run_id)
        return True

    def _row(self, run: RunLog) -> Run:
        """Build a run's row; its heartbeat stands in a file of its own."""
        row = run.there.row
        at, metrics = self._beat(run.run_id)
        return replace(row, heartbeat_at=_later(row.heartbeat_at, at), metrics=metrics)

    def _beat(self, run_id: str) -> tuple[datetime | None, JSONObject]:
        return _beat_of(self._runs.folder / run_id / "heartbeat")

    def _forget_dead_holds(self, run: RunLog) -> None:
        """Take away holds that count no more; the lock is held."""
        now = self._clock()
        dead = set()
        for (_, child_id), taken_at in run.there.holds.items():
            child = self._runs.ledger(child_id)
            if not hold_counts(
                child_head=None if child is None else child.head_seq,
                child_deleted=child is not None and child.deleted,
                age_seconds=(now - taken_at).total_seconds(),
            ):
                dead.add(child_id)
        if dead:
            run.append(release_line(sorted(dead)))


def _root_of(url: StoreUrl) -> Path:
    """`file:///absolute/folder`, or `file:relative/folder`."""
    if url.host not in ("", "localhost"):
        problem = "three slashes begin the path of a folder: file:///absolute/folder"
    elif url.path in ("", "/", "//"):
        problem = "name a folder: file:///absolute/folder"
    else:
        return Path(url.path)
    raise StoreUrlInvalid([Fault(url.safe, problem)])


def _check_mark(root: Path) -> None:
    """Recognise a store by its mark, or make one of an empty folder."""
    mark = root / _MARK
    try:
        text = mark.read_bytes()
    except FileNotFoundError:
        others = [name for name in os.listdir(root) if not name.startswith(f".{_MARK}")]  # noqa: PTH208
        if others and not mark.exists():
            raise StoreUnusable(f"{root} holds other files and is no Cairn store; name another") from None
        # Several may do this at once: each writes the same.
        text = orjson.dumps({"format": _FORMAT, "schema": SCHEMA_VERSION})
        replace_file(mark, [text], durable=True, writer=new_id())
        return
    try:
        found = orjson.loads(text)
        schema = int(found["schema"]) if found["format"] == _FORMAT else 0
    except (ValueError, KeyError, TypeError):
        schema = 0
    if schema < 1:
        raise StoreUnusable(f"{mark} is not the mark of a Cairn store, or it is damaged")
    if schema > SCHEMA_VERSION:
        raise StoreTooNew(
            f"{root} has schema version {schema}, written by a newer release; this one knows {SCHEMA_VERSION}"
        )


def _later(a: datetime | None, b: datetime | None) -> datetime | None:
    return max((moment for moment in (a, b) if moment is not None), default=None)


def _beat_of(path: Path) -> tuple[datetime | None, JSONObject]:
    """Read a heartbeat and its numbers; one that a crash of the machine has spoiled is none."""
    try:
        beat = orjson.loads(path.read_bytes())
        return from_wire(beat["at"]), beat.get("metrics") or {}
    except (FileNotFoundError, ValueError, KeyError, TypeError, AttributeError):
        return None, {}
