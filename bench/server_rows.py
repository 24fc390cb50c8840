"""The table as data, second part: stores on servers, Postgres and Redis. Pure.

LangGraph's saver for Redis needs the server's modules RediSearch and RedisJSON, which a plain Redis has not:
it is left out, and so is DBOS, which has no store there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from bench.cases import (
    DURABILITIES,
    FEW,
    GROWTH,
    ROUNDS,
    SOME,
    Bar,
    Case,
    Part,
    Row,
    Side,
    Sizes,
    few,
    rewriting,
    step,
)
from bench.rows import killed, start

STORES = (("postgres", "Postgres"), ("redis", "Redis"))
SAVERS = ("postgres", "postgres-pipeline", "postgres-pool", "postgres-plain")
"""LangGraph's ways to one run: see `langgraph_savers`."""
SAVERS_OF_MANY = ("postgres", "postgres-each", "postgres-threads")
"""LangGraph's ways to many runs in one process."""
FLOWS = ("plain", "plain-no-ping", "async")
"""DBOS's ways: see `dbos_measures`."""
FLOWS_OF_MANY = ("plain-no-ping", "async")
WRITE_BARS = {4: (1.0, 3.0), 64: (2.0, 5.0), 1024: (12.0, 90.0)}
"""Milliseconds, p50 and p99, by the KiB of a write to Postgres."""
_PART: Part = "servers"


def server_rows(sizes: Sizes) -> list[Row]:
    """All rows with a server, in the order in which they are shown."""
    return [
        *_chains(sizes),
        *_writes(sizes),
        *_many(sizes),
        *_wide(sizes),
        *_growth(sizes),
        *(row for store, name in STORES for row in start(store, name)),
        *(row for store, name in STORES for row in killed(sizes, store, name)),
    ]


def _chains(sizes: Sizes) -> Iterator[Row]:
    title = f"chain of {sizes.chain}"
    sync: tuple[Case, ...] = (
        *(rewriting("langgraph", {"saver": saver}, "sync", sizes) for saver in SAVERS),
        *(_dbos("chain", flow, {"steps": sizes.chain}, sizes.rounds(ROUNDS)) for flow in FLOWS),
        Case("floor", "chain", {"steps": sizes.chain}, sizes.rounds(ROUNDS), {"steps": 20}),
    )
    bars = (Bar("of the floor", 1.5, "floor"), Bar("times faster", 4.5), Bar("times faster", 7, "dbos"))
    ours = rewriting("cairn", {"store": "postgres"}, "sync", sizes)
    yield step(f"{title}, Postgres, sync", ours, sync, *bars, part=_PART)
    for durability in DURABILITIES[1:]:
        rivals = tuple(
            rewriting("langgraph", {"saver": saver}, durability, sizes, SOME) for saver in SAVERS[:2]
        )
        case = rewriting("cairn", {"store": "postgres"}, durability, sizes, SOME)
        yield step(f"{title}, Postgres, {durability}", case, rivals, part=_PART)
    for durability in DURABILITIES:
        case = rewriting("cairn", {"store": "redis"}, durability, sizes)
        limit = (Bar("at most", 0.35),) if durability == "sync" else ()
        yield step(f"{title}, Redis, {durability}", case, (), *limit, part=_PART)
    theirs = tuple(case for case in sync if case.side == "langgraph")
    yield Row(f"{title}, Postgres: state read back", "ms", "read_ms", ours, theirs, part=_PART)
    case = rewriting("cairn", {"store": "redis"}, "sync", sizes)
    yield Row(f"{title}, Redis: state read back", "ms", "read_ms", case, part=_PART)


