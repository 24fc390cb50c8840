"""LangGraph's side: the same work, written as its own documentation writes it.

    saver "none"      no checkpointer          saver "memory"          InMemorySaver
    saver "aiosqlite" AsyncSqliteSaver         saver "sqlite"          SqliteSaver

`SqliteSaver` has no async methods, so with it the nodes are plain functions and the graph is invoked without
an event loop; everywhere else the nodes are async, as Cairn's steps are.
Both SQLite savers set WAL and leave `synchronous` as SQLite was built, nearly always FULL; it is set to FULL
here, which is what Cairn sets, so that both sides wait for the same fsync. `defaults` says what it would be.
What is timed is the call that runs the compiled graph; building and compiling it is not.
"""

from __future__ import annotations

import operator
import os
import sqlite3
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any, TypedDict

from bench.measures import Measure, Quantities, Stopwatch, growth, need
from bench.texts import CHANNELS, INITIAL, TEXT_BYTES, TEXTS, text
from langgraph.channels import DeltaChannel
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.graph import END, START, StateGraph
from langgraph.types import Send

FULL = 2
"""`PRAGMA synchronous`: the log is synced at every commit."""
os.environ["LANGSMITH_TRACING"] = (
    "false"  # the default; a developer's own setting must not send our runs away
)


class Total(TypedDict):
    """State of the fan-out."""

    total: Annotated[int, operator.add]


class Items(TypedDict):
    """State of the foreach."""

    items: list[int]
    out: Annotated[list[int], operator.add]


Chain = TypedDict("Chain", dict.fromkeys(INITIAL, str))  # type: ignore[misc] # one field for each channel


async def chain(folder: str, *, saver: str, durability: str, steps: int) -> Quantities:
    """Steps one after the other; each rewrites one of ten channels of 1 KiB."""
    graph: Any = StateGraph(Chain)
    for n in range(steps):
        graph.add_node(f"s{n}", _rewrite(n, plain=saver == "sqlite"))
        graph.add_edge(f"s{n - 1}" if n else START, f"s{n}")
    graph.add_edge(f"s{steps - 1}", END)
    async with _opened(saver, folder) as opened:
        watch, values = await _run(graph.compile(checkpointer=opened), dict(INITIAL), saver, durability)
    need(len([name for name in INITIAL if values[name] != INITIAL[name]]), CHANNELS)
    return watch.per(steps)


async def fan(folder: str, *, saver: str, width: int) -> Quantities:
    """One step, so many beside each other, and one that waits for all."""
    graph: Any = StateGraph(Total)
    middle = [f"m{n}" for n in range(width)]
    for name in ("a", *middle, "z"):
        graph.add_node(name, _one)
    graph.add_edge(START, "a")
    for name in middle:
        graph.add_edge("a", name)
    graph.add_edge(middle, "z")
    graph.add_edge("z", END)
    async with _opened(saver, folder) as opened:
        watch, values = await _run(graph.compile(checkpointer=opened), {"total": 0}, saver, "sync")
    need(values["total"], width + 2)
    return watch.per(width + 2)


async def foreach(folder: str, *, saver: str, items: int) -> Quantities:
    """Map over a list with `Send`; nothing bounds how many are under way, which is its fastest."""
    graph: Any = StateGraph(Items)
    graph.add_node("start", _nothing)
    graph.add_node("double", _double)
    graph.add_edge(START, "start")
    graph.add_conditional_edges("start", _sends, ["double"])
    graph.add_edge("double", END)
    async with _opened(saver, folder) as opened:
        given = {"items": list(range(items)), "out": []}
        watch, values = await _run(graph.compile(checkpointer=opened), given, saver, "sync")
    need(sorted(values["out"]), [2 * n for n in range(items)])
    return watch.per(items)


