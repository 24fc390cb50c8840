"""A cluster that somebody else has made: it is used as it is, and never started or ended from here."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

from tests.cluster.harness import binaries, docker, images
from tests.cluster.harness.commands import ClusterError, output
from tests.cluster.harness.images import Recipe
from tests.cluster.harness.places import Places

LOAD = "CAIRN_TEST_LOAD_IMAGE"
NODE = "CAIRN_TEST_ON_NODE"


class NotGiven(ClusterError):
    """A test needs something of the cluster that a kubeconfig does not give; the text says how to give it."""


class Given:
    """The cluster of a kubeconfig."""

    name = "given"

    def __init__(self, places: Places, kubeconfig: Path) -> None:
        self._places = places
        self.kubeconfig = kubeconfig

    @property
    def kubectl(self) -> Path:
        """The kubectl to use with it."""
        return binaries.kubectl(self._places)

    def running(self) -> bool:
        """Somebody else sees to that; if it does not, the first command says so better."""
        return True

    def up(self) -> None:
        """See that it answers."""
        environ = {**os.environ, "KUBECONFIG": str(self.kubeconfig)}  # may be a list of files
        output(str(self.kubectl), "get", "--raw=/readyz", environ=environ)

    def down(self) -> None:
        """Leave it as it is."""

    def on_node(self, *argv: str) -> str:
        """Run a program as root on the node, by a command that the environment gives.

        Raises:
            NotGiven: it gives none.
        """
        return output(*self._command(NODE, "docker exec NODE"), *argv)

    def load(self, archive: Path) -> None:
        """Give an image to the nodes, by a command that the environment gives.

        Raises:
            NotGiven: it gives none.
        """
        output(*self._command(LOAD, "kind load image-archive"), str(archive), timeout_seconds=600)

    def build(self, recipe: Recipe) -> Path:
        """Build an image by what this machine has; answer its archive."""
        builder = docker.build if docker.engine_answers() else images.build
        return builder(self._places, recipe)

    def logs(self, folder: Path) -> None:
        """Whoever made the cluster has its logs."""

    def _command(self, variable: str, example: str) -> list[str]:
        command = os.environ.get(variable)
        if not command:
            raise NotGiven(
                f"{self.kubeconfig} is a cluster of your own: set {variable}, for example to: {example}"
            )
        return shlex.split(command)