def _writes(sizes: Sizes) -> Iterator[Row]:
    for store, name in STORES:
        for kib, count in sizes.writes:
            wanted = {"kib": kib, "count": count}
            ours = _write("cairn", {"store": store, **wanted}, sizes)
            rivals: tuple[Case, ...] = ()
            if store == "postgres":
                ways = ({"saver": "postgres", **wanted, "blob": blob} for blob in (False, True))
                rivals = (
                    *(_write("langgraph", way, sizes) for way in ways),
                    _write("floor", wanted, sizes),
                )
            title = f"{count} writes of {kib} KiB, {name}"
            for n, quantity in enumerate(("p50", "p99")):
                bars = (Bar("at most", WRITE_BARS[kib][n]),) if store == "postgres" else ()
                yield Row(f"{title}: {quantity}", "ms", f"{quantity}_ms", ours, rivals, bars, part=_PART)


def _many(sizes: Sizes) -> Iterator[Row]:
    for runs in (8, 64):
        wanted = {"runs": runs, "steps": sizes.each}
        small = {"runs": runs, "steps": 10}
        rounds = sizes.rounds(FEW)
        rivals = (
            *(
                Case("langgraph", "many", {"saver": saver, **wanted}, rounds, {"saver": saver, **small})
                for saver in SAVERS_OF_MANY
            ),
            *(_dbos("many", flow, wanted, rounds) for flow in FLOWS_OF_MANY),
            Case("floor", "many", wanted, rounds, small),
        )
        bars = (Bar("times faster", 3),) if runs == 64 else ()
        for store, name in STORES:
            ours = Case("cairn", "many", {"store": store, **wanted}, rounds, {"store": store, **small})
            title = f"{runs} runs of {sizes.each} steps at once, {name}"
            theirs = rivals if store == "postgres" else ()
            limits = bars if store == "postgres" else ()
            yield Row(title, "steps/s", "steps_a_second", ours, theirs, limits, part=_PART)


def _wide(sizes: Sizes) -> Iterator[Row]:
    for store, name in STORES:
        both = store == "postgres"
        long = {"durability": "sync", "steps": sizes.long_chain}
        yield step(
            f"chain of {sizes.long_chain}, {name}",
            few("cairn", "chain", {"store": store, **long}, sizes),
            (few("langgraph", "chain", {"saver": store, **long}, sizes),) if both else (),
            part=_PART,
        )
        yield step(
            f"fan-out of {sizes.width} and join, {name}",
            few("cairn", "fan", {"store": store, "width": sizes.width}, sizes),
            (few("langgraph", "fan", {"saver": store, "width": sizes.width}, sizes),) if both else (),
            part=_PART,
        )
        items = {"items": sizes.items}
        rivals = (
            few("langgraph", "foreach", {"saver": store, **items}, sizes),
            Case("dbos", "foreach", {"flow": "async", **items}, 1),
        )
        ours = few("cairn", "foreach", {"store": store, **items}, sizes)
        title = f"foreach of {sizes.items}, {name}"
        yield Row(title, "ms/item", "ms", ours, rivals if both else (), (), "cpu_ms", _PART)


def _growth(sizes: Sizes) -> Iterator[Row]:
    steps = {"steps": sizes.appends}
    theirs = Case("langgraph", "grow", {"saver": "postgres", **steps}, 1)
    for store, name in STORES:
        ours = Case("cairn", "grow", {"store": store, **steps}, sizes.rounds(FEW))
        for text, unit, quantity in GROWTH:
            if store == "redis" and quantity == "written":
                continue
            bars = (Bar("at most", 3),) if quantity in ("stored", "disk") else ()
            rivals = (theirs,) if store == "postgres" and quantity != "plain" else ()
            title = f"{sizes.appends} appends of 1 KiB, {name}: {text}"
            cpu = "cpu_ms" if quantity == "ms" else ""
            yield Row(title, unit, quantity, ours, rivals, bars, cpu, _PART)


def _write(side: Side, parameters: Mapping[str, object], sizes: Sizes) -> Case:
    return Case(side, "writes", dict(parameters), sizes.rounds(FEW), {**parameters, "count": 10})


def _dbos(measure: str, flow: str, wanted: dict[str, int], rounds: int) -> Case:
    parameters = {"flow": flow, **wanted}
    return Case("dbos", measure, parameters, rounds, {**parameters, "steps": 10})
