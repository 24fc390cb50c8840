"""Releases of the chart for the cluster tests: Helm on a namespace, with the images of the tests.

What was released before lies in `chart_versions`, packaged: the newest of it is what a release is upgraded
from.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from tests.cluster.harness.cluster import Cluster
from tests.cluster.harness.commands import output
from tests.cluster.harness.places import CHECKOUT
from tests.cluster.installations import IMAGE, SERVERS_IMAGE, START_SECONDS

CHART = CHECKOUT / "charts" / "cairn"
PREVIOUS = max(
    (Path(__file__).parent / "chart_versions").glob("cairn-*.tgz"),
    key=lambda file: [int(number) for number in file.stem.removeprefix("cairn-").split(".")],
)
RELEASE = "cairn"

VALUES: dict[str, Any] = {
    "image": dict(zip(("repository", "tag"), IMAGE.split(":"), strict=True)),
    "postgres": {
        "enabled": True,
        "image": dict(zip(("repository", "tag"), SERVERS_IMAGE.split(":"), strict=True)),
        # The cluster of the tests makes no volumes.
        "persistence": {"enabled": False},
        "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}},
    },
}


def with_chart_images(text: str) -> str:
    """The text of the chart's `values.yaml`, with the images of the tests."""
    values = yaml.safe_load(text)
    values["image"] |= VALUES["image"]
    values["postgres"]["image"] |= VALUES["postgres"]["image"]
    return yaml.safe_dump(values)


@dataclass(frozen=True, slots=True)
class Helm:
    """Helm, for the releases of one namespace."""

    program: Path
    namespace: Cluster
    account: str = ""
    """As which service account of the namespace it asks the cluster; empty: as the administrator."""

    def __call__(self, *arguments: str, stdin: str | None = None) -> str:
        """Run Helm; answer what it printed.

        Raises:
            CommandFailed: it ended with an error; what it said is in the text.
        """
        who = f"system:serviceaccount:{self.namespace.namespace}:{self.account}"
        return output(
            str(self.program),
            *arguments,
            f"--namespace={self.namespace.namespace}",
            *((f"--kube-as-user={who}",) if self.account else ()),
            stdin=stdin,
            environ=self.namespace.environ(),
            timeout_seconds=START_SECONDS + 10,
        )

    def install(self, *arguments: str, chart: Path = CHART, **values: Any) -> None:
        """Install the release, and wait until all of it is ready.

        The kinds are on the cluster already, and become the release's.
        """
        self._put("install", chart, "--take-ownership", *arguments, **values)

    def upgrade(self, *arguments: str, chart: Path = CHART, **values: Any) -> None:
        """Upgrade the release, and wait until all of it is ready."""
        self._put("upgrade", chart, *arguments, **values)

    def _put(self, verb: str, chart: Path, *arguments: str, **values: Any) -> None:
        wait = ("--wait", f"--timeout={START_SECONDS}s")
        given = json.dumps({**VALUES, **values})
        self(verb, RELEASE, str(chart), "--values=-", *wait, *arguments, stdin=given)
