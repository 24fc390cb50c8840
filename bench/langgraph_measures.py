"""LangGraph's side: the same work, written as its own documentation writes it, with each of its savers.

Where a saver has no async methods the nodes are plain functions and the graph is called without an event
loop; everywhere else the nodes are async, as Cairn's steps are.
What is timed is the call that runs the compiled graph; building and compiling it is not.
"""

from __future__ import annotations

import asyncio
import operator
import os
import sqlite3
import time
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Annotated, Any, TypedDict

import psycopg
from bench.langgraph_savers import PLAIN, each, opened
from bench.measures import Growth, Measure, Quantities, Stopwatch, need, spread
from bench.places import Place, place
from bench.texts import CHANNELS, INITIAL, TEXT_BYTES, TEXTS, large_texts, text
from langgraph.channels import DeltaChannel
from langgraph.checkpoint.base import empty_checkpoint
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.graph import END, START, StateGraph
from langgraph.types import Send

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
    """Steps one after the other; each rewrites one of ten channels of 1 KiB; then the state is read back."""
    async with _placed(saver, folder) as where, opened(saver, folder, where.url) as one:
        graph = _rewriting(steps, plain=saver in PLAIN).compile(checkpointer=one)
        watch, values = await _run(graph, dict(INITIAL), saver, durability)
        _check_rewritten(values)
        read_seconds = 0.0
        if saver != "none":
            begin = time.perf_counter()
            found = graph.get_state(_config()) if saver in PLAIN else await graph.aget_state(_config())
            read_seconds = time.perf_counter() - begin
            need(found.values, values)
    return {**watch.per(steps), "read_ms": read_seconds * 1e3}


async def many(folder: str, *, saver: str, runs: int, steps: int) -> Quantities:
    """Many runs of such steps at once in one process."""
    graph = _rewriting(steps, plain=saver in PLAIN)
    async with _placed(saver, folder) as where, each(saver, runs, where.url) as savers:
        compiled = [graph.compile(checkpointer=one) for one in savers]
        calls = [(one, dict(INITIAL), _config(f"bench-{n}")) for n, one in enumerate(compiled)]
        if saver in PLAIN:
            with ThreadPoolExecutor(runs) as threads, Stopwatch() as watch:
                waiting = [threads.submit(_call, *call) for call in calls]
                ended = [one.result() for one in waiting]
        else:
            with Stopwatch() as watch:
                ended = await asyncio.gather(
                    *(one.ainvoke(given, config, durability="sync") for one, given, config in calls)
                )
    for values in ended:
        _check_rewritten(values)
    return {"steps_a_second": runs * steps / watch.seconds}


async def writes(folder: str, *, saver: str, kib: int, count: int, blob: bool) -> Quantities:
    """Checkpoints with one large text, each put by itself; none of what a graph does around it is counted.

    The saver keeps a string inside the checkpoint's JSON; `blob` puts it into a list, which becomes a blob.
    """
    taken: list[float] = []
    texts = large_texts(kib)
    config: Any = {"configurable": {"thread_id": "bench", "checkpoint_ns": ""}}
    async with _placed(saver, folder) as where, opened(saver, folder, where.url) as one:
        for n in range(count):
            value = [texts[n % len(texts)]] if blob else texts[n % len(texts)]
            version = f"{n + 1:032}.0"
            checkpoint = {
                **empty_checkpoint(),
                "channel_values": {"value": value},
                "channel_versions": {"value": version},
            }
            begin = time.perf_counter()
            config = await one.aput(config, checkpoint, {"source": "loop", "step": n}, {"value": version})
            taken.append(time.perf_counter() - begin)
        found = await one.aget_tuple(config)
        last = texts[(count - 1) % len(texts)]
    need(found.checkpoint["channel_values"]["value"] == ([last] if blob else last), True)
    return spread(taken)


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
    async with _placed(saver, folder) as where, opened(saver, folder, where.url) as one:
        watch, values = await _run(graph.compile(checkpointer=one), {"total": 0}, saver, "sync")
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
    async with _placed(saver, folder) as where, opened(saver, folder, where.url) as one:
        given = {"items": list(range(items)), "out": []}
        watch, values = await _run(graph.compile(checkpointer=one), given, saver, "sync")
    need(sorted(values["out"]), [2 * n for n in range(items)])
    return watch.per(items)


