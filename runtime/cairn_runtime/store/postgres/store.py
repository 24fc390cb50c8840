"""The store itself: what each call of the protocol is in statements; see `store.base.Store` for the promises.

Nothing is remembered between calls but connections: a server that was put back from a backup, or a second
process, finds every answer in the rows.
The statements stand in `sql/postgres/queries.sql`, with the reasons for their locks.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable
from datetime import UTC, datetime

from cairn_runtime.errors import (
    CheckpointCorrupted,
    CheckpointNotFound,
    HistoryConflict,
    RunNotFound,
    Superseded,
    WaitClosed,
)
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
from cairn_runtime.store.opening import StoreUrl
from cairn_runtime.store.postgres.addresses import address_of
from cairn_runtime.store.postgres.concerns import concerns
from cairn_runtime.store.postgres.faults import UNIQUE_VIOLATION, Refused, fault
from cairn_runtime.store.postgres.migrating import migrate
from cairn_runtime.store.postgres.retention import PostgresRetention
from cairn_runtime.store.postgres.rows import (
    MAX_BIGINT,
    beyond,
    checkpoint_of,
    head_of,
    import_values,
    many_values,
    new_run_values,
    new_signal_values,
    one_values,
    row_values,
    run_of,
    signal_of,
    waits_of,
)
from cairn_runtime.store.postgres.sessions import Sessions
from cairn_runtime.store.postgres.statements import TABLES
from cairn_runtime.store.postgres.values import Value
from cairn_runtime.store.queries import migrations
from cairn_runtime.store.rows import (
    absent,
    check_claim,
    check_commit,
    check_heads,
    check_import,
    metrics_out,
    wait_is_open,
    was_written,
)

log = logging.getLogger("cairn.postgres")

_SNAPSHOT = re.compile(r"^[0-9]{1,19}:([0-9]{1,19}):[0-9,]*\Z")
_EVERYTHING = "1:1:"
"""A snapshot that has seen nothing."""


class PostgresStore(PostgresRetention):
    """Keeps checkpoints in a Postgres database; see docs/howto/use-postgres.md for its URL."""

    def __init__(self, url: StoreUrl) -> None:
        self._address = address_of(url)
        super().__init__(Sessions(self._address))
        self._version = 0

    @property
    def url(self) -> str:
        """The address, without any password."""
        return self._address.safe

    @property
    def alone(self) -> Callable[[], bool]:
        """Whether nothing else needs the caller's event loop now; see `store.owned`."""
        return self._sessions.alone

    @alone.setter
    def alone(self, alone: Callable[[], bool]) -> None:
        self._sessions.alone = alone

    async def open(self) -> None:
        """Connect and bring the schema forward."""
        self._sessions.open()
        try:
            self._version = await migrate(self._sessions, migrations("postgres"))
        except BaseException:
            self._sessions.close()
            raise

    async def close(self) -> None:
        """Close the connections."""
        self._sessions.close()

    async def migrate(self) -> int:
        """Bring the schema to this release's version, also by steps that take something away."""
        self._version = await migrate(self._sessions, migrations("postgres"), contract=True)
        return self._version

    async def check(self) -> Health:
        """Ask the server."""
        begin = time.perf_counter()
        await self._sessions.fetch("meta")
        latency = time.perf_counter() - begin
        names = [self._address.naming.table(name) for name in TABLES]
        async with self._sessions.transaction(patient=True) as wire:
            ((used,),) = await wire.fetch("used_bytes", tables=names)
            ((version, now, *settings),) = await wire.fetch("settings")
            missing = await wire.fetch("missing_rights", tables=names)
        return Health(
            "postgres",
            self._sessions.durable,
            latency,
            self._version,
            used,
            None,
            f"Postgres {version}",
            now,
            concerns(settings, missing),
        )

    async def create_run(self, new: NewRun) -> Run:
        """Make the row of a run, or answer the row that is there."""
        return await self._created(new)

    async def import_run(self, new: NewRun, fence: Fence) -> Run:
        """Make the row of a run that comes from another store, or answer the row that is there."""
        check_claim(fence.claim_id)
        return await self._created(new, **fence._asdict(), phase="Cancelled", reason=IMPORTING)

    async def _created(self, new: NewRun, **head: Value) -> Run:
        await self._sessions.fetch("create_run", **{**new_run_values(new), **head})
        try:
            run = await self.run(new.run_id)
        except RunNotFound:
            raise HistoryConflict(f"run {new.run_id} was deleted; its id is not used again") from None
        if run.workflow != new.workflow:
            raise HistoryConflict(f"run {new.run_id} belongs to {run.workflow}, not to {new.workflow}")
        return run

    async def run(self, run_id: str) -> Run:
        """Read a run's row."""
        rows = await self._sessions.fetch("run", run_id=run_id)
        if not rows:
            raise RunNotFound(run_id)
        return run_of(rows[0])

    async def runs(
        self, *, workflow: str = "", thread: str = "", limit: int = 100, before: str = ""
    ) -> list[Run]:
        """List runs, newest first; a damaged row is logged and left out."""
        created_at = datetime.max.replace(tzinfo=UTC)
        if before:
            ages = await self._sessions.fetch("age", run_id=before)
            if not ages:
                raise RunNotFound(before)
            created_at = ages[0][0]
        page: dict[str, Value] = {"created_at": created_at, "run_id": before, "limit": limit}
        if workflow and not workflow.endswith("/"):
            name, asked = "runs_of_workflow", {"workflow": workflow, "thread": thread or None}
        elif thread:
            name, asked = "runs_of_thread", {"thread": thread, "prefix": workflow}
        else:
            name, asked = "runs_of_prefix", {"prefix": workflow}
        rows = await self._sessions.fetch(name, **asked, **page)
        found: list[Run] = []
        for row in rows:
            try:
                found.append(run_of(row))
            except CheckpointCorrupted:
                log.exception("left out a damaged run", extra={"run_id": row[0]})
        return found

    async def claim(self, run_id: str, expected_epoch: int, claim_id: str, runner: str = "") -> Fence:
        """Raise the epoch and write the claim."""
        check_claim(claim_id)
        values: dict[str, Value] = {"run_id": run_id, "expected_epoch": expected_epoch}
        values |= {"claim_id": claim_id, "runner": runner}
        if await self._change("claim", values):
            return Fence(expected_epoch + 1, claim_id)
        epoch, claimed_by, _ = await self._there(run_id)
        if claimed_by == claim_id:
            return Fence(epoch, claim_id)
        text = f"run {run_id} is at epoch {epoch}, not {expected_epoch}: another claim came first"
        raise Superseded(run_id, text)

    async def heads(self, run_ids: list[str]) -> dict[str, Head]:
        """Read many heads at once."""
        check_heads(run_ids)
        rows = await self._sessions.fetch("heads", run_ids=run_ids)
        return {row[0]: head_of(row[1:]) for row in rows}

    async def changed(self, cursor: str) -> tuple[list[str], str]:
        """Name the runs whose row changed since the cursor.

        A cursor is what `now` says: a place, and the transactions that were visible there.
        """
        ((place, snapshot),) = await self._sessions.fetch("now")
        seen_at, _, seen = cursor.partition("/")
        since = seen if seen_at == place and _is_before(seen, snapshot) else _EVERYTHING
        rows = await self._sessions.fetch("changed", since=since)
        return [run_id for (run_id,) in rows], f"{place}/{snapshot}"

    async def commit(
        self,
        run_id: str,
        fence: Fence,
        expected_head: int,
        write_id: str,
        checkpoints: list[Checkpoint],
        outcome: Outcome | None = None,
    ) -> None:
        """Append checkpoints and change the row, in one statement."""
        check_commit(run_id, fence, expected_head, write_id, checkpoints)
        if outcome is None and len(checkpoints) == 1:
            name, values = "commit_one", one_values(fence, expected_head, checkpoints[0])
        elif checkpoints:
            name, values = "commit_many", many_values(run_id, fence, expected_head, checkpoints, outcome)
        else:
            name, values = "commit_row", row_values(run_id, fence, expected_head, outcome)
            values["write_id"] = write_id
        await self._append(name, values, run_id, write_id, checkpoints)

    async def import_checkpoints(
        self, run_id: str, fence: Fence, expected_head: int, checkpoints: list[Checkpoint], gaps: list[Gap]
    ) -> None:
        """Append checkpoints as they were elsewhere, in one statement."""
        check_import(run_id, fence, expected_head, checkpoints, gaps)
        values = import_values(run_id, fence, expected_head, checkpoints, gaps)
        await self._append("import_many", values, run_id, "", checkpoints)

    async def _append(
        self, name: str, values: dict[str, Value], run_id: str, write_id: str, checkpoints: list[Checkpoint]
    ) -> None:
        try:
            moved = await self._sessions.change(name, values)
        except Refused as error:
            if error.sqlstate != UNIQUE_VIOLATION:
                raise fault(error, self.url) from None
            if checkpoints:
                head = checkpoints[-1]
                raise HistoryConflict(
                    f"another checkpoint has the id {head.id} or its place: {error}"
                ) from None
            moved = 0  # a copy of this write came first, at the same time
        if not moved:
            await self._explain(run_id, write_id, checkpoints)

    async def _explain(self, run_id: str, write_id: str, checkpoints: list[Checkpoint]) -> None:
        """Return if a commit that moved nothing was ours already; else say why it moved nothing."""
        if checkpoints:
            first, last = checkpoints[0].seq, checkpoints[-1].seq
            rows = await self._sessions.fetch("written", run_id=run_id, first=first, last=last)
            stored = {seq: stored_by for _, seq, stored_by in rows if seq is not None}
            ours = bool(rows) and was_written(checkpoints, stored, rows[0][0])
        else:
            rows = await self._sessions.fetch("row_written", run_id=run_id, write_id=write_id)
            ours = bool(rows) and rows[0][0]
        if not rows:
            raise RunNotFound(run_id)
        if not ours:
            raise Superseded(run_id)

    async def heartbeat(self, run_id: str, fence: Fence, metrics: JSONObject | None = None) -> Beat:
        """Say that the holder of the fence lives, and leave its numbers."""
        text = metrics_out(metrics)
        values: dict[str, Value] = {"run_id": run_id, "epoch": fence[0], "claim_id": fence[1]}
        values["metrics"] = None if text is None else text.decode()
        rows = await self._sessions.fetch("heartbeat", **values)
        if not rows:
            await self._there(run_id)
            raise Superseded(run_id)
        return Beat(*rows[0])

    async def checkpoints(
        self, run_id: str, *, before: int | None = None, limit: int = 100
    ) -> list[Checkpoint]:
        """List headers, newest first."""
        below = MAX_BIGINT if before is None else min(before, MAX_BIGINT)
        rows = await self._sessions.fetch("list_checkpoints", run_id=run_id, before=below, limit=limit)
        return [checkpoint_of(run_id, row) for row in rows]

    async def checkpoint(self, checkpoint_id: str) -> Checkpoint:
        """Read one checkpoint with its payload."""
        rows = await self._sessions.fetch("checkpoint", id=checkpoint_id)
        if not rows:
            raise CheckpointNotFound(checkpoint_id)
        return checkpoint_of(rows[0][0], rows[0][1:])

    async def find_checkpoints(self, prefix: str) -> list[Checkpoint]:
        """List headers whose id starts or ends with the given text."""
        begins = await self._sessions.fetch(
            "find_by_beginning", text=prefix, beyond=beyond(prefix), limit=FOUND_AT_MOST
        )
        ends = await self._sessions.fetch("find_by_end", text=prefix, limit=FOUND_AT_MOST)
        found = {row[2]: checkpoint_of(row[0], row[1:]) for row in [*begins, *ends]}
        return [found[id_] for id_ in sorted(found, reverse=True)][:FOUND_AT_MOST]

    async def load(self, run_id: str, seq: int | None = None) -> list[Checkpoint]:
        """Read what a checkpoint is folded from, ascending."""
        if seq is not None and not 0 <= seq <= MAX_BIGINT:
            await self._there(run_id)
            raise absent(run_id, seq)
        rows = await self._sessions.fetch("load", run_id=run_id, seq=seq)
        if not rows:
            raise RunNotFound(run_id)
        if seq is not None and rows[-1][1] != seq:
            raise absent(run_id, seq)
        return [checkpoint_of(run_id, row[1:]) for row in rows if row[1] is not None]

    async def read(self, run_id: str, *, after: int = 0) -> list[Checkpoint]:
        """Read a page of checkpoints with their payloads, ascending."""
        page: dict[str, Value] = {"after": min(after, MAX_BIGINT), "limit": READ_ROWS, "bytes": READ_BYTES}
        rows = await self._sessions.fetch("read", run_id=run_id, **page)
        return [checkpoint_of(run_id, row) for row in rows]

    async def put_progress(self, run_id: str, fence: Fence, task: str, value: bytes) -> None:
        """Keep a task's progress."""
        values: dict[str, Value] = {"run_id": run_id, "epoch": fence[0], "claim_id": fence[1]}
        if not await self._change("put_progress", {**values, "task": task, "value": value}):
            await self._there(run_id)
            raise Superseded(run_id)

    async def progress(self, run_id: str) -> dict[str, bytes]:
        """Read the progress of all tasks of a run."""
        return dict(await self._sessions.fetch("progress", run_id=run_id))

    async def send(self, run_id: str, signal: NewSignal) -> Signal:
        """Store a signal and mark the run changed."""
        async with self._sessions.transaction() as wire:
            locked = await wire.fetch("lock_head", run_id=run_id)
            if not locked:
                raise RunNotFound(run_id)
            run, phase, waits, now = locked[0]
            rows = await wire.fetch("signal_of", run=run, client_id=signal.client_id)
            if not rows:
                pending = await wire.fetch("signals", run_id=run_id) if signal.wait else []
                _refuse_closed(run_id, signal, (phase, waits, now), [row[4] for row in pending])
                values = new_signal_values(signal)
                rows = await wire.fetch("add_signal", run=run, now=now, **values)
        return signal_of(run_id, rows[0])

    async def signals(self, run_id: str) -> list[Signal]:
        """List the signals that no commit has consumed."""
        return [signal_of(run_id, row) for row in await self._sessions.fetch("signals", run_id=run_id)]

    async def _change(self, name: str, values: dict[str, Value]) -> int:
        try:
            return await self._sessions.change(name, values)
        except Refused as error:
            raise fault(error, self.url) from None

    async def _there(self, run_id: str) -> tuple[int, str, int]:
        """Epoch, claim_id and head seq of a run. Raises `RunNotFound`."""
        rows = await self._sessions.fetch("there", run_id=run_id)
        if not rows:
            raise RunNotFound(run_id)
        epoch, claim_id, head_seq = rows[0]
        return epoch, claim_id, head_seq


def _refuse_closed(
    run_id: str, signal: NewSignal, row: tuple[str, bytes, datetime], answered: list[str]
) -> None:
    """Refuse a signal that nobody waits for. Raises `WaitClosed`."""
    phase, waits, now = row
    if phase in FINISHED:
        raise WaitClosed(f"run {run_id} is {phase}: nobody waits for {signal.wait or signal.name}")
    if not wait_is_open(waits_of(waits), signal, now, answered):
        raise WaitClosed(f"run {run_id} does not wait for {signal.wait}: answered, over or not open yet")


def _is_before(seen: str, snapshot: str) -> bool:
    """Whether a cursor's snapshot is one that this server may have given before: not ahead of its present."""
    match = _SNAPSHOT.match(seen)
    return match is not None and int(match[1]) <= int(snapshot.split(":")[1])
