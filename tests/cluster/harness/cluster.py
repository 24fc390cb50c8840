"""What a test does with a cluster: kubectl, and what is made of it; and what only its node can do.

A `Cluster` speaks for one namespace; `inside` gives one that speaks for another.  Nothing here sleeps: what
is waited for comes from a watch.  Faults (`kill`, `cut_network`) are done on the node, from outside the pod,
as a dying machine would.
"""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from uuid import uuid4

from tests.cluster.harness import failures, faults
from tests.cluster.harness.choosing import Provider
from tests.cluster.harness.commands import output
from tests.cluster.harness.images import Recipe
from tests.cluster.harness.places import CHECKOUT
from tests.cluster.harness.watching import objects

Object = dict[str, Any]

PATIENCE_SECONDS = 150.0
"""Only a test that fails waits so long: a status may wait twenty times as long as the last one took."""
RESTRICTED = {"pod-security.kubernetes.io/enforce": "restricted"}


@dataclass(frozen=True, slots=True)
class Cluster:
    """A cluster, seen from one of its namespaces."""

    provider: Provider
    namespace: str = "default"

    @property
    def kubeconfig(self) -> Path:
        """For programs of a test's own."""
        return self.provider.kubeconfig

    def kubectl(
        self, *arguments: str, stdin: str | None = None, timeout_seconds: float = PATIENCE_SECONDS
    ) -> str:
        """Run kubectl in this namespace; answer what it printed.

        Raises:
            CommandFailed: it ended with an error; what it said is in the text.
        """
        argv = self.kubectl_argv(*arguments)
        return output(*argv, stdin=stdin, environ=self.environ(), timeout_seconds=timeout_seconds)

    def kubectl_argv(self, *arguments: str) -> list[str]:
        """The command line of a kubectl in this namespace, for a process of the test's own."""
        return [str(self.provider.kubectl), f"--namespace={self.namespace}", *arguments]

    def environ(self) -> dict[str, str]:
        """The environment in which kubectl, and any other client, finds this cluster."""
        return {**os.environ, "KUBECONFIG": str(self.kubeconfig)}

    def apply(self, text: str) -> None:
        """Apply manifests, as a user would."""
        self.kubectl("apply", "--filename=-", stdin=text)

    def get(self, what: str) -> Object:
        """One object (`pod/name`), or a list of them (`pods`)."""
        found: Object = json.loads(self.kubectl("get", what, "--output=json"))
        return found

    def delete(self, what: str, *, now: bool = False) -> None:
        """Delete an object and wait until it is gone; `now`: without giving it any time."""
        force = ("--grace-period=0", "--force") if now else ()
        self.kubectl("delete", what, "--ignore-not-found", *force)

    def wait(self, what: str, condition: str, *, seconds: float = PATIENCE_SECONDS) -> None:
        """Wait as `kubectl wait --for`: `condition=Ready`, `delete`, `jsonpath={.status.phase}=Succeeded`."""
        arguments = ("wait", what, f"--for={condition}", f"--timeout={seconds:g}s")
        self.kubectl(*arguments, timeout_seconds=seconds + 10)

    def until(
        self, what: str, holds: Callable[[Object], bool], *, seconds: float = PATIENCE_SECONDS
    ) -> Object:
        """Watch an object (`pod/name`), which need not be there yet, until something holds; answer it then.

        Raises:
            TimeoutError: it did not; how the object looked last is in the text.
        """
        kind, _, name = what.partition("/")
        argv = self.kubectl_argv(
            "get", kind, f"--field-selector=metadata.name={name}", "--output=json", "--watch"
        )
        last: Object | None = None
        for last in objects(argv, self.environ(), seconds=seconds):
            if holds(last):
                return last
        seen = json.dumps((last or {}).get("status"), indent=1)[:4000] if last else "it was never there"
        raise TimeoutError(f"{what} was not as expected within {seconds:g} s; its status: {seen}")

    def logs(self, pod: str, *arguments: str) -> str:
        """What a pod has printed."""
        return self.kubectl("logs", pod, *arguments)

    def exec(self, pod: str, *argv: str) -> str:
        """Run a program in a pod; answer what it printed."""
        return self.kubectl("exec", pod, "--", *argv)

    def inside(self, namespace: str) -> Cluster:
        """The same cluster, seen from another namespace."""
        return replace(self, namespace=namespace)

    @contextmanager
    def new_namespace(self, *, restricted: bool = False) -> Iterator[Cluster]:
        """A namespace that was never used.

        `restricted`: its pods must follow the strictest of the security standards.
        It is deleted afterwards without waiting for its end: nobody uses its name again.
        """
        name = f"test-{uuid4().hex[:8]}"
        labels = {"cairn.dev/test": "true", **(RESTRICTED if restricted else {})}
        metadata = {"name": name, "labels": labels}
        self.kubectl(
            "create",
            "--filename=-",
            stdin=json.dumps({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}),
        )
        inside = self.inside(name)
        try:
            # Pods are refused until the namespace has its service account.
            inside.wait("serviceaccount/default", "create")
            yield inside
        finally:
            inside.kubectl("delete", "pods", "--all", "--grace-period=0", "--force", "--wait=false")
            inside.kubectl("delete", "namespace", name, "--wait=false", "--ignore-not-found")

    def load_image(self, archive: Path) -> None:
        """Give an image, from an archive in the OCI or Docker format, to the cluster's nodes."""
        self.provider.load(archive)

    def build_image(
        self,
        tag: str,
        dockerfile: Path,
        *,
        context: Path = CHECKOUT,
        build_args: Mapping[str, str] | None = None,
        base: str | None = None,
    ) -> str:
        """Build an image and give it to the nodes; answer its name, for `imagePullPolicy: IfNotPresent`."""
        self.load_image(self.provider.build(Recipe(tag, dockerfile, context, build_args or {}, base)))
        return tag

    def pid_of(self, pod: str, container: str | None = None) -> int:
        """The process id, on the node, of a container's first process.

        A container may be at work for a while before the API server is told that it was started; a pod that
        is gone is not waited for.
        """
        found = self.get(f"pod/{pod}")
        if not faults.was_started(found, container):
            found = self.until(f"pod/{pod}", lambda seen: faults.was_started(seen, container))
        return faults.pid_of(self.provider, found, container)

    def kill(
        self, pod: str, number: signal.Signals = signal.SIGKILL, *, container: str | None = None
    ) -> None:
        """Send a signal to a container's first process from outside, where SIGKILL works."""
        self.provider.on_node("kill", f"-{int(number)}", str(self.pid_of(pod, container)))

    def cut_network(self, pod: str) -> None:
        """Let everything that a pod sends or is sent be lost, from now on; its connections stay open."""
        faults.cut_network(self.provider, self.get(f"pod/{pod}"))

    def restore_network(self, pod: str) -> None:
        """Let a pod be heard again."""
        faults.restore_network(self.provider, self.get(f"pod/{pod}"))

    def collect(self, folder: Path) -> None:
        """Write what there is to know of this namespace and the cluster into a folder."""
        failures.collect(self.kubectl, self.provider, folder)
