"""`kubectl cairn` on a real cluster: what a person types, with a kubeconfig and nothing else."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tests.cluster.installations import STORE_SECRET, status
from tests.cluster.workflows import chain, step, text, workflow

PLUGIN = Path(sys.executable).parent / "kubectl-cairn"
SECONDS = 150


@pytest.fixture
def typed(installed):
    """Type `kubectl cairn ...` in the namespace of the test; answers how it ended."""
    cluster = installed.namespace
    path = f"{cluster.provider.kubectl.parent}{os.pathsep}{os.environ['PATH']}"
    environ = {**cluster.environ(), "PATH": path, "COLUMNS": "80"}

    def call(*words, wait=True):
        argv = [str(PLUGIN), *words, f"--namespace={cluster.namespace}"]
        process = subprocess.Popen(
            argv, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        return ended(process) if wait else process

    return call


def ended(process):
    """The exit code and both outputs of a process, when it has ended."""
    out, err = process.communicate(timeout=SECONDS)
    return process.returncode, out, err


def test_a_submitted_workflow_is_followed_to_its_end(typed, tmp_path):
    """A file with its code beside it; a fault is told before anything is applied; failed is exit code 1."""
    (tmp_path / "steps.py").write_text("def greet(state):\n    return {'text': 'Hi ' + state['who']}\n")
    greet = {"name": "greet", "python": "steps:greet"}
    document = workflow("hi", greet, input={"who": "you"}, state={"channels": {"text": {}}})
    del document["spec"]["code"]
    file = tmp_path / "hi.yaml"
    file.write_text(text(document))

    code, out, err = typed("submit", str(file), "--set", "who=me", "--watch")
    assert (code, "with steps.py" in err) == (0, True), (out, err)
    assert "hi succeeded" in out
    code, out, _ = typed("get", "-o", "json")
    assert [(one["workflow"], one["phase"]) for one in json.loads(out)] == [("hi", "Succeeded")]

    document["spec"]["steps"] = [{"name": "stop", "run": "exit 3", "retry": {"limit": 0}}]
    file.write_text(text(document))
    code, out, err = typed("submit", str(file), "--name", "no", "--watch", "-o", "json")
    assert (code, json.loads(out)["phase"]) == (1, "Failed"), err
    document["spec"]["steps"][0]["needs"] = ["nobody"]
    file.write_text(text(document))
    code, _, err = typed("submit", str(file), "--name", "wrong")
    assert (code, "spec.steps[0].needs[0]" in err) == (2, True), err


def test_a_log_is_followed_from_a_killed_pod_to_the_next(typed, installed):
    """The reader stays; the line of the second pod comes to it, and the end of the run ends it."""
    installed.hold("b#1")
    installed.apply(chain("digest", "a", "b"))
    (first,) = installed.begun("b#1")
    reader = typed("logs", "digest", "-f", "-o", "json", wait=False)
    lines = [json.loads(reader.stdout.readline())]
    installed.namespace.kill(installed.newest_runner("digest"), signal.SIGKILL)
    installed.begun("b#1", times=2)
    installed.release()

    code, out, err = ended(reader)
    lines += [json.loads(line) for line in out.splitlines()]
    assert code == 0, err
    assert {line["epoch"] for line in lines} == {first["epoch"], first["epoch"] + 1}


def test_a_fork_is_in_the_tree_and_what_is_pinned_is_marked(typed, installed):
    """From a number; the origin is told by its run and seq."""
    installed.apply(chain("digest", "a", "b"))
    before = status(installed.phase("digest", "Succeeded"))["run"][-8:]
    installed.namespace.until(f"checkpoints.cairn.dev/digest-{before}-2", bool)
    assert typed("pin", "digest/2")[0] == 0

    code, out, err = typed("fork", "digest", "--from", "2", "-o", "json")
    assert code == 0, err
    run = json.loads(out)["run"]
    installed.namespace.until(
        "workflows.cairn.dev/digest",
        lambda one: status(one).get("run") == run and status(one)["phase"] == "Succeeded",
    )
    installed.namespace.until(f"checkpoints.cairn.dev/digest-{run[-8:]}-1", bool)
    code, out, _ = typed("tree", "digest")
    assert f"run {run[-8:]} (current), forked from {before}/2" in out
    assert f"run {before}" in out
    code, out, _ = typed("checkpoints", "digest", "-o", "json")
    found = {one["name"]: one["pinned"] for one in json.loads(out)}
    assert found[f"digest-{before}-2"] is True
    assert found[f"digest-{run[-8:]}-1"] is False
    assert typed("fork", "digest", "--from", "99")[0] == 4


def test_a_workflow_is_held_goes_on_and_is_cancelled(typed, installed):
    """Each waits until it is so; the pod is gone, and what was committed stays."""
    steps = (step("a"), step("b", "a", python="steps:finish"), step("c", "b"))
    installed.hold("b#1", "c#1")
    installed.apply(workflow("digest", *steps))
    installed.begun("b#1")
    paused = typed("pause", "digest", wait=False)
    installed.namespace.until("workflows.cairn.dev/digest", lambda one: one["spec"].get("suspend") is True)
    installed.release("b#1")
    code, out, err = ended(paused)
    assert (code, "digest is held" in out) == (0, True), (out, err)
    assert status(installed.workflow("digest"))["phase"] == "Suspended"

    assert typed("watch", "digest")[0] == 3
    assert typed("unpause", "digest")[0] == 0
    installed.begun("c#1")
    code, out, err = typed("cancel", "digest")
    assert (code, "cancelled digest" in out) == (0, True), (out, err)
    assert status(installed.workflow("digest"))["phase"] == "Cancelled"
    assert installed.cairn("runs")[0]["reason"] == "Cancelled"
    assert "already" in typed("cancel", "digest")[1]
    run = status(installed.workflow("digest"))["run"]
    told = [(one["what"], one["from"], one["who"]) for one in installed.cairn("audit")["lines"][::-1]]
    who = f"kubernetes:{installed.namespace.namespace}/digest (kubectl-patch)"
    assert told == [(what, run, who) for what in ("pause", "unpause", "cancel")]


def test_the_doctor_finds_what_is_missing_and_says_how_to_mend_it(typed, installed):
    """A store without its Secret; all else is well, and the same cluster is healthy once it is there."""
    secret = installed.namespace.get(f"secret/{STORE_SECRET}")
    code, out, _ = typed("doctor")
    assert (code, "nothing is wrong" in out) == (0, True), out

    installed.namespace.delete(f"secret/{STORE_SECRET}")
    code, out, _ = typed("doctor", "-o", "json")
    faults = [one for one in json.loads(out)["findings"] if one["level"] == "fault"]
    installed.namespace.apply(
        json.dumps({**secret, "metadata": {"name": STORE_SECRET, "namespace": installed.namespace.namespace}})
    )

    assert code == 1
    assert [STORE_SECRET in one["what"] for one in faults] == [True]
    assert f"kubectl create secret generic {STORE_SECRET}" in faults[0]["mend"]
