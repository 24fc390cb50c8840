"""The `kubectl` on the PATH: started, spoken with over its pipes, and its words made errors of ours.

It is found as any program is, so that a wrapper of the user's takes its place; nothing is read from a
kubeconfig here. What is written goes through its standard input: arguments can be seen by everybody on the
machine. A name reaches an argument only after `cluster.naming` has looked at it.
"""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from cairn_runtime.errors import (
    CairnError,
    CairnMissing,
    ClusterError,
    ClusterUnavailable,
    Fault,
    InvalidInput,
    KubectlMissing,
    NotAllowed,
    NotFound,
)
from cairn_runtime.model.values import JSONObject, JSONValue

WORKFLOWS = "workflows.cairn.dev"
CHECKPOINTS = "checkpoints.cairn.dev"
_NO_WAY = (
    "unable to connect",
    "connection refused",
    "i/o timeout",
    "no such host",
    "was refused",
    "(timeout)",
)
_NO_KIND = re.compile(
    r"the server doesn't have a resource type|no matches for kind .* in version .cairn\.dev"
)
_FORBIDDEN = re.compile(
    r'User "(?P<who>[^"]*)" cannot (?P<verb>\w+) resource "(?P<what>[^"]*)"'
    r'(?: in API group "(?P<group>[^"]*)")?(?P<where> in the namespace "[^"]*"| at the cluster scope)?'
)
_ASIDE = re.compile(
    # The log of kubectl's own library, a line for each of its tries, ...
    r"^[EWI]\d{4} [\d:.]+ +\d+ \S+\] .*\n?"
    # ... and its advice to look away from what it could not look at.
    r"|error validating .* error validating data: |; if you choose to ignore.*",
    re.MULTILINE,
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

    @property
    def words(self) -> str:
        """The end of each command that is printed."""
        return "".join(f" {shlex.quote(word)}" for word in self.arguments)


@dataclass(frozen=True, slots=True)
class Kubectl:
    """The program, and where it is pointed.

    Every method raises KubectlMissing, ClusterUnavailable, ClusterError, NotAllowed, CairnMissing,
    InvalidInput or NotFound, in kubectl's words.
    """

    target: Target

    def say(self, *words: str, given: str = "") -> str:
        """Run one command to its end; answers what it printed."""
        said = subprocess.run(  # noqa: S603 - the user's own program
            self._command(*words), input=given, capture_output=True, text=True, check=False
        )
        if said.returncode:
            raise error_of(said.stderr)
        return said.stdout

    def read(self, *words: str, given: str = "") -> JSONObject:
        """Run one command that prints an object; empty where it printed none."""
        document = json.loads(self.say(*words, "--output=json", given=given) or "{}")
        return document if isinstance(document, dict) else {}

    def get(self, kind: str, name: str) -> JSONObject:
        """One object as it is now."""
        return self.read("get", kind, name)

    def items(self, kind: str, *words: str) -> list[JSONObject]:
        """The objects of a kind; `words` select."""
        found = self.read("get", kind, *words).get("items")
        return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []

    def patch(self, workflow: str, operations: list[JSONValue]) -> JSONObject:
        """Apply a JSON patch (RFC 6902) to a Workflow; answers what it is now."""
        words = ("patch", WORKFLOWS, workflow, "--type=json", "--patch-file=/dev/stdin")
        return self.read(*words, given=json.dumps(operations))

    def merge(self, kind: str, name: str, change: JSONObject) -> JSONObject:
        """Apply a merge patch (RFC 7386) to an object; answers what it is now."""
        words = ("patch", kind, name, "--type=merge", "--patch-file=/dev/stdin")
        return self.read(*words, given=json.dumps(change))

    def watch(
        self, name: str, seconds: float | None = None, *, kind: str = WORKFLOWS
    ) -> Iterator[JSONObject]:
        """Follow an object for so long, or for ever: as it is now, and whenever it changes.

        Raises:
            NotFound: it was deleted, or never was there.
        """
        end = None if seconds is None else time.monotonic() + seconds
        while (left := _left(end)) is None or left > 0:
            yield from self._watch_once(kind, name, left)
            if (left := _left(end)) is not None and left <= 0:
                return
            time.sleep(_AGAIN_SECONDS)  # the server ended it, or could not be reached
            try:
                self.get(kind, name)
            except ClusterUnavailable:
                continue

    def _watch_once(self, kind: str, name: str, seconds: float | None) -> Iterator[JSONObject]:
        words = ("get", kind, name, "--watch", "--output-watch-events", "--output=json")
        for document in documents(self.stream(*words, seconds=seconds)):
            found = document.get("object")
            if document.get("type") == "DELETED":
                raise NotFound(f'{kind} "{name}" was deleted')
            if isinstance(found, dict):
                yield found

    def stream(self, *words: str, seconds: float | None = None) -> Iterator[str]:
        """Start a command that goes on, and answer its lines as they come; how it ends is not told."""
        with subprocess.Popen(  # noqa: S603 - the user's own program
            self._command(*words),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            stdin=subprocess.DEVNULL,
            text=True,
            errors="replace",
        ) as process:
            late = threading.Timer(seconds or 0.0, process.terminate)
            if seconds is not None:
                late.start()
            try:
                yield from process.stdout or ()
            finally:
                late.cancel()
                process.terminate()

    def _command(self, *words: str) -> list[str]:
        program = shutil.which("kubectl")
        if program is None:
            raise KubectlMissing
        return [program, *self.target.arguments, *words]


def _left(end: float | None) -> float | None:
    return None if end is None else end - time.monotonic()


def documents(lines: Iterable[str]) -> Iterator[JSONObject]:
    """Read objects one after another: each on a line of its own, or ended by a brace that begins a line."""
    text: list[str] = []
    for line in lines:
        text.append(line)
        if line.rstrip() == "}" or (len(text) == 1 and line.startswith('{"')):
            found = json.loads("".join(text))
            text.clear()
            if isinstance(found, dict):
                yield found


def error_of(words: str) -> CairnError:
    """What kubectl said, as an error of ours."""
    said = (_ASIDE.sub("", words) or words).strip()
    text = said.removeprefix("Error from server ").removeprefix("error: ") or "kubectl failed"
    if text.startswith("(NotFound)"):
        return NotFound(text.removeprefix("(NotFound): "))
    if _NO_KIND.search(text):
        return CairnMissing()
    if (lacking := _FORBIDDEN.search(text)) is not None:
        return NotAllowed(_right(lacking))
    if " is invalid: " in text:
        return InvalidInput([Fault("", line.removeprefix("* ")) for line in text.splitlines()])
    if any(sign in text.lower() for sign in _NO_WAY):
        return ClusterUnavailable(text)
    return ClusterError(text)


def _right(lacking: re.Match[str]) -> str:
    """Name the right that is lacking, as a rule of a role would."""
    what = f"{lacking['what']}.{lacking['group']}" if lacking["group"] else lacking["what"]
    return (
        f"{lacking['who']} may not {lacking['verb']} {what}{lacking['where'] or ''}; whoever runs the cluster"
        f" can grant it, and see it with: kubectl auth can-i {lacking['verb']} {what} --as={lacking['who']}"
    )
