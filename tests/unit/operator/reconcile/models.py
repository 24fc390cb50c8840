"""A model of all that passes meet: rows with epochs and claims, pods with their kubelet, the object.

`Cluster` is observed and acted upon as the real one is, write by write, so that a pass may die between any
two. What really happened to each run attempt is kept beside it (`fate`): the judge's own knowledge, which no
pass sees.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any, assert_never

from tests.unit.operator.reconcile.builders import (
    FAULT,
    KEEPING,
    KEY,
    NOW,
    UID,
    annotated,
    checkpoint,
    document,
    manifest,
    run_with,
)
from tests.unit.operator.reconcile.builders import run as new_row

from cairn_operator.reconcile.decide import decide
from cairn_operator.reconcile.state import (
    Action,
    Annotate,
    CreateRun,
    DeletePod,
    DeleteWorkflow,
    Ended,
    EndRun,
    Hold,
    Note,
    Object,
    Origin,
    Plan,
    PodFacts,
    ReleaseHold,
    StartRunner,
    World,
)
from cairn_runtime.model.ids import run_id_for
from cairn_runtime.store.base import Checkpoint, Outcome, Run, Signal

ENDS = {
    "crash: exit 1, its row unfinished": (1, "Error", "word", "crash"),
    "crash: exit 70": (70, "Error", "word", "crash"),
    "crash: killed": (137, "Error", "", "crash"),
    "crash: out of memory": (137, "OOMKilled", "", "crash"),
    "crash: exit 0 without a word": (0, "Completed", "", "crash"),
    "crash: the container could not be started": (128, "StartError", "cgroup: device busy", "crash"),
    "crash: exit 69 without a word": (69, "Error", "", "crash"),
    "store: exit 69": (69, "Error", "word", "infrastructure"),
    "fenced: exit 75": (75, "Error", "word", "infrastructure"),
    "drained: exit 0": (0, "Completed", "word", "well"),
    "unusable: exit 78": (78, "Error", "word", "unusable"),
    "unusable: no Cairn": (1, "Error", "/usr/bin/python: No module named cairn_runtime", "unusable"),
    "unusable: no Python": (128, "StartError", 'exec: "python": executable file not found', "unusable"),
}
WORD = '{"run": "r", "reason": "Said", "message": "as it said"}'


class Died(Exception):
    """The operator's process ended between two writes."""


class Overtaken(Exception):
    """Somebody else had claimed the run first."""


@dataclass
class Attempt:
    """A pod and the process in it."""

    facts: PodFacts
    claim_id: str
    fate: str = ""
    lost: bool = False
    """Whether its node cannot be heard; the process may live on."""


@dataclass
class Count:
    """One counted end of a run attempt."""

    epoch: int
    head_seq: int
    crashed: bool


