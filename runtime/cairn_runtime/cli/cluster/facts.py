"""What documents of a cluster say: Workflows, runner pods, Checkpoints; pure.

A document may be of an older or a newer release, or written by hand: what is not there is empty.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from cairn_runtime.model.ids import short_id
from cairn_runtime.model.values import JSONObject

FINISHED = ("Succeeded", "Failed", "Cancelled")
_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition of a Workflow."""

    kind: str
    holds: bool
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Seen:
    """A Workflow as its object tells."""

    namespace: str
    name: str
    phase: str
    """Empty: no operator has looked at it."""
    progress: str
    step: str
    run: str
    epoch: int
    pod: str
    head: JSONObject
    restarts: int
    error: JSONObject
    resumed: JSONObject
    waits: tuple[JSONObject, ...]
    conditions: tuple[Condition, ...]
    suspend: bool
    store: str
    current: bool
    """Whether the status is about the spec as it is now."""
    created_at: datetime

    @property
    def finished(self) -> bool:
        """Whether its run is over for ever."""
        return self.phase in FINISHED

    def holding(self, kind: str) -> Condition | None:
        """A condition, where it is true."""
        return next((one for one in self.conditions if one.kind == kind and one.holds), None)

    @property
    def trouble(self) -> Condition | None:
        """The first thing that a person should mend: faults in the spec, or what degrades it."""
        refused = next((one for one in self.conditions if one.kind == "Accepted" and not one.holds), None)
        return refused or self.holding("Degraded")

    @property
    def why(self) -> tuple[str, str]:
        """Reason and message of what is wrong now, or went wrong last."""
        if (trouble := self.trouble) is not None:
            return trouble.reason, trouble.message
        return text_of(self.error.get("reason")), text_of(self.error.get("message"))

    @property
    def waits_for_a_person(self) -> bool:
        """Whether it goes on only by an answer."""
        return self.phase == "Waiting" and not any(wait.get("until") for wait in self.waits)


@dataclass(frozen=True, slots=True)
class Runner:
    """A runner's pod."""

    name: str
    run: str
    epoch: int
    phase: str
    reason: str
    """Why it does not start, or how it ended; empty where there is nothing to say."""
    begun: bool
    """Whether its container runs, or has run: there is a log."""
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Mark:
    """A Checkpoint object."""

    name: str
    workflow: str
    run: str
    seq: int
    id: str
    step: str
    visit: int | None
    item: int | None
    next: str
    size: str
    pinned: bool
    origin: str
    """Id of the checkpoint that its run was forked from; empty where the object does not tell."""
    document: JSONObject
    created_at: datetime


def seen_of(document: JSONObject) -> Seen:
    """Read a Workflow."""
    meta, spec, status = (_object(document, name) for name in ("metadata", "spec", "status"))
    return Seen(
        namespace=text_of(meta.get("namespace")),
        name=text_of(meta.get("name")),
        phase=text_of(status.get("phase")),
        progress=text_of(status.get("progress")),
        step=text_of(status.get("step")),
        run=text_of(status.get("run")),
        epoch=_count(status.get("epoch")),
        pod=text_of(status.get("pod")),
        head=_object(status, "head"),
        restarts=_count(status.get("restarts")),
        error=_object(status, "lastError"),
        resumed=_object(status, "lastResume"),
        waits=tuple(_objects(status, "waits")),
        conditions=tuple(
            Condition(
                text_of(one.get("type")),
                one.get("status") == "True",
                text_of(one.get("reason")),
                text_of(one.get("message")),
            )
            for one in _objects(status, "conditions")
        ),
        suspend=spec.get("suspend") is True,
        store=text_of(spec.get("store")) or "default",
        current=_count(status.get("observedGeneration")) >= _count(meta.get("generation")),
        created_at=moment_of(meta.get("creationTimestamp")),
    )


