"""Paths between steps, as bit sets: bit n stands for the step with number n in file order.

The rules of waiting are those of the graph semantics: a `join: all` step waits for every busy step with a
path to it, but inside a loop a path over the loop's edges back to its head counts only if it ends there.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass


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


@dataclass(frozen=True, slots=True)
class Order:
    """Which steps wait for which.

    `waits[n]`: busy steps that step n waits for, if it is `join: all`.
    `back`: the edges that lead from inside a loop to its head.
    """

    waits: list[int]
    back: frozenset[tuple[int, int]]


def order(count: int, pairs: Sequence[tuple[int, int]]) -> Order:
    """Work out who waits for whom, loop by loop, outer before inner."""
    reach = closure(count, pairs)
    waits = [sum(1 << other for other in range(count) if reach[other] >> step & 1) for step in range(count)]
    back: set[tuple[int, int]] = set()
    left = [(part, list(pairs)) for part in loops(reach)]
    while left:
        part, around = left.pop(0)
        head = _head(part, pairs)
        inside = [(a, b) for a, b in around if part >> a & 1 and part >> b & 1]
        forward = [(a, b) for a, b in inside if b != head]
        back.update((a, b) for a, b in inside if b == head)
        once = closure(count, forward)
        before_head = sum(1 << a for a in {a for a, b in inside if b == head})
        for step in bits(part):
            ends = before_head if step == head else 1 << step
            ahead = sum(1 << other for other in bits(part) if once[other] & ends)
            waits[step] = waits[step] & ~part | ahead | (ends if step == head else 0)
        # Without the edges to the head the loops inside show; they are judged by themselves, deep ones last.
        left.extend((inner, forward) for inner in loops(once))
    return Order([row & ~(1 << step) for step, row in enumerate(waits)], frozenset(back))


def _head(part: int, pairs: Sequence[tuple[int, int]]) -> int:
    """Find the first step with an edge from outside; without any the first step."""
    outside = [b for a, b in pairs if part >> b & 1 and not part >> a & 1]
    return min(outside, default=next(bits(part)))
