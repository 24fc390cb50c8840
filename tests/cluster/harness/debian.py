"""The programs that the local cluster takes from the distribution: container runtime, networks, image tools.

Debian and Ubuntu install them by themselves, as root; anywhere else the missing ones are named.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from tests.cluster.harness.commands import ClusterError, CommandFailed, output, say

NEEDED = {
    "containerd": "containerd",
    "containerd-shim-runc-v2": "containerd",
    "ctr": "containerd",
    "runc": "runc",
    "nft": "nftables",
    "ip": "iproute2",
    "nsenter": "util-linux",
    "openssl": "openssl",
    "debootstrap": "debootstrap",
    "buildah": "buildah",
}
"""Program -> its package in Debian and Ubuntu."""

NETWORKS = ("/usr/lib/cni", "/opt/cni/bin")
"""Where the programs that connect pods may lie; Debian's package is containernetworking-plugins."""


class PackagesMissing(ClusterError):
    """Programs are missing that this machine's user has to install."""


def ensure() -> None:
    """Install what is missing.

    Raises:
        PackagesMissing: there is no apt-get.
    """
    missing = missing_packages()
    if not missing:
        return
    if shutil.which("apt-get") is None:
        raise PackagesMissing(f"install these first (their names in Debian): {' '.join(missing)}")
    say(f"installing {' '.join(missing)} (half a minute)")
    environ = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    install = ("apt-get", "install", "-qq", "--yes", "--no-install-recommends", *missing)
    try:
        output(*install, environ=environ, timeout_seconds=600)
    except CommandFailed:  # the lists of packages are old or not there
        output("apt-get", "update", "-qq", environ=environ, timeout_seconds=300)
        output(*install, environ=environ, timeout_seconds=600)


def missing_packages() -> list[str]:
    """Packages of which a program is not to be found."""
    missing = {package for program, package in NEEDED.items() if shutil.which(program) is None}
    return sorted(missing | (set() if network_programs() else {"containernetworking-plugins"}))


def network_programs() -> Path | None:
    """The folder of the programs that connect pods."""
    return next((Path(found) for found in NETWORKS if Path(found, "bridge").exists()), None)
