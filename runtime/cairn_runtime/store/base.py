"""The Store protocol: what a place for checkpoints promises, and the rows that pass through it.

A store knows bytes, not types: payloads come encoded and leave as they came.
Every implementation passes the same contract suite; the rules below are what it tests.

Rules of every store
    1. *Durable first.* `commit` returns only when the rows are on the storage that the store's row of the
       durability table names.
    2. *Fenced.* `commit`, `heartbeat` and `put_progress` act only where (epoch, claim_id) are the row's, and
       the check is part of the same atomic statement as the write. Else `Superseded`, nothing written.
    3. *Append-only.* A checkpoint is never changed; a commit starts at `expected_head + 1`. What may be
       exchanged is the encryption of a payload (`swap_payloads`), from which no header or hash is made.
    4. *Idempotent.* `create_run` by run_id, `claim` by claim_id, `send` by client_id, `commit` by write_id:
       the same call again gives the same answer and writes nothing.
    5. *Atomic.* All checkpoints of a commit and its row change become visible together or not at all.
    6. *Nothing is revived.* After `delete_run` a tombstone keeps the epoch; the run is `RunNotFound`.

Only `create_run, import_run, claim, annotate, send, pin, hold, release_hold, prune, swap_payloads,
swap_progress, audit, delete_run` work without the fence.
Listings of a run's parts (`checkpoints, signals, progress, pins, holds, gaps`) are empty for an unknown run.
A store has one clock, its own (a server's where there is one): every time in its rows comes from it, but for
`Checkpoint.created_at`, which is the writer's and part of what is hashed.
Errors: a call that may have reached the store and got no answer raises `StoreUnavailable`; the caller repeats
it byte for byte.
Who calls: the engine (through its control), the runner, the command line, the operator. User code never does.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, NamedTuple, Protocol, TypeAlias

from cairn_runtime.model.values import JSONObject, JSONValue

Phase: TypeAlias = Literal["Pending", "Running", "Waiting", "Suspended", "Succeeded", "Failed", "Cancelled"]
FINISHED: frozenset[str] = frozenset({"Succeeded", "Failed", "Cancelled"})
GENESIS_HASH = "0" * 64
"""Parent hash of a run's first checkpoint."""
HOLD_GRACE_SECONDS = 3600.0
"""How long a hold counts whose child has not been created: whoever took it may still be on the way."""
FOUND_AT_MOST = 20
"""Checkpoints in one answer of `find_checkpoints`."""
MAX_HEADS = 500
"""Ids in one call of `heads` or `usage`."""
MAX_METRICS_BYTES = 8192
"""Of the JSON that a heartbeat leaves in the row."""
READ_ROWS = 500
READ_BYTES = 8 * 1024**2
"""What one page of `read` holds at most, but always one checkpoint: so many, and so many payload bytes."""
IMPORTING = "Importing"
"""Reason of a run that comes from another store while not all of it has come; its phase is Cancelled."""


class Fence(NamedTuple):
    """The right to write: carried by every write of a runner."""

    epoch: int
    claim_id: str


class Head(NamedTuple):
    """The newest checkpoint of a run and who holds it; seq 0 and empty strings before the first.

    The last three are what `Run` says under the same names: enough to see that a runner lives or is needed.
    """

    seq: int
    id: str
    hash: str
    epoch: int
    phase: Phase
    updated_at: datetime
    heartbeat_at: datetime | None = None
    wake_at: datetime | None = None
    signals_pending: int = 0


class Checkpoint(NamedTuple):
    """One checkpoint: the header columns and the payload.

    `payload` is None in listings. `size` is the length in bytes of the payload
    that was committed; another encryption may be some bytes longer or shorter. `next` are step names.
    `metadata` values are JSON. `hash` covers everything but `hash`, `payload` and `size` (see `store.chain`).
    """

    run_id: str
    seq: int
    id: str
    parent_hash: str
    hash: str
    epoch: int
    write_id: str
    kind: Literal["delta", "snapshot"]
    step: str
    visit: int
    item: int | None
    next: tuple[str, ...]
    metadata: JSONObject
    created_at: datetime
    format_version: int
    graph_hash: str
    digest: str
    size: int
    payload: bytes | None


