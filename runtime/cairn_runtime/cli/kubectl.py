"""The `kubectl` on the PATH: started, spoken with over its pipes, and its words made errors of ours.

It is found as any program is, so that a wrapper of the user's takes its place; nothing is read from a
kubeconfig here.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from cairn_runtime.errors import (
    CairnError,
    ClusterError,
    ClusterUnavailable,
    Fault,
    InvalidInput,
    KubectlMissing,
    NotFound,
)
from cairn_runtime.model.values import JSONObject, JSONValue

_KIND = "workflows.cairn.dev"
_NO_WAY = (
    "unable to connect",
    "connection refused",
    "i/o timeout",
    "no such host",
    "was refused",
    "(timeout)",
)
_AGAIN_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Target:
    """Which cluster and namespace are meant; what is empty kubectl knows."""

    context: str = ""
    namespace: str = ""
    kubeconfig: str = ""

    @property
    def arguments(self) -> tuple[str, ...]:
        """As they are typed."""
        given = {"--kubeconfig": self.kubeconfig, "--context": self.context, "--namespace": self.namespace}
        return tuple(f"{name}={value}" for name, value in given.items() if value)


@dataclass(frozen=True, slots=True)
class Kubectl:
    """The program, and where it is pointed."""

    target: Target

    def patch(self, workflow: str, operations: list[JSONValue]) -> JSONObject:
        """Apply a JSON patch (RFC 6902) to a Workflow; answers what it is now.

        Raises:
            KubectlMissing, ClusterUnavailable, ClusterError, InvalidInput, NotFound: in kubectl's words.
        """
        words = ("patch", _KIND, workflow, "--type=json", "--patch-file=/dev/stdin", "--output=json")
        said = subprocess.run(  # noqa: S603 - the user's own program
            self._command(*words), input=json.dumps(operations), capture_output=True, text=True, check=False
        )
        if said.returncode:
            raise error_of(said.stderr)
        document = json.loads(said.stdout)
        return document if isinstance(document, dict) else {}

    def watch(self, workflow: str, seconds: float) -> Iterator[JSONObject]:
        """Follow a Workflow for so long, as it is now and whenever it changes.

        Raises:
            KubectlMissing: there is no such program any more.
        """
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            yield from self._watch_once(workflow, left)
            if end - time.monotonic() > 0:
                time.sleep(_AGAIN_SECONDS)  # the server ended it, or could not be reached

    def _watch_once(self, workflow: str, seconds: float) -> Iterator[JSONObject]:
        command = self._command("get", _KIND, workflow, "--watch", "--output=json")
        with subprocess.Popen(  # noqa: S603 - the user's own program
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL, text=True
        ) as process:
            late = threading.Timer(seconds, process.terminate)
            late.start()
            try:
                yield from documents(process.stdout or ())
            finally:
                late.cancel()
                process.terminate()

    def _command(self, *words: str) -> list[str]:
        program = shutil.which("kubectl")
        if program is None:
            raise KubectlMissing
        return [program, *self.target.arguments, *words]


def documents(lines: Iterable[str]) -> Iterator[JSONObject]:
    """Read objects one after another, each of which ends with a brace at the beginning of a line."""
    text: list[str] = []
    for line in lines:
        text.append(line)
        if line.rstrip() == "}":
            found = json.loads("".join(text))
            text.clear()
            if isinstance(found, dict):
                yield found


def error_of(words: str) -> CairnError:
    """What kubectl said, as an error of ours."""
    text = words.strip().removeprefix("Error from server ").removeprefix("error: ") or "kubectl failed"
    if text.startswith("(NotFound)"):
        return NotFound(text.removeprefix("(NotFound): "))
    if " is invalid: " in text:
        return InvalidInput([Fault("", line.removeprefix("* ")) for line in text.splitlines()])
    if any(sign in text.lower() for sign in _NO_WAY):
        return ClusterUnavailable(text)
    return ClusterError(text)