@dataclass
class Cluster:
    """Everything outside the operator."""

    spec: dict[str, Any] = field(default_factory=dict)
    broken: bool = False
    now: Any = NOW
    generation: int = 1
    status: dict[str, Any] = field(default_factory=dict)
    rows: dict[str, Run] = field(default_factory=dict)
    checkpoints: dict[str, Checkpoint] = field(default_factory=dict)
    holds: set[tuple[str, str]] = field(default_factory=set)
    lines: dict[str, Note] = field(default_factory=dict)
    """The audit: the same act is one line."""
    signals: list[Signal] = field(default_factory=list)
    pods: dict[str, Attempt] = field(default_factory=dict)
    signs: dict[str, Any] = field(default_factory=dict)
    """When each run last showed itself."""
    refusing: bool = False
    """Whether the API server refuses pods: a quota."""
    store_down: bool = False
    suspect: bool = False
    deleted: bool = False
    cancel: str = ""
    """Which run a person has asked to end, in the Workflow's annotation."""
    create_error: tuple[str, str] | None = None
    """What this operator's process remembers; lost when it dies."""
    counts: dict[str, list[Count]] = field(default_factory=dict)
    ends: dict[str, list[tuple[int, Any]]] = field(default_factory=dict)
    """Of each run the head and the time of every end of an attempt."""
    tainted: set[str] = field(default_factory=set)
    """Runs that a pass wrote to which had observed an older world: counts may be too low, a hold too late."""
    writes_left: int | None = None
    claims: int = 0

    # -- observing ----------------------------------------------

    @property
    def run(self) -> Run | None:
        """The newest run."""
        return next(reversed(self.rows.values()), None)

    def observe(self) -> World:
        """What a pass would read."""
        told = annotated(document(**self.spec), self.cancel)
        made = Object("team", "digest", UID, "7", self.generation, NOW, told, self.status)
        seen = World(self.now, made, None, pods=tuple(one.facts for one in self.pods.values()))
        if self.broken:
            seen = replace(seen, faults=(FAULT,))
        else:
            read = manifest(**self.spec)
            nonce = read.spec.resume.nonce if read.spec.resume else ""
            seen = replace(seen, manifest=read, accepted=document(**self.spec), wanted=run_id_for(UID, nonce))
        if self.store_down:
            return replace(seen, store_error=("StoreUnavailable", "no answer"))
        return self._with_rows(seen)

    def _with_rows(self, seen: World) -> World:
        run = self.run
        served = seen.wanted in self.rows or ("resume" not in self.spec and run is not None)
        own = run is not None and any(
            one.facts.run_id == run.run_id and one.facts.epoch == run.epoch for one in self.pods.values()
        )
        return replace(
            seen,
            run=run,
            served=served,
            head=self.checkpoints.get(run.head_id) if run is not None else None,
            origin=None if served or self.broken else self._origin(run),
            signals=tuple(self.signals) if run is not None and run.phase == "Waiting" else (),
            quiet_seconds=self.quiet(run),
            suspect=self.suspect,
            create_error=None if own else self.create_error,
        )

    def _origin(self, run: Run | None) -> Origin | None:
        resume = self.spec.get("resume")
        if resume is None or resume["checkpoint"] == "start":
            return None
        asked = resume["checkpoint"]
        if asked == "latest":
            asked = run.head_id if run is not None else ""
        row = self.checkpoints.get(asked)
        if row is None:
            return Origin(reason="CheckpointNotFound", message=f'there is no checkpoint "{asked}"')
        return Origin(row, self.rows[row.run_id])

    def quiet(self, run: Run | None) -> float:
        """How long a run has shown no sign."""
        if run is None or run.run_id not in self.signs:
            return 0.0
        return float((self.now - self.signs[run.run_id]).total_seconds())

    # -- a pass ----------------------------------------------

    def decided(self) -> tuple[World, Plan]:
        """Observe and decide."""
        seen = self.observe()
        return seen, decide(seen, KEEPING)

    def act(self, seen: World, plan: Plan, *, dies_after: int | None = None, stale: bool = False) -> bool:
        """Carry out a plan; answers whether the process lived to its end."""
        self.writes_left = dies_after
        try:
            for action in plan.actions:
                self._do(seen, action, stale=stale)
            self._write()
        except Died:
            self.create_error = None
            return False
        except Overtaken:
            return True
        finally:
            self.writes_left = None
        if not stale:
            self.status = plan.status
        return True

    def _write(self) -> None:
        if self.writes_left is not None:
            if self.writes_left == 0:
                raise Died
            self.writes_left -= 1

    def _do(self, seen: World, action: Action, *, stale: bool) -> None:
        if stale and isinstance(action, Annotate | EndRun | StartRunner):
            self.tainted.add(action.run_id)
        if stale and isinstance(action, Hold):
            self.tainted.add(action.child)
        match action:
            case CreateRun(new):
                self._write()
                fields = {"run_id": new.run_id, "origin": new.origin, "key_base": new.key_base}
                made = new_row(**fields, annotations=dict(new.annotations), created_at=self.now)
                assert new.workflow == KEY
                self.rows.setdefault(new.run_id, made)
            case Note():
                self._write()
                self.lines[f"{action.what}:{action.act}"] = action
            case Hold(checkpoint_id, child):
                self._write()
                self.holds.add((checkpoint_id, child))
            case ReleaseHold(child):
                self._write()
                self.holds = {hold for hold in self.holds if hold[1] != child}
            case EndRun():
                self._end(action)
            case Annotate():
                self._write()
                self._annotate(seen, action)
            case StartRunner():
                self._start(seen, action)
            case DeletePod():
                self._write()
                self._delete(action)
            case DeleteWorkflow():
                self._write()
                self.deleted = True
            case _:
                assert_never(action)

    def _claim(self, run_id: str, expected_epoch: int) -> Run:
        row = self.rows[run_id]
        if row.epoch != expected_epoch:
            raise Overtaken
        self._write()
        self.claims += 1
        self.signs[run_id] = self.now
        self.rows[run_id] = run_with(row, epoch=row.epoch + 1, claim_id=f"claim-{self.claims}")
        return self.rows[run_id]

    def _end(self, action: EndRun) -> None:
        row = self.rows[action.run_id]
        if row.finished or row.epoch != action.expected_epoch:
            return
        row = self._claim(row.run_id, row.epoch)
        self._write()
        self._change(row, action.outcome)

    def _change(self, row: Run, outcome: Outcome, made: Checkpoint | None = None) -> None:
        head = {} if made is None else {"head_seq": made.seq, "head_id": made.id}
        names = ("phase", "reason", "message", "waits", "wake_at")
        fields = {name: getattr(outcome, name) for name in names}
        self.rows[row.run_id] = run_with(row, **fields, **head, updated_at=self.now)
        self.signs[row.run_id] = self.now
        if made is not None:
            self.checkpoints[made.id] = made

    def _annotate(self, seen: World, action: Annotate) -> None:
        row = self.rows[action.run_id]
        note = action.changes.get("attempts")
        if isinstance(note, dict):
            own = self.own_pod(seen)
            crashed = own is not None and own.fate == "crash"
            self.counts.setdefault(row.run_id, []).append(
                Count(int(str(note["epoch"])), int(str(note["headSeq"])), crashed)
            )
        kept = {k: v for k, v in {**row.annotations, **action.changes}.items() if v is not None}
        self.rows[row.run_id] = run_with(row, annotations=kept)

    def own_pod(self, seen: World) -> Attempt | None:
        """The pod of the observed row's epoch."""
        run = seen.run
        found = [
            pod.name
            for pod in seen.pods
            if run is not None and (pod.run_id, pod.epoch) == (run.run_id, run.epoch)
        ]
        return self.pods.get(found[0]) if found else None

    def _start(self, seen: World, action: StartRunner) -> None:
        row = self._claim(action.run_id, action.expected_epoch)
        name = f"digest-{row.run_id[-8:]}-{row.epoch}"
        self._write()
        if self.refusing:
            self.create_error = ("Forbidden", "exceeded quota")
            return
        self.create_error = None
        assert name not in self.pods
        made = PodFacts(
            name,
            f"uid-{self.claims}",
            row.run_id,
            row.epoch,
            "Pending",
            self.now,
            generation=seen.workflow.generation,
        )
        self.pods[name] = Attempt(made, row.claim_id)

    def _delete(self, action: DeletePod) -> None:
        found = self.pods.get(action.name)
        if found is not None and found.facts.uid == action.uid:
            if found.facts.over or found.facts.running_since is None:
                self.vanish(action.name)
            else:
                found.facts = replace(found.facts, deleting=True)

    # -- what happens outside ----------------------------------------------

    def begin(self, name: str) -> None:
        """The kubelet starts the container."""
        one = self.pods[name]
        one.facts = replace(one.facts, phase="Running", running_since=self.now, waiting="")

    def holds_fence(self, name: str) -> bool:
        """Whether the store would take a write of the process in this pod."""
        one = self.pods[name]
        row = self.rows.get(one.facts.run_id)
        return row is not None and (row.epoch, row.claim_id) == (one.facts.epoch, one.claim_id)

    def commit(self, name: str, outcome: Outcome) -> bool:
        """A runner writes a checkpoint; fenced, it ends."""
        row = self.rows.get(self.pods[name].facts.run_id)
        if row is None or not self.holds_fence(name) or row.finished:
            self.end(name, "fenced: exit 75")
            return False
        seq = row.head_seq + 1
        made = checkpoint(seq, run_id=row.run_id, id=f"{row.run_id[-4:]}-{seq}", created_at=self.now)
        self._change(row, outcome, made)
        self.signals = [one for one in self.signals if one.run_id != row.run_id]
        return True

    def end(self, name: str, how: str) -> None:
        """The process ends."""
        one = self.pods[name]
        code, reason, message, fate = ENDS[how]
        told = Ended(code, reason, WORD if message == "word" else message)
        phase = "Succeeded" if code == 0 else "Failed"
        one.facts = replace(
            one.facts, phase=phase, running_since=None, ended=told, ended_at=self.now, waiting=""
        )
        one.fate, one.lost = fate, False
        if one.facts.deleting and fate == "crash":
            one.fate = "infrastructure"  # it was told to go, and went as it could
        self._ended(one)

    def evict(self, name: str) -> None:
        """The node takes the pod away; what its process said is lost."""
        one = self.pods[name]
        one.facts = replace(
            one.facts, phase="Failed", running_since=None, disrupted="TerminationByKubelet", waiting=""
        )
        one.fate = "infrastructure"
        self._ended(one)

    def vanish(self, name: str) -> None:
        """The pod is not there any more."""
        one = self.pods.pop(name)
        if not one.fate:
            self._ended(one)

    def _ended(self, one: Attempt) -> None:
        row = self.rows.get(one.facts.run_id)
        if row is not None and row.epoch == one.facts.epoch:
            self.ends.setdefault(row.run_id, []).append((row.head_seq, self.now))

    def advance(self, seconds: float) -> None:
        """Time passes; runners that can be heard are heard."""
        self.now += timedelta(seconds=seconds)
        for name, one in self.pods.items():
            if one.facts.running_since is not None and not one.lost and self.holds_fence(name):
                self.signs[one.facts.run_id] = self.now