async def grow(folder: str, *, saver: str, steps: int, delta: bool = False) -> Quantities:
    """A loop that appends 1 KiB at each visit; then the state is read back by a saver opened anew."""
    log = Annotated[list, DeltaChannel(_extended) if delta else operator.add]
    graph: Any = StateGraph(TypedDict("Growing", {"log": log, "visits": int}))  # type: ignore[operator]
    graph.add_node("append", _append)
    graph.add_edge(START, "append")
    graph.add_conditional_edges(
        "append", lambda state: "append" if state["visits"] < steps else END, ["append", END]
    )
    async with _placed(saver, folder) as where:
        left, written = await where.left_bytes(), await where.written_bytes()
        async with opened(saver, folder, where.url) as one:
            watch, _ = await _run(graph.compile(checkpointer=one), {"log": [], "visits": 0}, saver, "sync")
        left, written = await where.left_bytes() - left, await where.written_bytes() - written
        async with opened(saver, folder, where.url) as one:
            begin = time.perf_counter()
            found = await graph.compile(checkpointer=one).aget_state(_config())
            read_seconds = time.perf_counter() - begin
        need(len(found.values["log"]), steps)
        stored = await _payload_bytes(saver, folder, where)
    return Growth(stored, left, written, read_seconds).of(watch, steps)


async def defaults(folder: str) -> Quantities:
    """What `PRAGMA synchronous` is when the saver has opened its file and nobody has touched it."""
    async with AsyncSqliteSaver.from_conn_string(f"{folder}/langgraph.db") as one:
        await one.setup()
        async with one.conn.execute("PRAGMA synchronous") as rows:
            row = await rows.fetchone()
    return {"synchronous": -1 if row is None else row[0]}


@asynccontextmanager
async def _placed(saver: str, folder: str) -> AsyncIterator[Place]:
    """Make the place that a saver needs: a database, or only the folder."""
    async with place("postgres" if saver.startswith("postgres") else "sqlite", folder) as where:
        yield where


async def _run(graph: Any, given: dict[str, Any], saver: str, durability: str) -> tuple[Stopwatch, Any]:  # noqa: ANN401
    """Run a compiled graph to its end."""
    how: dict[str, Any] = {} if saver == "none" else {"durability": durability}
    with Stopwatch() as watch:
        if saver in PLAIN:
            values = graph.invoke(given, _config(), **how)
        else:
            values = await graph.ainvoke(given, _config(), **how)
    return watch, values


def _call(graph: Any, given: dict[str, Any], config: dict[str, Any]) -> Any:  # noqa: ANN401 - of the graph
    """Run a compiled graph on the caller's thread."""
    return graph.invoke(given, config, durability="sync")


def _config(thread: str = "bench") -> dict[str, Any]:
    return {"recursion_limit": 1_000_000, "configurable": {"thread_id": thread}}


async def _payload_bytes(saver: str, folder: str, where: Place) -> int:
    """Bytes of all values that the saver stored, without keys and indexes."""
    if saver.startswith("postgres"):
        queries = (
            "SELECT sum(octet_length(checkpoint::text) + octet_length(metadata::text)) FROM checkpoints",
            "SELECT sum(octet_length(blob)) FROM checkpoint_blobs",
            "SELECT sum(octet_length(blob)) FROM checkpoint_writes",
        )
        async with await psycopg.AsyncConnection.connect(where.url) as connection:
            rows = [await (await connection.execute(query)).fetchone() for query in queries]
        return sum(int(row[0] or 0) for row in rows if row)
    with sqlite3.connect(f"{folder}/langgraph.db") as file:
        query = "SELECT coalesce(sum(length({})), 0) FROM {}"
        return sum(
            file.execute(query.format(column, table)).fetchone()[0]
            for table, column in (
                ("checkpoints", "checkpoint"),
                ("checkpoints", "metadata"),
                ("writes", "value"),
            )
        )


def _rewriting(steps: int, *, plain: bool) -> Any:  # noqa: ANN401 - a graph
    """A chain of steps, each of which rewrites one of ten channels of 1 KiB."""
    graph: Any = StateGraph(Chain)
    for n in range(steps):
        graph.add_node(f"s{n}", _rewrite(n, plain=plain))
        graph.add_edge(f"s{n - 1}" if n else START, f"s{n}")
    graph.add_edge(f"s{steps - 1}", END)
    return graph


def _check_rewritten(values: dict[str, Any]) -> None:
    need(len([name for name in INITIAL if values[name] != INITIAL[name]]), CHANNELS)


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
    "many": many,
    "writes": writes,
    "fan": fan,
    "foreach": foreach,
    "grow": grow,
    "defaults": defaults,
}
