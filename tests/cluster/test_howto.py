"""The way of a new user: what the page on Kubernetes types can be typed, from an empty cluster to the end.

This is the one test of an operator that watches all namespaces, with the rights of the examples.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.cluster.harness.cluster import Cluster
from tests.cluster.harness.commands import CommandFailed, output
from tests.cluster.harness.places import CHECKOUT
from tests.cluster.installations import with_images

PAGE = CHECKOUT / "docs" / "howto" / "run-on-kubernetes.md"
LINE_SECONDS = 150


@pytest.fixture
def clone(cluster: Cluster, images: None, tmp_path: Path) -> Iterator[Path]:
    """A clone's root with the images of the tests; afterwards nothing of what was applied is left."""
    with pytest.raises(CommandFailed, match="NotFound"):
        cluster.get("namespace/cairn-system")  # somebody's Cairn would be changed
    for folder in ("crds", "examples"):
        shutil.copytree(CHECKOUT / folder, tmp_path / folder)
    for file in (tmp_path / "examples" / "cluster").iterdir():
        file.write_text(with_images(file.read_text()))
    yield tmp_path
    folders = [("-k", "hello"), ("-k", "diamond"), ("-f", "cluster")]
    for flag, name in folders:
        argv = ("delete", flag, str(tmp_path / "examples" / name), "--ignore-not-found")
        output(str(cluster.provider.kubectl), *argv, environ=cluster.environ(), timeout_seconds=120)


def typed() -> list[str]:
    """The commands of the page's console blocks, in their order."""
    blocks = re.findall(r"^```console\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    return [line[2:] for block in blocks for line in block.splitlines() if line.startswith("$ ")]


def test_what_the_page_types_can_be_typed(cluster, clone):
    """Each command ends well, after those before it."""
    environ = {
        **cluster.environ(),
        "PATH": f"{cluster.provider.kubectl.parent}{os.pathsep}{os.environ['PATH']}",
    }
    said = {
        line: output("/bin/sh", "-c", line, environ=environ, folder=clone, timeout_seconds=LINE_SECONDS)
        for line in typed()
    }

    assert re.search(r"hello +Succeeded +4/4 +[0-9a-f-]{36} +0 ", said["kubectl get workflows"])
    assert "greet" in said["kubectl get checkpoints"]
    assert "Hello, world!" in said["kubectl logs --selector cairn.dev/workflow=hello"]
