"""Which cluster is used: a given one, else kind, else the local one.

`chosen` is for whoever starts a cluster, `present` for whoever wants the one that is there.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Protocol

from tests.cluster.harness import docker
from tests.cluster.harness.commands import ClusterError
from tests.cluster.harness.given import Given
from tests.cluster.harness.images import Recipe
from tests.cluster.harness.kind import Kind
from tests.cluster.harness.local import Local
from tests.cluster.harness.places import Places

GIVEN = ("CAIRN_TEST_KUBECONFIG", "KUBECONFIG")
"""The variables that give a cluster, the stronger one first."""


class Provider(Protocol):
    """What the three clusters have in common."""

    @property
    def name(self) -> str:
        """given, kind, local."""

    @property
    def kubeconfig(self) -> Path:
        """How to reach it as its administrator."""

    @property
    def kubectl(self) -> Path:
        """The kubectl to use with it."""

    def running(self) -> bool:
        """Whether it is there."""

    def up(self) -> None:
        """See that it is there."""

    def down(self) -> None:
        """End it, if it was started by this harness."""

    def on_node(self, *argv: str) -> str:
        """Run a program as root on the node; answer what it printed."""

    def load(self, archive: Path) -> None:
        """Give an image to the node."""

    def build(self, recipe: Recipe) -> Path:
        """Build an image; answer its archive."""

    def logs(self, folder: Path) -> None:
        """Copy the logs of the cluster's own programs into a folder."""


class NoCluster(ClusterError):
    """No cluster is there: start one by `make cluster-up`, or run the tests by `make test-cluster`."""


def chosen(places: Places) -> Provider:
    """The cluster to use, whether it is there yet or not."""
    given = _given(places)
    if given is not None:
        return given
    started = _started(places)
    if started is not None:
        return started
    return Kind(places) if docker.engine_answers() else Local(places)


def present(places: Places) -> Provider:
    """The cluster that is there.

    Raises:
        NoCluster: none is.
    """
    found = _given(places) or _started(places)
    if found is None or not found.running():
        raise NoCluster(NoCluster.__doc__)
    return found


def _given(places: Places) -> Provider | None:
    """The cluster that the environment gives; the one we started ourselves is not a given one."""
    for variable in GIVEN:
        path = os.environ.get(variable)
        if path and Path(path).absolute() != places.kubeconfig.absolute():
            return Given(places, Path(path))
    return None


def _started(places: Places) -> Provider | None:
    """The cluster that this harness has started, also one that was cut off in the middle of it."""
    if places.journal.exists():
        return Local(places)
    return Kind(places) if places.kubeconfig.exists() else None
