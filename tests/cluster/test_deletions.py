"""Deleting Workflows: there are no finalizers, so nothing ever waits for an operator to be deleted.

What belongs to the object in the cluster goes with it at once. Its rows go by the sweep if its
`deletionPolicy` says so, else they stay for good, and no later namesake touches them.
"""

from __future__ import annotations

import json

import yaml
from tests.cluster.harness.cluster import Cluster
from tests.cluster.harness.commands import until
from tests.cluster.installations import Installation, operator_manifests, secret, status
from tests.cluster.workflows import chain, step, told, workflow

SWEEPS = {"CAIRN_SWEEP_EVERY": "1s", "CAIRN_SWEEP_APART": "1s"}
SHORT = {"terminationGracePeriod": "1s"}


def restart(installed: Installation, **environ: str) -> None:
    """Start the operator with other settings; the one before is gone."""
    installed.scale(0)
    installed.start(**environ)


def phases(installed: Installation) -> dict[str, list[str]]:
    """Phases of the runs in the store, by Workflow."""
    found: dict[str, list[str]] = {}
    for run in installed.cairn("runs"):
        found.setdefault(run["workflow"].rpartition("/")[2], []).append(run["phase"])
    return found


def said(installed: Installation, text: str) -> bool:
    """Whether the operator has logged something."""
    return any(text in installed.namespace.logs(pod) for pod in installed.operators())


def test_rows_go_with_their_workflow_only_where_its_policy_says_so(installed):
    """Of those that ended, were forked, or were under way; a sweep that would take many waits first."""
    restart(installed, **SWEEPS)
    delete = {"deletionPolicy": "Delete", "pod": SHORT}
    installed.hold("busy#1")
    installed.apply(chain("gone", "a", **delete))
    installed.apply(workflow("gone-busy", step("busy"), **delete))
    installed.apply(chain("changed", "b", pod=SHORT))
    installed.apply(chain("kept", "c", pod=SHORT))
    installed.apply(chain("there", "d", **delete))
    installed.begun("busy#1")
    for name in ("gone", "changed", "kept", "there"):
        installed.phase(name, "Succeeded")
    installed.resume("gone", "start", "1")
    installed.begun("a#1", times=2)
    installed.patch("changed", {"deletionPolicy": "Delete"})
    installed.phase("gone", "Succeeded")
    installed.namespace.until(
        "workflows.cairn.dev/changed",
        lambda seen: status(seen)["observedGeneration"] == seen["metadata"]["generation"],
    )

    installed.namespace.kubectl("delete", "cwf", "gone", "gone-busy", "changed", "kept")

    until(lambda: said(installed, "3 of 4 Workflows look deleted at once"), "the sweep is refused", every=0.5)
    assert {"gone", "gone-busy", "changed"} < set(phases(installed))
    restart(installed, **SWEEPS, CAIRN_SWEEP_PATIENCE="1s")
    until(
        lambda: phases(installed) == {"kept": ["Succeeded"], "there": ["Succeeded"]},
        "the rows of the three are gone",
        every=0.5,
    )
    for name in ("gone", "gone-busy", "changed", "kept"):
        installed.namespace.kubectl(
            "wait", "pod,ckpt", f"--selector=cairn.dev/workflow={name}", "--for=delete", "--timeout=30s"
        )


def test_a_namesake_of_a_deleted_workflow_is_another_workflow(installed):
    """It has a run of its own from the beginning, even while the pod of the first one still ends."""
    installed.hold("b#1")
    installed.apply(chain("again", "a", "b"))
    installed.begun("b#1")
    installed.phase("again", "Running")
    old = status(installed.workflow("again"))["run"]
    pod = installed.runner("again")

    installed.namespace.kubectl("delete", "cwf", "again")
    installed.apply(chain("again", "a", "b"))
    installed.begun("b#1", times=2)
    before = installed.checkpoints(old)
    installed.release()

    found = status(installed.phase("again", "Succeeded"))
    assert found["run"] != old
    assert (found["epoch"], installed.state(found["run"])["done"]) == (1, told("a", "b"))
    installed.namespace.wait(f"pod/{pod}", "delete")
    assert installed.checkpoints(old)[-len(before) :] == before
    installed.cairn("verify", old)


# -- a whole namespace --------------------------------------------------------------------------------------


def rights_in(installed: Installation, other: Cluster, store_url: str) -> None:
    """Let the operator of one namespace look after another one too."""
    home = installed.namespace.namespace
    found = [one for one in operator_manifests(home, {}) if one["kind"] in ("Role", "RoleBinding")]
    for document in found:
        document["metadata"]["namespace"] = other.namespace
    other.apply(yaml.safe_dump_all(found))
    other.apply(json.dumps(secret(store_url)))
    restart(installed, CAIRN_NAMESPACES=f"{home},{other.namespace}")


def test_a_namespace_is_deleted_with_all_that_is_under_way_in_it(installed, cluster, store_url):
    """Nothing holds it up, and the operator goes on with the others."""
    with cluster.new_namespace() as other:
        rights_in(installed, other, store_url)
        inside = Installation(other)
        inside.apply(workflow("busy", {"name": "sleep", "run": "sleep 600"}, pod=SHORT))
        inside.apply(workflow("parked", {"name": "sign", "approval": {"message": "Go?"}}))
        inside.apply(workflow("stuck", {"name": "never", "run": "true"}, image="localhost/none:never"))
        inside.phase("busy", "Running")
        inside.phase("parked", "Waiting")
        inside.runners("stuck")

        other.kubectl("delete", "namespace", other.namespace, "--timeout=150s", timeout_seconds=160)

        installed.apply(chain("elsewhere", "a"))
        installed.phase("elsewhere", "Succeeded")
        (pod,) = installed.operators()
        containers = status(installed.namespace.get(f"pod/{pod}"))["containerStatuses"]
        assert [one["restartCount"] for one in containers] == [0]
