"""Looking at what a cluster has: get, tree, checkpoints. Nothing here changes an object."""

from __future__ import annotations

from cairn_runtime.cli.cluster.facts import (
    Mark,
    Runner,
    Seen,
    mark_of,
    mark_shape,
    runner_of,
    seen_of,
    workflow_shape,
)
from cairn_runtime.cli.cluster.naming import LABEL
from cairn_runtime.cli.kubectl import CHECKPOINTS, WORKFLOWS, Kubectl
from cairn_runtime.cli.outputs import Output
from cairn_runtime.cli.views import objects
from cairn_runtime.errors import EXIT_DONE
from cairn_runtime.model.values import JSONValue


def get(output: Output, kubectl: Kubectl, name: str, *, everywhere: bool) -> int:
    """List Workflows, newest first, or show one."""
    if name:
        seen = seen_of(kubectl.get(WORKFLOWS, name))
        if output.for_people:
            output.text(objects.workflow_detail(seen, output.now, kubectl.target.words))
        else:
            conditions: list[JSONValue] = [
                {"type": one.kind, "status": one.holds, "reason": one.reason, "message": one.message}
                for one in seen.conditions
            ]
            output.document({**workflow_shape(seen), "conditions": conditions})
        return EXIT_DONE
    listed = kubectl.items(WORKFLOWS, *(("--all-namespaces",) if everywhere else ()))
    found = sorted(map(seen_of, listed), key=lambda one: one.created_at, reverse=True)
    if output.for_people:
        output.text(objects.workflow_lines(found, output.now, output.width, everywhere=everywhere))
    else:
        output.document([workflow_shape(one) for one in found])
    return EXIT_DONE


def checkpoints(output: Output, kubectl: Kubectl, name: str, run: str, *, everywhere: bool) -> int:
    """List Checkpoint objects, newest first."""
    scope = ("--all-namespaces",) if everywhere and not name else ()
    found = [mark for mark in marks_of(kubectl, name, *scope) if run in mark.run]
    if name and not found:
        kubectl.get(WORKFLOWS, name)  # a name that is wrong is told
    if output.for_people:
        output.text(objects.checkpoint_lines(found, output.now, output.width))
    else:
        output.document([mark_shape(mark) for mark in found])
    return EXIT_DONE


def tree(output: Output, kubectl: Kubectl, name: str) -> int:
    """Show a Workflow with its runs, their pods and their newest checkpoints."""
    seen = seen_of(kubectl.get(WORKFLOWS, name))
    marks, runners = marks_of(kubectl, name), runners_of(kubectl, name)
    if output.for_people:
        output.text(objects.tree_lines(seen, marks, runners, output.now, output.width))
    else:
        shapes = [mark_shape(mark) for mark in marks]
        output.document(objects.tree_shape(workflow_shape(seen), shapes, runners, _origins(seen, marks)))
    return EXIT_DONE


def marks_of(kubectl: Kubectl, name: str, *words: str) -> list[Mark]:
    """The Checkpoint objects of a Workflow, or of all, newest first."""
    select = (f"--selector={LABEL}={name}",) if name else ()
    found = map(mark_of, kubectl.items(CHECKPOINTS, *select, *words))
    return sorted(found, key=lambda mark: (mark.created_at, mark.seq), reverse=True)


def runners_of(kubectl: Kubectl, name: str) -> list[Runner]:
    """The runner pods of a Workflow, newest first."""
    found = map(runner_of, kubectl.items("pods", f"--selector={LABEL}={name}"))
    return sorted(found, key=lambda one: (one.created_at, one.epoch), reverse=True)


def _origins(seen: Seen, marks: list[Mark]) -> dict[str, str]:
    told = {str(seen.resumed["run"]): str(seen.resumed.get("checkpoint"))} if seen.resumed.get("run") else {}
    return {**dict.fromkeys((mark.run for mark in marks), ""), **told} | {
        mark.run: mark.origin for mark in marks if mark.origin
    }
