"""The control groups of the local cluster: pods run below one group of its own, in every hierarchy.

The kubelet is told to stay below it.  So every process of every container is found by where it is, whoever
started it and whatever became of its parent, and nothing else is.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

from tests.cluster.harness.commands import until
from tests.cluster.harness.processes import kill

NAME = "cairn-cluster"

CONTROLLERS = {"cpu", "cpuset", "hugetlb", "memory", "pids"}
"""What a pod's limits need; in the unified hierarchy they have to be handed down."""


def make() -> None:
    """Make the group in every hierarchy."""
    for top, kind in _hierarchies():
        group = top / NAME
        group.mkdir(exist_ok=True)
        if kind == "cgroup2":
            # Where version 1 has them, there is nothing here to hand down.
            handed = CONTROLLERS & set((top / "cgroup.controllers").read_text().split())
            for folder in (top, group):
                (folder / "cgroup.subtree_control").write_text(
                    " ".join(f"+{name}" for name in sorted(handed))
                )
        for cell in ("cpuset.cpus", "cpuset.mems"):
            # Version 1: a new group has neither and can hold no process.
            if kind == "cgroup" and (top / cell).exists():
                (group / cell).write_text((top / cell).read_text())


def remove() -> None:
    """Kill whatever runs in the group and take the group away."""
    for group in _groups():
        until(partial(_emptied, group), f"no process is left in {group}", seconds=30)
        for folder, _, _ in os.walk(group, topdown=False):
            until(partial(_removed, Path(folder)), f"{folder} can be removed", seconds=10)


def processes_in(group: Path) -> list[int]:
    """Every process in a group and the groups below it."""
    found = set()
    for file in group.rglob("cgroup.procs"):
        with suppress(OSError):  # the group went away, or is one of threads
            found.update(int(pid) for pid in file.read_text().split())
    return sorted(found - {0})


def left() -> list[Path]:
    """The cluster's groups that are still there."""
    return list(_groups())


def _emptied(group: Path) -> bool:
    kill(processes_in(group))
    return not processes_in(group)


def _removed(group: Path) -> bool:
    # The kernel lets go of a group a moment after its last process.
    with suppress(OSError):
        group.rmdir()
    return not group.exists()


def _groups() -> Iterator[Path]:
    return (top / NAME for top, _ in _hierarchies() if (top / NAME).exists())


def _hierarchies() -> Iterator[tuple[Path, str]]:
    """Where each hierarchy is mounted, and its kind: cgroup or cgroup2."""
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, where, kind, *_ = line.split()
        if kind in {"cgroup", "cgroup2"} and where.startswith("/sys/fs/cgroup"):
            yield Path(where), kind
