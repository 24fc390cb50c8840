"""What a pass sees and what it may do: the words between observe, decide and act.

A `World` is read once and never changes; a `Plan` is made of it without I/O and carried out in its order:
run row, claim, pod, status. A pass that dies between two actions has left a legal world for the next one.
Times are aware UTC datetimes by this process's clock; how long a runner has been silent is counted by the
process's own stopwatch (`quiet_seconds`), so that no two clocks are ever compared.
Data only: no I/O, no decisions.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, TypeAlias

from cairn_runtime.errors import Fault
from cairn_runtime.model.values import JSONObject
from cairn_runtime.model.workflow import Workflow
from cairn_runtime.store.base import Checkpoint, NewRun, Outcome, Run, Signal

PodPhase = Literal["Pending", "Running", "Succeeded", "Failed", "Unknown"]


# -- observed ----------------------------------------------


@dataclass(frozen=True, slots=True)
class Ended:
    """How a runner's container ended, as the kubelet tells it."""

    code: int
    reason: str = ""
    """The kubelet's word: `OOMKilled`, `Error`, `ContainerCannotRun`, `StartError`, ..."""
    message: str = ""
    """The termination message: the runner's last word as JSON, or the end of its log."""


@dataclass(frozen=True, slots=True)
class PodFacts:
    """A pod that carries the label of this Workflow and is owned by it."""

    name: str
    uid: str
    run_id: str
    epoch: int
    phase: PodPhase
    created_at: datetime
    deleting: bool = False
    """Whether its deletion was asked for, by whomever."""
    gone_by: datetime | None = None
    """When it was to be gone: the moment of that, and its grace period."""
    running_since: datetime | None = None
    ended: Ended | None = None
    ended_at: datetime | None = None
    disrupted: str = ""
    """Why the cluster took it away: `DisruptionTarget`, `Evicted`, ...; empty: it did not."""
    waiting: str = ""
    """Why its container does not start: `ImagePullBackOff`, `Unschedulable`, ..."""
    waiting_message: str = ""
    """The API's own words for that."""
    generation: int = -1
    """Of the Workflow that it was built from; -1: it does not say."""

    @property
    def over(self) -> bool:
        """Whether its process has ended, or never will begin."""
        return self.ended is not None or self.phase in ("Succeeded", "Failed")


@dataclass(frozen=True, slots=True)
class Attempts:
    """What the operator remembers in the run's row about the run attempts so far (annotation `attempts`).

    It is written before the next claim and names the epoch whose end it counts, so that counting it again
    after a crash changes nothing.
    """

    epoch: int = 0
    """The last epoch whose end is counted."""
    head_seq: int = 0
    """Head when it was counted: a newer one starts the count of crashes again."""
    restarts: int = 0
    """Crashes in a row with no new checkpoint between them."""
    total: int = 0
    """Crashes in all: what people see as RESTARTS."""
    disruptions: int = 0
    """Ends in a row that were nobody's fault: infrastructure, a store without answer."""
    cause: str = ""
    """Constant word for the first cause: `OOMKilled`, `RunnerCrashed`, `NodeDrained`, ..."""
    message: str = ""
    at: datetime | None = None
    """When it was counted: the pause before the next attempt begins here."""


@dataclass(frozen=True, slots=True)
class Object:
    """The Workflow as the API server has it."""

    namespace: str
    name: str
    uid: str
    resource_version: str
    generation: int
    created_at: datetime
    document: JSONObject
    """The whole object."""
    status: JSONObject = field(default_factory=dict)

    @property
    def key(self) -> str:
        """The key of its runs in a store: `namespace/name/uid`."""
        return f"{self.namespace}/{self.name}/{self.uid}"


@dataclass(frozen=True, slots=True)
class Origin:
    """What a resume asks for, looked up: a header, or why there is none."""

    checkpoint: Checkpoint | None = None
    run: Run | None = None
    """The run that the checkpoint belongs to."""
    reason: str = ""
    """Constant word for a condition where it cannot be used: `CheckpointNotFound`, `OriginForeign`, ..."""
    message: str = ""


