"""The SQLite store: one file, one machine, the embedded default.

Durable means: in the write-ahead log and synced (WAL, `synchronous=FULL`) before a commit returns.
Every write is one `BEGIN IMMEDIATE` transaction, so that writers of all processes take turns; the fence and
the head are checked by the statement that moves the head.
The statements stand in `sql/sqlite/queries.sql`; rows that cannot be read are named, and never make others
unreadable.
"""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson

from cairn_runtime.errors import (
    CairnError,
    CheckpointCorrupted,
    CheckpointNotFound,
    Fault,
    HistoryConflict,
    StoreUrlInvalid,
    Superseded,
    WaitClosed,
)
from cairn_runtime.model.ids import to_wire, utc_now
from cairn_runtime.model.values import JSONObject
from cairn_runtime.store.base import (
    FINISHED,
    FOUND_AT_MOST,
    IMPORTING,
    READ_BYTES,
    READ_ROWS,
    Beat,
    Checkpoint,
    Fence,
    Gap,
    Head,
    Health,
    NewRun,
    NewSignal,
    Outcome,
    Run,
    Signal,
)
from cairn_runtime.store.opening import StoreUrl, timeout_option
from cairn_runtime.store.places import free_bytes
from cairn_runtime.store.rows import (
    absent,
    annotated,
    check_claim,
    check_commit,
    check_heads,
    check_import,
    metrics_out,
    wait_is_open,
    was_written,
)
from cairn_runtime.store.sqlite_files import SCHEMA_VERSION, SQLiteFile, fault
from cairn_runtime.store.sqlite_retention import SQLiteRetention
from cairn_runtime.store.sqlite_rows import (
    MAX_SEQ,
    SEQ_BITS,
    checkpoint_of,
    checkpoint_row,
    head_of,
    outcome_columns,
    run_columns,
    signal_of,
    waits_of,
)
from cairn_runtime.store.threads import ThreadedStore

log = logging.getLogger(__name__)


class SQLiteStore(ThreadedStore):
    """Keeps checkpoints in a SQLite file; `?timeout=5s` is how long to wait for other writers."""

    def __init__(self, url: StoreUrl, *, clock: Callable[[], datetime] = utc_now) -> None:
        super().__init__(BlockingSQLite(url, clock=clock))


