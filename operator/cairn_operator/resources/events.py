"""Kubernetes Events: what changed in a Workflow's conditions, for `kubectl describe` and for alerts.

An Event is a copy of what the status says, never the only place where something is said.
Its name is made of what it tells, so that telling it again (a lost answer, a second operator) makes no second
one.
Source: the API reference of events.k8s.io/v1; a note has at most 1,024 bytes.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from hashlib import sha256
from typing import NamedTuple

from cairn_operator.names import API_VERSION, GROUP, WORKFLOW_KIND
from cairn_runtime.model.ids import to_wire
from cairn_runtime.model.values import JSONObject, JSONValue

REPORTER = f"{GROUP}/operator"
MAX_NOTE_BYTES = 1024
_MAX_REPORTER = 128

_GOOD = frozenset({"Running", "Waiting", "Suspended", "Succeeded"})
"""Told when they come true."""
_BAD = frozenset({"Failed", "Degraded"})
"""Told when they come true, and when their reason changes."""
_SETTLED = frozenset({"Degraded", "Accepted"})
"""Told when they are well again."""

_SENTENCES = {
    ("Accepted", "True"): "the Workflow is accepted",
    ("Accepted", "False"): "the Workflow is not accepted",
    ("Running", "True"): "the run is under way",
    ("Waiting", "True"): "the run waits and holds no pod",
    ("Suspended", "True"): "the Workflow is suspended",
    ("Succeeded", "True"): "the run has succeeded",
    ("Failed", "True"): "the run has failed",
    ("Degraded", "True"): "something keeps the run from going on",
    ("Degraded", "False"): "nothing keeps the run from going on any more",
}


class Regarding(NamedTuple):
    """The Workflow that an Event is about."""

    namespace: str
    name: str
    uid: str
    resource_version: str


def events_of(
    regarding: Regarding, before: JSONObject, after: JSONObject, *, reporter: str, now: datetime
) -> list[JSONObject]:
    """Build the Events for what differs between two statuses of a Workflow."""
    old = _conditions(before)
    return [
        _event(regarding, condition, kind, reporter=reporter, now=now)
        for name, condition in _conditions(after).items()
        if (kind := _told(name, old.get(name, {}), condition)) is not None
    ]


def _told(name: str, old: JSONObject, new: JSONObject) -> str | None:
    """Whether a change of this condition is told, and as which type of Event."""
    was, holds = old.get("status"), new.get("status")
    turned = was != holds
    reworded = not turned and old.get("reason") != new.get("reason")
    if name in _GOOD and holds == "True":
        return "Normal" if turned else None
    if (name in _BAD and holds == "True") or (name == "Accepted" and holds == "False"):
        return "Warning" if turned or reworded else None
    if name in _SETTLED and turned and was is not None:
        return "Normal"
    return "Normal" if name == "Accepted" and turned else None


def _event(
    regarding: Regarding, condition: JSONObject, kind: str, *, reporter: str, now: datetime
) -> JSONObject:
    name, reason = str(condition.get("type")), str(condition.get("reason"))
    told = "\n".join(
        (regarding.uid, *(str(condition.get(key)) for key in ("type", "status", "reason")), _since(condition))
    )
    return {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {
            "name": f"{regarding.name}.{sha256(told.encode()).hexdigest()[:16]}",
            "namespace": regarding.namespace,
        },
        "eventTime": to_wire(now),
        "type": kind,
        "reason": reason,
        "action": name,
        "note": _cut(str(condition.get("message") or _sentence(name, condition))),
        "regarding": {
            "apiVersion": API_VERSION,
            "kind": WORKFLOW_KIND,
            "namespace": regarding.namespace,
            "name": regarding.name,
            "uid": regarding.uid,
            "resourceVersion": regarding.resource_version,
        },
        "reportingController": REPORTER,
        "reportingInstance": reporter[:_MAX_REPORTER],
    }


def _since(condition: JSONObject) -> str:
    return str(condition.get("lastTransitionTime"))


def _sentence(name: str, condition: JSONObject) -> str:
    """What to say where the condition has no words of its own."""
    return _SENTENCES.get((name, str(condition.get("status"))), f"{name} is {condition.get('status')}")


def _cut(text: str) -> str:
    """The beginning that fits, whole characters only."""
    return text.encode()[:MAX_NOTE_BYTES].decode(errors="ignore")


def _conditions(status: JSONObject) -> dict[str, JSONObject]:
    return {str(condition["type"]): condition for condition in _objects(status.get("conditions"))}


def _objects(value: JSONValue) -> Iterator[JSONObject]:
    for item in value if isinstance(value, list) else ():
        if isinstance(item, dict) and "type" in item:
            yield item
