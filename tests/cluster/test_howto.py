"""The way of a new user: what the pages on installing type can be typed, from an empty cluster to the end.

These are the tests of an operator that watches all namespaces, with the rights of the examples, and of the
chart as it is where nobody says otherwise.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.cluster import installations
from tests.cluster.charts import RELEASE, Helm, with_chart_images
from tests.cluster.harness import tools
from tests.cluster.harness.cluster import Cluster
from tests.cluster.harness.commands import CommandFailed, output, until
from tests.cluster.harness.places import CHECKOUT, places
from tests.cluster.installations import with_images
from tests.cluster.pages import Reader, commands

KUBECTL = CHECKOUT / "docs" / "howto" / "run-on-kubernetes.md"
HELM = CHECKOUT / "docs" / "howto" / "install-with-helm.md"


@pytest.fixture
def clone(cluster: Cluster, images: None, tmp_path: Path) -> Iterator[Path]:
    """A clone's root with the images of the tests; afterwards nothing of what was applied is left."""
    with pytest.raises(CommandFailed, match="NotFound"):
        cluster.get("namespace/cairn-system")  # somebody's Cairn would be changed
    for folder in ("charts", "crds", "examples"):
        shutil.copytree(CHECKOUT / folder, tmp_path / folder)
    for file in (tmp_path / "examples" / "cluster").iterdir():
        file.write_text(with_images(file.read_text()))
    values = tmp_path / "charts" / "cairn" / "values.yaml"
    values.write_text(with_chart_images(values.read_text()))
    yield tmp_path
    folders = [("-k", "hello"), ("-k", "diamond"), ("-f", "cluster")]
    for flag, name in folders:
        argv = ("delete", flag, str(tmp_path / "examples" / name), "--ignore-not-found")
        output(str(cluster.provider.kubectl), *argv, environ=cluster.environ(), timeout_seconds=120)


def test_what_the_page_on_kubernetes_types_can_be_typed(cluster, clone):
    """Each command ends well, after those before it."""
    typed, reader = commands(KUBECTL), Reader(cluster, clone)
    first_log = typed.index("kubectl logs --selector cairn.dev/workflow=hello")
    said = reader.type(*typed[:first_log])
    # A run of an instant is over before the kubelet has told that its container began.
    ended = ("--selector=cairn.dev/workflow=hello", "--for=jsonpath={.status.phase}=Succeeded")
    cluster.kubectl("wait", "pod", *ended, "--timeout=60s")
    said |= reader.type(*typed[first_log:])

    assert re.search(r"hello +Succeeded +4/4 +[0-9a-f-]{36} +0 ", said["kubectl get workflows"])
    # The last ones are shown just after the status, which nobody who types looks at so soon.
    until(lambda: "greet" in cluster.kubectl("get", "checkpoints"), "every checkpoint is shown")
    assert "Hello, world!" in said["kubectl logs --selector cairn.dev/workflow=hello"]


@pytest.fixture
def newcomer(cluster: Cluster, clone: Path, defined: None) -> Iterator[Reader]:
    """Somebody with Helm, before a cluster that has never heard of the kinds."""
    helm = tools.built(places(), "helm4")
    cluster.kubectl("delete", *installations.KINDS)
    yield Reader(cluster, clone, programs=(helm,))
    Helm(helm, cluster.inside("cairn-system"))("uninstall", RELEASE, "--ignore-not-found")
    cluster.kubectl("delete", *installations.KINDS, "--ignore-not-found")
    installations.define(cluster)


def test_what_the_page_on_helm_types_can_be_typed(newcomer, postgres):
    """Tried, taken away, installed to stay, changed, rolled back, and taken away again."""
    (newcomer.folder / "url.txt").write_text(f"{postgres}?schema=page_on_helm\n")

    said = newcomer.type(*commands(HELM))

    tested = said["helm test cairn --namespace cairn-system --logs"]
    assert re.search(r"Phase: +Succeeded", tested)
    assert "OK: submitted, killed, resumed in epoch 2" in tested
