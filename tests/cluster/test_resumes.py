"""Going back by patch: every form of spec.resume, on runs that are under way, have failed or have ended.

A nonce is served once, for ever; what cannot be served is a condition and touches nothing. The old run's
history stays as it is.
What people look at meanwhile is here too: columns, conditions, Kubernetes Events, pins.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest
from tests.cluster.harness.commands import CommandFailed, output, until
from tests.cluster.installations import Installation, condition_of, status
from tests.cluster.workflows import chain, step, workflow

from cairn_operator import names

NOT_THERE = "0198c1a2-7b1e-7c3d-9e4f-1a2b3c4d5e6f"
PINS = """
import asyncio, json, os, sys
from cairn_runtime import open_store

async def pins():
    store = await open_store(os.environ["CAIRN_STORE_URL"])
    print(json.dumps(sorted(await store.pins(sys.argv[1]))))
    await store.close()

asyncio.run(pins())
"""


def checkpoint(installed: Installation, name: str, step_name: str) -> str:
    """The id of the checkpoint that was written after a step."""
    found: str = next(row["id"] for row in installed.checkpoints(name) if row["step"] == step_name)
    return found


def shown_as(installed: Installation, name: str, step_name: str) -> str:
    """The name of the Checkpoint object that shows the one after a step, once it is there."""
    rows = installed.checkpoints(name)
    row = next(row for row in rows if row["step"] == step_name)
    found = f"{name}-{row['run'][-8:]}-{row['seq']}"
    installed.namespace.until(f"checkpoints.cairn.dev/{found}", bool)
    return found


def at_work(installed: Installation, name: str) -> set[str]:
    """The pods of a Workflow in which a process runs, or may yet."""
    pods = installed.runners(name)
    return {pod["metadata"]["name"] for pod in pods if status(pod)["phase"] in ("Pending", "Running")}


def looked_at(installed: Installation, name: str) -> dict:
    """Wait until the operator has seen the spec as it is now; answer the Workflow."""
    return installed.namespace.until(
        f"workflows.cairn.dev/{name}",
        lambda seen: status(seen).get("observedGeneration") == seen["metadata"]["generation"],
    )


def test_a_workflow_that_has_ended_is_resumed_in_every_form(installed):
    """By id, by object, from the newest, from the start; with a patch, as a step, at steps, without some."""
    for name in ("by-id", "by-object", "by-latest", "by-start"):
        installed.apply(chain(name, "a", "b", "c"))
    for name in ("by-id", "by-object", "by-latest", "by-start"):
        installed.phase(name, "Succeeded")
    before = installed.checkpoints("by-id")

    after_a = checkpoint(installed, "by-id", "a")
    installed.resume("by-id", after_a, "1", statePatch={"done": ["patched"]}, asStep="b")
    installed.resume("by-object", shown_as(installed, "by-object", "a"), "1", skip=["b"])
    installed.resume("by-latest", "latest", "1", steps=["b"])
    installed.resume("by-start", "start", "1")

    ends = {
        "by-id": ["patched", "c#1"],
        "by-object": ["a#1", "c#1"],
        "by-latest": ["a#1", "b#1", "c#1", "b#2", "c#2"],
        "by-start": ["a#1", "b#1", "c#1"],
    }
    for name, end in ends.items():
        found = installed.namespace.until(
            f"workflows.cairn.dev/{name}",
            lambda seen: status(seen).get("lastResume") and condition_of(seen, "Succeeded"),
        )
        resumed = status(found)["lastResume"]
        assert (resumed["nonce"], resumed["run"]) == ("1", status(found)["run"]), name
        assert installed.state(name)["done"] == end, name
    assert status(installed.workflow("by-id"))["lastResume"]["checkpoint"] == after_a
    assert status(installed.workflow("by-start"))["lastResume"]["checkpoint"] == "start"
    assert installed.checkpoints(before[0]["run"]) == before


def test_a_workflow_under_way_is_resumed_and_its_old_run_ends(installed):
    """The old run is claimed, so that its runner can write no more, and its pod goes."""
    installed.hold("b#1")
    installed.apply(chain("moved", "a", "b", "c", pod={"terminationGracePeriod": "2s"}))
    installed.begun("b#1")
    installed.phase("moved", "Running")
    old, pod = status(installed.workflow("moved"))["run"], installed.runner("moved")

    installed.resume("moved", checkpoint(installed, "moved", "a"), "1", statePatch={"done": ["moved"]})
    installed.begun("b#1", times=2)
    # Deleted, or, where it had heard of the newer claim before that, ended by itself.
    until(lambda: pod not in at_work(installed, "moved"), "the pod of the old run goes", every=0.3)
    installed.release()

    installed.phase("moved", "Succeeded")
    runs = {row["run"]: row for row in installed.cairn("runs", "moved")}
    assert installed.state("moved")["done"] == ["moved", "b#1", "c#1"]
    assert (runs[old]["phase"], runs[old]["reason"], runs[old]["epoch"]) == ("Cancelled", "Forked", 2)
    assert [row["step"] for row in installed.checkpoints(old)] == ["a", ""]


def test_a_workflow_that_failed_is_mended_and_goes_on(installed):
    """New steps come with a new nonce; what was done before is not done again."""
    bad = {"name": "bad", "run": "exit 1", "needs": ["ok"], "retry": {"limit": 0}}
    installed.apply(workflow("mended", step("ok"), bad, step("end", "bad")))
    installed.phase("mended", "Failed")

    steps = [step("ok"), {**bad, "run": "true"}, step("end", "bad")]
    installed.patch("mended", {"steps": steps, "resume": {"checkpoint": "latest", "nonce": "1"}})

    installed.phase("mended", "Succeeded")
    assert installed.state("mended")["done"] == ["ok#1", "end#1"]
    assert len(installed.begun("ok#1")) == 1


def test_a_nonce_is_served_once_for_ever(installed):
    """Applied again, at once or after a newer one, it makes no run and ends none."""
    installed.apply(chain("once", "a", "b"))
    installed.phase("once", "Succeeded")
    first = {"checkpoint": checkpoint(installed, "once", "a"), "nonce": "first"}

    for wanted in (first, {"checkpoint": "start", "nonce": "second"}):
        installed.patch("once", {"resume": wanted})
        installed.namespace.until(
            "workflows.cairn.dev/once",
            lambda seen, nonce=wanted["nonce"]: (
                status(seen).get("lastResume", {}).get("nonce") == nonce and condition_of(seen, "Succeeded")
            ),
        )
    after_two = status(installed.workflow("once"))
    installed.patch("once", {"resume": first, "timeout": "1h"})

    found = status(looked_at(installed, "once"))
    assert len(installed.cairn("runs", "once")) == len(("apply", "first", "second"))
    for what in ("run", "epoch", "head", "lastResume", "phase"):
        assert found[what] == after_two[what]


def test_a_checkpoint_that_is_not_there_touches_nothing(installed):
    """A condition says so while the run goes on; a right patch then does what was meant."""
    installed.hold("b#1")
    installed.apply(chain("kept", "a", "b", "c"))
    installed.begun("b#1")
    installed.phase("kept", "Running")
    before = status(installed.workflow("kept"))

    for nonce, wrong in enumerate([NOT_THERE, "kept-00000000-7", "../../../pods/x", "no such thing é", "7"]):
        installed.resume("kept", wrong, f"wrong-{nonce}")
        looked_at(installed, "kept")
        said = installed.condition("kept", "Degraded", "CheckpointNotFound")["message"]
        assert f'there is no checkpoint "{wrong}"' in said
    after = status(installed.workflow("kept"))
    installed.resume("kept", checkpoint(installed, "kept", "a"), "right")
    installed.begun("b#1", times=2)
    installed.release()

    assert {key: after[key] for key in ("run", "epoch", "pod", "phase")} == {
        key: before[key] for key in ("run", "epoch", "pod", "phase")
    }
    found = installed.phase("kept", "Succeeded")
    assert condition_of(found, "Degraded") == {}
    assert status(found)["lastResume"]["nonce"] == "right"


# -- what people see ----------------------------------------------------------------------------------------


def test_kubectl_shows_the_way_and_a_pin_reaches_the_store(installed):
    """Columns, `kubectl wait`, Kubernetes Events; an annotation on an object pins its checkpoint."""
    installed.apply(chain("seen", "a", "b"))
    cluster = installed.namespace

    cluster.wait("cwf/seen", "condition=Succeeded")
    shown = shown_as(installed, "seen", "a")
    line = cluster.kubectl("get", "cwf", "seen").splitlines()[1].split()
    found = status(installed.workflow("seen"))
    assert line[:5] == ["seen", "Succeeded", "2/2", found["head"]["id"], "0"]
    row = cluster.kubectl("get", "ckpt", shown).splitlines()[1].split()
    assert row[:6] == [shown, "seen", found["run"][-8:], "2", "a", "b"]
    assert checkpoint(installed, "seen", "a") in row

    # The status comes first, and then the Event that tells of it.
    until(lambda: {"Valid", "Completed"} <= reasons(installed, "seen"), "the Events are there", every=0.3)

    cluster.kubectl("annotate", f"ckpt/{shown}", f"{names.PIN_ANNOTATION}=true")
    until(lambda: pins(installed, found["run"]) == [2], "the pin is in the store", every=0.3)
    cluster.kubectl("annotate", f"ckpt/{shown}", f"{names.PIN_ANNOTATION}-")
    until(lambda: pins(installed, found["run"]) == [], "the pin is gone from the store", every=0.3)


def reasons(installed: Installation, name: str) -> set[str]:
    """The reasons of all Kubernetes Events about a Workflow."""
    told = installed.namespace.get("events")["items"]
    return {one["reason"] for one in told if one["involvedObject"]["name"] == name}


def pins(installed: Installation, run: str) -> list[int]:
    """Which checkpoints of a run the store keeps for ever."""
    found: list[int] = json.loads(installed.namespace.exec("witness", "python", "-c", PINS, run))
    return found


def plugin(installed: Installation, *arguments: str) -> str:
    """What `kubectl cairn ...` says, with the programs of this environment on the PATH."""
    namespace = installed.namespace
    folders = [Path(sys.executable).parent, namespace.provider.kubectl.parent]
    path = os.pathsep.join([*map(str, folders), os.environ["PATH"]])
    environ = {**namespace.environ(), "PATH": path}
    argv = ("cairn", *arguments, f"--namespace={namespace.namespace}")
    return output(str(namespace.provider.kubectl), *argv, environ=environ, timeout_seconds=90)


def test_the_plugin_of_kubectl_goes_back_as_a_patch_does(installed):
    """It waits for the operator and says which run it made; what is refused is told in the same words."""
    installed.apply(chain("told", "a", "b", "c"))
    installed.phase("told", "Succeeded")
    after_a = checkpoint(installed, "told", "a")

    resume = ("resume", "told", "--from", after_a, "--patch", '{"done": ["patched"]}', "--skip", "b")
    said = json.loads(plugin(installed, *resume, "--output=json"))
    with pytest.raises(CommandFailed) as unknown:
        plugin(installed, "resume", "told", "--from", NOT_THERE)
    with pytest.raises(CommandFailed) as nobody:
        plugin(installed, "resume", "nobody", "--from", "head")

    assert said["checkpoint"] == after_a
    installed.namespace.until(
        "workflows.cairn.dev/told",
        lambda seen: (status(seen)["run"], status(seen)["phase"]) == (said["run"], "Succeeded"),
    )
    assert installed.state(said["run"])["done"] == ["patched", "c#1"]
    assert (unknown.value.code, nobody.value.code) == (4, 4)
    assert f'there is no checkpoint "{NOT_THERE}"' in unknown.value.said
    assert '"nobody" not found' in nobody.value.said
