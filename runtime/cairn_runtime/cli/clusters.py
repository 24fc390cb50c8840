"""Going back on a cluster: `cairn resume` writes `spec.resume` of a Workflow, and tells what became of it.

The patch is applied by the `kubectl` on the PATH, with its contexts, its rights and its plugins for logging
in; no client of Kubernetes is loaded here. It goes to kubectl's standard input: what a person sets may be
nobody else's business, and arguments can be seen by everybody on the machine.
`spec.resume` is replaced whole: a merge would mix the patch of the last time into this one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from cairn_runtime.cli.inputs import read_object
from cairn_runtime.cli.kubectl import Kubectl
from cairn_runtime.cli.outputs import Output
from cairn_runtime.cli.wishes import ForkWishes
from cairn_runtime.errors import (
    EXIT_DONE,
    CheckpointNotFound,
    ClusterUnavailable,
    Fault,
    ManifestInvalid,
    ResumeRefused,
)
from cairn_runtime.model.ids import new_id, short_id
from cairn_runtime.model.values import JSONObject, JSONValue

WAIT_SECONDS = 60.0
"""How long the operator is waited for; another one may have to take the Lease first."""
_REFUSALS = ("OriginForeign", "StoreForbidden", "StoreUnknown")


@dataclass(frozen=True, slots=True)
class Served:
    """The operator has made the run."""

    run: str
    checkpoint: str


def resume_on_cluster(output: Output, kubectl: Kubectl, workflow: str, fork: ForkWishes, nonce: str) -> int:
    """Write the patch, wait for the operator, say which run it made.

    Raises:
        InvalidInput, NotFound, ResumeRefused: nothing was changed, or nothing came of it; it says why.
        ClusterUnavailable: no answer in time; the patch stays, and may be served later.
    """
    nonce = nonce or new_id()
    patch: list[JSONValue] = [{"op": "add", "path": "/spec/resume", "value": resume_of(fork, nonce)}]
    patched = kubectl.patch(workflow, patch)
    served = waited(kubectl.watch(workflow, WAIT_SECONDS), nonce, _generation(patched))
    if not output.for_people:
        output.document(
            {"workflow": workflow, "run": served.run, "checkpoint": served.checkpoint, "nonce": nonce}
        )
        return EXIT_DONE
    output.text([f"{workflow} goes on as run {short_id(served.run)}, from {served.checkpoint}"])
    output.note(f"follow it with: kubectl cairn watch {workflow}{kubectl.target.words}")
    return EXIT_DONE


def resume_of(fork: ForkWishes, nonce: str) -> JSONObject:
    """The field as it is to be written.

    Raises:
        InvalidInput: the patch is no JSON object.
    """
    found: JSONObject = {"checkpoint": "latest" if fork.from_ == "head" else fork.from_, "nonce": nonce}
    if fork.patch is not None:
        found["statePatch"] = read_object(fork.patch, "--patch")
    if fork.as_step:
        found["asStep"] = fork.as_step
    if steps := _names(fork.steps):
        found["steps"] = steps
    if skip := _names(fork.skip):
        found["skip"] = skip
    return found


def verdict(document: JSONObject, nonce: str, generation: int) -> Served | None:
    """What the operator says about a nonce, None: nothing yet.

    Raises:
        CheckpointNotFound, ManifestInvalid, ResumeRefused: it will not be served; the message is the
            condition's.
    """
    found: Any = document.get("status") or {}
    last = found.get("lastResume") or {}
    if last.get("nonce") == nonce:
        return Served(str(last.get("run", "")), str(last.get("checkpoint", "")))
    if int(found.get("observedGeneration") or 0) < generation:
        return None
    conditions = {one.get("type"): one for one in found.get("conditions") or ()}
    accepted, degraded = conditions.get("Accepted", {}), conditions.get("Degraded", {})
    if accepted.get("status") == "False":
        raise ManifestInvalid([Fault("", line) for line in str(accepted.get("message")).splitlines()])
    if degraded.get("status") == "True":
        reason, message = degraded.get("reason"), str(degraded.get("message"))
        if reason == CheckpointNotFound.reason:
            raise CheckpointNotFound("", message)
        if reason in _REFUSALS:
            raise ResumeRefused(f"{reason}: {message}")
    return None


def waited(documents: Iterator[JSONObject], nonce: str, generation: int) -> Served:
    """Look at a Workflow as it changes until the operator has served a nonce.

    Raises:
        ClusterUnavailable: it has not when there was nothing more to look at; with what was seen last.
        CheckpointNotFound, ManifestInvalid, ResumeRefused: see `verdict`.
    """
    last: JSONObject = {}
    for last in documents:
        if (served := verdict(last, nonce, generation)) is not None:
            return served
    raise ClusterUnavailable(_why_not(last))


def _why_not(document: JSONObject) -> str:
    """Say what is known of a resume that nobody has served in time."""
    text = f"the operator has not served this in {WAIT_SECONDS:g} s; the patch stays, and may be served later"
    found: Any = document.get("status") or {}
    for one in found.get("conditions") or ():
        if one.get("type") == "Degraded" and one.get("status") == "True":
            return f"{text}; {one.get('reason')}: {one.get('message')}"
    return f"{text}; a nonce is served once, for ever"


def _generation(document: JSONObject) -> int:
    meta: Any = document.get("metadata") or {}
    return int(meta.get("generation") or 0)


def _names(typed: Any) -> list[JSONValue]:  # noqa: ANN401 - a sequence of texts, with commas inside
    return [*dict.fromkeys(name.strip() for text in typed for name in text.split(",") if name.strip())]
