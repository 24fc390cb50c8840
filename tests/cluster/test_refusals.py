"""What the cluster refuses is told in its own words, touches nothing else, and goes on once it is mended.

Nothing here counts as a crash.  Where an image cannot run the Workflow at all, the run fails at once and says
what to do; a resume by patch brings the image that can.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.cluster.harness.cluster import Cluster
from tests.cluster.harness.images import BASE
from tests.cluster.installations import IMAGE, STORE_SECRET, Installation, secret, status
from tests.cluster.workflows import chain, told

OLDER = "localhost/cairn-older:test"
MISSING = "localhost/nowhere:1"
OLDER_FILE = """
ARG BASE
FROM ${BASE}
USER 0
WORKDIR /opt/cairn/lib
RUN sed -i 's/^SPEC_VERSION = .*/SPEC_VERSION = 0/' python3*/site-packages/cairn_runtime/runner/session.py
WORKDIR /tmp
USER 65532:65532
"""
NOT_PULLED = {"ErrImagePull", "ImagePullBackOff"}


@pytest.fixture
def older(cluster: Cluster, images: None, tmp_path: Path) -> str:
    """An image whose runner reads only specs of a version before those of today."""
    (tmp_path / "Dockerfile").write_text(OLDER_FILE)
    return cluster.build_image(OLDER, tmp_path / "Dockerfile", context=tmp_path, base=IMAGE)


def degraded(installed: Installation, name: str, *reasons: str) -> str:
    """Wait until a Workflow is Degraded for one of these reasons; answer the words."""
    seen = installed.namespace.until(f"workflows.cairn.dev/{name}", lambda found: reason_of(found) in reasons)
    words: str = next(one["message"] for one in status(seen)["conditions"] if one["type"] == "Degraded")
    return words


def reason_of(found):
    """Why a Workflow is Degraded; where it is not, the word for that."""
    conditions = status(found).get("conditions", [])
    return next((one["reason"] for one in conditions if one["type"] == "Degraded"), "")


def require_healthy_end(installed: Installation, *names: str) -> None:
    """They succeeded, nothing counted as a crash, and what was wrong is not told any more."""
    for name in names:
        found = installed.namespace.until(
            f"workflows.cairn.dev/{name}",
            lambda seen: status(seen).get("phase") == "Succeeded" and reason_of(seen) == "Healthy",
        )
        assert status(found)["restarts"] == 0


def mended(installed: Installation, name: str, image: str) -> None:
    """Give a Workflow another image, which takes a new nonce, as the definition's rule says."""
    installed.patch(name, {"image": image, "resume": {"checkpoint": "start", "nonce": "mended"}})


def test_what_keeps_a_pod_from_starting_is_told_in_the_clusters_words(installed, store_url):
    """No image, one that would be root, no node, no Secret for the store: told, and mended by a patch."""
    installed.apply(chain("pulled", "a", image=MISSING))
    installed.apply(chain("root", "r", image=BASE))
    installed.apply(chain("placed", "p", pod={"nodeSelector": {"disk": "of-gold"}}))
    words = degraded(installed, "pulled", *NOT_PULLED)
    root = degraded(installed, "root", "CreateContainerConfigError")
    nowhere = degraded(installed, "placed", "Unschedulable")
    installed.namespace.delete(f"secret/{STORE_SECRET}")
    installed.apply(chain("keyless", "b"))
    missing = degraded(installed, "keyless", "CreateContainerConfigError")

    installed.apply(secret(store_url))
    mended(installed, "pulled", IMAGE)
    mended(installed, "root", IMAGE)
    installed.patch("placed", {"pod": {"nodeSelector": None}})

    require_healthy_end(installed, "pulled", "root", "placed", "keyless")
    assert MISSING in words
    assert "container has runAsNonRoot and image will run as root" in root
    assert "didn't match Pod's node affinity/selector" in nowhere
    assert missing == f'secret "{STORE_SECRET}" not found'
    assert status(installed.workflow("keyless"))["epoch"] == 1


def test_a_store_of_other_namespaces_gets_no_row(installed, store_url):
    """Whoever may create a Workflow here is told so; once this namespace is allowed it runs."""

    def allow(namespaces):
        installed.scale(0)
        kept = secret(store_url)
        kept["stringData"]["namespaces"] = namespaces
        installed.apply(kept)
        installed.scale(1)

    allow("elsewhere")
    installed.apply(chain("stranger", "a"))
    words = degraded(installed, "stranger", "StoreForbidden")
    rows = installed.cairn("runs")
    allow(f"elsewhere {installed.namespace.namespace}")

    require_healthy_end(installed, "stranger")
    assert words == 'spec.store: store "default" is not for this namespace; there is none'
    assert rows == []