class BlockingSQLite(SQLiteRetention):
    """The store's work, for one thread; see `store.base.Store` for what each method promises."""

    def __init__(self, url: StoreUrl, *, clock: Callable[[], datetime]) -> None:
        url.check_options("timeout")
        self._url = url
        self._path = _path_of(url)
        self._timeout_seconds = timeout_option(url)
        super().__init__(SQLiteFile(self._path), clock=clock)
        self._store_id = ""

    @property
    def url(self) -> str:
        """The address."""
        return self._url.safe

    def fault(self, error: Exception) -> CairnError | None:
        """Translate what SQLite or the system says."""
        return fault(error, self._path)

    async def open(self) -> None:
        """Open the file and migrate its schema."""
        self._db.open(timeout_seconds=self._timeout_seconds)
        self._store_id = str(self._db.one("store_id")[0])

    async def close(self) -> None:
        """Close the file."""
        self._db.close()

    async def migrate(self) -> int:
        """Opening has migrated the schema; answer its version."""
        return self._db.version()

    async def check(self) -> Health:
        """Ask the file, and the file system under it."""
        begin = time.perf_counter()
        self._db.one("store_id")
        latency = time.perf_counter() - begin
        files = (self._path, self._path.with_name(self._path.name + "-wal"))
        used = sum(file.stat().st_size for file in files if file.exists())
        durable = "written to the log of the SQLite file and synced to its disk, at each commit"
        server = f"SQLite {sqlite3.sqlite_version}"
        space = (used, free_bytes(self._path))
        return Health("sqlite", durable, latency, SCHEMA_VERSION, *space, server, self._clock())

    async def create_run(self, new: NewRun) -> Run:
        """Make the row of a run, or answer the row that is there."""
        return self._created(new, {"epoch": 0, "claim_id": "", "phase": "Pending", "reason": ""})

    async def import_run(self, new: NewRun, fence: Fence) -> Run:
        """Make the row of a run that comes from another store, or answer the row that is there."""
        check_claim(fence.claim_id)
        return self._created(new, {**fence._asdict(), "phase": "Cancelled", "reason": IMPORTING})

    def _created(self, new: NewRun, head: dict[str, Any]) -> Run:
        now = self._clock()
        with self._db.write():
            owner = self._db.maybe("owner", run_id=new.run_id)
            if owner is None:
                columns = run_columns(new, now)
                run = self._db.execute("create_run", columns).lastrowid
                self._db.execute("create_head", {"run": run, "now": columns["now"], **head})
            elif owner[1]:
                raise HistoryConflict(f"run {new.run_id} was deleted; its id is not used again")
            elif owner[0] != new.workflow:
                raise HistoryConflict(f"run {new.run_id} belongs to {owner[0]}, not to {new.workflow}")
            return self._run(new.run_id)

    async def run(self, run_id: str) -> Run:
        """Read a run's row."""
        return self._run(run_id)

    async def runs(
        self, *, workflow: str = "", thread: str = "", limit: int = 100, before: str = ""
    ) -> list[Run]:
        """List runs, newest first; a damaged row is logged and left out."""
        prefix = workflow if workflow.endswith("/") else ""
        name = (
            "runs_of_thread"
            if thread
            else "runs_of_workflow"
            if workflow and not prefix
            else "runs_of_prefix"
        )
        found: list[Run] = []
        with self._db.read():
            exact = "" if prefix else workflow
            asked = {"workflow": exact, "prefix": prefix, "thread": thread, "limit": limit}
            asked |= {"created_at": self._age(before), "run_id": before}
            for (run_id,) in self._db.all(name, asked):
                try:
                    found.append(self._run(run_id))
                except CheckpointCorrupted:
                    log.exception("left out a damaged run", extra={"run_id": run_id})
        return found

    async def claim(self, run_id: str, expected_epoch: int, claim_id: str, runner: str = "") -> Fence:
        """Raise the epoch and write the claim."""
        check_claim(claim_id)
        run = self._number(run_id)
        now = to_wire(self._clock())
        with self._db.write():
            epoch, claimed_by, *_ = self._guard(run, run_id)
            if claimed_by == claim_id:
                return Fence(epoch, claim_id)
            wanted = {"run": run, "expected_epoch": expected_epoch, "claim_id": claim_id}
            if not self._db.execute("claim", {**wanted, "runner": runner, "now": now}).rowcount:
                text = f"run {run_id} is at epoch {epoch}, not {expected_epoch}: another claim came first"
                raise Superseded(run_id, text)
            return Fence(expected_epoch + 1, claim_id)

    async def heads(self, run_ids: list[str]) -> dict[str, Head]:
        """Read many heads at once."""
        check_heads(run_ids)
        found: dict[str, Head] = {}
        with self._db.read():
            for run_id in run_ids:
                row = self._db.maybe("head", run_id=run_id)
                try:
                    found |= {} if row is None else {run_id: head_of(run_id, row)}
                except CheckpointCorrupted:
                    log.exception("left out a damaged run", extra={"run_id": run_id})
        return found

    async def changed(self, cursor: str) -> tuple[list[str], str]:
        """Name the runs whose row changed since the cursor."""
        origin, _, number = cursor.rpartition(":")
        since = int(number) if origin == self._store_id and number.isdigit() else 0
        with self._db.read():
            last = int(self._db.one("last_change")[0])
            # A file put back from a copy has fewer changes than the cursor has seen: tell everything again.
            rows = self._db.all("changed", {"since": since if since <= last else 0})
        return [row[0] for row in rows], f"{self._store_id}:{last}"

    async def commit(
        self,
        run_id: str,
        fence: Fence,
        expected_head: int,
        write_id: str,
        checkpoints: list[Checkpoint],
        outcome: Outcome | None = None,
    ) -> None:
        """Append checkpoints and change the row, in one transaction."""
        check_commit(run_id, fence, expected_head, write_id, checkpoints)
        run = self._number(run_id)
        values: dict[str, Any] = {
            "run": run,
            "epoch": fence[0],
            "claim_id": fence[1],
            "expected_head": expected_head,
            "write_id": write_id,
            "now": to_wire(self._clock()),
        }
        with self._db.write():
            moved = self._move(values, checkpoints)
            if moved and outcome is not None:
                self._db.execute("set_outcome", {"run": run, **outcome_columns(outcome)})
                for number in outcome.consumed:
                    self._db.execute("consume_signal", {"run": run, "number": number})
            if not moved:
                self._explain(run_id, values, checkpoints)

    def _move(self, values: dict[str, Any], checkpoints: list[Checkpoint]) -> bool:
        """Move the head where fence and head match, and append; tell whether it moved."""
        if not checkpoints:
            moved = self._db.execute("touch_head", values).rowcount == 1
            if moved:
                self._db.execute("add_row_write", {"run": values["run"], "write_id": values["write_id"]})
            return moved
        head = checkpoints[-1]
        values |= {"head_seq": head.seq, "head_id": head.id, "head_hash": head.hash}
        values |= {"count": len(checkpoints), "bytes": sum(checkpoint.size for checkpoint in checkpoints)}
        if self._db.execute("move_head", values).rowcount != 1:
            return False
        run = values["run"]
        try:
            self._db.many("add_checkpoint", [checkpoint_row(run, c) for c in checkpoints])
        except sqlite3.IntegrityError as error:
            raise HistoryConflict(f"another checkpoint has the id {head.id} or its place: {error}") from error
        return True

    def _explain(self, run_id: str, values: dict[str, Any], checkpoints: list[Checkpoint]) -> None:
        """Return if a commit that moved nothing was ours already; else say why it moved nothing."""
        run = values["run"]
        head_seq = self._guard(run, run_id)[2]
        if checkpoints:
            keys = {
                "first": (run << SEQ_BITS) + checkpoints[0].seq,
                "last": (run << SEQ_BITS) + checkpoints[-1].seq,
            }
            stored = {key & MAX_SEQ: write_id for key, write_id in self._db.all("write_ids", keys)}
            ours = was_written(checkpoints, stored, head_seq)
        else:
            ours = self._db.maybe("our_row_write", run=run, write_id=values["write_id"]) is not None
        if not ours:
            raise Superseded(run_id)

    async def import_checkpoints(
        self, run_id: str, fence: Fence, expected_head: int, checkpoints: list[Checkpoint], gaps: list[Gap]
    ) -> None:
        """Append checkpoints as they were elsewhere, in one transaction."""
        check_import(run_id, fence, expected_head, checkpoints, gaps)
        run = self._number(run_id)
        values: dict[str, Any] = {"run": run, "epoch": fence.epoch, "claim_id": fence.claim_id}
        values |= {"expected_head": expected_head, "now": to_wire(self._clock())}
        with self._db.write():
            if self._move(values, checkpoints):
                self._add_gaps(run, gaps)
            else:
                self._explain(run_id, values, checkpoints)

    async def annotate(self, run_id: str, changes: JSONObject) -> None:
        """Set notes beside a run."""
        run = self._number(run_id)
        with self._db.write():
            self._guard(run, run_id)
            noted = self._db.one("annotations", run=run)[0]
            whole = orjson.dumps(annotated(orjson.loads(noted), changes)).decode()
            self._db.execute("annotate", {"run": run, "annotations": whole})

    async def heartbeat(self, run_id: str, fence: Fence, metrics: JSONObject | None = None) -> Beat:
        """Say that the holder of the fence lives, and leave its numbers."""
        text = metrics_out(metrics)
        run = self._number(run_id)
        now = self._clock()
        values = {"run": run, "epoch": fence[0], "claim_id": fence[1], "now": to_wire(now)}
        values["metrics"] = None if text is None else text.decode()
        with self._db.write():
            if not self._db.execute("heartbeat", values).rowcount:
                self._guard(run, run_id)
                raise Superseded(run_id)
            return Beat(int(self._db.one("signals_pending", run=run)[0]), now)

    async def checkpoints(
        self, run_id: str, *, before: int | None = None, limit: int = 100
    ) -> list[Checkpoint]:
        """List headers, newest first."""
        keys = self._keys(run_id)
        if keys is None:
            return []
        if before is not None:
            keys["last"] = keys["first"] + min(max(before, 1) - 1, MAX_SEQ)
        return [
            checkpoint_of(run_id, row) for row in self._db.all("list_checkpoints", {**keys, "limit": limit})
        ]

    async def checkpoint(self, checkpoint_id: str) -> Checkpoint:
        """Read one checkpoint with its payload."""
        row = self._db.maybe("checkpoint", id=checkpoint_id)
        if row is None:
            raise CheckpointNotFound(checkpoint_id)
        return checkpoint_of(row[0], row[1:])

    async def find_checkpoints(self, prefix: str) -> list[Checkpoint]:
        """List headers whose id starts or ends with the given text."""
        rows = self._db.all("find_checkpoints", {"text": prefix, "limit": FOUND_AT_MOST})
        return [checkpoint_of(row[0], row[1:]) for row in rows]

    async def load(self, run_id: str, seq: int | None = None) -> list[Checkpoint]:
        """Read what a checkpoint is folded from, ascending."""
        run = self._number(run_id)
        with self._db.read():
            head_seq = self._guard(run, run_id)[2]
            last = head_seq if seq is None else seq
            if not 0 <= last <= head_seq:
                raise absent(run_id, last)
            first = run << SEQ_BITS
            rows = self._db.all("load", {"first": first, "last": first + last})
        if seq is not None and (not rows or rows[-1][0] != first + seq):
            raise absent(run_id, seq)
        return [checkpoint_of(run_id, row) for row in rows]

    async def read(self, run_id: str, *, after: int = 0) -> list[Checkpoint]:
        """Read a page of checkpoints with their payloads, ascending."""
        keys = self._keys(run_id)
        if keys is None or after >= MAX_SEQ:
            return []
        keys["first"] += max(after, 0) + 1
        rows = self._db.all("read", {**keys, "limit": READ_ROWS, "bytes": READ_BYTES})
        return [checkpoint_of(run_id, row) for row in rows]

    async def put_progress(self, run_id: str, fence: Fence, task: str, value: bytes) -> None:
        """Keep a task's progress."""
        run = self._number(run_id)
        values = {"run": run, "epoch": fence[0], "claim_id": fence[1], "task": task, "value": value}
        with self._db.write():
            if not self._db.execute("put_progress", values).rowcount:
                self._guard(run, run_id)
                raise Superseded(run_id)

    async def progress(self, run_id: str) -> dict[str, bytes]:
        """Read the progress of all tasks of a run."""
        run = self._number_or_none(run_id)
        return {} if run is None else dict(self._db.all("progress", {"run": run}))

    async def send(self, run_id: str, signal: NewSignal) -> Signal:
        """Store a signal and mark the run changed."""
        run = self._number(run_id)
        with self._db.write():
            # Not sooner: who waited for its turn past a deadline is late.
            now = self._clock()
            stored = self._db.maybe("signal_of", run=run, client_id=signal.client_id)
            if stored is not None:
                self._guard(run, run_id)
                return signal_of(run_id, stored)
            self._refuse_closed(run, run_id, signal, now)
            values = {"run": run, "name": signal.name, "value": orjson.dumps(signal.value).decode()}
            values |= {"client_id": signal.client_id, "wait": signal.wait, "now": to_wire(now)}
            self._db.execute("add_signal", values)
            self._db.execute("mark_changed", {"run": run, "now": to_wire(now)})
            return signal_of(run_id, self._db.one("signal_of", run=run, client_id=signal.client_id))

    def _refuse_closed(self, run: int, run_id: str, signal: NewSignal, now: datetime) -> None:
        """Refuse a signal that nobody waits for. Raises `WaitClosed`."""
        _, _, _, phase, waits = self._guard(run, run_id)
        if phase in FINISHED:
            raise WaitClosed(f"run {run_id} is {phase}: nobody waits for {signal.wait or signal.name}")
        answered = [row[4] for row in self._db.all("signals", {"run": run})] if signal.wait else []
        if not wait_is_open(waits_of(run_id, waits), signal, now, answered):
            raise WaitClosed(f"run {run_id} does not wait for {signal.wait}: answered, over or not open yet")

    async def signals(self, run_id: str) -> list[Signal]:
        """List the signals that no commit has consumed."""
        run = self._number_or_none(run_id)
        return (
            [] if run is None else [signal_of(run_id, row) for row in self._db.all("signals", {"run": run})]
        )


def _path_of(url: StoreUrl) -> Path:
    """`sqlite:///relative` and `sqlite:////absolute`, as elsewhere in the Python world."""
    path = url.path[1:]
    if url.host or not url.path.startswith("/") or "://" not in url.full:
        problem = "three slashes begin a relative path, four an absolute one: sqlite:///.cairn/cairn.db"
    elif path in ("", ":memory:"):
        problem = "name a file; a store in memory is memory:"
    elif path.endswith("/"):
        problem = "this is a folder; name a file in it"
    else:
        return Path(path)
    raise StoreUrlInvalid([Fault(url.safe, problem)])