def runner_of(document: JSONObject) -> Runner:
    """Read a runner's pod."""
    meta, status = _object(document, "metadata"), _object(document, "status")
    labels = _object(meta, "labels")
    states = [_object(one, "state") for one in _objects(status, "containerStatuses")]
    ended = next((_object(state, "terminated") for state in states if "terminated" in state), None)
    waits = next((_object(state, "waiting") for state in states if "waiting" in state), {})
    reason = text_of((ended or waits).get("reason") or status.get("reason"))
    code = ended.get("exitCode") if ended else None
    if code:
        reason = f"{reason}, exit code {code}".removeprefix("Error, ").removeprefix(", ")
    return Runner(
        name=text_of(meta.get("name")),
        run=text_of(labels.get("cairn.dev/run")),
        epoch=_count(labels.get("cairn.dev/epoch")),
        phase=text_of(status.get("phase")),
        reason="" if reason in ("Completed", "ContainerCreating") else reason,
        begun=any("running" in state or "terminated" in state for state in states),
        created_at=moment_of(meta.get("creationTimestamp")),
    )


def mark_of(document: JSONObject) -> Mark:
    """Read a Checkpoint."""
    meta, spec = _object(document, "metadata"), _object(document, "spec")
    notes = _object(meta, "annotations")
    visit, item = spec.get("visit"), spec.get("item")
    return Mark(
        name=text_of(meta.get("name")),
        workflow=text_of(spec.get("workflow")),
        run=text_of(spec.get("run")),
        seq=_count(spec.get("seq")),
        id=text_of(spec.get("id")),
        step=text_of(spec.get("step")),
        visit=visit if isinstance(visit, int) else None,
        item=item if isinstance(item, int) else None,
        next=text_of(spec.get("nextText")),
        size=text_of(spec.get("size")),
        pinned=notes.get("cairn.dev/pin") == "true",
        origin=text_of(notes.get("cairn.dev/origin")),
        document=spec,
        created_at=moment_of(spec.get("createdAt")),
    )


def workflow_shape(seen: Seen) -> JSONObject:
    """A Workflow, for programs."""
    reason, message = seen.why
    return {
        "namespace": seen.namespace,
        "workflow": seen.name,
        "phase": seen.phase,
        "progress": seen.progress,
        "step": seen.step,
        "run": seen.run,
        "epoch": seen.epoch,
        "pod": seen.pod,
        "head": seen.head or None,
        "restarts": seen.restarts,
        "reason": reason,
        "message": message,
        "waits": [*seen.waits],
        "lastResume": seen.resumed or None,
        "createdAt": seen.created_at.isoformat().replace("+00:00", "Z"),
    }


def mark_shape(mark: Mark) -> JSONObject:
    """A Checkpoint, for programs: the keys of `cairn checkpoints`, with the object's name and its pin."""
    names = ("id", "run", "workflow", "seq", "step", "visit", "item", "next", "kind", "bytes", "hash")
    told = {name: mark.document.get(name) for name in (*names, "parent", "epoch", "createdAt")}
    return {**told, "name": mark.name, "pinned": mark.pinned}


def run_text(run: str) -> str:
    """A run as it is shown."""
    return short_id(run) if run else "-"


def text_of(value: Any) -> str:  # noqa: ANN401 - whatever stands in a document
    """A text, or nothing."""
    return value if isinstance(value, str) else ""


def moment_of(value: Any) -> datetime:  # noqa: ANN401 - whatever stands in a document
    """A moment (RFC 3339); long ago where there is none."""
    try:
        found = datetime.fromisoformat(text_of(value))
    except ValueError:
        return _LONG_AGO
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _count(value: Any) -> int:  # noqa: ANN401 - whatever stands in a document
    if isinstance(value, str) and value.isascii() and value.isdigit():
        return int(value[:12])
    return value if isinstance(value, int) else 0


def _object(document: Any, name: str) -> JSONObject:  # noqa: ANN401 - whatever stands in a document
    value = document.get(name) if isinstance(document, dict) else None
    return value if isinstance(value, dict) else {}


def _objects(document: JSONObject, name: str) -> list[JSONObject]:
    value = document.get(name)
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []
