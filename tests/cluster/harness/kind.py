"""A cluster by kind: Kubernetes in a container of the Docker engine that is here."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.cluster.harness import binaries, docker, tools
from tests.cluster.harness.commands import ClusterError, CommandFailed, output, say, watched
from tests.cluster.harness.images import Recipe
from tests.cluster.harness.places import Places

NAME = "cairn"
NODE = f"{NAME}-control-plane"


class KindMissing(ClusterError):
    """There is a Docker engine, but neither kind nor Go to build it with."""


def program(places: Places) -> Path | None:
    """kind: the one on PATH, else built where there is Go."""
    on_path = shutil.which("kind")
    if on_path:
        return Path(on_path)
    try:
        return tools.built(places, "kind")
    except binaries.GoMissing:
        return None


class Kind:
    """The cluster that kind makes for this harness; others that kind has made are not touched."""

    name = "kind"

    def __init__(self, places: Places) -> None:
        self._places = places

    @property
    def kubeconfig(self) -> Path:
        """How to reach it."""
        return self._places.kubeconfig

    @property
    def kubectl(self) -> Path:
        """The kubectl to use with it."""
        return binaries.kubectl(self._places)

    def running(self) -> bool:
        """Whether kind knows it and we know how to reach it."""
        found = program(self._places)
        return (
            found is not None
            and self.kubeconfig.exists()
            and NAME in output(str(found), "get", "clusters").split()
        )

    def up(self) -> None:
        """Make it; does nothing if it runs.

        Raises:
            KindMissing: there is no kind and no way to build it.
        """
        with self._places.locked(self._places.state, "starting or ending the cluster"):
            if self.running():
                return
            say("making a cluster with kind (a minute, and another to load its image for the first time)")
            self._places.state.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.kubeconfig.touch(mode=0o600)
            make = [self._kind(), "create", "cluster", f"--name={NAME}", f"--kubeconfig={self.kubeconfig}"]
            log = self._places.cache / "logs" / "kind.log"
            try:
                watched([*make, "--wait=180s"], "kind", log=log, timeout_seconds=900)
            except CommandFailed:
                self._remove()
                raise

    def down(self) -> None:
        """Remove it; does nothing if there is none."""
        with self._places.locked(self._places.state, "starting or ending the cluster"):
            self._remove()

    def on_node(self, *argv: str) -> str:
        """Run a program as root on the node, which is a container."""
        return output("docker", "exec", NODE, *argv)

    def load(self, archive: Path) -> None:
        """Give an image to the node's container runtime."""
        output(self._kind(), "load", "image-archive", str(archive), f"--name={NAME}", timeout_seconds=300)

    def build(self, recipe: Recipe) -> Path:
        """Build an image; answer its archive."""
        return docker.build(self._places, recipe)

    def logs(self, folder: Path) -> None:
        """Copy the logs of the node."""
        output(self._kind(), "export", "logs", str(folder), f"--name={NAME}", timeout_seconds=120)

    def _remove(self) -> None:
        output(self._kind(), "delete", "cluster", f"--name={NAME}", timeout_seconds=120)
        self.kubeconfig.unlink(missing_ok=True)

    def _kind(self) -> str:
        found = program(self._places)
        if found is None:
            raise KindMissing("install kind (https://kind.sigs.k8s.io) or Go; then this is done again")
        return str(found)