def test_an_image_that_cannot_run_it_fails_the_run_and_says_what_to_do(installed, older):
    """No Cairn in it, or an older one: no restart would help, none is tried; a resume brings another."""
    installed.apply(chain("bare", "a", image=BASE, pod={"runAsUser": 65532}))
    installed.apply(chain("older", "b", image=older))

    bare = installed.condition("bare", "Failed", "RunnerMissing")
    old = installed.condition("older", "Failed", "RunnerTooOld")
    counts = {name: status(installed.workflow(name)) for name in ("bare", "older")}
    mended(installed, "bare", IMAGE)
    mended(installed, "older", IMAGE)

    require_healthy_end(installed, "bare", "older")
    assert "RUN pip install 'cairn-workflows[postgres,redis]'" in bare["message"]
    assert "has a spec of version 1; this release reads up to 0" in old["message"]
    assert {name: (one["restarts"], len(installed.runners(name))) for name, one in counts.items()} == {
        "bare": (0, 2),
        "older": (0, 2),
    }


def test_a_pod_that_is_not_admitted_is_told_and_made_once_it_may_be(installed):
    """A quota: the API server's words are told, nobody has crashed, and it goes on when it is lifted."""
    quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "none"}}
    installed.apply(quota | {"spec": {"hard": {"pods": "0"}}})
    installed.namespace.until("resourcequotas/none", lambda found: "used" in status(found))
    installed.apply(chain("many", "a"))

    words = degraded(installed, "many", "Forbidden")
    pods = installed.runners("many")
    installed.namespace.delete("resourcequota/none")

    require_healthy_end(installed, "many")
    assert pods == []
    assert "is forbidden: exceeded quota: none, requested: pods=1" in words
    assert "limited: pods=0" in words


def test_a_strangers_pod_of_the_same_name_is_left_alone(installed):
    """Even one that wears our labels: that the name is taken is told, and the next attempt has another."""
    installed.hold("b#1")
    installed.apply(chain("mine", "a", "b"))
    installed.begun("b#1")
    (runner,) = installed.runners("mine")
    name = runner["metadata"]["name"].removesuffix("-1") + "-2"
    labels = runner["metadata"]["labels"] | {"cairn.dev/epoch": "2"}
    container = {"name": "runner", "image": IMAGE, "command": ["sleep", "600"]}
    spec = {"containers": [container], "terminationGracePeriodSeconds": 0}
    metadata = {"name": name, "labels": labels}
    installed.apply({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})
    installed.namespace.wait(f"pod/{name}", "condition=Ready")
    before = installed.namespace.get(f"pod/{name}")

    installed.namespace.kill(runner["metadata"]["name"])
    words = degraded(installed, "mine", "NameTaken")
    installed.release()

    found = status(installed.phase("mine", "Succeeded"))
    after = installed.namespace.get(f"pod/{name}")
    assert words == f"a pod named {name} is there already and is not this run's"
    assert (found["epoch"], found["restarts"]) == (3, 1)
    assert reason_of(installed.workflow("mine")) == "Healthy"
    assert (after["metadata"]["uid"], after["spec"]) == (before["metadata"]["uid"], before["spec"])
    assert installed.state("mine")["done"] == told("a", "b")


def test_a_pod_that_does_not_go_is_not_waited_for(installed):
    """It never began, and a finalizer of somebody hangs: half a minute later the next one is made."""
    installed.apply(chain("held", "h", pod={"nodeSelector": {"disk": "of-gold"}}))
    degraded(installed, "held", "Unschedulable")
    (pod,) = installed.runners("held")
    name = f"pod/{pod['metadata']['name']}"
    finalizers = '{{"metadata": {{"finalizers": {}}}}}'
    patched = ("patch", name, "--type=merge", "--patch")
    installed.namespace.kubectl(*patched, finalizers.format('["example.com/hangs"]'))
    try:
        installed.patch("held", {"pod": {"nodeSelector": None}})
        found = status(installed.phase("held", "Succeeded", seconds=120))
        left = installed.namespace.get(name)
    finally:
        installed.namespace.kubectl(*patched, finalizers.format("null"))

    assert left["metadata"]["deletionTimestamp"]
    assert (found["epoch"], found["restarts"]) == (2, 0)
