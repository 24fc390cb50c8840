"""The manifests that Cairn writes into a cluster, as they lie in `manifests/`; and what every one keeps to.

After a change that is meant, write them anew and look at what changed:
    python -m tests.unit.operator.resources.test_pods
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.operator.resources.api_server import refusals

from cairn_operator.resources.pods import Assignment, PodDefaults, runner_pod
from cairn_operator.resources.views import checkpoint_object, next_text, size_text
from cairn_runtime.model.workflow import Workflow
from cairn_runtime.store.base import GENESIS_HASH, Checkpoint

FOLDER = Path(__file__).parent / "manifests"
RENEW = "python -m tests.unit.operator.resources.test_pods"
UID = "6f1c9d0e-52a4-4b7e-9d6b-0c3a1f7e4d21"
RUN = "0a7b6c1e-9f3d-5c2b-8a41-77d0c2f4e9ab"
ASSIGNMENT = Assignment("team", "digest", UID, RUN, 3, "claim-of-epoch-3", 7)
DEFAULTS = PodDefaults("registry.example/cairn-runner:0.1.0")
EVERYTHING = {
    "image": "registry.example/digest:1.4",
    "store": "eu",
    "pod": {
        "resources": {"requests": {"cpu": "2"}, "limits": {"memory": "4Gi"}},
        "nodeSelector": {"disk": "ssd"},
        "tolerations": [{"key": "gpu", "operator": "Exists"}],
        "affinity": {"podAntiAffinity": {}},
        "env": [
            {"name": "TONE", "value": "dry"},
            {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "api", "key": "token"}}},
        ],
        "envFrom": [{"configMapRef": {"name": "settings"}}],
        "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}],
        "volumeMounts": [{"name": "data", "mountPath": "/data"}],
        "serviceAccountName": "digest",
        "imagePullSecrets": [{"name": "registry"}],
        "priorityClassName": "batch",
        "runAsUser": 10001,
        "fsGroup": 10002,
        "labels": {"team": "news", "cairn.dev/run": "not-this-one"},
        "annotations": {"example.com/note": "x"},
        "terminationGracePeriod": "90s",
    },
}


def manifest(**spec: Any) -> Workflow:
    """A Workflow of one step."""
    return Workflow.model_validate(
        {
            "apiVersion": "cairn.dev/v1alpha1",
            "kind": "Workflow",
            "metadata": {"name": "digest", "namespace": "team", "uid": UID},
            "spec": {"steps": [{"name": "a", "run": "true"}], **spec},
        }
    )


def row(**changes: Any) -> Checkpoint:
    """A header."""
    fields: dict[str, Any] = {
        "run_id": RUN,
        "seq": 7,
        "id": "019b8a3e-6d2f-7c41-9b0a-3f5e8d7c6b5a",
        "parent_hash": GENESIS_HASH,
        "hash": "ab" * 32,
        "epoch": 3,
        "write_id": "w",
        "kind": "delta",
        "step": "fetch",
        "visit": 1,
        "item": None,
        "next": ("draft", "count"),
        "metadata": {"secret": "never shown"},
        "created_at": datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
        "format_version": 1,
        "graph_hash": "g",
        "digest": "d",
        "size": 1234,
        "payload": None,
    }
    return Checkpoint(**{**fields, **changes})


def shown(*, pinned: bool = False, **changes: Any) -> dict[str, Any]:
    """The object of a checkpoint."""
    return checkpoint_object(row(**changes), "team", "digest", UID, pinned=pinned)


def pod(**spec: Any) -> dict[str, Any]:
    """The runner's pod of a Workflow."""
    return runner_pod(manifest(**spec), ASSIGNMENT, DEFAULTS)


