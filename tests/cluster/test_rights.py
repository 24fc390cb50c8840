"""The operator has each right that it needs, and no other.

It starts without any and is given each one when it was refused for the lack of it, while Workflows go through
everything that it can do to them.
"""

from __future__ import annotations

import json

import pytest
import yaml
from tests.cluster.harness.cluster import Cluster
from tests.cluster.harness.commands import until
from tests.cluster.installations import (
    IMAGE,
    OPERATOR,
    START_SECONDS,
    Installation,
    manifests,
    operator_manifests,
    secret,
    status,
    witness_manifests,
)
from tests.cluster.rights import granted_when_missed, rights_in
from tests.cluster.workflows import STEPS, chain, told

from cairn_operator.names import PIN_ANNOTATION, PINNED_ANNOTATION

SETTINGS = {"CAIRN_FINISHED_PODS": "0", "CAIRN_LIST_EVERY": "5s"}


@pytest.fixture
def bare(namespace: Cluster, images: None, defined: None, store_url: str) -> Installation:
    """An installation whose operator runs without any right, and so does not come on duty."""
    namespace.apply(json.dumps(secret(store_url)))
    namespace.apply(witness_manifests())
    documents = operator_manifests(namespace.namespace, SETTINGS)
    namespace.apply(yaml.safe_dump_all(one for one in documents if "Role" not in one["kind"]))
    namespace.wait("pod/witness", "condition=Ready", seconds=START_SECONDS)
    installed = Installation(namespace, SETTINGS)
    until(installed.operators, "the operator has a pod")
    (pod,) = installed.operators()
    namespace.wait(f"pod/{pod}", "jsonpath={.status.phase}=Running", seconds=START_SECONDS)
    return installed


def live(installed: Installation) -> None:
    """Let Workflows go through all that an operator does to objects."""
    installed.hold("b#1", "c#1")
    installed.namespace.apply(
        json.dumps(
            {
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": {"name": "code"},
                "data": {"steps.py": STEPS},
            }
        )
    )
    document = chain("life", "a", "b", "c", checkpoint={"history": {"keepLast": 2}})
    document["spec"]["codeFrom"] = {"configMap": "code"}
    del document["spec"]["code"]
    installed.apply(document)
    installed.begun("b#1", seconds=120)
    meet_a_stranger(installed)
    pin(installed)
    installed.release("b#1")
    installed.begun("c#1", seconds=60)
    # Two are kept: the oldest view goes before the Workflow takes all of them with it.
    installed.namespace.wait(first(installed), "delete", seconds=90)
    fork(installed)
    installed.release()
    installed.phase("life", "Succeeded")
    expire(installed)


def meet_a_stranger(installed: Installation) -> None:
    """Kill the runner, whose successor finds its name taken; `pods` are read one by one only then."""
    (runner,) = installed.runners("life")
    before, _, epoch = runner["metadata"]["name"].rpartition("-")
    name = f"{before}-{int(epoch) + 1}"
    container = {"name": "stranger", "image": IMAGE, "command": ["true"]}
    spec = {"containers": [container], "restartPolicy": "Never"}
    installed.apply({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec})
    installed.namespace.kill(runner["metadata"]["name"])
    installed.begun("b#1", times=2, seconds=120)


def pin(installed: Installation) -> None:
    """Pin the first checkpoint that is shown, and wait until the operator has noted it."""
    installed.namespace.until(first(installed), bool)
    installed.namespace.kubectl("annotate", first(installed), f"{PIN_ANNOTATION}=true")
    installed.namespace.until(
        first(installed),
        lambda found: found["metadata"]["annotations"].get(PINNED_ANNOTATION) == "true",
        seconds=90,
    )
    installed.namespace.kubectl("annotate", first(installed), f"{PIN_ANNOTATION}-")


def first(installed: Installation) -> str:
    """The object that shows the first checkpoint of the run."""
    return f"checkpoints.cairn.dev/life-{status(installed.workflow('life'))['run'][-8:]}-1"


def fork(installed: Installation) -> None:
    """Go back to a checkpoint by the name of its object."""
    found = installed.namespace.get("checkpoints.cairn.dev")["items"]
    installed.resume("life", max(one["metadata"]["name"] for one in found), "1")
    installed.namespace.wait("workflows.cairn.dev/life", "jsonpath={.status.lastResume.nonce}=1", seconds=90)


def expire(installed: Installation) -> None:
    """Let the finished pods go, and then the Workflow."""
    installed.namespace.kubectl(
        "wait",
        "pod",
        "--selector=cairn.dev/workflow=life",
        "--for=delete",
        "--timeout=90s",
        timeout_seconds=100,
    )
    assert installed.state("life")["done"] == told("a", "b", "c")
    installed.patch("life", {"ttlAfterFinished": "1s"})
    installed.namespace.wait("workflows.cairn.dev/life", "delete", seconds=90)


def test_each_right_of_the_operator_is_needed_and_none_is_lacking(bare):
    """Whatever it is not given something does not happen without; with the others alone everything does."""
    documents = manifests("operator.yaml")
    granted = rights_in(one for one in documents if one["kind"] in ("Role", "ClusterRole"))

    (pod,) = bare.operators()

    with granted_when_missed(bare.namespace, OPERATOR, pod) as needed:
        live(bare)

    assert needed == granted
    assert bare.repeated() == []
