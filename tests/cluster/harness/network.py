"""The network of the local cluster: one bridge of its own.

The bridge is the node: its address is the node's, and every server of the cluster listens there and nowhere
else.  Pods hang on it.  There is no way out: a pod reaches other pods, Services, and what listens on the
bridge's address; nothing translates addresses for anywhere else.
"""

from __future__ import annotations

import ipaddress
import json
from contextlib import suppress

from tests.cluster.harness.commands import ClusterError, CommandFailed, output
from tests.cluster.harness.journal import Journal

BRIDGE = "cairn0"
NODE = "10.244.0.1"
PODS = "10.244.0.0/24"
SERVICES = "10.96.0.0/16"

# The address of a bridge without one of its own changes with its ports, and pods would remember the old one.
HARDWARE = "0a:58:0a:f4:00:01"

TABLES = (("ip", "kube-proxy"), ("ip6", "kube-proxy"))
"""What kube-proxy writes its rules into."""


class NetworkTaken(ClusterError):
    """Something on this machine already uses what the local cluster needs."""


def make(journal: Journal) -> None:
    """Make the bridge.

    Raises:
        NetworkTaken: another cluster, or another network of the same addresses, is here.
    """
    _refuse_what_is_taken()
    journal.note_bridge()
    output("ip", "link", "add", BRIDGE, "address", HARDWARE, "type", "bridge")
    output("ip", "address", "add", f"{NODE}/{PODS.partition('/')[2]}", "dev", BRIDGE)
    output("ip", "link", "set", BRIDGE, "up")


def remove(journal: Journal) -> None:
    """Give everything back; what is already gone is no fault."""
    if journal.bridge:
        for family, table in TABLES:
            with suppress(CommandFailed):
                output("nft", "delete", "table", family, table)
        with suppress(CommandFailed):
            output("ip", "link", "delete", BRIDGE)


def left() -> list[str]:
    """What of the cluster is still there: its bridge, its tables."""
    links = [str(link["ifname"]) for link in json.loads(output("ip", "-json", "link"))]
    return [name for name in links if name == BRIDGE] + _tables()


def _tables() -> list[str]:
    """Tables of kube-proxy."""
    listed = output("nft", "list", "tables").splitlines()
    return [f"table {family} {table}" for family, table in TABLES if f"table {family} {table}" in listed]


def _refuse_what_is_taken() -> None:
    """Two clusters would write over each other's rules, whoever started the other one."""
    if tables := _tables():
        raise NetworkTaken(
            f"another Kubernetes runs on this machine: {', '.join(tables)}; use its KUBECONFIG"
        )
    wanted = [ipaddress.ip_network(PODS), ipaddress.ip_network(SERVICES)]
    for link in json.loads(output("ip", "-json", "-4", "address")):
        for address in link["addr_info"]:
            taken = ipaddress.ip_network(f"{address['local']}/{address['prefixlen']}", strict=False)
            if any(taken.overlaps(network) for network in wanted):
                raise NetworkTaken(f"{link['ifname']} has {taken}, which the local cluster needs")
