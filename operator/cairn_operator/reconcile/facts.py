"""From the API server's JSON to facts, without I/O.

Whatever an object holds (another release wrote it, a person edited it) it is read without an exception: what
cannot be read counts as absent.
Source: the API reference of PodStatus and ContainerStateTerminated; well-known labels and conditions.
"""

from __future__ import annotations

from datetime import datetime

from cairn_operator.names import (
    EPOCH_LABEL,
    GENERATION_ANNOTATION,
    PIN_ANNOTATION,
    PINNED_ANNOTATION,
    RUN_LABEL,
)
from cairn_operator.reconcile.projection import Shown
from cairn_operator.reconcile.state import Ended, Object, PodFacts, PodPhase
from cairn_operator.resources.pods import CONTAINER
from cairn_runtime.model.ids import from_wire
from cairn_runtime.model.values import JSONObject, JSONValue

_PHASES: dict[str, PodPhase] = {
    "Pending": "Pending",
    "Running": "Running",
    "Succeeded": "Succeeded",
    "Failed": "Failed",
}
_TAKEN_AWAY = frozenset(
    [
        "Evicted",
        "Preempting",
        "Terminated",
        "Shutdown",
        "NodeShutdown",
        "NodeLost",
        "NodeAffinity",
        "UnexpectedAdmissionError",
        "OutOfcpu",
        "OutOfmemory",
        "OutOfpods",
    ]
)
"""Reasons of a pod's end that are the node's and not the runner's."""
_STARTING = frozenset(["ContainerCreating", "PodInitializing"])
"""Waiting that is on its way, and nothing to tell anybody about."""


def workflow_object(document: JSONObject, now: datetime) -> Object:
    """Read the parts of a Workflow that a pass needs beside its spec."""
    meta = part(document, "metadata")
    return Object(
        namespace=text(meta, "namespace"),
        name=text(meta, "name"),
        uid=text(meta, "uid"),
        resource_version=text(meta, "resourceVersion"),
        generation=_number(meta.get("generation")),
        created_at=_moment(meta.get("creationTimestamp")) or now,
        document=document,
        status=part(document, "status"),
    )


def pod_facts(document: JSONObject, now: datetime) -> PodFacts:
    """Read what a pod tells about the run attempt in it."""
    meta, status = part(document, "metadata"), part(document, "status")
    labels = part(meta, "labels")
    container = _named(status.get("containerStatuses"), CONTAINER)
    state = part(container, "state")
    terminated, running = part(state, "terminated"), part(state, "running")
    waiting, words = _waiting(status, part(state, "waiting"))
    return PodFacts(
        name=text(meta, "name"),
        uid=text(meta, "uid"),
        run_id=text(labels, RUN_LABEL),
        epoch=_digits(text(labels, EPOCH_LABEL)),
        phase=_PHASES.get(text(status, "phase"), "Unknown"),
        created_at=_moment(meta.get("creationTimestamp")) or now,
        deleting=meta.get("deletionTimestamp") is not None,
        gone_by=_moment(meta.get("deletionTimestamp")),
        running_since=_moment(running.get("startedAt")) if running else None,
        ended=_ended(terminated) if terminated else None,
        ended_at=_moment(terminated.get("finishedAt")) if terminated else None,
        disrupted=_disrupted(status),
        waiting=waiting,
        waiting_message=words,
        generation=_digits(text(part(meta, "annotations"), GENERATION_ANNOTATION)),
    )


def shown_checkpoint(document: JSONObject) -> Shown:
    """Read a Checkpoint object."""
    meta, spec = part(document, "metadata"), part(document, "spec")
    notes = part(meta, "annotations")
    return Shown(
        text(meta, "name"),
        text(meta, "uid"),
        text(spec, "id"),
        pin=_said(notes, PIN_ANNOTATION),
        noted=_said(notes, PINNED_ANNOTATION),
        run_id=text(spec, "run"),
        pinned_by=manager_of(document, *fields_of_annotation(PIN_ANNOTATION)),
        resource_version=text(meta, "resourceVersion"),
    )


def is_owned(document: JSONObject, uid: str) -> bool:
    """Whether an object is this Workflow's: a namesake's, made and deleted before, is not."""
    owners = items(part(document, "metadata").get("ownerReferences"))
    return any(owner.get("uid") == uid for owner in owners)


def manager_of(document: JSONObject, *field: str) -> str:
    """The program that wrote a field last, as the object's managed fields have it; empty where none says so.

    `field` is a path as they write it: `f:spec`, `f:resume`.
    """
    for entry in reversed(items(part(document, "metadata").get("managedFields"))):
        within = part(entry, "fieldsV1")
        for name in field[:-1]:
            within = part(within, name)
        if field[-1] in within:
            return text(entry, "manager")
    return ""


def fields_of_annotation(name: str) -> tuple[str, ...]:
    """Where the managed fields have an annotation."""
    return "f:metadata", "f:annotations", f"f:{name}"


def part(document: JSONObject, name: str) -> JSONObject:
    """An object inside an object; empty where there is none."""
    value = document.get(name)
    return value if isinstance(value, dict) else {}


def text(document: JSONObject, name: str) -> str:
    """A text inside an object; empty where there is none."""
    value = document.get(name)
    return value if isinstance(value, str) else ""


def items(value: JSONValue) -> list[JSONObject]:
    """The objects of a list."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _said(notes: JSONObject, name: str) -> str | None:
    value = notes.get(name)
    return value if isinstance(value, str) else None


def _ended(terminated: JSONObject) -> Ended:
    return Ended(_number(terminated.get("exitCode")), text(terminated, "reason"), text(terminated, "message"))


def _disrupted(status: JSONObject) -> str:
    """Why the cluster took the pod away: its condition says so, or the reason of its end."""
    for condition in items(status.get("conditions")):
        if condition.get("type") == "DisruptionTarget" and condition.get("status") == "True":
            return text(condition, "reason") or "DisruptionTarget"
    reason = text(status, "reason")
    return reason if reason in _TAKEN_AWAY else ""


def _waiting(status: JSONObject, waiting: JSONObject) -> tuple[str, str]:
    """Why the container does not start, in the API's own words: the kubelet's, else the scheduler's."""
    reason = text(waiting, "reason")
    if reason and reason not in _STARTING:
        return reason, text(waiting, "message")
    for condition in items(status.get("conditions")):
        if condition.get("type") == "PodScheduled" and condition.get("status") == "False":
            return text(condition, "reason") or "Unschedulable", text(condition, "message")
    return "", ""


def _named(value: JSONValue, name: str) -> JSONObject:
    return next((item for item in items(value) if item.get("name") == name), {})


def _moment(value: JSONValue) -> datetime | None:
    if not isinstance(value, str):
        return None
    try:
        return from_wire(value)
    except (ValueError, OverflowError):
        return None


def _number(value: JSONValue) -> int:
    return value if type(value) is int and abs(value) < 2**63 else 0


def _digits(value: str) -> int:
    return int(value) if value.isascii() and value.isdigit() and len(value) < 19 else -1
