"""A runner's pod may end at any moment, by whomever: the run goes on from its newest checkpoint.

What was committed is never run again (the fixture `installed` looks at that after every test), and the end is
that of a run which nobody disturbed.  A crash counts against `restart`; a deletion is nobody's fault.
All of it in a namespace of the strictest security standard, which runners must fit into.
"""

from __future__ import annotations

import pytest
from tests.cluster.harness.cluster import Cluster
from tests.cluster.installations import Installation, status
from tests.cluster.workflows import STEPS, chain, step, told, workflow

DISTURBED = {"first": "f1#1", "middle": "m2#1", "items": "each#1[1]", "last": "l2#1"}
"""Workflow -> the task that is under way when its runner ends."""

CRASHING = """
import os

import steps


def crash(state, ctx):
    if state["broken"]:
        os._exit(13)
    return steps.work(state, ctx)


def devour(state, ctx):
    return {"done": [len(bytearray(os.urandom(1 << 20) * 512))]}
"""

LOOKING = """
import os
import pathlib


def look(state):
    pathlib.Path("/data/mine").write_text("written")
    return {
        "user": os.getuid(),
        "group": os.stat("/data").st_gid,
        "word": os.environ["WORD"],
        "whole": os.environ["FROM_MAP"],
        "file": pathlib.Path("/words/FROM_MAP").read_text(),
        "token": os.path.exists("/var/run/secrets/kubernetes.io"),
        "secrets": sorted({"CAIRN_STORE_URL", "CAIRN_CLAIM"} & set(os.environ)),
    }
"""


@pytest.fixture
def namespace(restricted_namespace: Cluster) -> Cluster:
    """Where pods must follow the strictest of the security standards."""
    return restricted_namespace


def killed(installed: Installation, pod: str) -> None:
    """Its process is gone, as if by the kernel."""
    installed.namespace.kill(pod)


def deleted_by_force(installed: Installation, pod: str) -> None:
    """Its object is gone at once, whatever its process does."""
    installed.namespace.kubectl("delete", f"pod/{pod}", "--grace-period=0", "--force", "--wait=false")


def disturbed(installed: Installation) -> None:
    """Start four Workflows and wait until each is at its task, which is held."""
    installed.hold(*DISTURBED.values())
    each = step("each", python="steps:item", foreach={"in": "input.all", "parallelism": 1, "collect": "done"})
    installed.apply(chain("first", "f1", "f2"))
    installed.apply(chain("middle", "m1", "m2", "m3"))
    installed.apply(workflow("items", each, step("after", "each"), input={"all": ["x", "y", "z"]}))
    installed.apply(chain("last", "l1", "l2"))
    for task in DISTURBED.values():
        installed.begun(task)


def require_undisturbed_ends(installed: Installation, *, restarts: int) -> None:
    """All four ended as if nothing had been, in their second epoch."""
    ends = {
        "first": told("f1", "f2"),
        "middle": told("m1", "m2", "m3"),
        "items": ["x", "y", "z", "after#1"],
        "last": told("l1", "l2"),
    }
    for name, done in ends.items():
        found = installed.phase(name, "Succeeded")
        assert installed.state(name)["done"] == done
        assert status(found)["restarts"] == restarts
        assert status(found)["epoch"] == 2
    installed.cairn("verify")


@pytest.mark.parametrize(
    ("end", "restarts"),
    [
        pytest.param(killed, 1, id="SIGKILL of its process counts"),
        pytest.param(deleted_by_force, 0, id="a deletion by force does not count"),
    ],
)
def test_a_runner_that_ends_in_a_task_is_followed_by_one_that_begins_with_that_task(installed, end, restarts):
    """Before any checkpoint, in a chain, in a foreach, in the last step: only that task is repeated."""
    disturbed(installed)

    for name in DISTURBED:
        end(installed, installed.newest_runner(name))

    for task in DISTURBED.values():
        installed.begun(task, times=2)
    installed.release()
    require_undisturbed_ends(installed, restarts=restarts)