@dataclass(frozen=True, slots=True)
class Wait:
    """What a parked task waits for."""

    task: str
    kind: Literal["approval", "signal", "sleep", "park"]
    name: str = ""
    """Name under which an answer is sent: approval: the task; signal: the signal's name; else empty."""
    message: str = ""
    schema: JSONValue = None
    deadline: datetime | None = None
    """Approval and signal: when nobody will be waited for any more."""
    until: datetime | None = None
    """Sleep and park: when the task is due by itself."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a fork comes from and what it changes."""

    run_id: str
    seq: int
    checkpoint_id: str
    state_patch: JSONObject = field(default_factory=dict)
    as_step: str | None = None
    steps: tuple[str, ...] = ()
    skip: tuple[str, ...] = ()

    @property
    def plain(self) -> bool:
        """Whether nothing is changed, so that keys and progress of unfinished tasks may live on."""
        return not (self.state_patch or self.as_step or self.steps or self.skip)


@dataclass(frozen=True, slots=True)
class NewRun:
    """What `create_run` stores; a second call with the same run_id changes nothing."""

    run_id: str
    workflow: str
    """Workflow key: `namespace/name/uid`."""
    manifest: JSONObject
    """The Workflow as accepted."""
    graph_hash: str
    key_base: str
    """Base of the idempotency keys of the run's tasks."""
    thread: str = ""
    """Logical session that may hold several runs; empty: the workflow key."""
    folder: str | None = None
    """Folder of the code, in local mode."""
    origin: Origin | None = None
    trace_id: str = ""
    """Its OpenTelemetry trace; see `model.ids.trace_id_for`."""
    spec_version: int = 1
    annotations: JSONObject = field(default_factory=dict)
    """Notes of whoever made the run; see `Store.annotate`."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The part of the run's row that a commit changes, whole."""

    phase: Phase
    reason: str = ""
    message: str = ""
    waits: tuple[Wait, ...] = ()
    wake_at: datetime | None = None
    """When a parked run is due by itself: the earliest `until` or `deadline`; None: only by a signal."""
    consumed: tuple[int, ...] = ()
    """Numbers of signals that this commit uses up."""


@dataclass(frozen=True, slots=True)
class Run:
    """The row of a run."""

    run_id: str
    workflow: str
    thread: str
    manifest: JSONObject
    graph_hash: str
    key_base: str
    folder: str | None
    origin: Origin | None
    trace_id: str
    spec_version: int
    epoch: int
    claim_id: str
    head_seq: int
    head_id: str
    head_hash: str
    phase: Phase
    reason: str
    message: str
    waits: tuple[Wait, ...]
    wake_at: datetime | None
    checkpoints: int
    """Checkpoints ever committed."""
    bytes: int
    """Stored payload bytes ever committed."""
    signals_pending: int
    """Signals that no commit has consumed."""
    created_at: datetime
    updated_at: datetime
    heartbeat_at: datetime | None
    """When the holder last showed itself: a claim, a commit or a heartbeat; None before the first claim."""
    runner: str
    """Version of the runner that last said so, e.g. `0.1.0`; empty before."""
    annotations: JSONObject = field(default_factory=dict)
    """Notes beside the run: no part of its history, and no runner reads them."""
    metrics: JSONObject = field(default_factory=dict)
    """What its runners have counted, see `model.metrics`: no part of its history."""

    @property
    def fence(self) -> Fence:
        """The fence that is valid now."""
        return Fence(self.epoch, self.claim_id)

    @property
    def finished(self) -> bool:
        """Whether nothing more will happen in this run."""
        return self.phase in FINISHED


@dataclass(frozen=True, slots=True)
class NewSignal:
    """What `send` stores.

    `wait` names an approval (`sign#2`) that must be open; empty: a named signal, queued.
    """

    name: str
    value: JSONValue
    client_id: str
    wait: str = ""


