"""The store itself: rows, commits, checkpoints and signals of the protocol.

Durable means: in the append-only file of the server; when that is written and synced is the server's
`appendfsync` (`inspections`). A claim waits for the sync where the server can wait (WAITAOF).
Every write is one Lua script on the run's own keys, known again by an id of its caller's, and sent once:
whoever hears `StoreUnavailable` sends the same again.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence

from cairn_runtime.errors import (
    CairnError,
    CheckpointCorrupted,
    CheckpointNotFound,
    HistoryConflict,
    RunNotFound,
    StoreTooNew,
    StoreUnavailable,
    Superseded,
    WaitClosed,
)
from cairn_runtime.model.values import JSONObject
from cairn_runtime.store.base import (
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
from cairn_runtime.store.owned import never
from cairn_runtime.store.redis.addresses import read_address
from cairn_runtime.store.redis.indexes import Changes, RunIndex
from cairn_runtime.store.redis.inspections import Server, admit, concerns, inspect, way_concerns
from cairn_runtime.store.redis.nodes import Nodes
from cairn_runtime.store.redis.records import (
    HEAD_FIELDS,
    checkpoint_arguments,
    checkpoint_of,
    entry_of,
    fence_text,
    fields_of,
    head_of,
    member_of,
    moment_of,
    new_of,
    note_fields,
    notes_out,
    outcome_arguments,
    run_in,
    run_of,
    seq_of,
    signal_of,
    signal_text,
)
from cairn_runtime.store.redis.replies import Argument, Reply, command
from cairn_runtime.store.redis.retention import RedisRetention, gaps_text, reading, speaking
from cairn_runtime.store.redis.rights import NOBODY, rights
from cairn_runtime.store.redis.scripts import script
from cairn_runtime.store.rows import (
    absent,
    annotated,
    check_claim,
    check_commit,
    check_heads,
    check_import,
    metrics_out,
    was_written,
)

log = logging.getLogger(__name__)

SCHEMA_VERSION = 1
_RUNS_LOOKED_IN = 100
"""Other runs in which a commit looks for ids that its writer did not make for it."""


class RedisStore(RedisRetention):
    """Keeps checkpoints on Redis; see `store.base.Store` for what each method promises."""

    def __init__(self, url: StoreUrl) -> None:
        super().__init__(read_address(url))
        self._server: Server
        self.alone: Callable[[], bool] = never
        """Whether nothing else needs the caller's event loop now; see `store.owned`."""

    @property
    def url(self) -> str:
        """The address, without any password."""
        return self._address.safe

    # -- the store ----------------------------------------------

    @speaking
    async def open(self) -> None:
        """Connect, look whether the servers are fit to keep runs, and mend the index if it was lost."""
        if self._opened is not None:
            return
        nodes = Nodes(self._address, self._is_alone)
        try:
            self._server = await admit(nodes, self._address)
            await self._check_schema(nodes)
            index = RunIndex(nodes, self._keys, self._address)
            await index.ensure()
        except BaseException:
            await nodes.close()
            raise
        self._opened, self._index, self._changes = nodes, index, Changes(nodes, self._keys, index)

    def _is_alone(self) -> bool:
        """Ask whoever was named last, also on a connection that was made before."""
        return self.alone()

    async def _check_schema(self, nodes: Nodes) -> None:
        """Write the schema's version where there is none. Raises `StoreTooNew`."""
        store = self._keys.store
        # Read first: a server whose memory is full still lets runs be read.
        version = await nodes.ask(store, command("HGET", store, "schema"))
        if version is None:
            await nodes.ask(store, command("HSETNX", store, "schema", SCHEMA_VERSION), "write")
        elif int(version) > SCHEMA_VERSION:
            text = f"{self.url} has schema {int(version)}, this release knows {SCHEMA_VERSION}"
            raise StoreTooNew(f"{text}; use the release that wrote it or a later one")

    async def close(self) -> None:
        """Let go of every connection."""
        nodes, self._opened = self._opened, None
        if nodes is not None:
            await nodes.close()

    @speaking
    async def migrate(self) -> int:
        """Put the index of runs together again from the rows; the schema has one version."""
        await self._check_schema(self._nodes)
        await self._index.repair()
        return SCHEMA_VERSION

    @speaking
    async def check(self) -> Health:
        """Ask every server how it is."""
        await self._nodes.ask(self._keys.store, command("HGET", self._keys.store, "schema"))
        begin = time.perf_counter()
        await self._nodes.ask(self._keys.store, command("HGET", self._keys.store, "schema"))
        latency = time.perf_counter() - begin
        nodes = self._nodes.masters()
        servers = [await inspect(node, self._address) for node in nodes]
        found = way_concerns(self._address)
        found += [concern for server in servers for concern in concerns(server)]
        for node in nodes:
            user = self._address.user or NOBODY
            found += await rights(node, self._keys, user, clustered=self._nodes.clustered)
        used = [server.used_bytes for server in servers if server.used_bytes is not None]
        free = [
            max(server.limit_bytes - server.used_bytes, 0)
            for server in servers
            if server.limit_bytes is not None and server.used_bytes is not None
        ]
        durable = self._server.durable
        seconds, microseconds = await self._nodes.ask(self._keys.store, command("TIME"))
        return Health(
            "redis",
            durable,
            latency,
            SCHEMA_VERSION,
            sum(used) if used else None,
            sum(free) if free else None,
            self._server.name,
            moment_of(int(seconds) * 1_000_000 + int(microseconds)),
            tuple(dict.fromkeys(found)),
        )

    # -- runs ----------------------------------------------

    @speaking
    async def create_run(self, new: NewRun) -> Run:
        """Make the row of a run, or answer the row that is there."""
        return await self._created(new, (0, "", "Pending", ""))

    @speaking
    async def import_run(self, new: NewRun, fence: Fence) -> Run:
        """Make the row of a run that comes from another store, or answer the row that is there."""
        check_claim(fence.claim_id)
        phase, outcome, *_ = outcome_arguments(Outcome("Cancelled", IMPORTING))
        return await self._created(new, (fence.epoch, fence.claim_id, phase, outcome))

    async def _created(self, new: NewRun, head: tuple[Argument, ...]) -> Run:
        thread = new.thread or new.workflow
        now = await self._index.announce(new.run_id, new.workflow, thread)
        fixed = (new.workflow, thread, now, new_of(new), *head)
        answer = await self._run_script(
            "create", new.run_id, *fixed, *notes_out(annotated({}, new.annotations))
        )
        match answer[0]:
            case b"deleted":
                raise HistoryConflict(f"run {new.run_id} was deleted; its id is not used again")
            case b"other":
                await self._index.retract(member_of(new.run_id, new.workflow, thread), now)
                raise HistoryConflict(
                    f"run {new.run_id} belongs to {answer[1].decode()}, not to {new.workflow}"
                )
        run = run_of(new.run_id, fields := fields_of(answer[1:]))
        if int(fields[b"created"]) != now:
            await self._index.add(member_of(run.run_id, run.workflow, run.thread), fields[b"created"])
        return run

    @reading
    async def run(self, run_id: str) -> Run:
        """Read a run's row."""
        row = self._keys.of(run_id).row
        fields = fields_of(await self._nodes.ask(row, command("HGETALL", row)))
        if not fields or b"deleted" in fields:
            raise RunNotFound(run_id)
        return run_of(run_id, fields)

    @reading
    async def runs(
        self, *, workflow: str = "", thread: str = "", limit: int = 100, before: str = ""
    ) -> list[Run]:
        """List runs, newest first; a damaged row is logged and left out."""
        below = await self._age(before) if before else None
        await self._index.ensure()
        found: dict[str, Run] = {}
        pages = self._index.newest(below=below or b"+inf", workflow=workflow, thread=thread, page=limit + 1)
        async for page in pages:
            for run in await self._rows_of(page):
                if below is None or (run.created_at, run.run_id) < (moment_of(below), before):
                    found[run.run_id] = run
            if len(found) >= limit:
                break
        return sorted(found.values(), key=lambda run: (run.created_at, run.run_id), reverse=True)[:limit]

    async def _rows_of(self, page: Sequence[tuple[bytes, bytes]]) -> list[Run]:
        """Read the rows that a page of the index names."""
        names = [(run_in(member), member, score) for member, score in page]
        rows = [self._keys.of(run_id).row for run_id, _, _ in names]
        answers = await self._nodes.ask_all([(row, command("HGETALL", row)) for row in rows])
        found: list[Run] = []
        for (run_id, member, score), answer in zip(names, answers, strict=True):
            fields = fields_of(answer)
            if not fields:
                await self._index.forget(member, score)
            elif b"deleted" not in fields:
                try:
                    found.append(run_of(run_id, fields))
                except CheckpointCorrupted:
                    log.exception("left out a damaged run", extra={"run_id": run_id})
        return found

    async def _age(self, run_id: str) -> bytes:
        """When a run was created, deleted or not. Raises `RunNotFound`."""
        row = self._keys.of(run_id).row
        created = await self._nodes.ask(row, command("HGET", row, "created"))
        if not isinstance(created, bytes):
            raise RunNotFound(run_id)
        return created

    @speaking
    async def claim(self, run_id: str, expected_epoch: int, claim_id: str, runner: str = "") -> Fence:
        """Raise the epoch and write the claim; where the server can, wait until it is synced."""
        check_claim(claim_id)
        keys = self._keys.of(run_id)
        call = script("claim").on(keys, expected_epoch, claim_id, runner)
        if self._server.waits_for_disk:
            answer = await self._nodes.ask_synced(keys.row, call)
        else:
            answer = await self._nodes.ask_write(keys.row, call)
        match answer:
            case [b"gone"]:
                raise RunNotFound(run_id)
            case [b"epoch", epoch]:
                text = f"run {run_id} is at epoch {epoch}, not {expected_epoch}: another claim came first"
                raise Superseded(run_id, text)
        _, epoch, workflow, thread, created = answer
        await self._index.add(member_of(run_id, workflow.decode(), thread.decode()), created)
        return Fence(epoch, claim_id)

    @reading
    async def heads(self, run_ids: list[str]) -> dict[str, Head]:
        """Read many heads at once."""
        check_heads(run_ids)
        rows = [self._keys.of(run_id).row for run_id in run_ids]
        answers = await self._nodes.ask_all([(row, command("HMGET", row, *HEAD_FIELDS)) for row in rows])
        found: dict[str, Head] = {}
        for run_id, values in zip(run_ids, answers, strict=True):
            try:
                head = head_of(run_id, values)
            except CheckpointCorrupted:
                log.exception("left out a damaged run", extra={"run_id": run_id})
            else:
                found |= {} if head is None else {run_id: head}
        return found

    @reading
    async def changed(self, cursor: str) -> tuple[list[str], str]:
        """Name the runs whose row changed since the cursor."""
        self._nodes.masters()
        return await self._changes.since(cursor)

    # -- writing ----------------------------------------------

    async def commit(
        self,
        run_id: str,
        fence: Fence,
        expected_head: int,
        write_id: str,
        checkpoints: list[Checkpoint],
        outcome: Outcome | None = None,
    ) -> None:
        """Append checkpoints and change the row, in one script."""
        check_commit(run_id, fence, expected_head, write_id, checkpoints)
        nodes, keys = self._nodes, self._keys.of(run_id)
        size, head_id, head_hash = 0, "", ""
        rows: list[Argument] = []
        for row in checkpoints:
            size += row.size
            rows += checkpoint_arguments(row)
        if checkpoints:
            head_id, head_hash = checkpoints[-1].id, checkpoints[-1].hash
        consumed = outcome.consumed if outcome is not None else ()
        call = script("commit").on(
            keys,
            fence_text(fence),
            expected_head,
            write_id,
            len(checkpoints),
            size,
            head_id,
            head_hash,
            *outcome_arguments(outcome),
            self._ttl,
            len(consumed),
            *consumed,
            *rows,
        )
        try:
            await self._refuse_taken(run_id, checkpoints)
            answer = await nodes.ask_write(keys.row, call)
        except CairnError:
            raise
        except Exception as error:
            raise self.translate(error) from error
        if answer != 1:
            self._explain(run_id, checkpoints, answer)

    @speaking
    async def import_checkpoints(
        self, run_id: str, fence: Fence, expected_head: int, checkpoints: list[Checkpoint], gaps: list[Gap]
    ) -> None:
        """Append checkpoints as they were elsewhere, in one script."""
        check_import(run_id, fence, expected_head, checkpoints, gaps)
        await self._refuse_taken(run_id, checkpoints)
        head, size = checkpoints[-1], sum(row.size for row in checkpoints)
        rows = [part for row in checkpoints for part in (row.seq, *checkpoint_arguments(row))]
        tip: tuple[Argument, ...] = (head.seq, head.id, head.hash, gaps_text(gaps)[1:-1], self._ttl)
        fixed: tuple[Argument, ...] = (fence_text(fence), expected_head, len(checkpoints), size)
        answer = await self._run_script("import", run_id, *fixed, *tip, *rows)
        if answer != 1:
            self._explain(run_id, checkpoints, answer)

    async def _refuse_taken(self, run_id: str, checkpoints: list[Checkpoint]) -> None:
        """Look in other runs for ids that were not made for this write.

        An id that is its own write_id is new: its writer has just drawn it, 74 bits by chance. Any other may
        be a copy, and is looked for. Raises `HistoryConflict`.
        """
        copied = [row.id for row in checkpoints if row.id != row.write_id]
        if copied:
            taken = await self._index.elsewhere(run_id, copied, _RUNS_LOOKED_IN)
            if taken is not None:
                raise HistoryConflict(f"another checkpoint has the id {taken}")

    def _explain(self, run_id: str, checkpoints: list[Checkpoint], answer: list[Reply]) -> None:
        """Return if a commit that moved nothing was ours already; else say why it moved nothing."""
        match answer:
            case [b"gone"]:
                raise RunNotFound(run_id)
            case [b"taken", taken]:
                raise HistoryConflict(f"another checkpoint has the id {taken.decode()}")
            case [b"differs", head, list(stored)]:
                found = {seq_of(entry): entry_of(run_id, entry).write_id for entry in stored}
                ours = was_written(checkpoints, found, head)
            case [b"differs", _, before]:
                ours = before == 1
            case _:
                raise StoreUnavailable(f"{self.url}: the server answered {answer!r}")
        if not ours:
            raise Superseded(run_id)

    @speaking
    async def annotate(self, run_id: str, changes: JSONObject) -> None:
        """Set notes beside a run."""
        kept = {name: value for name, value in changes.items() if value is not None}
        gone = note_fields(name for name, value in changes.items() if value is None)
        if await self._run_script("annotate", run_id, len(kept), *notes_out(kept), *gone) != 1:
            raise RunNotFound(run_id)

    @speaking
    async def heartbeat(self, run_id: str, fence: Fence, metrics: JSONObject | None = None) -> Beat:
        """Say that the holder of the fence lives, and leave its numbers."""
        text = metrics_out(metrics)
        answer = await self._run_script("heartbeat", run_id, fence_text(fence), text or b"")
        match answer:
            case [b"alive", pending, now]:
                return Beat(pending, moment_of(now))
            case [b"gone"]:
                raise RunNotFound(run_id)
        raise Superseded(run_id)

    @speaking
    async def put_progress(self, run_id: str, fence: Fence, task: str, value: bytes) -> None:
        """Keep a task's progress."""
        answer = await self._run_script("put_progress", run_id, fence_text(fence), task, bytes(value))
        if answer == [b"gone"]:
            raise RunNotFound(run_id)
        if answer != 1:
            raise Superseded(run_id)

    @reading
    async def progress(self, run_id: str) -> dict[str, bytes]:
        """Read the progress of all tasks of a run."""
        key = self._keys.of(run_id).progress
        found = fields_of(await self._nodes.ask(key, command("HGETALL", key)))
        return {task.decode(): value for task, value in found.items()}

    # -- checkpoints ----------------------------------------------

    @reading
    async def checkpoints(
        self, run_id: str, *, before: int | None = None, limit: int = 100
    ) -> list[Checkpoint]:
        """List headers, newest first."""
        if limit < 1 or (before is not None and before <= 1):
            return []
        log_key = self._keys.of(run_id).log
        last = "+" if before is None else str(before - 1)
        entries = await self._nodes.ask(log_key, command("XREVRANGE", log_key, last, "-", "COUNT", limit))
        return [entry_of(run_id, entry) for entry in entries]

    @reading
    async def checkpoint(self, checkpoint_id: str) -> Checkpoint:
        """Read one checkpoint with its payload."""
        run_id, seq = await self._place_of(checkpoint_id)
        keys = self._keys.of(run_id)
        # The payload first: a prune between the two takes both, and the header says that it did.
        payload, entries = await self._nodes.ask_all(
            [
                (keys.row, command("HGET", keys.payloads, seq)),
                (keys.row, command("XRANGE", keys.log, seq, seq)),
            ]
        )
        if not entries:
            raise CheckpointNotFound(checkpoint_id)
        return checkpoint_of(run_id, seq, entries[0][1][1], payload or b"")

    @reading
    async def find_checkpoints(self, prefix: str) -> list[Checkpoint]:
        """List headers whose id starts or ends with the given text."""
        runs = [run_in(member) for member, _ in await self._index.everything()]
        places = [self._keys.of(run_id) for run_id in runs]
        search = script("find")
        answers = await self._nodes.ask_all(
            [(keys.row, search.on(keys, prefix, FOUND_AT_MOST)) for keys in places]
        )
        found = [
            (id_, seq, run_id, keys)
            for run_id, keys, answer in zip(runs, places, answers, strict=True)
            for id_, seq in zip(answer[::2], answer[1::2], strict=True)
        ]
        newest = sorted(found, key=lambda one: one[0], reverse=True)[:FOUND_AT_MOST]
        reads = [(keys.row, command("XRANGE", keys.log, seq, seq)) for _, seq, _, keys in newest]
        entries = await self._nodes.ask_all(reads)
        return [entry_of(one[2], entry[0]) for one, entry in zip(newest, entries, strict=True) if entry]

    @reading
    async def load(self, run_id: str, seq: int | None = None) -> list[Checkpoint]:
        """Read what a checkpoint is folded from, ascending."""
        keys = self._keys.of(run_id)
        if seq is not None and not 0 < seq < 2**53:
            await self.run(run_id)
            raise absent(run_id, seq)
        answer = await self._nodes.ask(keys.row, script("load").on(keys, "" if seq is None else seq))
        if answer[0] == b"gone":
            raise RunNotFound(run_id)
        if answer[0] == b"absent":
            raise absent(run_id, seq or 0)
        columns = zip(answer[1::4], answer[3::4], answer[4::4], strict=True)
        rows = [
            checkpoint_of(run_id, int(number), header, payload or b"") for number, header, payload in columns
        ]
        return rows[::-1]

    @reading
    async def read(self, run_id: str, *, after: int = 0) -> list[Checkpoint]:
        """Read a page of checkpoints with their payloads, ascending."""
        keys = self._keys.of(run_id)
        call = script("read").on(keys, min(max(after, 0), 2**53), READ_ROWS, READ_BYTES)
        flat = await self._nodes.ask(keys.row, call)
        columns = zip(flat[::3], flat[1::3], flat[2::3], strict=True)
        return [checkpoint_of(run_id, int(seq), header, payload) for seq, header, payload in columns]

    # -- signals ----------------------------------------------

    @speaking
    async def send(self, run_id: str, signal: NewSignal) -> Signal:
        """Store a signal and mark the run changed."""
        text = signal_text(signal)
        answer = await self._run_script("send", run_id, signal.client_id, signal.wait, text)
        match answer:
            case [b"stored", number, record]:
                return signal_of(run_id, number, record)
            case [b"finished", phase]:
                wanted = signal.wait or signal.name
                raise WaitClosed(f"run {run_id} is {phase.decode()}: nobody waits for {wanted}")
            case [b"closed"]:
                raise WaitClosed(
                    f"run {run_id} does not wait for {signal.wait}: answered, over or not open yet"
                )
        raise RunNotFound(run_id)

    @reading
    async def signals(self, run_id: str) -> list[Signal]:
        """List the signals that no commit has consumed."""
        keys = self._keys.of(run_id)
        flat = await self._nodes.ask(keys.row, script("signals").on(keys))
        stored = [
            signal_of(run_id, int(number), record)
            for number, record in zip(flat[::2], flat[1::2], strict=True)
        ]
        return sorted(stored, key=lambda signal: signal.number)
