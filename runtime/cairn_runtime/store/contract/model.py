"""The simplest store that keeps the rules, to hold the real ones against: dicts, and no thought of speed.

It answers each call with what a store should return, or with the class of the error that it should raise.
Written from the protocol's text alone; nothing of the stores is used, so that a mistake is not made twice.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from cairn_runtime.errors import (
    CairnError,
    CheckpointNotFound,
    HistoryConflict,
    RunNotFound,
    Superseded,
    WaitClosed,
)
from cairn_runtime.model.values import JSONObject
from cairn_runtime.store.base import (
    GENESIS_HASH,
    Checkpoint,
    Fence,
    Gap,
    NewRun,
    NewSignal,
    Outcome,
    Swap,
    Usage,
)

Refusal = type[CairnError]
SOON_YEAR = 2100
"""The model has no clock: a deadline in a year before this one has passed, any other is to come."""


@dataclass(slots=True)
class ModelRun:
    """What the model knows of one run."""

    workflow: str = ""
    graph_hash: str = ""
    epoch: int = 0
    claim_id: str = ""
    runner: str = ""
    head: int = 0
    outcome: Outcome = field(default_factory=lambda: Outcome("Pending"))
    deleted: bool = False
    ever: int = 0
    size: int = 0
    """Payload bytes ever committed."""
    rows: dict[int, Checkpoint] = field(default_factory=dict)
    hashes: dict[int, str] = field(default_factory=lambda: {0: GENESIS_HASH})
    """Of all checkpoints ever committed, and what stands before the first."""
    pruned: set[int] = field(default_factory=set)
    row_writes: set[str] = field(default_factory=set)
    signals: dict[str, NewSignal] = field(default_factory=dict)
    """By client_id, in the order in which they came."""
    consumed: set[int] = field(default_factory=set)
    progress: dict[str, bytes] = field(default_factory=dict)
    notes: JSONObject = field(default_factory=dict)
    metrics: JSONObject = field(default_factory=dict)
    pins: set[int] = field(default_factory=set)
    holds: set[tuple[int, str]] = field(default_factory=set)

    @property
    def fence(self) -> Fence:
        """The fence that is valid now."""
        return Fence(self.epoch, self.claim_id)

    @property
    def finished(self) -> bool:
        """Whether no signal is taken any more."""
        return self.outcome.phase in {"Succeeded", "Failed", "Cancelled"}

    @property
    def pending(self) -> list[int]:
        """Numbers of the signals that nobody has used."""
        return [n for n in range(1, len(self.signals) + 1) if n not in self.consumed]

    def fits(self, fence: Fence) -> bool:
        """Whether a fence is the row's; nobody has that of a run that was never claimed."""
        return self.epoch > 0 and self.fence == fence

    def awaits(self, name: str) -> bool:
        """Whether somebody may still answer an approval."""
        numbered = enumerate(self.signals.values(), 1)
        answered = {signal.wait for number, signal in numbered if number not in self.consumed}
        return name not in answered and any(
            wait.kind == "approval"
            and wait.name == name
            and (wait.deadline is None or wait.deadline.year >= SOON_YEAR)
            for wait in self.outcome.waits
        )

    def holds_row(self, row: Checkpoint) -> bool:
        """Whether a checkpoint is there as it was written; its payload may have another key since."""
        there = self.rows.get(row.seq)
        return there is not None and there._replace(payload=None) == row._replace(payload=None)

    @property
    def gaps(self) -> list[Gap]:
        """What was pruned, adjacent seqs as one."""
        firsts = [seq for seq in sorted(self.pruned) if seq - 1 not in self.pruned]
        lasts = [seq for seq in sorted(self.pruned) if seq + 1 not in self.pruned]
        return [
            Gap(first, last, self.hashes[first - 1], self.hashes[last + 1])
            for first, last in zip(firsts, lasts, strict=True)
        ]

    @property
    def usage(self) -> Usage:
        """What is kept."""
        made = [self.rows[seq].created_at for seq in sorted(self.rows)]
        size = sum(row.size for row in self.rows.values())
        return Usage(len(made), size, made[0] if made else None, made[-1] if made else None)

    def needed_for(self, seq: int) -> set[int]:
        """What a checkpoint is folded from, itself included."""
        out = {seq}
        while self.rows[seq].kind != "snapshot" and seq - 1 in self.rows:
            seq -= 1
            out.add(seq)
        return out


