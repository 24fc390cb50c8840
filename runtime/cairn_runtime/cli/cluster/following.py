"""Following a Workflow until nothing more comes by itself; how it ended is the exit code.

    Succeeded 0 · Failed, Cancelled 1 · waits for a person, or is held 3 · its spec has faults 2

Each line is a change that a person would notice; a change that came while nobody looked is in the next one.
"""

from __future__ import annotations

from collections.abc import Iterator

from cairn_runtime.cli.cluster.facts import Seen, seen_of, workflow_shape
from cairn_runtime.cli.kubectl import Kubectl
from cairn_runtime.cli.outputs import Output
from cairn_runtime.cli.views import objects
from cairn_runtime.errors import EXIT_DONE, EXIT_FAILED, EXIT_PARKED, EXIT_USAGE
from cairn_runtime.model.ids import short_id
from cairn_runtime.model.values import JSONObject


def watch(output: Output, kubectl: Kubectl, name: str, *, generation: int = 0, lines: bool = True) -> int:
    """Follow a Workflow to its end.

    Args:
        output: where to.
        kubectl: which cluster.
        name: the Workflow.
        generation: what it had when it was applied; an older status is not its.
        lines: with JSON, write each change; else only the last one, as the one document.
    """
    before = ""
    for seen in _looked_at(kubectl.watch(name), generation):
        line = objects.change_line(seen, output.now)
        if (told := line.partition("  ")[2]) != before:
            before = told
            if output.for_people:
                output.text([line])
            elif lines:
                output.line(workflow_shape(seen))
        if (code := exit_code(seen)) is not None:
            if output.for_people:
                output.text(["", *end_lines(seen, output, kubectl.target.words)])
            elif not lines:
                output.document(workflow_shape(seen))
            return code
    raise AssertionError("a watch without a time ends by an error only")


def _looked_at(documents: Iterator[JSONObject], generation: int) -> Iterator[Seen]:
    """Each state of the Workflow that is about the spec that is meant."""
    for document in documents:
        seen = seen_of(document)
        status = document.get("status")
        observed = status.get("observedGeneration") if isinstance(status, dict) else None
        if not generation or (isinstance(observed, int) and observed >= generation):
            yield seen


def exit_code(seen: Seen) -> int | None:
    """What a command should end with; None: something goes on by itself, or may."""
    if seen.phase == "Succeeded":
        return EXIT_DONE
    if seen.finished:
        return EXIT_FAILED
    if any(one.kind == "Accepted" and not one.holds for one in seen.conditions) and seen.holding("Stalled"):
        return EXIT_USAGE
    return EXIT_PARKED if seen.phase == "Suspended" or seen.waits_for_a_person else None


def end_lines(seen: Seen, output: Output, where: str) -> list[str]:
    """How it ended, why, and what to type next."""
    verdict = {
        "Succeeded": "succeeded",
        "Failed": "failed",
        "Cancelled": "was cancelled",
        "Waiting": "waits",
        "Suspended": "is held",
    }.get(seen.phase, "cannot begin")
    reason, message = seen.why
    told = f" ({reason})" if reason and seen.phase != "Succeeded" else ""
    facts = [f"{seen.name} {verdict}{told}"]
    if seen.run:
        facts.append(f"run {short_id(seen.run)}")
    facts += [seen.progress] if seen.progress else []
    lines = [" · ".join(facts)]
    if told and message:
        lines += [f"  {line}" for line in message.splitlines()]
    if seen.waits:
        lines += ["", *objects.wait_lines(seen, output.now)]
    return [*lines, "", *objects.next_lines(seen, where)]
