"""From the API server's JSON to facts: what a kubelet tells, and what nobody should ever tell."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.operator.reconcile.builders import NOW, RUN, UID, ago, document

from cairn_operator.reconcile import checks, facts
from cairn_operator.reconcile.projection import Shown
from cairn_operator.reconcile.state import Ended

AT = "2026-01-02T03:03:05Z"


def told(state=None, **status):
    """A pod of a run as the API server has it."""
    container = [{"name": "sidecar"}, {"name": "runner", "state": state or {}}]
    return {
        "metadata": {
            "name": "p",
            "uid": "u",
            "labels": {"cairn.dev/run": RUN, "cairn.dev/epoch": "3"},
            "annotations": {"cairn.dev/generation": "4"},
            "creationTimestamp": AT,
            "ownerReferences": [{"uid": "other"}, {"uid": UID}],
        },
        "status": {"phase": "Running", "containerStatuses": container, **status},
    }


def test_a_running_pod():
    """Name, run, epoch, what it was built from, and since when its container runs."""
    pod = facts.pod_facts(told({"running": {"startedAt": AT}}), NOW)

    assert (pod.name, pod.uid, pod.run_id, pod.epoch, pod.phase) == ("p", "u", RUN, 3, "Running")
    assert pod.generation == 4
    assert pod.created_at == pod.running_since == ago(60)
    assert (pod.ended, pod.deleting, pod.disrupted, pod.waiting, pod.over) == (None, False, "", "", False)


def test_a_pod_whose_process_ended():
    """Code, reason and message as the kubelet tells them; only the runner's container counts."""
    ended = {"exitCode": 137, "reason": "OOMKilled", "message": "m", "finishedAt": AT}
    pod = facts.pod_facts(told({"terminated": ended}, phase="Failed"), NOW)

    assert pod.ended == Ended(137, "OOMKilled", "m")
    assert pod.ended_at == ago(60)
    assert pod.over


DISRUPTED = {
    "a drained node": (
        {"conditions": [{"type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI"}]},
        "EvictionByEvictionAPI",
    ),
    "a disruption without a reason": (
        {"conditions": [{"type": "DisruptionTarget", "status": "True"}]},
        "DisruptionTarget",
    ),
    "one that did not come": ({"conditions": [{"type": "DisruptionTarget", "status": "False"}]}, ""),
    "an evicted pod": ({"reason": "Evicted"}, "Evicted"),
    "a node that went down": ({"reason": "NodeShutdown"}, "NodeShutdown"),
    "a node that took too many": ({"reason": "OutOfcpu"}, "OutOfcpu"),
    "another reason": ({"reason": "Completed"}, ""),
}


@pytest.mark.parametrize(("status", "why"), DISRUPTED.values(), ids=DISRUPTED)
def test_what_the_cluster_took_away(status, why):
    """By the condition, else by the reason of the pod's end."""
    assert facts.pod_facts(told(**status), NOW).disrupted == why


