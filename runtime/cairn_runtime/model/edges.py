"""The edges of a Workflow's graph, as one flat list in file order.

Four fields of a step draw edges: `needs` (from each named step to this one), `next`, `catch` and `goto` (from
this step to the named ones).
Validation reads the list to judge the graph, the engine to build its tables; neither looks at the four
fields for itself.
Names are not checked here: an edge may lead to a step that does not exist.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

EdgeKind: TypeAlias = Literal["needs", "next", "catch", "goto"]


class Leads(Protocol):
    """A `next` entry: what `model.workflow.Next` is, and an outline's too."""

    @property
    def to(self) -> str: ...  # noqa: D102 - the fields are described in model.workflow


class Draws(Protocol):
    """A step, as far as it draws edges."""

    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def needs(self) -> Sequence[str]: ...  # noqa: D102
    @property
    def next(self) -> Sequence[Leads]: ...  # noqa: D102
    @property
    def catch(self) -> str | None: ...  # noqa: D102
    @property
    def goto(self) -> Sequence[str]: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class Edge:
    """One way from a step to another.

    `index` is the position in the field that drew it: in the target's `needs`, in the source's `next` or
    `goto`; 0 for `catch`.
    """

    source: str
    target: str
    kind: EdgeKind
    index: int


def edges(steps: Iterable[Draws]) -> list[Edge]:
    """List every edge, by the step that draws it in file order: its needs, then next, catch, goto.

    The same pair of steps may come several times, with different kinds or positions.
    """
    return [edge for step in steps for edge in _drawn_by(step)]


def _drawn_by(step: Draws) -> Iterator[Edge]:
    name = step.name
    for index, source in enumerate(step.needs):
        yield Edge(source, name, "needs", index)
    for index, entry in enumerate(step.next):
        yield Edge(name, entry.to, "next", index)
    if step.catch is not None:
        yield Edge(name, step.catch, "catch", 0)
    for index, target in enumerate(step.goto):
        yield Edge(name, target, "goto", index)
