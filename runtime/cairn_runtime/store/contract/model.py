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
from cairn_runtime.store.base import Checkpoint, Fence, Outcome

Refusal = type[CairnError]


@dataclass(slots=True)
class ModelRun:
    """What the model knows of one run."""

    epoch: int = 0
    claim_id: str = ""
    head: int = 0
    phase: str = "Pending"
    deleted: bool = False
    ever: int = 0
    rows: dict[int, Checkpoint] = field(default_factory=dict)
    pruned: set[int] = field(default_factory=set)
    row_writes: set[str] = field(default_factory=set)
    signals: dict[str, int] = field(default_factory=dict)
    consumed: set[int] = field(default_factory=set)
    pins: set[int] = field(default_factory=set)
    holds: set[tuple[int, str]] = field(default_factory=set)

    @property
    def finished(self) -> bool:
        """Whether no signal is taken any more."""
        return self.phase in {"Succeeded", "Failed", "Cancelled"}

    @property
    def pending(self) -> list[int]:
        """Numbers of the signals that nobody has used."""
        return [number for number in self.signals.values() if number not in self.consumed]

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

    def there(self, run_id: str) -> ModelRun | None:
        """The run, if it is there and not deleted."""
        run = self.runs.get(run_id)
        return None if run is None or run.deleted else run

    def create(self, run_id: str) -> Refusal | None:
        """Make a run or find it."""
        if run_id in self.runs:
            return HistoryConflict if self.runs[run_id].deleted else None
        self.runs[run_id] = ModelRun()
        return None

    def claim(self, run_id: str, expected_epoch: int, claim_id: str) -> Refusal | Fence:
        """Raise the epoch."""
        run = self.there(run_id)
        if run is None:
            return RunNotFound
        if run.claim_id != claim_id:
            if run.epoch != expected_epoch:
                return Superseded
            run.epoch, run.claim_id = run.epoch + 1, claim_id
        return Fence(run.epoch, claim_id)

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
        if rows and rows[-1].seq <= run.head and any(run.rows.get(row.seq) == row for row in rows):
            return None
        if (run.epoch, run.claim_id) != fence or run.epoch == 0 or run.head != expected_head:
            return Superseded
        if not rows:
            run.row_writes.add(write_id)
        for row in rows:
            run.rows[row.seq] = row
            run.head, run.ever = row.seq, run.ever + 1
        if outcome is not None:
            run.phase = outcome.phase
            run.consumed |= {number for number in outcome.consumed if number in run.signals.values()}
        return None

    def send(self, run_id: str, client_id: str) -> Refusal | int:
        """Queue a signal."""
        run = self.there(run_id)
        if run is None:
            return RunNotFound
        if client_id not in run.signals:
            if run.finished:
                return WaitClosed
            run.signals[client_id] = len(run.signals) + 1
        return run.signals[client_id]

    def pin(self, run_id: str, seq: int, *, pinned: bool) -> Refusal | None:
        """Pin or let go."""
        run = self.there(run_id)
        if run is None or seq not in run.rows:
            return CheckpointNotFound
        run.pins = run.pins | {seq} if pinned else run.pins - {seq}
        return None

    def hold(self, run_id: str, seq: int, child: str) -> Refusal | None:
        """Keep an origin."""
        run = self.there(run_id)
        if run is None or seq not in run.rows:
            return CheckpointNotFound
        run.holds.add((seq, child))
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

    def delete(self, run_id: str) -> Refusal | bool:
        """Leave a tombstone."""
        run = self.there(run_id)
        if run is None:
            return False
        self.forget_dead_holds(run)
        if run.holds:
            return HistoryConflict
        self.runs[run_id] = ModelRun(epoch=run.epoch, deleted=True)
        self.release(run_id)
        return True
