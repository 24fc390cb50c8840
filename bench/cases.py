"""What the table is made of: cases, rows, bars and sizes. Pure.

A *case* is one measurement that is repeated; a *row* shows one quantity of Cairn's case beside the same
quantity of its rivals: LangGraph, DBOS, and a plain INSERT as the floor. Of a side with several ways the
fastest is shown.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

Side = Literal["cairn", "processes", "langgraph", "dbos", "floor"]
Rival = Literal["langgraph", "dbos", "floor"]
Part = Literal["local", "servers"]
DURABILITIES = ("sync", "async", "exit")
ROUNDS, SOME, FEW, STARTS = 9, 5, 3, 7


@dataclass(frozen=True, slots=True)
class Case:
    """One measurement: the worker that makes it, its measure, and how often it is made."""

    side: Side
    measure: str
    parameters: dict[str, Any] = field(default_factory=dict)
    rounds: int = ROUNDS
    warm: dict[str, Any] | None = None
    """Parameters of one call before the first round that is not counted; None: no such call."""

    @property
    def key(self) -> str:
        """A name by which the case is known, e.g. `cairn chain memory sync 200`."""
        return " ".join([self.side, self.measure, *map(str, self.parameters.values())])


@dataclass(frozen=True, slots=True)
class Bar:
    """What a row has to reach.

    `at most`: a value. `times faster`: so many times a rival's speed at least. `of the floor`: so many times
    the floor's number at most.
    """

    kind: Literal["at most", "times faster", "of the floor"]
    value: float
    rival: Rival = "langgraph"


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table."""

    title: str
    unit: str
    quantity: str
    cairn: Case | None
    rivals: tuple[Case, ...] = ()
    bars: tuple[Bar, ...] = ()
    cpu: str = ""
    """Name of the quantity that is its processor time; empty: none."""
    part: Part = "local"
    """The part of the table that it stands in: stores on this machine's disk, or on servers."""

    @property
    def more_is_better(self) -> bool:
        """Whether it is a speed and not a time."""
        return self.unit.endswith("/s")


@dataclass(frozen=True, slots=True)
class Sizes:
    """How large the measurements are; `quick` is for seeing that they run."""

    chain: int = 200
    long_chain: int = 1000
    width: int = 1000
    items: int = 10_000
    appends: int = 2000
    writes: tuple[tuple[int, int], ...] = ((4, 1000), (64, 500), (1024, 100))
    """KiB of a write, and how many of them."""
    each: int = 30
    """Steps of each of many runs at once."""
    divide_rounds: int = 1

    def rounds(self, rounds: int) -> int:
        """So many rounds, or fewer where the sizes are quick."""
        return max(1, rounds // self.divide_rounds)


FULL = Sizes()
QUICK = Sizes(
    chain=100,
    long_chain=200,
    width=100,
    items=1000,
    appends=150,
    writes=((4, 100), (64, 50), (1024, 20)),
    each=20,
    divide_rounds=9,
)


def step(title: str, cairn: Case | None, rivals: tuple[Case, ...], *bars: Bar, part: Part = "local") -> Row:
    """A row that shows the time of a step."""
    return Row(title, "ms/step", "ms", cairn, rivals, bars, "cpu_ms", part)


def few(side: Side, measure: str, parameters: dict[str, Any], sizes: Sizes) -> Case:
    """A large measurement: fewer rounds, and a small one first that is not counted."""
    small = {name: 50 if isinstance(value, int) else value for name, value in parameters.items()}
    return Case(side, measure, parameters, sizes.rounds(FEW), small)


def rewriting(side: Side, how: dict[str, str], durability: str, sizes: Sizes, rounds: int = ROUNDS) -> Case:
    """A chain of steps that rewrite channels, with one of its side's ways."""
    parameters = {**how, "durability": durability, "steps": sizes.chain}
    return Case(side, "chain", parameters, sizes.rounds(rounds), {**parameters, "steps": 20})


GROWTH = (
    ("time of a step", "ms/step", "ms"),
    ("payloads stored", "x appended", "stored"),
    ("payloads before compression", "x appended", "plain"),
    ("left at the end", "x appended", "disk"),
    ("written", "x appended", "written"),
    ("state read back", "ms", "read_ms"),
)
"""What is shown of a run that appends: text, unit, quantity."""
