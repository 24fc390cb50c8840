"""The one mount namespace that all programs of the local cluster live in.

Container runtime and kubelet have folders that no option moves.  In this namespace those are folders of the
cluster's own, bound over the machine's; and every mount of every pod is made here.  Nothing of it is seen
outside, and the kernel takes it all away with the last process.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from tests.cluster.harness.commands import CommandFailed, output
from tests.cluster.harness.journal import Journal

FIXED = (
    "/run/containerd",
    "/run/netns",
    "/var/lib/cni",
    "/var/lib/containerd",
    "/var/lib/kubelet",
    "/var/log/containers",
    "/var/log/pods",
    "/usr/libexec/kubernetes",
    "/opt/containerd",
)
"""Folders whose names are in the programs."""

SETUP = """
set -eu
mount --make-rshared /
own=$1; shift
while [ "$1" != -- ]; do mount --bind "$own$1" "$1"; shift; done
shift
exec "$@"
"""


def inside_new(journal: Journal, *argv: str) -> list[str]:
    """The command line that runs a program in a new namespace, the machine's folders covered."""
    own = journal.file.parent / "covered"
    for fixed in FIXED:
        (own / fixed.lstrip("/")).mkdir(parents=True, exist_ok=True)
        _make(Path(fixed), journal)
    return [
        "unshare",
        "--mount",
        "--propagation=private",
        "sh",
        "-c",
        SETUP,
        "setup",
        str(own),
        *FIXED,
        "--",
        *argv,
    ]


def inside(pid: int, *argv: str) -> list[str]:
    """The command line that runs a program in the namespace of a process."""
    return ["nsenter", f"--mount=/proc/{pid}/ns/mnt", "--", *argv]


def remove(journal: Journal) -> None:
    """Unmount what may lie under the state folder after all, and take away the folders that were made."""
    for where in left(journal.file.parent):
        with suppress(CommandFailed):
            output("umount", "--lazy", str(where))
    for folder in reversed(journal.folders):
        with suppress(OSError):  # somebody has put something in it
            Path(folder).rmdir()


def left(state: Path) -> list[Path]:
    """What is mounted below the state folder, innermost first."""
    mounted = [Path(line.split()[1]) for line in Path("/proc/self/mounts").read_text().splitlines()]
    return sorted((where for where in mounted if state in where.parents), reverse=True)


def _make(folder: Path, journal: Journal) -> None:
    """Make a folder and those above it, each written down first."""
    for path in [*reversed(folder.parents), folder]:
        if not path.exists():
            journal.note_folder(path)
            path.mkdir(exist_ok=True)