@dataclass(frozen=True, slots=True)
class World:
    """All that one pass is decided from."""

    now: datetime
    workflow: Object
    manifest: Workflow | None
    """The Workflow as read; None where it has faults. What pods are built from."""
    accepted: JSONObject | None = None
    """What a new run's row is given, `codeFrom` copied into `code`; None: no new run can be made of it."""
    faults: tuple[Fault, ...] = ()
    store: str = "default"
    """Name of the store that the spec asks for."""
    wanted: str = ""
    """Id of the run that the spec asks for: uuid5(uid, resume.nonce or "")."""
    served: bool = False
    """Whether the store has that run, or any where none is asked for by a nonce: each is served once."""
    run: Run | None = None
    """The newest run of this Workflow, made by whatever nonce; None: there is none yet."""
    head: Checkpoint | None = None
    """Header of its newest checkpoint."""
    origin: Origin | None = None
    """Only where the spec has `resume` and its run is not made; None with `checkpoint: start`."""
    pods: tuple[PodFacts, ...] = ()
    signals: tuple[Signal, ...] = ()
    """Unconsumed signals; read only where the run is parked."""
    quiet_seconds: float = 0.0
    """How long the row has shown no sign of its runner while the store answered throughout."""
    suspect: bool = False
    """Whether so many runs look silent at once that the store, and not the runners, is the likely cause."""
    store_error: tuple[str, str] | None = None
    """Reason and message where the store did not answer; then `run`, `head` and `origin` say nothing."""
    create_error: tuple[str, str] | None = None
    """Reason and the API's words where the last pod of this run could not be made."""
    trouble: tuple[str, str] | None = None
    """Reason and message where another action of the pass before was refused, by the store or the API."""


# -- decided ----------------------------------------------


@dataclass(frozen=True, slots=True)
class CreateRun:
    """Make the row of a run; the same id again changes nothing."""

    new: NewRun


@dataclass(frozen=True, slots=True)
class Note:
    """Write into the store's audit what a person asks for, before it is done; the same act is one line."""

    what: str
    act: str
    """Which act it is, of all of this kind."""
    field: tuple[str, ...]
    """Where in the Workflow they asked: a path as its managed fields write it."""
    source: str = ""
    target: str = ""


@dataclass(frozen=True, slots=True)
class Hold:
    """Keep a fork's origin until the fork has a checkpoint of its own."""

    checkpoint_id: str
    child: str


@dataclass(frozen=True, slots=True)
class ReleaseHold:
    """Let go of the origin."""

    child: str


@dataclass(frozen=True, slots=True)
class EndRun:
    """Claim a run from whoever holds it and write its last change; a finished run stays as it is."""

    run_id: str
    expected_epoch: int
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Annotate:
    """Write the operator's own notes into the run's row; null takes a key away."""

    run_id: str
    changes: JSONObject


@dataclass(frozen=True, slots=True)
class StartRunner:
    """Claim the next epoch and make its pod: a pod is made only for a claim of one's own."""

    run_id: str
    expected_epoch: int


@dataclass(frozen=True, slots=True)
class DeletePod:
    """Delete a pod by name and uid; `grace_seconds` None: its own grace period."""

    name: str
    uid: str
    why: str
    grace_seconds: int | None = None


@dataclass(frozen=True, slots=True)
class DeleteWorkflow:
    """Delete the object, as it was read: it finished so long ago that its `ttlAfterFinished` is over."""


Action: TypeAlias = (
    CreateRun | Note | Hold | ReleaseHold | EndRun | Annotate | StartRunner | DeletePod | DeleteWorkflow
)


@dataclass(frozen=True, slots=True)
class Plan:
    """What one pass does.

    After any action the key is observed again at once; without one, after `again_seconds` (None: when
    somebody rings). The status tells what was observed, not what the actions will make of it.
    """

    actions: tuple[Action, ...] = ()
    status: JSONObject = field(default_factory=dict)
    again_seconds: float | None = None