class Model:
    """All runs of the model."""

    def __init__(self) -> None:
        self.runs: dict[str, ModelRun] = {}
        self.changes: set[str] = set()
        """Runs whose row changed since somebody last emptied this."""

    def there(self, run_id: str) -> ModelRun | None:
        """The run, if it is there and not deleted."""
        run = self.runs.get(run_id)
        return None if run is None or run.deleted else run

    def create(self, new: NewRun) -> Refusal | tuple[str, str, str]:
        """Make a run or find it."""
        run = self.runs.get(new.run_id)
        if run is None:
            run = self.runs[new.run_id] = ModelRun(new.workflow, new.graph_hash)
            self.changes.add(new.run_id)
        if run.deleted or run.workflow != new.workflow:
            return HistoryConflict
        return new.run_id, run.workflow, run.graph_hash

    def claim(self, run_id: str, expected_epoch: int, claim_id: str, runner: str) -> Refusal | Fence:
        """Raise the epoch."""
        run = self.there(run_id)
        if run is None:
            return RunNotFound
        if run.claim_id != claim_id:
            if run.epoch != expected_epoch:
                return Superseded
            run.epoch, run.claim_id = run.epoch + 1, claim_id
            run.runner = runner or run.runner
            self.changes.add(run_id)
        return run.fence

    def commit(
        self,
        run_id: str,
        fence: Fence,
        expected_head: int,
        rows: list[Checkpoint],
        change: tuple[str, Outcome | None],
    ) -> Refusal | None:
        """Append and change the row; `change` is the write_id with the outcome."""
        write_id, outcome = change
        run = self.there(run_id)
        if run is None:
            return RunNotFound
        if write_id in run.row_writes:
            return None
        if rows and rows[-1].seq <= run.head and any(run.holds_row(row) for row in rows):
            return None
        if not run.fits(fence) or run.head != expected_head:
            return Superseded
        if not rows:
            run.row_writes.add(write_id)
        for row in rows:
            run.rows[row.seq], run.hashes[row.seq] = row, row.hash
            run.head, run.ever, run.size = row.seq, run.ever + 1, run.size + row.size
        if outcome is not None:
            run.outcome = outcome
            run.consumed |= {number for number in outcome.consumed if 1 <= number <= len(run.signals)}
        self.changes.add(run_id)
        return None

    def beat(self, run_id: str, fence: Fence, metrics: JSONObject | None) -> Refusal | int:
        """Take numbers, where there are any, and answer how many signals wait."""
        run = self.there(run_id)
        if run is None:
            return RunNotFound
        if not run.fits(fence):
            return Superseded
        run.metrics = run.metrics if metrics is None else metrics
        return len(run.pending)

    def put_progress(self, run_id: str, fence: Fence, task: str, value: bytes) -> Refusal | None:
        """Keep a value."""
        run = self.there(run_id)
        if run is None:
            return RunNotFound
        if not run.fits(fence):
            return Superseded
        run.progress[task] = value
        return None

    def annotate(self, run_id: str, changes: JSONObject) -> Refusal | None:
        """Set notes; null takes away."""
        run = self.there(run_id)
        if run is None:
            return RunNotFound
        run.notes = {name: value for name, value in (run.notes | changes).items() if value is not None}
        return None

    def send(self, run_id: str, signal: NewSignal) -> Refusal | int:
        """Queue a signal, or answer the number of the one that is there."""
        run = self.there(run_id)
        if run is None:
            return RunNotFound
        if signal.client_id not in run.signals:
            if run.finished or (signal.wait and not run.awaits(signal.wait)):
                return WaitClosed
            run.signals[signal.client_id] = signal
            self.changes.add(run_id)
        return list(run.signals).index(signal.client_id) + 1

    def found(self, checkpoint_id: str) -> tuple[ModelRun, int] | None:
        """The run and the seq of a checkpoint that is there."""
        for run in self.runs.values():
            for seq, row in run.rows.items():
                if row.id == checkpoint_id:
                    return run, seq
        return None

    def pin(self, checkpoint_id: str, *, pinned: bool) -> Refusal | None:
        """Pin or let go."""
        found = self.found(checkpoint_id)
        if found is None:
            return CheckpointNotFound
        run, seq = found
        run.pins = run.pins | {seq} if pinned else run.pins - {seq}
        return None

    def hold(self, checkpoint_id: str, child: str) -> Refusal | None:
        """Keep an origin."""
        found = self.found(checkpoint_id)
        if found is None:
            return CheckpointNotFound
        found[0].holds.add((found[1], child))
        return None

    def release(self, child: str) -> None:
        """Let go of an origin."""
        for run in self.runs.values():
            run.holds = {hold for hold in run.holds if hold[1] != child}

    def forget_dead_holds(self, run: ModelRun) -> None:
        """A hold counts until its child has a checkpoint or is deleted."""
        for seq, name in set(run.holds):
            child = self.runs.get(name)
            if child is not None and (child.deleted or child.head > 0):
                run.holds.discard((seq, name))

    def prune(self, run_id: str, drop: list[int]) -> Refusal | int:
        """Remove what nothing needs."""
        run = self.there(run_id)
        if run is None:
            return RunNotFound
        self.forget_dead_holds(run)
        held = {seq for seq, _ in run.holds}
        stays = (set(run.rows) - set(drop)) | run.pins | held | ({run.head} & set(run.rows))
        needed = {seq for anchor in stays for seq in run.needed_for(anchor)}
        gone = set(run.rows) - needed
        for seq in gone:
            del run.rows[seq]
        run.pruned |= gone
        return len(gone)

    def swap(self, run_id: str, swaps: list[Swap]) -> Refusal | int:
        """Put other bytes in the place of payloads that are still the old ones."""
        run = self.there(run_id)
        if run is None:
            return RunNotFound
        done = 0
        for swap in swaps:
            row = run.rows.get(swap.seq)
            if row is not None and row.payload in (swap.old, swap.new):
                run.rows[swap.seq] = row._replace(payload=swap.new)
                done += 1
        return done

    def swap_progress(self, run_id: str, task: str, old: bytes, new: bytes) -> Refusal | bool:
        """The same for a task's progress."""
        run = self.there(run_id)
        if run is None:
            return RunNotFound
        if run.progress.get(task) not in (old, new):
            return False
        run.progress[task] = new
        return True

    def delete(self, run_id: str) -> Refusal | bool:
        """Leave a tombstone."""
        run = self.there(run_id)
        if run is None:
            return False
        self.forget_dead_holds(run)
        if run.holds:
            return HistoryConflict
        self.runs[run_id] = ModelRun(run.workflow, epoch=run.epoch, deleted=True)
        self.release(run_id)
        self.changes.add(run_id)
        return True

    def bring(self, new: NewRun, fence: Fence) -> Refusal | tuple[str, Fence]:
        """Make the row of a run that comes from elsewhere, or find the one that is there."""
        run = self.runs.get(new.run_id)
        if run is None:
            run = self.runs[new.run_id] = ModelRun(new.workflow, new.graph_hash, fence.epoch, fence.claim_id)
            run.outcome = Outcome("Cancelled", "Importing")
            self.changes.add(new.run_id)
        if run.deleted or run.workflow != new.workflow:
            return HistoryConflict
        return run.workflow, run.fence

    def bring_rows(
        self, run_id: str, fence: Fence, expected_head: int, rows: list[Checkpoint]
    ) -> Refusal | None:
        """Append copies; what is missing between them was pruned elsewhere."""
        run = self.there(run_id)
        if run is None:
            return RunNotFound
        if rows[-1].seq <= run.head and any(run.rows.get(row.seq) == row for row in rows):
            return None
        if not run.fits(fence) or run.head != expected_head:
            return Superseded
        for row in rows:
            run.pruned |= set(range(run.head + 1, row.seq))
            run.rows[row.seq], run.hashes[row.seq] = row, row.hash
            run.head, run.ever, run.size = row.seq, run.ever + 1, run.size + row.size
        self.changes.add(run_id)
        return None

    def load(self, run_id: str, seq: int | None) -> Refusal | list[Checkpoint]:
        """The rows that a checkpoint is folded from."""
        run = self.there(run_id)
        if run is None:
            return RunNotFound
        if seq is None and not run.head:
            return []
        last = run.head if seq is None else seq
        if last not in run.rows:
            return CheckpointNotFound
        return [run.rows[number] for number in sorted(run.needed_for(last))]