def built() -> dict[str, dict[str, Any]]:
    """Every manifest by the name of its file."""
    pulled = PodDefaults("registry.example/cairn-runner:0.1.0", "Never", {"limits": {"memory": "1Gi"}})
    locked = PodDefaults("registry.example/cairn-runner:0.1.0", keys_secret="cairn-keys")
    many = tuple(f"step-{n}" for n in range(30))
    return {
        "pod-of-a-plain-workflow": pod(),
        "pod-with-everything-set": pod(**EVERYTHING),
        "pod-by-the-installations-defaults": runner_pod(manifest(), ASSIGNMENT, pulled),
        "pod-with-keys": runner_pod(manifest(), ASSIGNMENT, locked),
        "checkpoint": shown(),
        "checkpoint-pinned": shown(pinned=True),
        "checkpoint-of-a-forks-beginning": shown(seq=1, step="", metadata={"origin": "cp-2"}),
        "checkpoint-of-an-item": shown(step="fetch", item=41, kind="snapshot", next=("fetch",), size=5),
        "checkpoint-with-much-to-do": shown(next=(*many, *many), size=3 * 1024**3),
    }


def file_of(name: str) -> Path:
    """Where a manifest lies."""
    return FOLDER / f"{name}.yaml"


def written(document: dict[str, Any]) -> str:
    """A manifest as a file."""
    return yaml.safe_dump(document, sort_keys=False, allow_unicode=True)


@pytest.mark.parametrize("name", built())
def test_the_files_are_what_the_code_builds(name):
    """Whoever changes a builder looks at what becomes of the manifests."""
    path = file_of(name)
    lies = path.read_text() if path.exists() else "nothing"

    assert lies == written(built()[name]), f"{path.name} differs; renew it with: {RENEW}"


def test_no_file_is_left_over():
    """Each is built by something."""
    assert sorted(path.stem for path in FOLDER.glob("*.yaml")) == sorted(built())


@pytest.mark.parametrize("name", [name for name in built() if name.startswith("checkpoint")])
def test_the_server_takes_the_checkpoint_objects(name):
    """By the definition's own schema and rules."""
    assert refusals(built()[name]) == []


# -- what every pod keeps to ----------------------------------------------


