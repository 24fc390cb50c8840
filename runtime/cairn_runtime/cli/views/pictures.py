"""What a drawing of a Workflow shows, before it is drawn: boxes, arrows, and how far a run has come; pure.

All three drawings (text, mermaid, SVG) start from one `Picture`, so that they cannot tell different stories.
"""

from __future__ import annotations

import heapq
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from cairn_runtime.engine.frontier import RunState
from cairn_runtime.engine.graph import Graph, build_graph
from cairn_runtime.model.durations import format_duration
from cairn_runtime.model.edges import EdgeKind, edges
from cairn_runtime.model.values import JSONObject
from cairn_runtime.model.workflow import Step, Workflow

Standing: TypeAlias = Literal["todo", "ready", "running", "waiting", "done", "skipped", "failed"]
"""How a step stands in a run; without a run all are `todo`."""


@dataclass(frozen=True, slots=True)
class Box:
    """A step: its name, what it does in a few words, how it stands."""

    name: str
    what: str
    standing: Standing = "todo"
    visits: int = 0


@dataclass(frozen=True, slots=True)
class Arrow:
    """An edge; `back` marks one that closes a loop, `label` is its condition."""

    source: str
    target: str
    kind: EdgeKind
    label: str = ""
    back: bool = False


@dataclass(frozen=True, slots=True)
class Picture:
    """A Workflow as boxes in file order and arrows, each pair of boxes once for each kind."""

    title: str
    boxes: tuple[Box, ...]
    arrows: tuple[Arrow, ...]

    def forward(self) -> dict[str, list[str]]:
        """The targets of each box without the arrows that close loops: this graph has no cycle."""
        out: dict[str, list[str]] = {box.name: [] for box in self.boxes}
        for arrow in self.arrows:
            if not arrow.back and arrow.target not in out[arrow.source]:
                out[arrow.source].append(arrow.target)
        return out

    def ordered(self) -> list[str]:
        """Names so that every forward arrow leads down; among equals in file order."""
        return _topological([box.name for box in self.boxes], self.forward())


def picture(workflow: Workflow, standings: Mapping[str, Box] | None = None) -> Picture:
    """Show a Workflow; `standings` brings boxes of a run (see `boxes_of`)."""
    steps = workflow.spec.steps
    drawn = edges(steps)
    graph = build_graph([step.name for step in steps], [(e.source, e.target) for e in drawn])
    arrows = {
        (e.source, e.target, e.kind): Arrow(
            e.source,
            e.target,
            e.kind,
            _label(steps[graph.index[e.source]], e.kind, e.index),
            _closes_loop(graph, e.source, e.target),
        )
        for e in drawn
    }
    plain = [Box(step.name, what_it_does(step)) for step in steps]
    boxes = [(standings or {}).get(box.name, box) for box in plain]
    return Picture(workflow.metadata.name, tuple(boxes), tuple(arrows.values()))


def boxes_of(
    workflow: Workflow, state: RunState, *, running: bool, skipped: Collection[str] = ()
) -> dict[str, Box]:
    """Say how each step stands in a run's state; `running` tells whether somebody works on it now."""
    return {
        step.name: Box(
            step.name,
            what_it_does(step),
            _standing(step.name, state, running=running, skipped=skipped),
            state.visits.get(step.name, 0),
        )
        for step in workflow.spec.steps
    }


def what_it_does(step: Step) -> str:
    """Name a step's kind and the heart of it: `python steps:fetch · foreach state.urls`."""
    what = _kind(step)
    if step.foreach is not None:
        what += f" · foreach {step.foreach.in_}"
    if step.when is not None:
        what += f" · when {step.when}"
    return what


def picture_document(shown: Picture) -> JSONObject:
    """The picture as JSON."""
    return {
        "workflow": shown.title,
        "steps": [
            {"name": box.name, "what": box.what, "standing": box.standing, "visits": box.visits}
            for box in shown.boxes
        ],
        "edges": [
            {"from": a.source, "to": a.target, "kind": a.kind, "when": a.label, "loop": a.back}
            for a in shown.arrows
        ],
    }


def _kind(step: Step) -> str:
    if step.python is not None:
        return f"python {step.python}"
    if step.run is not None:
        return f"run {' '.join(step.run.split())}"
    if step.argv is not None:
        return f"run {' '.join(step.argv)}"
    if step.approval is not None:
        return "approval"
    if step.signal is not None:
        return f"signal {step.signal.name}"
    return f"sleep {format_duration(step.sleep or 0.0)}"


def _standing(name: str, state: RunState, *, running: bool, skipped: Collection[str]) -> Standing:
    if state.failure is not None and state.failure.get("step") == name:
        return "failed"
    if name in state.tasks or name in state.groups:
        if _only_waits(name, state):
            return "waiting"
        return "running" if running else "ready"
    if name in state.tokens:
        return "ready"
    if not state.ended.get(name):
        return "todo"
    return "skipped" if name in skipped else "done"


def _only_waits(name: str, state: RunState) -> bool:
    """Whether everything that is left of a step is parked."""
    task, group = state.tasks.get(name), state.groups.get(name)
    if group is None:
        return task is not None and task.wait is not None
    return 0 < group.left == sum(item.wait is not None for item in group.open.values())


def _label(step: Step, kind: EdgeKind, index: int) -> str:
    if kind != "next":
        return ""
    entry = step.next[index]
    return "otherwise" if entry.otherwise else f"when {entry.when}" if entry.when else ""


def _closes_loop(graph: Graph, source: str, target: str) -> bool:
    start, end = graph.index[source], graph.index[target]
    return any(loop.head == end and loop.members >> start & 1 for loop in graph.loops)


def _topological(names: Sequence[str], forward: Mapping[str, Sequence[str]]) -> list[str]:
    place = {name: n for n, name in enumerate(names)}
    missing = dict.fromkeys(names, 0)
    for targets in forward.values():
        for target in targets:
            missing[target] += 1
    ready = [place[name] for name in names if not missing[name]]
    out: list[str] = []
    while ready:
        name = names[heapq.heappop(ready)]
        out.append(name)
        for target in forward[name]:
            missing[target] -= 1
            if not missing[target]:
                heapq.heappush(ready, place[target])
    return out