@dataclass(frozen=True, slots=True)
class Signal:
    """A stored signal; `number` counts from 1 within the run and is the order in which they are used."""

    run_id: str
    number: int
    name: str
    value: JSONValue
    client_id: str
    wait: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Beat:
    """What a heartbeat brings back: unconsumed signals, and the time by the store's clock."""

    signals_pending: int
    now: datetime


class Usage(NamedTuple):
    """What is kept of a run now."""

    checkpoints: int
    bytes: int
    """The sum of their `size`."""
    oldest: datetime | None
    """`created_at` of the one with the lowest seq; None: there is none, or it is damaged."""
    newest: datetime | None
    """Of the one with the highest."""


@dataclass(frozen=True, slots=True)
class Gap:
    """Checkpoints that a prune took away: the first and last seq removed, and the hashes on both sides."""

    first_seq: int
    last_seq: int
    hash_before: str
    hash_after: str


class Swap(NamedTuple):
    """Other bytes for a stored payload: the same content under another key."""

    seq: int
    old: bytes
    """What is stored, byte for byte."""
    new: bytes


class NewEntry(NamedTuple):
    """What `audit` is given: ids and names, never values."""

    id: str
    """Of the act: the same again is the same line."""
    who: str
    what: str
    """What was asked for: resume, cancel, pin, delete..."""
    source: str = ""
    """From where: a run or a checkpoint."""
    target: str = ""
    """To where: a run, a wait, a file's name."""


class Entry(NamedTuple):
    """A line of the audit; numbers ascend from 1, and `hash` covers everything before it (`store.audits`)."""

    number: int
    id: str
    at: datetime
    """By the store's clock."""
    who: str
    what: str
    source: str
    target: str
    parent_hash: str
    hash: str


class Concern(NamedTuple):
    """Something about a store that is not as it should be, and what mends it."""

    grave: bool
    """Whether what was acknowledged can be lost, or calls fail."""
    what: str
    mend: str


@dataclass(frozen=True, slots=True)
class Health:
    """Answer of `check`: what a person or a probe wants to know."""

    kind: str
    durable: str
    """What "durable" means here, in one sentence."""
    latency_seconds: float
    schema_version: int
    used_bytes: int | None
    free_bytes: int | None
    server: str = ""
    """What answers, with its version."""
    now: datetime | None = None
    """The store's clock."""
    concerns: tuple[Concern, ...] = ()


