"""Programs of the cluster built from a Go module, once for each version, into the cache.

The Go module beside this file says the versions; the key of the folder is made of its sources.  A program is
built beside its place and then renamed, so whoever finds one finds a whole one.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from tests.cluster.harness.commands import QUIETLY, ClusterError, say, watched
from tests.cluster.harness.places import GO, Places, kubernetes_version, made_whole

PROGRAMS = {"pause": "half a minute", "etcd": "1 minute", "dns": "3 minutes", "kube": "8 minutes"}
"""What the local cluster needs -> how long it takes on two cores with nothing cached."""

KUBE = ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kube-proxy", "kubelet")
"""The names under which the program `kube` is called."""


class GoMissing(ClusterError):
    """Programs have to be built and there is no Go on this machine."""


def ensure(places: Places, *programs: str) -> Path:
    """Build those programs that are missing; answer the folder where all of them lie."""
    folder = places.programs
    missing = [program for program in programs if not (folder / program).exists()]
    if missing:
        with places.locked(folder, "building programs"):
            for program in missing:
                _build(places, program)
    for name in KUBE if "kube" in programs else ():
        if not (folder / name).exists():
            with made_whole(folder / name) as draft:
                draft.symlink_to("kube")
    return folder


def kubectl(places: Places) -> Path:
    """kubectl: the one on PATH, else built."""
    on_path = shutil.which("kubectl")
    return Path(on_path) if on_path else ensure(places, "kubectl") / "kubectl"


def _build(places: Places, program: str) -> None:
    """Build one program, unless somebody else did so while we waited."""
    target = places.programs / program
    if target.exists():
        return
    say(f"building {program} from Go modules ({PROGRAMS.get(program, '2 minutes')} if nothing is cached)")
    with made_whole(target) as draft:
        flags = ("-p=2", "-trimpath", "-buildvcs=false", f"-ldflags={_link_flags()}", f"-o={draft}")
        taken = watched(
            [*QUIETLY, go(), "build", *flags, f"./{program}"],
            f"building {program}",
            log=places.cache / "logs" / f"build-{program}.log",
            environ=build_environ(),
            folder=GO,
        )
    say(f"  built {program} in {round(taken)} s")


def _link_flags() -> str:
    """No debugging tables; the version, which a build from modules would not know."""
    version = kubernetes_version()
    major, minor, _ = version.split(".", 2)
    said = {"gitVersion": f"v{version}", "gitMajor": major, "gitMinor": minor}
    return "-s -w " + " ".join(f"-X=k8s.io/component-base/version.{k}={v}" for k, v in said.items())


def build_environ() -> dict[str, str]:
    """Without cgo the programs are static, and the pause image needs nothing else."""
    return {**os.environ, "CGO_ENABLED": "0"}


def go() -> str:
    """The program that builds.

    Raises:
        GoMissing: it is not there.
    """
    found = shutil.which("go")
    if found is None:
        raise GoMissing(
            "the local cluster is built from Go modules: install Go 1.24 or later, or Docker and kind"
        )
    return found
