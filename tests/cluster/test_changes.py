"""Changing a Workflow whose run is under way.

What is about how it is run may change at any time: suspend at once, the rest with the next pod. What a run is
made of changes only with a new nonce, which makes a new run. The rules themselves are tried field by field in
`test_definitions.py`; here an operator acts on what they let through.
"""

from __future__ import annotations

import pytest
from tests.cluster.harness.commands import CommandFailed
from tests.cluster.installations import condition_of, status
from tests.cluster.workflows import chain, step, told, workflow


def test_a_suspended_workflow_is_drained_and_goes_on_from_its_checkpoint(installed):
    """Nothing new starts, what runs may finish, no pod is held; nothing is done twice when it goes on."""
    installed.apply(workflow("paused", step("a", python="steps:finish"), step("b", "a")))
    installed.begun("a#1")

    installed.patch("paused", {"suspend": True})
    held = installed.phase("paused", "Suspended")
    assert (status(held)["currentSteps"], status(held)["pod"]) == (["b"], "")
    assert condition_of(held, "Suspended")["reason"] == "SuspendedBySpec"
    assert [one["task"] for one in installed.beginnings()] == ["a#1"]
    installed.patch("paused", {"suspend": False})

    found = status(installed.phase("paused", "Succeeded"))
    assert installed.state("paused")["done"] == told("a", "b")
    assert len(installed.begun("a#1")) == 1
    assert (found["epoch"], found["restarts"]) == (2, 0)


def test_how_it_is_run_changes_with_the_next_pod(installed):
    """The pod that runs is left alone; the one after it has the new settings, the run's own among them."""
    pod = {"env": [{"name": "TONE", "value": "dry"}], "labels": {"team": "old"}}
    installed.hold("a#1")
    installed.apply(chain("tuned", "a", "b", pod=pod, restart={"baseDelay": "5m"}))
    installed.begun("a#1")
    installed.phase("tuned", "Running")
    first = installed.runner("tuned")

    pod = {"env": [{"name": "TONE", "value": "warm"}], "labels": {"team": "new"}}
    installed.patch("tuned", {"pod": pod, "restart": {"baseDelay": "10ms"}, "timeout": "1s"})
    installed.namespace.until(
        "workflows.cairn.dev/tuned",
        lambda seen: status(seen)["observedGeneration"] == seen["metadata"]["generation"],
    )
    assert installed.runner("tuned") == first
    installed.namespace.kill(first)

    ended = installed.phase("tuned", "Failed")
    assert condition_of(ended, "Failed")["reason"] == "RunTimeout"
    last = installed.runners("tuned")[-1]
    assert last["metadata"]["labels"]["team"] == "new"
    (container,) = last["spec"]["containers"]
    assert {"name": "TONE", "value": "warm"} in container["env"]


def test_what_a_run_is_made_of_changes_only_with_a_new_nonce(installed):
    """Without one the server refuses and the run goes on; with one a new run begins."""
    installed.hold("b#1")
    installed.apply(chain("made", "a", "b"))
    installed.begun("b#1")
    installed.phase("made", "Running")
    steps = [step("a"), step("b", "a"), step("c", "b")]

    with pytest.raises(CommandFailed, match="changed here: steps"):
        installed.patch("made", {"steps": steps})
    installed.patch("made", {"steps": steps, "resume": {"checkpoint": "latest", "nonce": "longer"}})
    installed.begun("b#1", times=2)
    installed.release()

    found = status(installed.phase("made", "Succeeded"))
    assert found["progress"] == "3/3"
    assert installed.state("made")["done"] == told("a", "b", "c")


def test_a_finished_workflow_goes_when_its_time_is_over(installed):
    """With its pods and Checkpoint objects; its rows stay, as its deletionPolicy says."""
    installed.apply(chain("brief", "a", ttlAfterFinished="1s"))
    installed.begun("a#1")

    installed.namespace.wait("cwf/brief", "delete")

    assert [run["phase"] for run in installed.cairn("runs", "brief")] == ["Succeeded"]