@pytest.mark.parametrize("spec", [{}, EVERYTHING], ids=["a plain Workflow", "everything set"])
def test_a_pod_passes_the_restricted_standard(spec):
    """No root, no privileges, no token, a read-only root with one place to write."""
    made = pod(**spec)["spec"]
    (container,) = made["containers"]

    assert made["securityContext"]["runAsNonRoot"] is True
    assert made["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert made["automountServiceAccountToken"] is False
    assert made["restartPolicy"] == "Never"
    assert {"name": "cairn-tmp", "mountPath": "/tmp"} in container["volumeMounts"]  # noqa: S108 - in the pod
    assert not {"hostNetwork", "hostPID", "hostIPC"} & made.keys()


def test_cairns_own_names_win():
    """Labels by which pods are found, and variables by which a runner knows its claim."""
    env = [{"name": "CAIRN_EPOCH", "value": "99"}, {"name": "CAIRN_STORE_URL", "value": "memory:"}]
    made = pod(pod={"labels": {"cairn.dev/run": "x", "cairn.dev/epoch": "9"}, "env": env})

    assert made["metadata"]["labels"]["cairn.dev/run"] == RUN
    assert made["metadata"]["labels"]["cairn.dev/epoch"] == "3"
    last = {item["name"]: item for item in made["spec"]["containers"][0]["env"]}
    assert last["CAIRN_EPOCH"]["value"] == "3"
    assert last["CAIRN_CLAIM"]["value"] == "claim-of-epoch-3"
    assert "value" not in last["CAIRN_STORE_URL"]


def test_the_stores_url_stands_in_no_manifest():
    """It comes from a Secret of the Workflow's own namespace, named after the store."""
    made = {item["name"]: item for item in pod(store="eu")["spec"]["containers"][0]["env"]}

    assert made["CAIRN_STORE_URL"]["valueFrom"] == {"secretKeyRef": {"name": "cairn-store-eu", "key": "url"}}


def test_the_keys_come_as_a_file_and_in_no_variable():
    """A mounted Secret is exchanged under a pod that runs; the Workflow's own variable loses."""
    locked = PodDefaults("runner:1", keys_secret="cairn-keys")
    env = {"env": [{"name": "CAIRN_KEYS_FILE", "value": "/elsewhere"}]}
    whole: dict[str, Any] = runner_pod(manifest(pod=env), ASSIGNMENT, locked)
    made = whole["spec"]
    (container,) = made["containers"]

    assert container["env"][-1] == {"name": "CAIRN_KEYS_FILE", "value": "/etc/cairn/keys/keys"}
    assert [one for one in made["volumes"] if "secret" in one] == [
        {
            "name": "cairn-keys",
            "secret": {"secretName": "cairn-keys", "items": [{"key": "keys", "path": "keys"}]},
        }
    ]
    mount = next(one for one in container["volumeMounts"] if one["name"] == "cairn-keys")
    assert mount == {"name": "cairn-keys", "mountPath": "/etc/cairn/keys", "readOnly": True}
    assert "cairn-keys" not in str(pod())


@pytest.mark.parametrize(
    ("period", "kubelet", "tasks"),
    [("30s", 30, "25s"), ("90s", 90, "85s"), ("3s", 3, "0s"), ("0s", 0, "0s"), ("1500ms", 2, "0s")],
)
def test_tasks_leave_some_of_the_grace_period(period, kubelet, tasks):
    """For the last commit and the last word."""
    made = pod(pod={"terminationGracePeriod": period})["spec"]

    assert made["terminationGracePeriodSeconds"] == kubelet
    env = {item["name"]: item.get("value") for item in made["containers"][0]["env"]}
    assert env["CAIRN_GRACE"] == tasks


def test_what_may_change_under_way_is_told_as_it_is_now():
    """The row has it as it was when the run was made; what a run is made of is in the row alone."""
    changeable = {"timeout": "5m", "retry": {"limit": 1}, "checkpoint": {"metadata": {"for": "$(HOME)"}}}
    made = pod(**changeable, input={"tone": "dry"})

    env = {item["name"]: item.get("value") for item in made["spec"]["containers"][0]["env"]}
    assert json.loads(env["CAIRN_SPEC"]) == changeable
    assert "$" not in env["CAIRN_SPEC"]


def test_a_pod_goes_with_its_workflow_and_holds_nothing_up():
    """Garbage collection takes it; deleting the Workflow waits for nobody."""
    (owner,) = pod()["metadata"]["ownerReferences"]

    assert (owner["kind"], owner["name"], owner["uid"], owner["controller"]) == (
        "Workflow",
        "digest",
        UID,
        True,
    )
    assert "blockOwnerDeletion" not in owner


@given(st.text("abcdefghijklmnopqrstuvwxyz-", min_size=1, max_size=45), st.integers(1, 10**8 - 1))
def test_a_pods_name_is_short_enough_to_be_its_hosts(workflow, epoch):
    """63 characters, for every epoch that a run will ever see."""
    name = Assignment("team", workflow, UID, RUN, epoch, "c", 1).pod_name

    assert name == f"{workflow}-c2f4e9ab-{epoch}"
    assert len(name) <= 63


# -- texts ----------------------------------------------


@pytest.mark.parametrize(
    ("names", "text"),
    [
        ([], ""),
        (["a"], "a"),
        (["a", "b", "c"], "a, b, c"),
        (["a", "b", "c", "d"], "a, b, c +1"),
        (["x" * 45] * 400, ", ".join(["x" * 45] * 3) + " +397"),
    ],
    ids=["none", "one", "three", "four", "hundreds"],
)
def test_steps_as_one_text(names, text):
    """The first three, and how many more."""
    assert next_text(names) == text
    assert len(text) <= 253


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (1_300_000, "1.2 MiB"),
        (3 * 1024**3, "3.0 GiB"),
        (5 * 1024**4, "5120.0 GiB"),
    ],
)
def test_sizes_for_people(size, text):
    """In the unit that keeps the number small."""
    assert size_text(size) == text


def main() -> None:
    """Write the files anew."""
    FOLDER.mkdir(exist_ok=True)
    for path in FOLDER.glob("*.yaml"):
        path.unlink()
    for name, document in built().items():
        file_of(name).write_text(written(document))


if __name__ == "__main__":
    main()
