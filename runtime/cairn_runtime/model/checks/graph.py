"""The graph: no cycle through `needs`, every step can be reached, every loop can be left."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping

from cairn_runtime.errors import Fault
from cairn_runtime.model.checks.reach import bits, closure, loops
from cairn_runtime.model.edges import Edge
from cairn_runtime.model.outline import Outline, StepOutline

_SHOWN = 8


def cycles(outline: Outline) -> Iterator[Fault]:
    """A cycle through `needs`, whose steps would wait for each other for ever."""
    index = {name: n for n, name in enumerate(outline.by_name)}
    needs = [e for e in outline.edges if e.kind == "needs" and e.source != e.target]
    names = list(index)
    reach = closure(len(names), ((index[e.source], index[e.target]) for e in needs))
    for part in loops(reach):
        cycle = _cycle({names[n] for n in bits(part)}, names[next(bits(part))], needs)
        path = next(
            f"{outline.by_name[e.target].path}.needs[{e.index}]"
            for e in needs
            if e.target == cycle[0] and e.source == cycle[-1]
        )
        yield Fault(path, f"a cycle: {_shown(cycle)}; needs must be acyclic, a loop is made with next")


def unreachable(outline: Outline) -> Iterator[Fault]:
    """A step that only edges lead to which never fire."""
    if not outline.complete or len(outline.by_name) < len(outline.steps):
        return  # of two steps with one name only one could be looked up, and the name is a fault of its own
    living = [e for e in outline.edges if not _never_fires(outline.by_name[e.source], e)]
    if len(living) == len(outline.edges):
        return
    names = list(outline.by_name)
    index = {name: n for n, name in enumerate(names)}
    reach = closure(len(names), ((index[e.source], index[e.target]) for e in living))
    reached = sum(1 << n for n in _entries(outline, index))
    for entry in bits(reached):
        reached |= reach[entry]
    for n, name in enumerate(names):
        if not reached >> n & 1:
            yield Fault(
                outline.by_name[name].path, f'"{name}" can never run: no edge that leads to it ever fires'
            )


def endless(outline: Outline) -> Iterator[Fault]:
    """A loop that always goes on: none of its steps can end without starting another one of it."""
    # A step that needs itself is a fault of its own.
    edges = [e for e in outline.edges if e.source != e.target or e.kind != "needs"]
    names = list(outline.by_name)
    index = {name: n for n, name in enumerate(names)}
    pairs = [(index[e.source], index[e.target]) for e in edges if e.kind != "catch"]
    if (
        not outline.complete
        or not loops(closure(len(names), pairs))
        or next(cycles(outline), None) is not None
    ):
        return
    bound = _bound(outline, edges)
    inside = [e for e in edges if e.source in bound and e.target in bound and e.kind != "catch"]
    for part in loops(closure(len(names), ((index[e.source], index[e.target]) for e in inside))):
        cycle = _cycle({names[n] for n in bits(part)}, names[next(bits(part))], inside)
        problem = f"the loop {_shown(cycle)} never ends; give one of its next entries a when"
        yield Fault(outline.by_name[cycle[0]].path, problem)


def _bound(outline: Outline, edges: list[Edge]) -> set[str]:
    """Find the largest set of steps each of which always starts another one of the set."""
    steps = outline.by_name
    drawn: dict[str, list[Edge]] = {name: [] for name in steps}
    into: dict[str, list[str]] = {name: [] for name in steps}
    for edge in edges:
        drawn[edge.source].append(edge)
        into[edge.target].append(edge.source)
    bound, left = set(steps), list(steps)
    while left:
        name = left.pop()
        if name in bound and not _goes_on(steps[name], drawn[name], bound, steps):
            bound.discard(name)
            left.extend(into[name])
    return bound


def _goes_on(step: StepOutline, drawn: list[Edge], bound: set[str], steps: Mapping[str, StepOutline]) -> bool:
    """Whether a step, once it is done, always starts a step of `bound`."""
    if step.kind in ("approval", "signal"):
        return False  # a person or another program decides whether it goes on
    targets = [e for e in drawn if e.target in bound and not (step.when and steps[e.target].any_join)]
    if any(e.kind == "needs" for e in targets):
        return True
    if not step.next or not {*step.goto} <= bound:
        return False
    inside = {e.index for e in targets if e.kind == "next"}
    always = {n for n, entry in enumerate(step.next) if not entry.when and not entry.otherwise}
    otherwise = any(entry.otherwise for entry in step.next)
    return bool(always & inside) or (otherwise and len(inside) == len(step.next))


def _never_fires(step: StepOutline, edge: Edge) -> bool:
    if edge.kind != "next" or not step.next[edge.index].otherwise:
        return False
    return any(not entry.when and not entry.otherwise for entry in step.next)


def _entries(outline: Outline, index: Mapping[str, int]) -> Iterator[int]:
    """Iterate the steps that get the first tokens; of a loop that nothing leads to the first in the file."""
    pairs = [(index[e.source], index[e.target]) for e in outline.edges]
    led_to = 0
    for part in loops(closure(len(index), pairs)):
        if any(part >> b & 1 and not part >> a & 1 for a, b in pairs):
            continue
        led_to |= part
        yield next(bits(part))
    for _, target in pairs:
        led_to |= 1 << target
    yield from (n for n in index.values() if not led_to >> n & 1)


def _cycle(members: Iterable[str], start: str, edges: list[Edge]) -> list[str]:
    """Find a shortest way from `start` along edges back to it, as the steps passed."""
    inside = set(members)
    came_from: dict[str, str] = {}
    queue = deque([start])
    while queue:
        name = queue.popleft()
        for edge in edges:
            if edge.source != name or edge.target not in inside or edge.target in came_from:
                continue
            came_from[edge.target] = name
            if edge.target == start:
                queue.clear()
                break
            queue.append(edge.target)
    way = [came_from[start]]
    while way[-1] != start:
        way.append(came_from[way[-1]])
    return way[::-1]


def _shown(cycle: list[str]) -> str:
    names = [*cycle, cycle[0]]
    if len(names) > _SHOWN:
        names = [*names[: _SHOWN - 2], "...", names[-1]]
    return " -> ".join(names)