async def grow(folder: str, *, saver: str, steps: int, delta: bool = False) -> Quantities:
    """A loop that appends 1 KiB at each visit; then the state is read back from the file."""
    log = Annotated[list, DeltaChannel(_extended) if delta else operator.add]
    graph: Any = StateGraph(TypedDict("Growing", {"log": log, "visits": int}))  # type: ignore[operator]
    graph.add_node("append", _append)
    graph.add_edge(START, "append")
    graph.add_conditional_edges(
        "append", lambda state: "append" if state["visits"] < steps else END, ["append", END]
    )
    with Stopwatch() as whole:
        async with _opened(saver, folder) as opened:
            watch, _ = await _run(graph.compile(checkpointer=opened), {"log": [], "visits": 0}, saver, "sync")
    watch.written_bytes = whole.written_bytes
    async with _opened(saver, folder) as opened:
        begin = time.perf_counter()
        found = await graph.compile(checkpointer=opened).aget_state(_config())
        read_seconds = time.perf_counter() - begin
    need(len(found.values["log"]), steps)
    return growth(
        watch, Path(folder), count=steps, payload_bytes=_payload_bytes(folder), read_seconds=read_seconds
    )


async def defaults(folder: str) -> Quantities:
    """What `PRAGMA synchronous` is when the saver has opened its file and nobody has touched it."""
    async with AsyncSqliteSaver.from_conn_string(f"{folder}/langgraph.db") as opened:
        await opened.setup()
        async with opened.conn.execute("PRAGMA synchronous") as rows:
            row = await rows.fetchone()
    return {"synchronous": -1 if row is None else row[0]}


@asynccontextmanager
async def _opened(saver: str, folder: str) -> AsyncIterator[Any]:
    """Open a saver of the given kind, its tables made."""
    path = f"{folder}/langgraph.db"
    if saver == "memory":
        yield InMemorySaver()
    elif saver == "aiosqlite":
        async with AsyncSqliteSaver.from_conn_string(path) as opened:
            await opened.setup()
            await opened.conn.execute(f"PRAGMA synchronous={FULL}")
            yield opened
    elif saver == "sqlite":
        with SqliteSaver.from_conn_string(path) as plain:
            plain.setup()
            plain.conn.execute(f"PRAGMA synchronous={FULL}")
            yield plain
    else:
        yield None


async def _run(graph: Any, given: dict[str, Any], saver: str, durability: str) -> tuple[Stopwatch, Any]:  # noqa: ANN401
    """Run a compiled graph to its end."""
    how: dict[str, Any] = {} if saver == "none" else {"durability": durability}
    with Stopwatch() as watch:
        if saver == "sqlite":
            values = graph.invoke(given, _config(), **how)
        else:
            values = await graph.ainvoke(given, _config(), **how)
    return watch, values


def _config() -> dict[str, Any]:
    return {"recursion_limit": 1_000_000, "configurable": {"thread_id": "bench"}}


def _payload_bytes(folder: str) -> int:
    """Bytes of all values that the saver stored, without keys and indexes."""
    with sqlite3.connect(f"{folder}/langgraph.db") as file:
        asked = "SELECT coalesce(sum(length({})), 0) FROM {}"
        return sum(
            file.execute(asked.format(column, table)).fetchone()[0]
            for table, column in (
                ("checkpoints", "checkpoint"),
                ("checkpoints", "metadata"),
                ("writes", "value"),
            )
        )


def _rewrite(n: int, *, plain: bool) -> Any:  # noqa: ANN401 - a node of either kind
    channel, new = f"c{n % CHANNELS}", TEXTS[n % len(TEXTS)]

    def rewrite(state: dict[str, str]) -> dict[str, str]:
        assert len(state[channel]) == TEXT_BYTES
        return {channel: new}

    async def rewrite_async(state: dict[str, str]) -> dict[str, str]:
        return rewrite(state)

    return rewrite if plain else rewrite_async


async def _one(_state: Total) -> dict[str, int]:
    return {"total": 1}


async def _nothing(_state: Items) -> dict[str, Any]:
    return {}


async def _double(state: dict[str, int]) -> dict[str, list[int]]:
    return {"out": [state["n"] * 2]}


def _sends(state: Items) -> list[Send]:
    return [Send("double", {"n": n}) for n in state["items"]]


async def _append(state: dict[str, Any]) -> dict[str, Any]:
    visit = state["visits"] + 1
    return {"log": [text(visit)], "visits": visit}


def _extended(log: list[str], writes: Sequence[list[str]]) -> list[str]:
    return [*log, *(new for write in writes for new in write)]


MEASURES: dict[str, Measure] = {
    "chain": chain,
    "fan": fan,
    "foreach": foreach,
    "grow": grow,
    "defaults": defaults,
}