def test_a_runner_that_is_asked_to_end_finishes_its_task_first(installed):
    """A deleted pod drains: what is done within its grace is committed, and never begun again."""
    last = step("b2", "b1", python="steps:finish")
    short = {"terminationGracePeriod": "6s"}
    installed.hold("long1#1")
    installed.apply(workflow("middle", step("a1", python="steps:finish"), step("a2", "a1")))
    installed.apply(workflow("last", step("b1"), last))
    installed.apply(chain("long", "long1", "long2", pod=short))
    for task in ("a1#1", "b2#1", "long1#1"):
        installed.begun(task)

    for name in ("middle", "last", "long"):
        installed.namespace.kubectl("delete", f"pod/{installed.newest_runner(name)}", "--wait=false")
    installed.begun("long1#1", times=2)
    installed.release()

    ends = {name: status(installed.phase(name, "Succeeded")) for name in ("middle", "last", "long")}
    assert {name: end["epoch"] for name, end in ends.items()} == {"middle": 2, "last": 1, "long": 2}
    assert {name: end["restarts"] for name, end in ends.items()} == dict.fromkeys(ends, 0)
    assert installed.state("middle")["done"] == told("a1", "a2")
    assert installed.state("last")["done"] == told("b1", "b2")
    assert installed.state("long")["done"] == told("long1", "long2")
    assert len(installed.begun("a1#1")) == 1


def test_a_step_that_always_ends_its_process_fails_the_run_until_a_person_resumes_it(installed):
    """Crashes with no new checkpoint end a run, with their cause; a resume by patch begins to count anew."""
    code = {"steps.py": STEPS, "crashing.py": CRASHING}
    channels = {"done": {"reducer": "extend", "initial": []}, "broken": {"initial": True}}
    crash = {"code": code, "state": {"channels": channels}, "restart": {"limit": 2, "baseDelay": "100ms"}}
    greedy = {"code": code, "restart": {"limit": 0}, "pod": {"resources": {"limits": {"memory": "128Mi"}}}}
    installed.apply(workflow("crash", step("a"), step("b", "a", python="crashing:crash"), **crash))
    installed.apply(workflow("greedy", step("c", python="crashing:devour"), **greedy))

    given_up = installed.condition("crash", "Failed", "CrashLoop")
    devoured = installed.condition("greedy", "Failed", "CrashLoop")
    failed = status(installed.workflow("crash"))
    installed.resume("crash", "latest", "mended", statePatch={"broken": False})

    found = status(installed.phase("crash", "Succeeded"))
    assert "crashed 3 times in a row with no new checkpoint" in given_up["message"]
    assert "exit code 13" in given_up["message"]
    assert (failed["restarts"], failed["epoch"]) == (3, 4)
    assert "OOMKilled" in devoured["message"]
    assert "raise spec.pod.resources.limits.memory" in devoured["message"]
    assert (found["restarts"], found["lastResume"]["nonce"]) == (0, "mended")
    assert installed.state("crash")["done"] == told("a", "b")
    assert len(installed.begun("a#1")) == 1


def test_what_may_be_set_on_a_runner_is_set(installed):
    """All of `spec.pod` that a pod of the strictest standard may have reaches the process; no token does."""
    words = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "words"}}
    installed.apply(words | {"data": {"FROM_MAP": "from a map"}})
    installed.apply({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "own"}})
    pod = {
        "runAsUser": 4711,
        "fsGroup": 4712,
        "env": [{"name": "WORD", "value": "given"}],
        "envFrom": [{"configMapRef": {"name": "words"}}],
        "volumes": [
            {"name": "words", "configMap": {"name": "words"}},
            {"name": "data", "emptyDir": {"sizeLimit": "1Mi"}},
        ],
        "volumeMounts": [
            {"name": "words", "mountPath": "/words", "readOnly": True},
            {"name": "data", "mountPath": "/data"},
        ],
        "serviceAccountName": "own",
        "labels": {"team": "maps", "cairn.dev/workflow": "another"},
        "annotations": {"note": "mine"},
        "tolerations": [{"key": "reserved", "operator": "Exists"}],
        "nodeSelector": {"kubernetes.io/os": "linux"},
        "terminationGracePeriod": "7s",
        "resources": {"requests": {"cpu": "50m"}, "limits": {"memory": "200Mi"}},
    }
    seen = ("user", "group", "word", "whole", "file", "token", "secrets")
    state = {"channels": {name: {} for name in seen}}
    look = {"name": "look", "python": "looking:look"}

    installed.apply(workflow("look", look, code={"looking.py": LOOKING}, state=state, pod=pod))

    installed.phase("look", "Succeeded")
    said = {"user": 4711, "group": 4712, "word": "given", "whole": "from a map", "file": "from a map"}
    found = installed.state("look")
    assert {name: found[name] for name in seen} == said | {"token": False, "secrets": []}
    (made,) = installed.runners("look")
    assert made["metadata"]["labels"]["team"] == "maps"
    assert made["metadata"]["annotations"]["note"] == "mine"
    assert made["spec"]["serviceAccountName"] == "own"
    assert made["spec"]["terminationGracePeriodSeconds"] == 7