WAITING = {
    "an image that cannot be pulled": (
        {"waiting": {"reason": "ImagePullBackOff", "message": "m"}},
        {},
        ("ImagePullBackOff", "m"),
    ),
    "a container that is on its way": ({"waiting": {"reason": "ContainerCreating"}}, {}, ("", "")),
    "others of its pod that come first": ({"waiting": {"reason": "PodInitializing"}}, {}, ("", "")),
    "no node fits": (
        {},
        {
            "conditions": [
                {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3"}
            ]
        },
        ("Unschedulable", "0/3"),
    ),
    "no node, and no reason": (
        {},
        {"conditions": [{"type": "PodScheduled", "status": "False"}]},
        ("Unschedulable", ""),
    ),
    "scheduled": ({}, {"conditions": [{"type": "PodScheduled", "status": "True"}]}, ("", "")),
}


@pytest.mark.parametrize(("state", "status", "expected"), WAITING.values(), ids=WAITING)
def test_why_a_container_does_not_start(state, status, expected):
    """In the API's own words: the kubelet's, else the scheduler's."""
    pod = facts.pod_facts(told(state, phase="Pending", **status), NOW)

    assert (pod.waiting, pod.waiting_message) == expected


@pytest.mark.parametrize(
    ("label", "epoch"), [("3", 3), ("-3", -1), ("", -1), ("x", -1), ("٣", -1), ("9" * 30, -1), (3, -1)]
)
def test_a_label_that_is_no_epoch_fits_none(label, epoch):
    """Labels can be edited; such a pod is a stray."""
    document = told()
    document["metadata"]["labels"]["cairn.dev/epoch"] = label

    assert facts.pod_facts(document, NOW).epoch == epoch


@pytest.mark.parametrize(
    "moment",
    [
        "0001-01-01T00:00:00+23:59",
        "9999-12-31T23:59:59-23:59",
        "2026-01-01T00:00:00",
        "soon",
        "",
        5,
        None,
        [],
    ],
    ids=str,
)
def test_a_time_that_cannot_be_read_counts_as_absent(moment):
    """Also one that exists in no zone but its own."""
    document = told({"running": {"startedAt": moment}})
    document["metadata"]["creationTimestamp"] = moment
    pod = facts.pod_facts(document, NOW)

    assert pod.created_at == NOW
    assert pod.running_since is None


def test_a_deletion_that_was_asked_for():
    """By whomever; a null is as good as absent."""
    document = told()
    for moment, deleting in ((AT, True), (None, False)):
        document["metadata"]["deletionTimestamp"] = moment

        pod = facts.pod_facts(document, NOW)
        assert (pod.deleting, pod.gone_by) == (deleting, ago(60) if deleting else None)


def test_a_workflow():
    """What a pass needs beside the spec."""
    read = document()
    read["metadata"] |= {"resourceVersion": "7", "generation": 3, "creationTimestamp": AT}
    read["status"] = {"phase": "Running"}
    found = facts.workflow_object(read, NOW)

    assert (found.key, found.resource_version, found.generation) == (f"team/digest/{UID}", "7", 3)
    assert (found.created_at, found.status, found.document) == (ago(60), {"phase": "Running"}, read)


@pytest.mark.parametrize(("pin", "expected"), [("true", "true"), ("no", "no"), (None, None), (True, None)])
def test_a_checkpoint_object(pin, expected):
    """Its id, what its annotation asks for, and what was noted beside it."""
    notes = {"cairn.dev/pin": pin, "cairn.dev/pinned": pin}
    meta = {"name": "c", "uid": "u", "resourceVersion": "7", "annotations": notes}
    found = facts.shown_checkpoint({"metadata": meta, "spec": {"id": "cp-1", "run": "r"}})

    assert found == Shown("c", "u", "cp-1", expected, expected, "r", "7")


def test_a_namesakes_object_is_not_ours():
    """A Workflow that was deleted and made again has another uid."""
    assert facts.is_owned(told(), UID)
    assert not facts.is_owned(told(), "another")
    assert not facts.is_owned({"metadata": {"ownerReferences": "x"}}, UID)


NAMES = [
    *["metadata", "name", "namespace", "uid", "labels", "annotations", "ownerReferences", "generation"],
    *["creationTimestamp", "deletionTimestamp", "resourceVersion", "cairn.dev/run", "cairn.dev/epoch"],
    *[
        "cairn.dev/pin",
        "cairn.dev/pinned",
        "status",
        "spec",
        "id",
        "phase",
        "reason",
        "message",
        "conditions",
        "type",
    ],
    *[
        "containerStatuses",
        "state",
        "terminated",
        "running",
        "waiting",
        "startedAt",
        "finishedAt",
        "exitCode",
    ],
]
LEAVES = st.sampled_from(
    [
        *[
            None,
            True,
            False,
            0,
            -1,
            10**30,
            1.5,
            float("inf"),
            "",
            "runner",
            "True",
            "False",
            "\ud800",
            "x" * 5000,
        ],
        *["DisruptionTarget", "PodScheduled", "Failed", "OOMKilled", AT, "0001-01-01T00:00:00+23:59"],
        *["9999-12-31T23:59:59-23:59", "2026-01-01T00:00:00", "soon", '{"run": "x"}', "[" * 3000],
    ]
)
JSON = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=6),
    max_leaves=12,
)


def broken(value, junk, path):
    """The same document with junk at one place."""
    if not path:
        return junk
    if isinstance(value, dict) and value:
        key = sorted(value)[path[0] % len(value)]
        return {**value, key: broken(value[key], junk, path[1:])}
    if isinstance(value, list) and value:
        index = path[0] % len(value)
        return [*value[:index], broken(value[index], junk, path[1:]), *value[index + 1 :]]
    return junk


WHOLE = told(
    {"terminated": {"exitCode": 1, "message": "m", "finishedAt": AT}, "running": {"startedAt": AT}},
    conditions=[{"type": "DisruptionTarget", "status": "True", "reason": "x"}],
    reason="Evicted",
)


@settings(max_examples=120)
@given(JSON, st.lists(st.integers(0, 20), min_size=1, max_size=6))
def test_no_document_raises(junk, path):
    """Whatever another release or a person wrote: what cannot be read counts as absent."""
    document = broken(WHOLE, junk, path)

    pod = facts.pod_facts(document, NOW)
    facts.workflow_object(document, NOW)
    facts.shown_checkpoint({"metadata": junk, "spec": document["status"]})
    facts.is_owned(document, UID)
    assert isinstance(checks.cause_of(pod).reason, str)
    assert pod.created_at.tzinfo is not None
