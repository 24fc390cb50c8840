"""Programs that tests call and that are no part of a cluster, each built when it is first asked for.

    tools.built(places(), "helm4")                          the path of the program, for a test
    $(python -m tests.cluster.harness program helm4) lint   the same for a person, in a shell

A tool is built inside its own module, so that it is made of exactly what its authors locked; Go checks what
it downloads.  The table below says all versions, and the folder in the cache has a key of what it says.
"""

from __future__ import annotations

import json
from dataclasses import astuple, dataclass
from pathlib import Path

from tests.cluster.harness import binaries
from tests.cluster.harness.commands import QUIETLY, output, say, watched
from tests.cluster.harness.places import Places, digest_of, made_whole

HELM3_KUBERNETES = "37"
"""The minor version of Kubernetes that this Helm 3 was made with: it has to be told, or takes it for 20."""


@dataclass(frozen=True, slots=True)
class Tool:
    """A program in a Go module."""

    module: str
    version: str
    package: str
    minutes: int
    """About how long it takes on two cores with nothing cached."""
    tags: str = ""
    linked: str = ""
    """Values that the linker writes into variables."""

    @property
    def name(self) -> str:
        """What a person types."""
        return self.package.rpartition("/")[2] or self.module.rpartition("/")[2]

    def folder(self, places: Places) -> Path:
        """Where it lies, alone: the folder can be put on a PATH."""
        return (
            places.cache / f"programs-{self.name}" / f"{self.version}-{digest_of(*map(str, astuple(self)))}"
        )


TOOLS = {
    "kind": Tool("sigs.k8s.io/kind", "v0.30.0", "", 1),
    "helm3": Tool(
        "helm.sh/helm/v3",
        "v3.22.0",
        "cmd/helm",
        2,
        linked=" ".join(
            f"-X=helm.sh/helm/v3/{package}.k8sVersionMinor={HELM3_KUBERNETES}"
            for package in ("pkg/chartutil", "pkg/lint/rules")
        ),
    ),
    "helm4": Tool("helm.sh/helm/v4", "v4.3.1", "cmd/helm", 2),
    # Its ways to discover the machines of each cloud are most of it, and no rule needs them.
    "promtool": Tool("github.com/prometheus/prometheus", "v0.313.1", "cmd/promtool", 4, tags="remove_all_sd"),
}


def built(places: Places, name: str) -> Path:
    """Answer where a tool lies, and build it if it is not there.

    Raises:
        GoMissing: it has to be built, and there is no Go.
    """
    tool = TOOLS[name]
    target = tool.folder(places) / tool.name
    if not target.exists():
        with places.locked(target.parent, f"building {name}"):
            if not target.exists():  # by somebody while we waited
                _build(places, name, tool, target)
    return target


def _build(places: Places, name: str, tool: Tool, target: Path) -> None:
    """Build it in the folder where Go unpacked its module, which is read only."""
    say(f"building {name} {tool.version} from its Go module (about {tool.minutes} min if nothing is cached)")
    # A workspace of its authors is not part of the module, but the file that names one is.
    environ = {**binaries.build_environ(), "GOWORK": "off"}
    go, module = binaries.go(), f"{tool.module}@{tool.version}"
    said = output(
        go, "mod", "download", "-json", module, environ=environ, folder=Path("/"), timeout_seconds=600
    )
    with made_whole(target) as draft:
        flags = (
            "-p=2",
            "-trimpath",
            "-buildvcs=false",
            f"-ldflags=-s -w {tool.linked}",
            f"-tags={tool.tags}",
        )
        taken = watched(
            [*QUIETLY, go, "build", *flags, f"-o={draft}", f"./{tool.package}"],
            f"building {name}",
            log=places.cache / "logs" / f"build-{name}.log",
            environ=environ,
            folder=Path(json.loads(said)["Dir"]),
        )
    say(f"  built {name} in {round(taken)} s")
