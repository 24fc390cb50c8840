"""Kubernetes Events: each change of a condition that people wait for, once."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from cairn_operator.resources.events import MAX_NOTE_BYTES, Regarding, events_of

NOW = datetime(2026, 1, 2, 3, 4, 5, 6, UTC)
WORKFLOW = Regarding("demo", "digest", "uid-1", "17")


def status(**conditions):
    """A status whose conditions are given as `Type=(status, reason[, message])`."""
    return {
        "conditions": [
            {
                "type": name,
                "status": values[0],
                "reason": values[1],
                "message": values[2] if len(values) > 2 else "",
                "lastTransitionTime": "2026-01-02T03:04:05Z",
            }
            for name, values in conditions.items()
        ]
    }


def events(after, before=None, *, regarding=WORKFLOW, reporter="op-1", now=NOW) -> list[Any]:
    return [*events_of(regarding, before or {}, after, reporter=reporter, now=now)]


def told(before, after):
    found = events(after, before)
    return [(event["type"], event["action"], event["reason"]) for event in found]


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        pytest.param({}, status(Accepted=("True", "Valid")), [("Normal", "Accepted", "Valid")],
                     id="a new Workflow is accepted"),
        pytest.param({}, status(Accepted=("False", "ManifestInvalid")),
                     [("Warning", "Accepted", "ManifestInvalid")], id="a broken one is refused"),
        pytest.param(status(Accepted=("False", "ManifestInvalid")), status(Accepted=("True", "Valid")),
                     [("Normal", "Accepted", "Valid")], id="it was mended"),
        pytest.param(status(Running=("False", "Pending")), status(Running=("True", "RunnerActive")),
                     [("Normal", "Running", "RunnerActive")], id="it began to run"),
        pytest.param(status(Running=("True", "RunnerActive")), status(Running=("False", "Waiting")), [],
                     id="that it does not run any more is told by what it does instead"),
        pytest.param(status(Failed=("False", "Running")), status(Failed=("True", "CrashLoop")),
                     [("Warning", "Failed", "CrashLoop")], id="it failed"),
        pytest.param({}, status(Degraded=("False", "Healthy")), [], id="that all is well is no news"),
        pytest.param(status(Degraded=("False", "Healthy")), status(Degraded=("True", "StoreUnavailable")),
                     [("Warning", "Degraded", "StoreUnavailable")], id="something keeps it from going on"),
        pytest.param(status(Degraded=("True", "StoreUnavailable")), status(Degraded=("True", "NameTaken")),
                     [("Warning", "Degraded", "NameTaken")], id="something else keeps it"),
        pytest.param(status(Degraded=("True", "NameTaken")), status(Degraded=("False", "Healthy")),
                     [("Normal", "Degraded", "Healthy")], id="nothing keeps it any more"),
        pytest.param(status(Reconciling=("False", "Settled")), status(Reconciling=("True", "InProgress")), [],
                     id="conditions for programs are not told"),
    ],
)  # fmt: skip
def test_what_is_told_of_a_change(before, after, expected):
    """People are told what they wait for and what they must mend, and nothing twice."""
    assert told(before, after) == expected


def test_an_unchanged_status_tells_nothing():
    """A status that is written for its head only makes no Event."""
    same = status(Accepted=("True", "Valid"), Running=("True", "Runs"), Degraded=("True", "NameTaken"))

    assert told(same, same) == []


def test_telling_again_makes_the_same_object():
    """A second operator, or a second try after a lost answer, meets the first one's Event by its name."""
    after = status(Failed=("True", "CrashLoop"))
    later = datetime(2027, 1, 1, tzinfo=UTC)
    (first,) = events(after)
    (second,) = events(after, reporter="op-2", now=later)

    assert first["metadata"] == second["metadata"]
    assert first["metadata"]["name"].startswith("digest.")


def test_another_workflow_of_the_same_name_has_events_of_its_own():
    """Deleted and made again, it is another one."""
    after = status(Failed=("True", "CrashLoop"))
    (first,) = events(after)
    (second,) = events(after, regarding=WORKFLOW._replace(uid="uid-2"))

    assert first["metadata"]["name"] != second["metadata"]["name"]


def test_an_event_is_what_the_api_server_takes():
    """Every field that events.k8s.io/v1 asks for is there."""
    (event,) = events(status(Failed=("True", "CrashLoop", "it crashed")))

    assert event == {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {"name": event["metadata"]["name"], "namespace": "demo"},
        "eventTime": "2026-01-02T03:04:05.000006Z",
        "type": "Warning",
        "reason": "CrashLoop",
        "action": "Failed",
        "note": "it crashed",
        "regarding": {
            "apiVersion": "cairn.dev/v1alpha1",
            "kind": "Workflow",
            "namespace": "demo",
            "name": "digest",
            "uid": "uid-1",
            "resourceVersion": "17",
        },
        "reportingController": "cairn.dev/operator",
        "reportingInstance": "op-1",
    }


def test_a_long_message_is_cut_between_characters():
    """The API server refuses a note of more than 1,024 bytes, and counts bytes, not characters."""
    (event,) = events(status(Failed=("True", "X", "ä" * 900)))

    assert event["note"] == "ä" * 512
    assert len(event["note"].encode()) == MAX_NOTE_BYTES
