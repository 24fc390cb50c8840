"""Changing what a Workflow is to do: pause, unpause, cancel; and which checkpoints are kept: pin, unpin.

A wish is a merge patch of a single field, given through standard input; twice equals once. Then the operator
is waited for. One that does not answer in time undoes nothing: the wish stays in the object.
"""

from __future__ import annotations

from collections.abc import Callable

from cairn_runtime.cli.cluster.facts import Seen, mark_of, mark_shape, seen_of, workflow_shape
from cairn_runtime.cli.cluster.naming import checkpoint_named, workflow_name
from cairn_runtime.cli.inputs import refuse
from cairn_runtime.cli.kubectl import CHECKPOINTS, WORKFLOWS, Kubectl
from cairn_runtime.cli.outputs import Output
from cairn_runtime.errors import EXIT_DONE, ClusterUnavailable
from cairn_runtime.model.ids import short_id
from cairn_runtime.model.values import JSONObject

WAIT_SECONDS = 90.0
"""How long the operator is waited for; a drain may take the whole grace period of a pod."""


def pause(output: Output, kubectl: Kubectl, name: str) -> int:
    """Hold a Workflow: its runner finishes what it is at, writes it down and ends."""
    seen = _wished(kubectl, name, {"spec": {"suspend": True}}, lambda one: one.phase == "Suspended")
    if seen.finished:
        return _told(output, seen, f"{name} is {seen.phase} already; nothing is held")
    return _told(
        output, seen, f"{name} is held", f"go on: kubectl cairn unpause {name}{kubectl.target.words}"
    )


def unpause(output: Output, kubectl: Kubectl, name: str) -> int:
    """Let a Workflow go on."""
    seen = _wished(kubectl, name, {"spec": {"suspend": False}}, lambda one: one.phase != "Suspended")
    if seen.finished:
        return _told(output, seen, f"{name} is {seen.phase} already")
    return _told(output, seen, f"{name} goes on", f"follow: kubectl cairn watch {name}{kubectl.target.words}")


def cancel(output: Output, kubectl: Kubectl, name: str) -> int:
    """End the current run of a Workflow for good.

    Raises:
        InvalidInput: it has no run yet.
    """
    seen = seen_of(kubectl.get(WORKFLOWS, name))
    if seen.finished:
        return _told(output, seen, f"{name}, run {short_id(seen.run)} is {seen.phase} already")
    if not seen.run:
        refuse("WORKFLOW", f"{name} has no run yet; hold it with: kubectl cairn pause {name}")
    run = seen.run
    change: JSONObject = {"metadata": {"annotations": {"cairn.dev/cancel": run}}}
    seen = _wished(kubectl, name, change, lambda one: one.run != run, whatever_generation=True)
    if seen.run != run:
        return _told(
            output, seen, f"run {short_id(run)} of {name} was followed by {short_id(seen.run)} meanwhile"
        )
    verb = "cancelled" if seen.phase == "Cancelled" else f"{seen.phase} before it could be cancelled:"
    return _told(output, seen, f"{verb} {name}, run {short_id(run)}")


def pin(output: Output, kubectl: Kubectl, checkpoint: str, *, pinned: bool) -> int:
    """Keep a checkpoint for good, or let it go with the others again."""
    who, slash, _ = checkpoint.partition("/")
    if slash:
        checkpoint = checkpoint_named(kubectl, workflow_name(who, "CHECKPOINT"), checkpoint, "CHECKPOINT")
    elif checkpoint.isdigit():
        refuse("CHECKPOINT", f'"{checkpoint}" is of which Workflow? write for example digest/{checkpoint}')
    else:
        checkpoint = checkpoint_named(kubectl, "-", checkpoint, "CHECKPOINT")
    change: JSONObject = {"metadata": {"annotations": {"cairn.dev/pin": "true" if pinned else None}}}
    mark = mark_of(kubectl.merge(CHECKPOINTS, checkpoint, change))
    if output.for_people:
        output.text([f"{mark.name} {'is kept for good' if pinned else 'goes with the others again'}"])
    else:
        output.document(mark_shape(mark))
    return EXIT_DONE


def _wished(
    kubectl: Kubectl,
    name: str,
    change: JSONObject,
    holds: Callable[[Seen], bool],
    *,
    whatever_generation: bool = False,
) -> Seen:
    """Write a wish, and wait until it has come true or the run is over.

    Raises:
        ClusterUnavailable: neither, in time.
    """
    kubectl.merge(WORKFLOWS, name, change)
    last = None
    for document in kubectl.watch(name, WAIT_SECONDS):
        last = seen_of(document)
        if (whatever_generation or last.current) and (last.finished or holds(last)):
            return last
    seen = f"; it is {last.phase or 'not looked at yet'}" if last is not None else ""
    raise ClusterUnavailable(
        f"the operator has not done it in {WAIT_SECONDS:g} s{seen}; what was asked for stays, and may be done"
        " later; see: kubectl cairn doctor"
    )


def _told(output: Output, seen: Seen, text: str, *hints: str) -> int:
    if output.for_people:
        output.text([text])
        output.note(*hints)
    else:
        output.document(workflow_shape(seen))
    return EXIT_DONE
