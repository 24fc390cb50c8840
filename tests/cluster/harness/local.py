"""The local cluster: a Kubernetes of one node, run by root on this machine, without Docker.

Started in a few seconds where programs and images are in the cache.  Everything it changes is in the journal
before it is changed; `down` gives all of it back, also what a start left that was
cut off.  One runs at a time.

    etcd ── API server ── controller manager, scheduler
                 │
    kubelet ── containerd ── pods ── bridge ── CoreDNS, kube-proxy
"""

from __future__ import annotations

import json
import os
import shutil
import ssl
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from tests.cluster.harness import (
    binaries,
    certificates,
    cgroups,
    configs,
    debian,
    images,
    kernel,
    mounts,
    network,
    processes,
)
from tests.cluster.harness.commands import ClusterError, output, say, succeeds, until
from tests.cluster.harness.images import Recipe
from tests.cluster.harness.journal import Journal
from tests.cluster.harness.places import Places, kubernetes_version

READY_SECONDS = 120.0


class RootNeeded(ClusterError):
    """The local cluster makes networks and mounts: be root, or have Docker and kind, or give a KUBECONFIG."""


class StartFailed(ClusterError):
    """A program of the cluster ended while the cluster was starting; the end of its log is in the text."""


class StillMounted(ClusterError):
    """Something of the cluster cannot be unmounted; removing its folder would reach into it."""


