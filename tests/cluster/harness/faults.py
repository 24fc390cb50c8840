"""What a node does to a pod: find its processes, cut it off from the network, give the network back.

Both are done with what is on the node anyway, in the same way on this machine and in a node of kind.
"""

from __future__ import annotations

from typing import Any

from tests.cluster.harness.choosing import Provider
from tests.cluster.harness.commands import ClusterError

FIRST_OF_CONTAINER = r"""
for file in $(grep -ls -- "$1" /proc/[0-9]*/cgroup); do
  folder=${file%/cgroup}
  [ "$(sed -n 's/^NSpid:.*[[:space:]]//p' "$folder/status" 2>/dev/null)" = 1 ] && echo "${folder#/proc/}"
done; true
"""
"""Processes of a container by their control group; the first is number 1 in the container's own counting."""

ANY_OF_POD = r"""
grep -lsE -- "$1" /proc/[0-9]*/cgroup | sed -n 's,^/proc/\([0-9]*\)/cgroup$,\1,p' | head -n 1
"""
"""Some process of a pod; the one that holds its network lives as long as the pod does."""

TABLE = "cairn_cut"

RULES = f"""table inet {TABLE} {{
 chain in {{ type filter hook input priority -300; policy drop; iifname "lo" accept; }}
 chain out {{ type filter hook output priority -300; policy drop; oifname "lo" accept; }}
}}"""


class NoSuchProcess(ClusterError):
    """A pod has no such process now."""


def pid_of(provider: Provider, pod: dict[str, Any], container: str | None) -> int:
    """The first process of a container.

    Raises:
        NoSuchProcess: it is not running.
    """
    found = _status(pod, container)
    number = found.get("containerID", "").rpartition("/")[2]
    said = provider.on_node("sh", "-c", FIRST_OF_CONTAINER, "find", number).split() if number else []
    if not said:
        raise NoSuchProcess(
            f"{pod['metadata']['name']}: no running container {container or ''}: {found.get('state')}"
        )
    return int(said[0])


def was_started(pod: dict[str, Any], container: str | None) -> bool:
    """Whether the kubelet has told that a container runs, or has ended."""
    state = _status(pod, container).get("state", {})
    return "running" in state or "terminated" in state


def cut_network(provider: Provider, pod: dict[str, Any]) -> None:
    """Drop every packet in the pod's own network namespace, but for those to itself."""
    provider.on_node(*_in_network(provider, pod), "nft", RULES)


def restore_network(provider: Provider, pod: dict[str, Any]) -> None:
    """Drop nothing any more."""
    provider.on_node(*_in_network(provider, pod), "nft", f"delete table inet {TABLE}")


def _status(pod: dict[str, Any], container: str | None) -> dict[str, Any]:
    """What the kubelet tells of a container, or of the pod's first one; empty where it has told nothing."""
    statuses = pod["status"].get("containerStatuses", [])
    return next((status for status in statuses if container in {None, status["name"]}), {})


def _in_network(provider: Provider, pod: dict[str, Any]) -> list[str]:
    """What runs a program in a pod's network namespace."""
    uid = pod["metadata"]["uid"]
    # Control groups by systemd write the uid with underscores.
    said = provider.on_node("sh", "-c", ANY_OF_POD, "find", f"pod({uid}|{uid.replace('-', '_')})").split()
    if not said:
        raise NoSuchProcess(f"{pod['metadata']['name']}: no process of it is on the node")
    return ["nsenter", f"--net=/proc/{said[0]}/ns/net", "--"]
