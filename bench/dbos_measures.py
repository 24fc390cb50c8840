"""DBOS's side: one workflow of N steps, each of which gets a text and returns another; on Postgres only.

    flow "plain"          plain functions, run where they are called: no thread is changed
    flow "plain-no-ping"  the same, and its pool does not ask a connection whether it lives before each use
    flow "async"          async functions; DBOS does its own calls to the database in threads

A step's result is durable before the next step begins, as with Cairn's and LangGraph's `sync`; it stores what
the step returns (1 KiB here), no state and no history of it. Its own settings otherwise: a pool of 20.
DBOS is launched on a new system database for each measurement, which is not counted; nor is the workflow's
own start, which is one row in two hundred.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager

from bench.measures import Measure, Quantities, Stopwatch, need
from bench.places import place
from bench.texts import CHANNELS, INITIAL, TEXT_BYTES, TEXTS
from dbos import DBOS, DBOSConfig

POOL = 20
"""DBOS's own size of its pool; so many workflows at most have a thread here, more would only wait."""
AT_ONCE = 10
"""Items of a foreach that are under way together, as Cairn has by itself."""


@DBOS.step()
def rewrite(n: int, old: str) -> str:
    """Read one text, return another."""
    assert len(old) == TEXT_BYTES
    return TEXTS[n % len(TEXTS)]


@DBOS.step()
async def rewrite_async(n: int, old: str) -> str:
    """The same, async."""
    assert len(old) == TEXT_BYTES
    return TEXTS[n % len(TEXTS)]


@DBOS.step()
async def double(n: int) -> int:
    """An item's result."""
    return n * 2


@DBOS.workflow()
def rewriting(state: dict[str, str], steps: int) -> dict[str, str]:
    """Steps one after the other."""
    for n in range(steps):
        channel = f"c{n % CHANNELS}"
        state[channel] = rewrite(n, state[channel])
    return state


@DBOS.workflow()
async def rewriting_async(state: dict[str, str], steps: int) -> dict[str, str]:
    """The same, async."""
    for n in range(steps):
        channel = f"c{n % CHANNELS}"
        state[channel] = await rewrite_async(n, state[channel])
    return state


@DBOS.workflow()
async def doubling(items: list[int]) -> list[int]:
    """Every item a step; ten are under way at a time."""
    results: list[int] = []
    for at in range(0, len(items), AT_ONCE):
        results += await asyncio.gather(*(double(item) for item in items[at : at + AT_ONCE]))
    return results


async def chain(folder: str, *, flow: str, steps: int) -> Quantities:
    """Steps one after the other; each returns 1 KiB."""
    async with _launched(folder, flow):
        with Stopwatch() as watch:
            if flow == "async":
                values = await rewriting_async(dict(INITIAL), steps)
            else:
                values = await asyncio.to_thread(rewriting, dict(INITIAL), steps)
    _check_rewritten(values)
    return watch.per(steps)


async def many(folder: str, *, flow: str, runs: int, steps: int) -> Quantities:
    """Many workflows of such steps at once in one process."""
    async with _launched(folder, flow):
        if flow == "async":
            with Stopwatch() as watch:
                ended = await asyncio.gather(*(rewriting_async(dict(INITIAL), steps) for _ in range(runs)))
        else:
            with ThreadPoolExecutor(min(runs, POOL)) as threads, Stopwatch() as watch:
                waiting = [threads.submit(rewriting, dict(INITIAL), steps) for _ in range(runs)]
                ended = [one.result() for one in waiting]
    for values in ended:
        _check_rewritten(values)
    return {"steps_a_second": runs * steps / watch.seconds}


async def foreach(folder: str, *, flow: str, items: int) -> Quantities:
    """Every item of a list a step of one workflow."""
    async with _launched(folder, flow):
        with Stopwatch() as watch:
            values = await doubling(list(range(items)))
    need(values, [2 * n for n in range(items)])
    return watch.per(items)


@asynccontextmanager
async def _launched(folder: str, flow: str) -> AsyncIterator[None]:
    """Launch DBOS on a new database; it is destroyed with the block."""
    async with place("postgres", folder) as where:
        config: DBOSConfig = {
            "name": "bench",
            "system_database_url": where.url,
            "log_level": "ERROR",
        }
        if flow == "plain-no-ping":
            config["db_engine_kwargs"] = {"pool_pre_ping": False}
        DBOS(config=config)
        await asyncio.to_thread(DBOS.launch)
        try:
            yield
        finally:
            await asyncio.to_thread(DBOS.destroy)


def _check_rewritten(values: dict[str, str]) -> None:
    need(len([name for name in INITIAL if values[name] != INITIAL[name]]), CHANNELS)


MEASURES: dict[str, Measure] = {"chain": chain, "many": many, "foreach": foreach}