class Local:
    """The cluster that this harness starts itself."""

    name = "local"

    def __init__(self, places: Places) -> None:
        self._places = places
        self._state = places.state

    @property
    def kubeconfig(self) -> Path:
        """How to reach it."""
        return self._places.kubeconfig

    @property
    def kubectl(self) -> Path:
        """The kubectl to use with it."""
        return binaries.kubectl(self._places)

    def running(self) -> bool:
        """Whether it was started, completely, and all its programs are there."""
        journal = Journal.read(self._places.journal)
        return (
            journal is not None
            and journal.ready
            and all(processes.lives(journal, name) for name in journal.processes)
        )

    def up(self) -> None:
        """Start it; does nothing if it runs.

        Raises:
            RootNeeded, PackagesMissing, GoMissing, NetworkTaken: what this machine is short of.
            StartFailed: a program ended.
        """
        if os.geteuid() != 0:
            raise RootNeeded(RootNeeded.__doc__)
        with self._places.locked(self._state, "starting or ending the cluster"):
            if self.running():
                return
            debian.ensure()
            binaries.ensure(self._places, *binaries.PROGRAMS)
            archives = [images.pause(self._places), images.base(self._places)]
            _ = self.kubectl
            self._clear()
            started = time.monotonic()
            self._state.mkdir(mode=0o700, parents=True, exist_ok=True)
            journal = Journal.begin(self._places.journal)
            try:
                self._start(journal, archives)
            except BaseException:
                self._keep_logs()
                self._clear()
                raise
            say(f"Kubernetes {kubernetes_version()} is ready after {time.monotonic() - started:.1f} s")

    def down(self) -> None:
        """End it and give back everything; does nothing if there is none."""
        with self._places.locked(self._state, "starting or ending the cluster"):
            self._clear()

    def on_node(self, *argv: str) -> str:
        """Run a program as root on the node, which is this machine."""
        return output(*argv)

    def load(self, archive: Path) -> None:
        """Give an image to the container runtime."""
        arguments = ["--namespace=k8s.io", "images", "import", str(archive)]
        output("ctr", f"--address={configs.containerd_socket(self._state)}", *arguments, timeout_seconds=300)

    def build(self, recipe: Recipe) -> Path:
        """Build an image; answer its archive."""
        return images.build(self._places, recipe)

    def logs(self, folder: Path) -> None:
        """Copy the logs of the cluster's programs."""
        if self._places.logs.exists():
            pods = shutil.ignore_patterns("pods")
            shutil.copytree(self._places.logs, folder, dirs_exist_ok=True, ignore=pods)

    def _start(self, journal: Journal, archives: list[Path]) -> None:
        """Start the programs in the order in which they need each other."""
        kernel.set_all(journal)
        cgroups.make()
        network.make(journal)
        keys = self._state / "keys"
        certificates.make(keys)
        self._write_files(keys)
        with ThreadPoolExecutor(1) as pool:
            self._program(journal, "etcd", *configs.etcd(self._state))
            self._program(journal, "kube-apiserver", *configs.apiserver(self._state))
            self._containerd(journal)
            beside: list[Future[Any]] = [pool.submit(self.load, archive) for archive in archives]
            self._until(journal, "the API server is ready", lambda: self._get("/readyz") is not None)
            beside.append(pool.submit(self._kubectl, "create", "--filename=-", stdin=configs.DNS_ROLE))
            self._program(journal, "kube-controller-manager", *configs.controller_manager(self._state))
            self._program(journal, "kube-scheduler", *configs.scheduler(self._state))
            self._program(journal, "kube-proxy", f"--config={self._state / 'proxy.json'}")
            self._program(journal, "dns", f"-conf={self._state / 'Corefile'}")
            argv = [str(self._places.programs / "kubelet"), *configs.kubelet(self._state)]
            inside = mounts.inside(journal.processes["containerd"][0], *argv)
            processes.start("kubelet", inside, journal=journal, logs=self._places.logs)
            self._until(journal, "the node is ready", self._node_ready)
            self._until(journal, "pods can be made", self._accounts_ready)
            for work in beside:
                work.result()
        journal.note_ready()

    def _write_files(self, keys: Path) -> None:
        """Write what the programs read; keys are in some of it, and nobody else may read those."""
        state = self._state
        networks = debian.network_programs()
        assert networks is not None
        texts = {
            "kubelet.json": configs.kubelet_file(state),
            "proxy.json": configs.proxy_file(state),
            "containerd.toml": configs.containerd(state, networks),
            "containerd/networks/10-cairn.conflist": configs.pod_network(state),
            "Corefile": configs.dns(state),
            "resolv.conf": f"nameserver {network.NODE}\n",
            "kubeconfig": configs.kubeconfig(keys, "admin"),
        }
        for name in ("controller-manager", "scheduler", "kubelet", "proxy", "dns"):
            texts[f"{name}.kubeconfig"] = configs.kubeconfig(keys, name)
        for name, text in texts.items():
            file = state / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.touch(mode=0o600)
            file.write_text(text)

    def _containerd(self, journal: Journal) -> None:
        """Start the container runtime in the mount namespace that it makes, and wait until it answers."""
        argv = mounts.inside_new(journal, "containerd", f"--config={self._state / 'containerd.toml'}")
        processes.start("containerd", argv, journal=journal, logs=self._places.logs)
        version = ("ctr", f"--address={configs.containerd_socket(self._state)}", "version")
        self._until(journal, "the container runtime answers", lambda: succeeds(*version))

    def _program(self, journal: Journal, name: str, *arguments: str) -> None:
        argv = [str(self._places.programs / name), *arguments]
        processes.start(name, argv, journal=journal, logs=self._places.logs)

    def _until(self, journal: Journal, what: str, holds: Callable[[], bool]) -> None:
        """Wait, but not for a program that has ended."""

        def holds_or_never_will() -> bool:
            for name in journal.processes:
                if not processes.lives(journal, name):
                    log = (self._places.logs / f"{name}.log").read_text(errors="replace")
                    raise StartFailed(f"{name} ended; its log ends so:\n{log[-4000:]}")
            return holds()

        until(holds_or_never_will, what, seconds=READY_SECONDS)

    def _kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        return output(str(self.kubectl), f"--kubeconfig={self.kubeconfig}", *arguments, stdin=stdin)

    def _get(self, path: str) -> Any:
        """What the API server answers; None if it does not. kubectl would take a tenth of a second for it."""
        keys = self._state / "keys"
        context = ssl.create_default_context(cafile=keys / "ca.crt")
        context.load_cert_chain(keys / "admin.crt", keys / "admin.key")
        try:
            with urlopen(configs.SERVER + path, context=context, timeout=5) as response:  # noqa: S310 - our own
                text = response.read().decode()
        except OSError:
            return None
        return json.loads(text) if text.startswith("{") else text

    def _node_ready(self) -> bool:
        node = self._get(f"/api/v1/nodes/{certificates.NODE_NAME}") or {"status": {}}
        conditions = node["status"].get("conditions", [])
        return any(found["type"] == "Ready" and found["status"] == "True" for found in conditions)

    def _accounts_ready(self) -> bool:
        """Each namespace gets its service account a moment after itself, and pods need it."""
        return self._get("/api/v1/namespaces/default/serviceaccounts/default") is not None

    def _clear(self) -> None:
        """Give back whatever a cluster, whole or cut off, has changed."""
        state = self._state
        journal = Journal.read(self._places.journal) or Journal(self._places.journal, "")
        if journal.boot:
            processes.end_all(journal)
            cgroups.remove()
            mounts.remove(journal)
            network.remove(journal)
            kernel.give_back(journal)
        if state.exists():
            if still := mounts.left(state):
                raise StillMounted(f"cannot remove {state}: {', '.join(map(str, still))} cannot be unmounted")
            shutil.rmtree(state)

    def _keep_logs(self) -> None:
        """A start that failed says more in its logs than fits on a screen."""
        kept = self._places.cache / "logs" / "failed-start"
        shutil.rmtree(kept, ignore_errors=True)
        self.logs(kept)
        say(f"the start failed; the logs are in {kept}")
