"""One run as a store holds it in memory: its row, checkpoints, signals, pins, holds and gaps.

The memory store is a dict of ledgers; the file store replays its logs into them.
Each write comes in two halves: a question that changes nothing (`may_commit`, `may_claim` ...) and an
`apply_` that cannot fail; between the two a store makes the write durable.
Pure: no I/O, no clock, no lock; whoever holds a ledger guards it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import islice

import orjson

from cairn_runtime.errors import HistoryConflict, RunNotFound, Superseded, WaitClosed
from cairn_runtime.model.values import JSONObject, copy_json
from cairn_runtime.store.base import (
    FINISHED,
    IMPORTING,
    Checkpoint,
    Fence,
    Gap,
    Head,
    NewRun,
    NewSignal,
    Outcome,
    Phase,
    Run,
    Signal,
    Usage,
    Wait,
)
from cairn_runtime.store.pruning import gaps_with
from cairn_runtime.store.rows import absent, annotated, metrics_in, metrics_out, wait_is_open, was_written


@dataclass(slots=True)
class Ledger:
    """The rows of one run; `rows` holds its checkpoints by seq."""

    new: NewRun
    """As given, but for the manifest, which is kept as bytes so that nobody can change it."""
    manifest: bytes
    annotations: bytes
    """Kept as bytes too."""
    created_at: datetime
    updated_at: datetime
    alive_at: datetime | None = None
    epoch: int = 0
    claim_id: str = ""
    runner: str = ""
    head_seq: int = 0
    head_id: str = ""
    head_hash: str = ""
    phase: Phase = "Pending"
    reason: str = ""
    message: str = ""
    waits: tuple[Wait, ...] = ()
    wake_at: datetime | None = None
    checkpoints: int = 0
    bytes: int = 0
    metrics: str = "{}"
    """JSON text."""
    deleted: bool = False
    rows: dict[int, Checkpoint] = field(default_factory=dict)
    row_writes: set[str] = field(default_factory=set)
    """write_ids of commits without checkpoints; the others are found on their checkpoints."""
    signals: dict[str, Signal] = field(default_factory=dict)
    """All ever sent, by client_id, in the order of their numbers."""
    consumed: set[int] = field(default_factory=set)
    pins: set[int] = field(default_factory=set)
    holds: dict[tuple[int, str], datetime] = field(default_factory=dict)
    """When each hold was taken, by seq and child."""
    gaps: list[Gap] = field(default_factory=list)

    @classmethod
    def begin(cls, new: NewRun, now: datetime) -> Ledger:
        """Make the rows of a new run."""
        kept = replace(new, manifest={}, annotations={}, thread=new.thread or new.workflow)
        manifest, annotations = orjson.dumps(new.manifest), orjson.dumps(new.annotations)
        return cls(kept, manifest, annotations, created_at=now, updated_at=now)

    @classmethod
    def begin_import(cls, new: NewRun, fence: Fence, now: datetime) -> Ledger:
        """Make the rows of a run that comes from another store: stopped, and held by a fence."""
        ledger = cls.begin(new, now)
        ledger.epoch, ledger.claim_id = fence
        ledger.phase, ledger.reason = "Cancelled", IMPORTING
        return ledger

    @property
    def usage(self) -> Usage:
        """What is kept of the run."""
        rows = [*self.rows.values()]
        if not rows:
            return Usage(0, 0, None, None)
        return Usage(len(rows), sum(row.size for row in rows), rows[0].created_at, rows[-1].created_at)

    @property
    def row(self) -> Run:
        """The run's row, a copy of its own."""
        new = self.new
        return Run(
            run_id=new.run_id,
            workflow=new.workflow,
            thread=new.thread,
            manifest=orjson.loads(self.manifest),
            graph_hash=new.graph_hash,
            key_base=new.key_base,
            folder=new.folder,
            origin=new.origin,
            trace_id=new.trace_id,
            spec_version=new.spec_version,
            epoch=self.epoch,
            claim_id=self.claim_id,
            head_seq=self.head_seq,
            head_id=self.head_id,
            head_hash=self.head_hash,
            phase=self.phase,
            reason=self.reason,
            message=self.message,
            waits=self.waits,
            wake_at=self.wake_at,
            checkpoints=self.checkpoints,
            bytes=self.bytes,
            signals_pending=self.signals_pending,
            created_at=self.created_at,
            updated_at=self.updated_at,
            heartbeat_at=self.alive_at,
            runner=self.runner,
            annotations=orjson.loads(self.annotations),
            metrics=metrics_in(self.metrics),
        )

    @property
    def head(self) -> Head:
        """The newest checkpoint and who holds the run."""
        return Head(
            self.head_seq,
            self.head_id,
            self.head_hash,
            self.epoch,
            self.phase,
            self.updated_at,
            self.alive_at,
            self.wake_at,
            self.signals_pending,
        )

    @property
    def signals_pending(self) -> int:
        """Signals that no commit has consumed."""
        return len(self.signals) - len(self.consumed)

    @property
    def pending(self) -> list[Signal]:
        """The signals that no commit has consumed, by number."""
        return [signal for signal in self.signals.values() if signal.number not in self.consumed]

    def may_create(self, new: NewRun) -> None:
        """Check that a second `create_run` means this run. Raises `HistoryConflict`."""
        if self.deleted:
            raise HistoryConflict(f"run {new.run_id} was deleted; its id is not used again")
        if self.new.workflow != new.workflow:
            raise HistoryConflict(f"run {new.run_id} belongs to {self.new.workflow}, not to {new.workflow}")

    def check_fence(self, fence: Fence) -> None:
        """Check that a fence is the row's. Raises `Superseded`."""
        if self.epoch != fence[0] or self.claim_id != fence[1] or not self.claim_id:
            raise Superseded(self.new.run_id)

    def may_claim(self, expected_epoch: int, claim_id: str) -> bool:
        """Tell whether a claim is still to be applied; False where it was before. Raises `Superseded`."""
        if self.claim_id == claim_id:
            return False
        if self.epoch != expected_epoch:
            run_id = self.new.run_id
            text = f"run {run_id} is at epoch {self.epoch}, not {expected_epoch}: another claim came first"
            raise Superseded(run_id, text)
        return True

    def apply_claim(self, claim_id: str, runner: str, now: datetime) -> None:
        """Raise the epoch and write the claim."""
        self.epoch += 1
        self.claim_id = claim_id
        self.runner = runner or self.runner
        self.updated_at = self.alive_at = now

    def apply_heartbeat(self, metrics: JSONObject | None, now: datetime) -> None:
        """Show a sign of life, and take the holder's numbers. Raises `ValueError`, before any change."""
        text = metrics_out(metrics)
        self.metrics = self.metrics if text is None else text.decode()
        self.alive_at = now

    def may_commit(
        self, fence: Fence, expected_head: int, write_id: str, checkpoints: Sequence[Checkpoint]
    ) -> bool:
        """Tell whether a commit is still to be applied; False where it was before.

        Raises:
            Superseded: fence or head are not the row's, and the write was not ours.
        """
        fits = self.epoch == fence[0] and self.claim_id == fence[1] and self.head_seq == expected_head
        if checkpoints:
            if fits and self.claim_id:
                return True
            stored = {row.seq: self.rows[row.seq].write_id for row in checkpoints if row.seq in self.rows}
            if was_written(checkpoints, stored, self.head_seq):
                return False
        elif write_id in self.row_writes:
            return False
        elif fits and self.claim_id:
            return True
        raise Superseded(self.new.run_id)

    def apply_commit(
        self, write_id: str, checkpoints: Sequence[Checkpoint], outcome: Outcome | None, now: datetime
    ) -> None:
        """Append checkpoints and change the row."""
        for checkpoint in checkpoints:
            self.rows[checkpoint.seq] = checkpoint
            self.bytes += checkpoint.size
        if checkpoints:
            head = checkpoints[-1]
            self.head_seq, self.head_id, self.head_hash = head.seq, head.id, head.hash
            self.checkpoints += len(checkpoints)
        else:
            self.row_writes.add(write_id)
        if outcome is not None:
            self._apply_outcome(outcome)
        self.updated_at = self.alive_at = now

    def apply_import(self, checkpoints: Sequence[Checkpoint], gaps: Sequence[Gap], now: datetime) -> None:
        """Append copies of checkpoints, with the gaps between them."""
        self.apply_commit("", checkpoints, None, now)
        self.gaps += gaps

    def after(self, seq: int) -> Iterator[Checkpoint]:
        """The checkpoints behind a seq, ascending."""
        seqs = range(max(seq, 0) + 1, self.head_seq + 1)
        return (row for number in seqs if (row := self.rows.get(number)) is not None)

    def _apply_outcome(self, outcome: Outcome) -> None:
        self.phase, self.reason, self.message = outcome.phase, outcome.reason, outcome.message
        self.waits = tuple(
            wait if wait.schema is None else replace(wait, schema=copy_json(wait.schema))
            for wait in outcome.waits
        )
        self.wake_at = outcome.wake_at
        sent = len(self.signals)
        self.consumed.update(number for number in outcome.consumed if 1 <= number <= sent)

    def may_send(self, signal: NewSignal, now: datetime) -> Signal | None:
        """Answer the signal that was stored under this client_id, or None if it is to be stored.

        Raises:
            WaitClosed: nobody waits for it.
        """
        stored = self.signals.get(signal.client_id)
        if stored is not None:
            return stored
        if self.phase in FINISHED:
            raise WaitClosed(
                f"run {self.new.run_id} is {self.phase}: nobody waits for {signal.wait or signal.name}"
            )
        if not wait_is_open(self.waits, signal, now, [other.wait for other in self.pending]):
            raise WaitClosed(
                f"run {self.new.run_id} does not wait for {signal.wait}: answered, over or not open yet"
            )
        return None

    def apply_send(self, signal: NewSignal, now: datetime) -> Signal:
        """Queue a signal."""
        number = len(self.signals) + 1
        value = copy_json(signal.value)
        stored = Signal(self.new.run_id, number, signal.name, value, signal.client_id, signal.wait, now)
        self.signals[signal.client_id] = stored
        self.updated_at = now
        return stored

    def noted(self, changes: JSONObject) -> bool:
        """Whether the notes say so already."""
        notes = orjson.loads(self.annotations)
        return bool(annotated(notes, changes) == notes)

    def apply_annotate(self, changes: JSONObject) -> None:
        """Lay changes over the notes."""
        self.annotations = orjson.dumps(annotated(orjson.loads(self.annotations), changes))

    def apply_pin(self, seq: int, *, pinned: bool) -> None:
        """Pin a checkpoint or let it go."""
        (self.pins.add if pinned else self.pins.discard)(seq)

    def held(self) -> dict[int, set[str]]:
        """Seqs that are held, and by which children."""
        out: dict[int, set[str]] = {}
        for seq, child in self.holds:
            out.setdefault(seq, set()).add(child)
        return out

    def apply_release(self, child_run_id: str) -> bool:
        """Let go of what a child holds; answer whether there was anything."""
        mine = [key for key in self.holds if key[1] == child_run_id]
        for key in mine:
            del self.holds[key]
        return bool(mine)

    def apply_prune(self, seqs: Iterable[int]) -> None:
        """Remove checkpoints and write down the gaps."""
        dropped = [seq for seq in seqs if self.rows.pop(seq, None)]
        self.gaps = gaps_with(self.gaps, dropped, {seq: row.hash for seq, row in self.rows.items()})

    def apply_delete(self, now: datetime) -> None:
        """Leave a tombstone: who it was, when it was made, and its epoch."""
        self.deleted = True
        self.updated_at = now
        self.new = replace(self.new, origin=None, folder=None)
        self.manifest = self.annotations = b"{}"
        self.metrics = "{}"
        self.waits = ()
        for rows in (
            self.rows,
            self.row_writes,
            self.signals,
            self.consumed,
            self.pins,
            self.holds,
            self.gaps,
        ):
            rows.clear()

    def there(self) -> Ledger:
        """Return the ledger of a run that was not deleted. Raises `RunNotFound`."""
        if self.deleted:
            raise RunNotFound(self.new.run_id)
        return self

    def listed(self, before: int | None, limit: int) -> list[Checkpoint]:
        """List checkpoints, newest first, with seq below `before`."""
        # They were added in ascending order, and a dict keeps it.
        newest = (row for seq, row in reversed(self.rows.items()) if before is None or seq < before)
        return list(islice(newest, limit))

    def folded_from(self, seq: int | None) -> list[Checkpoint]:
        """List what a checkpoint (None: the head) is folded from, ascending.

        Raises:
            CheckpointNotFound: there is no such checkpoint (any more).
        """
        last = self.head_seq if seq is None else seq
        if seq is not None and seq not in self.rows:
            raise absent(self.new.run_id, seq)
        out: list[Checkpoint] = []
        for number, row in reversed(self.rows.items()):
            if number > last:
                continue
            out.append(row)
            if row.kind == "snapshot":
                break
        return out[::-1]


def private(signal: Signal) -> Signal:
    """Return a signal whose value is a copy."""
    return replace(signal, value=copy_json(signal.value))


def page(
    ledgers: Mapping[str, Ledger], workflow: str, thread: str, *, limit: int, before: str
) -> list[Ledger]:
    """Choose runs, newest first, by a workflow key or its prefix ending in `/`, or by thread.

    Raises:
        RunNotFound: `before` never was.
    """
    edge = None
    if before:
        if before not in ledgers:
            raise RunNotFound(before)
        edge = _age(ledgers[before])
    found = (
        ledger
        for ledger in sorted(ledgers.values(), key=_age, reverse=True)
        if not ledger.deleted
        and (edge is None or _age(ledger) < edge)
        and _matches(ledger.new, workflow, thread)
    )
    return list(islice(found, limit))


def _age(ledger: Ledger) -> tuple[datetime, str]:
    return ledger.created_at, ledger.new.run_id


def _matches(new: NewRun, workflow: str, thread: str) -> bool:
    if thread and new.thread != thread:
        return False
    if workflow.endswith("/"):
        return new.workflow.startswith(workflow)
    return not workflow or new.workflow == workflow
