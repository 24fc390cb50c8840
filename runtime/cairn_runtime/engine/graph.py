"""The graph of a Workflow, and everything about it that can be known before a run: paths, loops, entries.

Pure: built once from names and edges, then only read.
Sets of steps are integers used as bit sets (bit n = step n in file order), so that one decision of the planner
costs a few machine operations however large the graph is.

The rule that this room prepares (`docs/concepts/graph-semantics.md`): a `join: all` step with a token runs when
no other busy step has a path to it.
Paths over a loop edge of a loop that holds both do not count, unless that edge leads to the waiting step itself.
A head that only holds a token does not hold back its own loop.
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

    `blockers[w]`: steps that hold back w while they have a task.
    `token_blockers[w]`: steps that hold back w while they only hold a token.
    `entries`: steps that get the first tokens.
    """

    names: tuple[str, ...]
    index: dict[str, int]
    targets: tuple[tuple[int, ...], ...]
    sources: tuple[tuple[int, ...], ...]
    loops: tuple[Loop, ...]
    blockers: tuple[int, ...]
    token_blockers: tuple[int, ...]
    entries: tuple[int, ...]

    def loops_of(self, step: int) -> list[Loop]:
        """The loops that hold a step, outermost first."""
        return [loop for loop in self.loops if loop.members >> step & 1]


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
    loops = _loops(parts, targets, sources)
    blockers, token_blockers = _blockers(parts, loops, sources)
    return Graph(
        names=tuple(names),
        index=index,
        targets=tuple(map(tuple, targets)),
        sources=tuple(map(tuple, sources)),
        loops=tuple(loops),
        blockers=tuple(blockers),
        token_blockers=tuple(token_blockers),
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


def _loops(
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


def _blockers(
    parts: list[int], loops: list[Loop], sources: Sequence[Sequence[int]]
) -> tuple[list[int], list[int]]:
    """Who holds back whom, while having a task and while holding only a token."""
    source_bits = [sum(1 << s for s in row) for row in sources]
    blockers = _ancestors(parts, source_bits)
    for loop in loops:
        for waiting in bits(loop.members):
            # The deepest loop that holds both decides; loops come outer first, so deeper ones overwrite.
            blockers[waiting] &= ~loop.members
            blockers[waiting] |= _inside(loop, waiting, source_bits)
    token_blockers = list(blockers)
    for loop in loops:
        for waiting in bits(loop.members):
            token_blockers[waiting] &= ~(1 << loop.head)
    return blockers, token_blockers


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


def _inside(loop: Loop, waiting: int, source_bits: list[int]) -> int:
    """Members with a path to `waiting` that stays in the loop and uses its loop edges only to reach `waiting`."""
    reached = 0
    front = source_bits[waiting] & loop.members
    while front:
        reached |= front
        following = 0
        for node in bits(front):
            if node != loop.head:
                following |= source_bits[node]
        front = following & loop.members & ~reached
    return reached & ~(1 << waiting)
