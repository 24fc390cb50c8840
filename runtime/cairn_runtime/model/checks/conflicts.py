"""Possible conflicts: two steps that may be under way at the same time and replace the same channel.

Only what is known is judged: `collect`, approval and signal channels, and the dict literals that a function
returns whose code is at hand. So silence proves nothing for shell steps and for computed dicts.
A pair is left out where one waits for the other, or where the two are on branches of one step that exclude
each other: `otherwise` and the other entries, `catch` and everything else, `ctx.goto` and `next`.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from itertools import combinations
from typing import NamedTuple

from cairn_runtime.errors import Fault
from cairn_runtime.model.checks.code import Modules
from cairn_runtime.model.checks.reach import closure, order
from cairn_runtime.model.edges import Edge
from cairn_runtime.model.outline import Outline, StepOutline
from cairn_runtime.model.suggestions import did_you_mean

MAX_WARNINGS = 20

_ANY_DEPTH = 50


class Writes(NamedTuple):
    """What a step is known to write, and the path that says so."""

    step: StepOutline
    path: str
    channels: frozenset[str]
    per_item: bool
    """Whether every item of a foreach writes them for itself."""


def conflicting_writes(outline: Outline, modules: Modules) -> Iterator[Fault]:
    """Warnings: steps, or items of one step, that may replace a channel without seeing each other."""
    known = [writes for step in outline.steps if (writes := _writes(step, modules)) is not None]
    for writes in known:
        for channel in sorted(_replaced(outline, writes) if writes.per_item else ()):
            problem = f'every item replaces the channel "{channel}", which conflicts with the other items'
            yield Fault(writes.path, f"{problem}; collect the results, or give it a reducer")
    yield from _pairs(outline, known)


def undeclared_writes(outline: Outline, modules: Modules) -> Iterator[Fault]:
    """Warnings: a function that returns a key which is no channel, under strict."""
    if not outline.strict:
        return
    for step in outline.steps:
        writes = _writes(step, modules)
        if writes is None or not step.python:
            continue
        for channel in sorted(writes.channels - outline.known_channels):
            hint = did_you_mean(channel, outline.known_channels)
            yield Fault(writes.path, f'returns "{channel}", which is no channel{hint}')


def _pairs(outline: Outline, known: list[Writes]) -> Iterator[Fault]:
    replaced = [(writes, found) for writes in known if (found := _replaced(outline, writes))]
    if len(replaced) < 2:
        return
    overlaps = _Overlaps(outline)
    left = MAX_WARNINGS
    for (first, some), (second, others) in combinations(replaced, 2):
        both = some & others
        if both and overlaps.possible(first.step.name, second.step.name):
            names = ", ".join(f'"{name}"' for name in sorted(both))
            problem = f'"{first.step.name}" may run at the same time and replaces {names} too'
            yield Fault(
                second.path, f"possible conflict: {problem}; give it a reducer, or let one need the other"
            )
            left -= 1
            if not left:
                return


def _replaced(outline: Outline, writes: Writes) -> frozenset[str]:
    """Channels among the writes whose reducer is `replace`."""
    return frozenset(
        name
        for name in writes.channels
        if (channel := outline.channels.get(name)) is not None and channel.reducer == "replace"
    )


def _writes(step: StepOutline, modules: Modules) -> Writes | None:
    if step.collect:
        return Writes(step, f"{step.path}.foreach.collect", frozenset({step.collect}), per_item=False)
    if step.kind in ("approval", "signal"):
        return Writes(step, f"{step.path}.{step.kind}", frozenset({step.name}), per_item=False)
    module = modules.find(step.python) if ":" in step.python else None
    function = module.functions.get(step.python.partition(":")[2]) if module else None
    if function is None:
        return None
    return Writes(step, f"{step.path}.python", _returned_keys(function), per_item=step.foreach is not None)


def _returned_keys(function: ast.FunctionDef | ast.AsyncFunctionDef) -> frozenset[str]:
    """Collect the keys of the dict literals that a function returns, those of inner functions left out."""
    keys: set[str] = set()
    left: list[ast.AST] = [*function.body]
    while left:
        node = left.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | ast.ClassDef):
            continue
        if isinstance(node, ast.Return) and isinstance(node.value, ast.Dict):
            names = (key.value for key in node.value.keys if isinstance(key, ast.Constant))
            keys.update(name for name in names if isinstance(name, str))
        left.extend(ast.iter_child_nodes(node))
    return frozenset(keys)


class _Overlaps:
    """Which steps can be under way at the same time."""

    def __init__(self, outline: Outline) -> None:
        self._steps = outline.by_name
        self._index = {name: n for n, name in enumerate(self._steps)}
        pairs = sorted({(self._index[e.source], self._index[e.target]) for e in outline.edges})
        known = order(len(self._index), pairs)
        self._waits = known.waits
        self._after = closure(len(self._index), (pair for pair in pairs if pair not in known.back))
        self._into: dict[str, list[Edge]] = {name: [] for name in self._steps}
        self._forward_into: dict[str, list[Edge]] = {name: [] for name in self._steps}
        for edge in outline.edges:
            self._into[edge.target].append(edge)
            if (self._index[edge.source], self._index[edge.target]) not in known.back:
                self._forward_into[edge.target].append(edge)

    def possible(self, first: str, second: str) -> bool:
        """Whether neither step always waits for the other, and one pass can come to both."""
        if first == second or self._before(first, second) or self._before(second, first):
            return False
        return self._both(first, second)

    def _before(self, first: str, second: str, seen: frozenset[str] = frozenset()) -> bool:
        """Whether `second` never starts while `first` is under way or still to come."""
        if not self._waits[self._index[second]] >> self._index[first] & 1:
            return False
        if not self._steps[second].any_join:
            return True
        if second in seen or len(seen) > _ANY_DEPTH:
            return False
        # It waits for nobody, but each of its tokens may come from `first`, or from what waits for it.
        into = self._into[second]
        return all(e.source == first or self._before(first, e.source, seen | {second}) for e in into)

    def _both(self, first: str, second: str) -> bool:
        """Whether one pass can come to both steps.

        Both ways are walked back together, the later step first, so that they meet in every step that they
        share; there they must not have left by edges that exclude each other.
        """
        left = [((first, ""), (second, ""))]
        seen = set(left)
        while left:
            one, other = left.pop()
            if self._after[self._index[other[0]]] >> self._index[one[0]] & 1:
                one, other = other, one  # now `other` is the later one, or they are side by side
            ways = self._forward_into[other[0]]
            if not ways:
                return True
            for edge in ways:
                back = (edge.source, self._kind(edge))
                if back[0] == one[0] and not self._exclusive(back[0], back[1], one[1]):
                    return True
                if back[0] != one[0] and (one, back) not in seen:
                    seen.add((one, back))
                    left.append((one, back))
        return False

    def _kind(self, edge: Edge) -> str:
        if edge.kind == "next" and self._steps[edge.source].next[edge.index].otherwise:
            return "otherwise"
        return f"goto {edge.target}" if edge.kind == "goto" else edge.kind

    def _exclusive(self, step: str, one: str, other: str) -> bool:
        """Whether one end of a step never fires both kinds of edges.

        A step with several tokens ends several times, each time with edges of its own.
        """
        if one == other or not one or not other:
            return False
        if self._steps[step].any_join and len(self._into[step]) > 1:
            return False
        if "catch" in (one, other):
            return True
        instead = [kind.startswith("goto") for kind in (one, other)]
        if any(instead):
            return all(instead) or "needs" not in (one, other)
        return {one, other} == {"otherwise", "next"}
