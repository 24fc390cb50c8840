"""The table as data, first part: stores on this machine, processes, and what a kill costs. Pure.

The second part, stores on servers, is in `server_rows`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from bench.cases import (
    DURABILITIES,
    FEW,
    GROWTH,
    STARTS,
    Bar,
    Case,
    Part,
    Row,
    Sizes,
    few,
    rewriting,
    step,
)

DEFAULTS = Case("langgraph", "defaults", rounds=1)
"""Not in the table: what LangGraph's saver leaves `PRAGMA synchronous` at."""


def local_rows(sizes: Sizes, manifest: str) -> list[Row]:
    """All rows without a server, in the order in which they are shown; `manifest` is the largest example."""
    return [
        *_chains(sizes),
        *_wide(sizes),
        *_growth(sizes),
        *_starts(manifest),
        *killed(sizes, "sqlite", "SQLite"),
    ]


def killed(sizes: Sizes, store: str, name: str) -> Iterator[Row]:
    """A foreach whose runner is killed at half."""
    part: Part = "local" if store == "sqlite" else "servers"
    case = Case("processes", "killed", {"store": store, "items": sizes.items}, sizes.rounds(FEW))
    title = f"foreach of {sizes.items} killed at half, {name}"
    for text, unit, quantity, bars in (
        ("next runner's start to its first item", "s", "seconds", (Bar("at most", 1.0),)),
        ("committed items run twice", "items", "twice", (Bar("at most", 0),)),
        ("items run twice that were not committed", "items", "again", ()),
    ):
        yield Row(f"{title}: {text}", unit, quantity, case, (), bars, part=part)


def start(store: str, name: str) -> Iterator[Row]:
    """A runner process from its start to its first task, and the memory that it takes until then."""
    part: Part = "local" if store == "sqlite" else "servers"
    case = Case("processes", "runner", {"store": store}, STARTS, {"store": store})
    title = f"runner: start to first task, {name}"
    yield Row(title, "s", "seconds", case, (), (Bar("at most", 0.4),), "cpu_seconds", part)
    yield Row(f"{title}: peak memory", "MiB", "peak_mib", case, (), (Bar("at most", 50.0),), part=part)


def _chains(sizes: Sizes) -> Iterator[Row]:
    def cairn(store: str, durability: str) -> Case:
        return rewriting("cairn", {"store": store}, durability, sizes)

    def langgraph(saver: str, durability: str) -> Case:
        return rewriting("langgraph", {"saver": saver}, durability, sizes)

    title = f"chain of {sizes.chain}"
    yield step(f"{title}, no store", None, (langgraph("none", "sync"),))
    for durability in DURABILITIES:
        bars = (Bar("at most", 0.05),) if durability == "sync" else ()
        rivals: tuple[Case, ...] = (langgraph("memory", durability),)
        yield step(f"{title}, memory, {durability}", cairn("memory", durability), rivals, *bars)
    for durability in DURABILITIES:
        bars = (Bar("times faster", 4),) if durability == "sync" else ()
        rivals = (langgraph("aiosqlite", durability), langgraph("sqlite", durability))
        yield step(f"{title}, SQLite, {durability}", cairn("sqlite", durability), rivals, *bars)
    for durability in DURABILITIES:
        yield step(f"{title}, file, {durability}", cairn("file", durability), ())


def _wide(sizes: Sizes) -> Iterator[Row]:
    for store, saver, name in (("memory", "memory", "memory"), ("sqlite", "aiosqlite", "SQLite")):
        steps = {"durability": "sync", "steps": sizes.long_chain}
        yield step(
            f"chain of {sizes.long_chain}, {name}",
            few("cairn", "chain", {"store": store, **steps}, sizes),
            (few("langgraph", "chain", {"saver": saver, **steps}, sizes),),
        )
    for store, saver, name in (("memory", "memory", "memory"), ("sqlite", "aiosqlite", "SQLite")):
        yield step(
            f"fan-out of {sizes.width} and join, {name}",
            few("cairn", "fan", {"store": store, "width": sizes.width}, sizes),
            (few("langgraph", "fan", {"saver": saver, "width": sizes.width}, sizes),),
        )
    for store, saver, name in (("memory", "memory", "memory"), ("sqlite", "aiosqlite", "SQLite")):
        yield Row(
            f"foreach of {sizes.items}, {name}",
            "ms/item",
            "ms",
            few("cairn", "foreach", {"store": store, "items": sizes.items}, sizes),
            (few("langgraph", "foreach", {"saver": saver, "items": sizes.items}, sizes),),
            (Bar("at most", 0.1),) if store == "memory" else (),
            cpu="cpu_ms",
        )


def _growth(sizes: Sizes) -> Iterator[Row]:
    steps = {"steps": sizes.appends}
    for store, name in (("sqlite", "SQLite"), ("file", "file")):
        rivals = (Case("langgraph", "grow", {"saver": "aiosqlite", **steps}, 1),) if store == "sqlite" else ()
        case = Case("cairn", "grow", {"store": store, **steps}, sizes.rounds(FEW))
        for text, unit, quantity in GROWTH:
            bars = (Bar("at most", 3),) if quantity in ("stored", "disk") else ()
            theirs = rivals if quantity != "plain" else ()
            cpu = "cpu_ms" if quantity == "ms" else ""
            title = f"{sizes.appends} appends of 1 KiB, {name}: {text}"
            yield Row(title, unit, quantity, case, theirs, bars, cpu)
    beta = Case("langgraph", "grow", {"saver": "aiosqlite", **steps, "delta": True}, 1)
    for text, unit, quantity in GROWTH:
        if quantity != "plain":
            title = f"the same with LangGraph's DeltaChannel (beta), SQLite: {text}"
            yield Row(title, unit, quantity, None, (beta,), cpu="cpu_ms" if quantity == "ms" else "")


def _starts(manifest: str) -> Iterator[Row]:
    def process(measure: str, **parameters: Any) -> Case:  # noqa: ANN401 - of the measure
        return Case("processes", measure, parameters, STARTS, parameters)

    for title, case, seconds in (
        ("python that does nothing", process("python"), None),
        (f"cairn validate {manifest}", process("validate", manifest=manifest), 0.35),
        ("cairn validate, a manifest of 500 steps", process("validate", steps=500), None),
        ("importing the runner", process("imports"), None),
    ):
        bars = () if seconds is None else (Bar("at most", seconds),)
        yield Row(title, "s", "seconds", case, (), bars, cpu="cpu_seconds")
        yield Row(f"{title}: peak memory", "MiB", "peak_mib", case)
    yield from start("sqlite", "SQLite")