class Store(Protocol):
    """A place for checkpoints; see the rules in the head of this module."""

    @property
    def url(self) -> str:
        """The address, without any password."""
        ...

    async def open(self) -> None:
        """Connect and migrate the schema where this is safe.

        Raises:
            StoreUnavailable: it does not answer now.
            StoreUnusable: it never will, e.g. read-only, no rights, not a store.
            StoreTooNew: written by a newer release.
        """

    async def close(self) -> None:
        """Let go of every resource; closing twice is allowed."""

    async def migrate(self) -> int:
        """Bring the schema to this release's version, which is returned."""
        ...

    async def check(self) -> Health:
        """Ask the store how it is, by a real round trip."""
        ...

    async def create_run(self, new: NewRun) -> Run:
        """Make the row of a run, phase Pending, epoch 0, head 0, or answer the row that is there.

        Raises:
            HistoryConflict: another Workflow's run, or a deleted one, has this id.
        """
        ...

    async def run(self, run_id: str) -> Run:
        """Read a run's row. Raises `RunNotFound`."""
        ...

    async def runs(
        self, *, workflow: str = "", thread: str = "", limit: int = 100, before: str = ""
    ) -> list[Run]:
        """List runs, newest first, by a workflow key or its prefix ending in `/`, or by thread.

        `before` is the run_id of the last row of the page before; it may have been deleted since.

        Raises:
            RunNotFound: `before` never was.
        """
        ...

    async def claim(self, run_id: str, expected_epoch: int, claim_id: str, runner: str = "") -> Fence:
        """Raise the epoch from `expected_epoch` by one and write the claim.

        Repeated with the claim_id that is already the row's it answers the same fence.

        Raises:
            Superseded: the epoch is another one.
            RunNotFound: no such run, or deleted.
        """
        ...

    async def heads(self, run_ids: list[str]) -> dict[str, Head]:
        """Read many heads at once; unknown ids are left out. At most 500 ids a call."""
        ...

    async def changed(self, cursor: str) -> tuple[list[str], str]:
        """Name the runs whose row changed since `cursor` (empty: all); may repeat, never misses.

        A deleted run has changed too. A cursor that this store did not give counts as empty.
        """
        ...

    async def commit(
        self,
        run_id: str,
        fence: Fence,
        expected_head: int,
        write_id: str,
        checkpoints: list[Checkpoint],
        outcome: Outcome | None = None,
    ) -> None:
        """Append checkpoints `expected_head + 1 ...` and change the row, in one atomic step.

        The first checkpoint carries the write_id; those after it may carry ids of their own.
        An empty list changes the row only. Sent again with the same write_id after it was applied (even if
        other commits followed) it is success. Without an outcome the row keeps its phase and waits.

        Raises:
            ValueError: the checkpoints are no sequence from `expected_head + 1` of this run and write.
            Superseded: fence or head are not the row's and the write was not ours.
            RunNotFound: no such run, or deleted; never a new row.
            StoreUnavailable: no answer; send the same again.
        """

    async def annotate(self, run_id: str, changes: JSONObject) -> None:
        """Set notes beside a run by name; null takes one away. The last one who writes a name wins.

        They are no part of its history: neither `updated_at` nor `changed` tells of them.

        Raises:
            RunNotFound: no such run, or deleted.
        """

    async def heartbeat(self, run_id: str, fence: Fence, metrics: JSONObject | None = None) -> Beat:
        """Say that the holder of the fence lives, and leave its numbers in the row; None leaves those there.

        They are replaced whole and kept by later claims. A crash of the store may lose the newest of them;
        neither `updated_at` nor `changed` tells of them.

        Raises:
            ValueError: they take more than `MAX_METRICS_BYTES`.
            Superseded, RunNotFound: nothing was written.
        """
        ...

    async def checkpoints(
        self, run_id: str, *, before: int | None = None, limit: int = 100
    ) -> list[Checkpoint]:
        """List headers (payload None), newest first, with seq below `before`."""
        ...

    async def checkpoint(self, checkpoint_id: str) -> Checkpoint:
        """Read one checkpoint with its payload. Raises `CheckpointNotFound`."""
        ...

    async def find_checkpoints(self, prefix: str) -> list[Checkpoint]:
        """List headers whose id starts or ends with the given text, newest first, at most 20: for typing."""
        ...

    async def load(self, run_id: str, seq: int | None = None) -> list[Checkpoint]:
        """Read what checkpoint `seq` (None: the head) is folded from, ascending.

        That is its snapshot, or checkpoint 1, up to itself, in one consistent view; an empty list where the
        run has no checkpoint and no seq was asked for.

        Raises:
            RunNotFound: no such run.
            CheckpointNotFound: the run has no such seq, or has it no more.
        """
        ...

    async def read(self, run_id: str, *, after: int = 0) -> list[Checkpoint]:
        """Read a page of checkpoints with their payloads, ascending, from the first with a seq above `after`.

        A page has at most `READ_ROWS` of them and `READ_BYTES` of payloads, or is one larger checkpoint; an
        empty one is the end. Each page is a view of its own.
        """
        ...

    async def import_run(self, new: NewRun, fence: Fence) -> Run:
        """Make the row of a run that comes from elsewhere, held by `fence`, or answer the one that is there.

        It is stopped from the first moment: its phase is Cancelled, its reason `IMPORTING`.

        Raises:
            HistoryConflict: another Workflow's run, or a deleted one, has this id.
        """
        ...

    async def import_checkpoints(
        self,
        run_id: str,
        fence: Fence,
        expected_head: int,
        checkpoints: list[Checkpoint],
        gaps: list[Gap],
    ) -> None:
        """Append checkpoints as they were elsewhere, and the gaps between them, in one atomic step.

        They ascend from above `expected_head`, with epochs and write_ids of their own. A gap stands right
        before a snapshot, which needs nothing of it. Sent again after it was applied it is success. The row
        keeps phase and reason.

        Raises:
            ValueError: they are no such sequence.
            Superseded, HistoryConflict, RunNotFound, StoreUnavailable: as `commit`.
        """

    async def put_progress(self, run_id: str, fence: Fence, task: str, value: bytes) -> None:
        """Keep a task's progress, replacing what was there. Raises `Superseded`, `RunNotFound`."""

    async def progress(self, run_id: str) -> dict[str, bytes]:
        """Read the progress of all tasks of a run."""
        ...

    async def send(self, run_id: str, signal: NewSignal) -> Signal:
        """Store a signal and mark the run changed; the same client_id again answers the stored one.

        Raises:
            WaitClosed: `wait` is not among the row's waits, is answered already, or its deadline has passed
                by the store's clock; or the run is finished.
            RunNotFound: no such run.
        """
        ...

    async def signals(self, run_id: str) -> list[Signal]:
        """List the signals that no commit has consumed, by number."""
        ...

    async def pin(self, checkpoint_id: str, *, pinned: bool) -> None:
        """Keep a checkpoint from every prune, or let it go. Raises `CheckpointNotFound`."""

    async def pins(self, run_id: str) -> set[int]:
        """Seqs of a run that are pinned."""
        ...

    async def hold(self, checkpoint_id: str, child_run_id: str) -> None:
        """Keep a fork's origin until the child has its own first checkpoint; again: nothing.

        A hold counts while its child waits for its first checkpoint, and for `HOLD_GRACE_SECONDS` before the
        child is created; a prune takes away those that count no more.

        Raises:
            CheckpointNotFound: nothing to hold.
        """

    async def release_hold(self, child_run_id: str) -> None:
        """Let go of the origin; without a hold it does nothing."""

    async def holds(self, run_id: str) -> dict[int, set[str]]:
        """Seqs of a run that are held, and by which children."""
        ...

    async def prune(self, run_id: str, drop: list[int]) -> int:
        """Remove those of the given seqs that nothing needs; answer how many went.

        Never goes: the head, pinned and held ones, and what any checkpoint that stays is folded from.
        Gaps are recorded, adjacent ones as one.

        Raises:
            RunNotFound: no such run.
        """
        ...

    async def swap_payloads(self, run_id: str, swaps: list[Swap]) -> int:
        """Put other bytes in the place of stored payloads, each only where what is stored is its `old`.

        Answers how many stand as their `new` now, so the same call again answers the same. A checkpoint that
        was pruned or holds other bytes is passed over; headers, `size` among them, and the row stay as they
        are. Readers see the one or the other.

        Raises:
            RunNotFound: no such run, or deleted.
        """
        ...

    async def swap_progress(self, run_id: str, task: str, old: bytes, new: bytes) -> bool:
        """The same for a task's progress; False where it is neither.

        Raises:
            RunNotFound: no such run, or deleted.
        """
        ...

    async def gaps(self, run_id: str) -> list[Gap]:
        """The gaps that prunes left, ascending."""
        ...

    async def usage(self, run_ids: list[str]) -> dict[str, Usage]:
        """Count what is kept of many runs; unknown ids are left out. At most 500 ids a call.

        What is there is counted, not what was ever committed. Of a run that is written or pruned meanwhile
        the numbers may belong to several moments.
        """
        ...

    async def audit(self, entry: NewEntry) -> Entry:
        """Append a line to the store's audit; the same id again answers the line that is there.

        All writers make one chain. Nothing here changes a line or takes one away.

        Raises:
            InvalidInput: a part is too long or missing.
        """
        ...

    async def audits(self, *, after: int = 0, limit: int = 1000) -> list[Entry]:
        """Read lines of the audit, ascending, with numbers above `after`."""
        ...

    async def delete_run(self, run_id: str) -> bool:
        """Remove a run's rows, leaving a tombstone; False where there was nothing.

        Raises:
            HistoryConflict: a child holds one of its checkpoints.
        """
        ...
