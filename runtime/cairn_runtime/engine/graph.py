"""The graph of a Workflow, and everything about it that can be known before a run: paths, loops, entries.

Pure: built once from names and edges, then only read.
Sets of steps are integers used as bit sets (bit n = step n in file order), so that one decision of the
planner costs a few machine operations however large the graph is.

The rule that this room prepares (`docs/concepts/graph-semantics.md`): a `join: all` step with a token runs
when no other busy step has a path to it.
Paths over a loop edge of a loop that holds the waiting step do not count, unless that edge leads to the step
itself: a head waits until the pass is over, and no member waits for the next pass.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Loop:
    """A strongly connected part: its head, all its members (the head too), its depth of nesting from 1."""

    head: int
    members: int
    depth: int


@dataclass(frozen=True, slots=True)
class Graph:
    """Steps by number in file order, and who holds back whom.

    `blockers[w]`: steps with a path to w that counts.
    `heads[w]`: heads of the loops that hold w, w itself left out.
    `loops`: all of them, outer before inner; `around[w]`: those that hold w, outermost first.
    `headed[w]`: the loop whose head w is, if any.
    `entry_blockers[w]`: for a head, the steps with a path to it that counts and does not end on a loop edge.
    `entries`: steps that get the first tokens.
    """

    names: tuple[str, ...]
    index: dict[str, int]
    targets: tuple[tuple[int, ...], ...]
    sources: tuple[tuple[int, ...], ...]
    loops: tuple[Loop, ...]
    around: tuple[tuple[Loop, ...], ...]
    headed: tuple[Loop | None, ...]
    heads: tuple[int, ...]
    blockers: tuple[int, ...]
    entry_blockers: tuple[int, ...]
    entries: tuple[int, ...]

    def behind(self, step: str) -> set[str]:
        """Names of the steps to which there is a path from a step; itself too where it is in a loop."""
        found: set[int] = set()
        front = [self.index[step]]
        while front:
            following = set(self.targets[front.pop()]) - found
            found |= following
            front += following
        return {self.names[n] for n in found}


def build_graph(names: Sequence[str], edges: Iterable[tuple[str, str]]) -> Graph:
    """Work out loops, paths and entries; edges may repeat and must name known steps."""
    index = {name: n for n, name in enumerate(names)}
    pairs = sorted({(index[a], index[b]) for a, b in edges})
    targets: list[list[int]] = [[] for _ in names]
    sources: list[list[int]] = [[] for _ in names]
    for source, target in pairs:
        targets[source].append(target)
        sources[target].append(source)
    parts = strong_parts((1 << len(names)) - 1, targets)
    loops = find_loops(parts, targets, sources)
    around: list[list[Loop]] = [[] for _ in names]
    headed: list[Loop | None] = [None] * len(names)
    for loop in loops:
        headed[loop.head] = loop
        for member in bits(loop.members):
            around[member].append(loop)
    source_bits = [sum(1 << s for s in row) for row in sources]
    blockers = _ancestors(parts, source_bits)
    entry_blockers = [0] * len(names)
    for step, held in enumerate(around):
        if held:
            blockers[step] = _behind(step, source_bits[step], held, source_bits)
        loop_of = headed[step]
        if loop_of is not None:
            first = source_bits[step] & ~loop_of.members
            entry_blockers[step] = _behind(step, first, held, source_bits)
    return Graph(
        names=tuple(names),
        index=index,
        targets=tuple(map(tuple, targets)),
        sources=tuple(map(tuple, sources)),
        loops=tuple(loops),
        around=tuple(map(tuple, around)),
        headed=tuple(headed),
        heads=tuple(sum(1 << h.head for h in held if h.head != step) for step, held in enumerate(around)),
        blockers=tuple(blockers),
        entry_blockers=tuple(entry_blockers),
        entries=tuple(sorted(_head(part, sources) for part in parts if not _from_outside(part, sources))),
    )


def bits(members: int) -> Iterator[int]:
    """Iterate the members of a bit set, lowest first."""
    while members:
        low = members & -members
        yield low.bit_length() - 1
        members ^= low


def strong_parts(members: int, targets: Sequence[Sequence[int]]) -> list[int]:
    """Split members into strongly connected parts, as bit sets, sources first.

    Source: R. Tarjan, Depth-first search and linear graph algorithms (1972), with an explicit stack.
    """
    order: dict[int, int] = {}
    low: dict[int, int] = {}
    stack: list[int] = []
    on_stack = 0
    parts: list[int] = []
    for root in bits(members):
        if root in order:
            continue
        work = [(root, iter(targets[root]))]
        order[root] = low[root] = len(order)
        stack.append(root)
        on_stack |= 1 << root
        while work:
            node, following = work[-1]
            for target in following:
                if not members >> target & 1:
                    continue
                if target not in order:
                    order[target] = low[target] = len(order)
                    stack.append(target)
                    on_stack |= 1 << target
                    work.append((target, iter(targets[target])))
                    break
                if on_stack >> target & 1:
                    low[node] = min(low[node], order[target])
            else:
                work.pop()
                if work:
                    parent = work[-1][0]
                    low[parent] = min(low[parent], low[node])
                if low[node] == order[node]:
                    part = _pop_part(stack, node)
                    on_stack &= ~part
                    parts.append(part)
    parts.reverse()
    return parts


def _pop_part(stack: list[int], root: int) -> int:
    part = 0
    while True:
        node = stack.pop()
        part |= 1 << node
        if node == root:
            return part


def _from_outside(part: int, sources: Sequence[Sequence[int]]) -> list[int]:
    """Members with an edge from a step that is no member, in file order."""
    return [n for n in bits(part) if any(not part >> s & 1 for s in sources[n])]


def _head(part: int, sources: Sequence[Sequence[int]]) -> int:
    outside = _from_outside(part, sources)
    return outside[0] if outside else next(bits(part))


def find_loops(
    parts: list[int], targets: Sequence[Sequence[int]], sources: Sequence[Sequence[int]]
) -> list[Loop]:
    """All loops, outer before inner.

    Without its loop edges a loop's head has no edge from inside, so the loops inside it are the strongly
    connected parts of the other members.
    """
    found: list[Loop] = []
    work = [(part, 1) for part in parts]
    while work:
        part, depth = work.pop(0)
        first = next(bits(part))
        if part == 1 << first and first not in targets[first]:
            continue
        loop = Loop(_head(part, sources), part, depth)
        found.append(loop)
        rest = part & ~(1 << loop.head)
        work.extend((inner, depth + 1) for inner in strong_parts(rest, targets))
    return found


def _ancestors(parts: list[int], source_bits: list[int]) -> list[int]:
    """For every step the steps with any path to it, itself left out."""
    above = [0] * len(source_bits)
    for part in parts:
        reach = part
        for node in bits(part):
            for source in bits(source_bits[node] & ~part):
                reach |= above[source] | 1 << source
        for node in bits(part):
            above[node] = reach & ~(1 << node)
    return above


def _behind(waiting: int, first: int, loops: list[Loop], source_bits: list[int]) -> int:
    """Steps from which `waiting` is reached through one of `first`, over no loop edge of the loops that hold
    it.
    """
    inside = {loop.head: loop.members for loop in loops}
    reached = 0
    front = first
    while front:
        reached |= front
        following = 0
        for node in bits(front):
            following |= source_bits[node] & ~inside.get(node, 0) if node != waiting else 0
        front = following & ~reached
    return reached & ~(1 << waiting)
