"""The table as data: what is measured, on which sides, and which bar it has to meet.

A *case* is one measurement that is repeated; a *row* shows one quantity of Cairn's case beside the same
quantity of LangGraph's (the fastest of several, where it has several ways). Pure.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

Side = Literal["cairn", "langgraph", "processes"]
DURABILITIES = ("sync", "async", "exit")
_ROUNDS, _FEW, _STARTS = 9, 3, 7


@dataclass(frozen=True, slots=True)
class Case:
    """One measurement: the worker that makes it, its measure, and how often it is made."""

    side: Side
    measure: str
    parameters: dict[str, Any] = field(default_factory=dict)
    rounds: int = _ROUNDS
    warm: dict[str, Any] | None = None
    """Parameters of one call before the first round that is not counted; None: no such call."""

    @property
    def key(self) -> str:
        """A name by which the case is known, e.g. `cairn chain memory sync 200`."""
        return " ".join([self.side, self.measure, *map(str, self.parameters.values())])


@dataclass(frozen=True, slots=True)
class Bar:
    """What a row has to reach: a value at most, or so many times LangGraph's speed at least."""

    kind: Literal["at most", "times faster"]
    value: float


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table."""

    title: str
    unit: str
    quantity: str
    cairn: Case | None
    rivals: tuple[Case, ...] = ()
    bar: Bar | None = None
    cpu: str = ""
    """Name of the quantity that is its processor time; empty: none."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """How large the measurements are; `quick` is for seeing that they run."""

    chain: int = 200
    long_chain: int = 1000
    width: int = 1000
    items: int = 10_000
    appends: int = 2000
    divide_rounds: int = 1


FULL = Sizes()
QUICK = Sizes(chain=200, long_chain=300, width=100, items=1000, appends=200, divide_rounds=4)


DEFAULTS = Case("langgraph", "defaults", rounds=1)
"""Not in the table: what LangGraph's saver leaves `PRAGMA synchronous` at."""


def table(sizes: Sizes, manifest: str) -> list[Row]:
    """All rows, in the order in which they are shown; `manifest` is the largest example."""
    return [
        *_chains(sizes),
        *_wide(sizes),
        *_growth(sizes),
        *_starts(manifest),
        *_killed(sizes),
    ]


def _chains(sizes: Sizes) -> Iterator[Row]:
    def cairn(store: str, durability: str) -> Case:
        parameters = {"store": store, "durability": durability, "steps": sizes.chain}
        return Case("cairn", "chain", parameters, _rounds(_ROUNDS, sizes), {**parameters, "steps": 20})

    def langgraph(saver: str, durability: str) -> Case:
        parameters = {"saver": saver, "durability": durability, "steps": sizes.chain}
        return Case("langgraph", "chain", parameters, _rounds(_ROUNDS, sizes), {**parameters, "steps": 20})

    title = f"chain of {sizes.chain}"
    yield _step(f"{title}, no store", None, (langgraph("none", "sync"),))
    for durability in DURABILITIES:
        bar = Bar("at most", 0.05) if durability == "sync" else None
        yield _step(
            f"{title}, memory, {durability}",
            cairn("memory", durability),
            (langgraph("memory", durability),),
            bar,
        )
    for durability in DURABILITIES:
        bar = Bar("times faster", 4) if durability == "sync" else None
        rivals = (langgraph("aiosqlite", durability), langgraph("sqlite", durability))
        yield _step(f"{title}, SQLite, {durability}", cairn("sqlite", durability), rivals, bar)
    for durability in DURABILITIES:
        yield _step(f"{title}, file, {durability}", cairn("file", durability), ())


def _wide(sizes: Sizes) -> Iterator[Row]:
    for store, saver, name in (("memory", "memory", "memory"), ("sqlite", "aiosqlite", "SQLite")):
        steps = {"durability": "sync", "steps": sizes.long_chain}
        yield _step(
            f"chain of {sizes.long_chain}, {name}",
            _few("cairn", "chain", {"store": store, **steps}, sizes),
            (_few("langgraph", "chain", {"saver": saver, **steps}, sizes),),
        )
    for store, saver, name in (("memory", "memory", "memory"), ("sqlite", "aiosqlite", "SQLite")):
        yield _step(
            f"fan-out of {sizes.width} and join, {name}",
            _few("cairn", "fan", {"store": store, "width": sizes.width}, sizes),
            (_few("langgraph", "fan", {"saver": saver, "width": sizes.width}, sizes),),
        )
    for store, saver, name in (("memory", "memory", "memory"), ("sqlite", "aiosqlite", "SQLite")):
        yield Row(
            f"foreach of {sizes.items}, {name}",
            "ms/item",
            "ms",
            _few("cairn", "foreach", {"store": store, "items": sizes.items}, sizes),
            (_few("langgraph", "foreach", {"saver": saver, "items": sizes.items}, sizes),),
            Bar("at most", 0.1) if store == "memory" else None,
            cpu="cpu_ms",
        )


