"""Paths between steps, as bit sets: bit n stands for the step with number n in file order.

The rules of waiting are those of the graph semantics: a `join: all` step waits for every busy step with a
path to it, but for a step of a loop a path over the edges back to its head counts only if it ends there.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple


def bits(members: int) -> Iterator[int]:
    """Iterate the members of a set, lowest first."""
    while members:
        low = members & -members
        yield low.bit_length() - 1
        members ^= low


def closure(count: int, pairs: Iterable[tuple[int, int]]) -> list[int]:
    """Say for each step which steps it leads to, by any number of edges; itself only where a loop does.

    Source: S. Warshall, A theorem on Boolean matrices (1962), a row at a time.
    """
    reach = [0] * count
    for source, target in pairs:
        reach[source] |= 1 << target
    for middle in range(count):
        row, mark = reach[middle], 1 << middle
        if row:
            reach = [known | row if known & mark else known for known in reach]
    return reach


def loops(reach: Sequence[int]) -> list[int]:
    """List the strongly connected parts that hold an edge, as sets, by their first step."""
    found, seen = [], 0
    for step, row in enumerate(reach):
        if row >> step & 1 and not seen >> step & 1:
            part = sum(1 << other for other in bits(row) if reach[other] >> step & 1)
            seen |= part
            found.append(part)
    return found


class Order(NamedTuple):
    """Which steps wait for which.

    `waits[n]`: busy steps that step n waits for, if it is `join: all`.
    `back`: the edges that lead from inside a loop to its head.
    """

    waits: list[int]
    back: frozenset[tuple[int, int]]


def order(count: int, pairs: Sequence[tuple[int, int]]) -> Order:
    """Work out who waits for whom."""
    reach = closure(count, pairs)
    nested = list(_nested_loops(count, pairs, reach))
    waits = []
    for step in range(count):
        # Edges back to a head do not count for a step of the loop, but for the head itself they do.
        barred = {edge for part, back in nested if part >> step & 1 for edge in back if edge[1] != step}
        if barred:
            before = _before(step, [pair for pair in pairs if pair not in barred])
        else:
            before = sum(1 << other for other in range(count) if reach[other] >> step & 1)
        waits.append(before & ~(1 << step))
    return Order(waits, frozenset(edge for _, back in nested for edge in back))


def _nested_loops(
    count: int, pairs: Sequence[tuple[int, int]], reach: list[int]
) -> Iterator[tuple[int, list[tuple[int, int]]]]:
    """Iterate all loops, outer before inner, each as its steps and its edges back to its head."""
    left = [(part, list(pairs)) for part in loops(reach)]
    while left:
        part, around = left.pop(0)
        head = _head(part, pairs)
        inside = [(a, b) for a, b in around if part >> a & 1 and part >> b & 1]
        yield part, [edge for edge in inside if edge[1] == head]
        # Without the edges to the head the loops inside show.
        forward = [edge for edge in inside if edge[1] != head]
        left.extend((inner, forward) for inner in loops(closure(count, forward)))


def _before(step: int, pairs: Sequence[tuple[int, int]]) -> int:
    """Collect the steps with a path to a step."""
    sources: dict[int, list[int]] = {}
    for source, target in pairs:
        sources.setdefault(target, []).append(source)
    found, front = 0, [step]
    while front:
        for source in sources.get(front.pop(), ()):
            if not found >> source & 1:
                found |= 1 << source
                front.append(source)
    return found


def _head(part: int, pairs: Sequence[tuple[int, int]]) -> int:
    """Find the first step with an edge from outside; without any the first step."""
    outside = [b for a, b in pairs if part >> b & 1 and not part >> a & 1]
    return min(outside, default=next(bits(part)))