def _growth(sizes: Sizes) -> Iterator[Row]:
    shown = (
        ("time of a step", "ms/step", "ms"),
        ("payloads stored", "x appended", "stored"),
        ("payloads before compression", "x appended", "plain"),
        ("files at the end", "x appended", "disk"),
        ("handed to write()", "x appended", "written"),
        ("state read back", "ms", "read_ms"),
    )
    steps = {"steps": sizes.appends}
    for store, name in (("sqlite", "SQLite"), ("file", "file")):
        rivals = (Case("langgraph", "grow", {"saver": "aiosqlite", **steps}, 1),) if store == "sqlite" else ()
        case = Case("cairn", "grow", {"store": store, **steps}, _rounds(_FEW, sizes))
        for text, unit, quantity in shown:
            bar = Bar("at most", 3) if quantity in ("stored", "disk") else None
            theirs = rivals if quantity != "plain" else ()
            cpu = "cpu_ms" if quantity == "ms" else ""
            yield Row(
                f"{sizes.appends} appends of 1 KiB, {name}: {text}", unit, quantity, case, theirs, bar, cpu
            )
    beta = Case("langgraph", "grow", {"saver": "aiosqlite", **steps, "delta": True}, 1)
    for text, unit, quantity in (shown[0], shown[1], shown[3], shown[4], shown[5]):
        title = f"the same with LangGraph's DeltaChannel (beta), SQLite: {text}"
        yield Row(title, unit, quantity, None, (beta,), cpu="cpu_ms" if quantity == "ms" else "")


def _starts(manifest: str) -> Iterator[Row]:
    def process(measure: str, **parameters: Any) -> Case:  # noqa: ANN401 - of the measure
        return Case("processes", measure, parameters, _STARTS, parameters)

    cases = (
        ("python that does nothing", process("python"), None, None),
        (f"cairn validate {manifest}", process("validate", manifest=manifest), 0.35, None),
        ("cairn validate, a manifest of 500 steps", process("validate", steps=500), None, None),
        ("importing the runner", process("imports"), None, None),
        ("runner: start to first task, SQLite", process("runner"), 0.4, 50.0),
    )
    for title, case, seconds, mib in cases:
        bar = None if seconds is None else Bar("at most", seconds)
        yield Row(title, "s", "seconds", case, (), bar, cpu="cpu_seconds")
        yield Row(
            f"{title}: peak memory", "MiB", "peak_mib", case, (), None if mib is None else Bar("at most", mib)
        )


def _killed(sizes: Sizes) -> Iterator[Row]:
    case = Case("processes", "killed", {"items": sizes.items}, _rounds(_FEW, sizes))
    title = f"foreach of {sizes.items} killed at half, SQLite"
    yield Row(
        f"{title}: next runner's start to its first item", "s", "seconds", case, (), Bar("at most", 1.0)
    )
    yield Row(f"{title}: committed items run twice", "items", "twice", case, (), Bar("at most", 0))
    yield Row(f"{title}: items run twice that were not committed", "items", "again", case)


def _step(title: str, cairn: Case | None, rivals: tuple[Case, ...], bar: Bar | None = None) -> Row:
    return Row(title, "ms/step", "ms", cairn, rivals, bar, cpu="cpu_ms")


def _few(side: Side, measure: str, parameters: dict[str, Any], sizes: Sizes) -> Case:
    """A large measurement: fewer rounds, and a small one first that is not counted."""
    small = {name: 50 if isinstance(value, int) else value for name, value in parameters.items()}
    return Case(side, measure, parameters, _rounds(_FEW, sizes), small)


def _rounds(rounds: int, sizes: Sizes) -> int:
    return max(1, rounds // sizes.divide_rounds)
