"""The floor: a plain INSERT of the same bytes, by the same driver, on the same server, and nothing else.

One connection for each run, autocommit, prepared, binary; a table with the key that a row needs to be found
again, and payloads stored as they come. The bytes are those of Cairn's own checkpoints of the same chain,
made before the clock starts; no store that writes each step before the next can be faster than this.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any
from uuid import UUID, uuid4

import psycopg
from bench.cairn_measures import rewritten
from bench.measures import Measure, Quantities, Stopwatch, need, spread
from bench.places import place
from bench.texts import large_texts

TABLE = "CREATE TABLE floor (run uuid, seq bigint, payload bytea, PRIMARY KEY (run, seq))"
AS_IT_COMES = "ALTER TABLE floor ALTER payload SET STORAGE EXTERNAL"
INSERT = "INSERT INTO floor (run, seq, payload) VALUES (%b, %b, %b)"


async def chain(folder: str, *, steps: int) -> Quantities:
    """As many rows as the chain has checkpoints, with their payloads."""
    payloads = [row.payload or b"" for row in await rewritten(steps)]
    async with place("postgres", folder) as where, _table(where.url), _cursor(where.url) as cursor:
        with Stopwatch() as watch:
            await _insert(cursor, uuid4(), payloads)
        need(await _count(cursor), len(payloads))
    return watch.per(steps)


async def many(folder: str, *, runs: int, steps: int) -> Quantities:
    """The same for many runs at once, each with a connection of its own."""
    payloads = [row.payload or b"" for row in await rewritten(steps)]
    async with place("postgres", folder) as where, _table(where.url), AsyncExitStack() as stack:
        cursors = [await stack.enter_async_context(_cursor(where.url)) for _ in range(runs)]
        with Stopwatch() as watch:
            await asyncio.gather(*(_insert(cursor, uuid4(), payloads) for cursor in cursors))
        need(await _count(cursors[0]), runs * len(payloads))
    return {"steps_a_second": runs * steps / watch.seconds}


async def writes(folder: str, *, kib: int, count: int) -> Quantities:
    """Rows of one size, one after the other."""
    texts = [text.encode() for text in large_texts(kib)]
    run, taken = uuid4(), []
    async with place("postgres", folder) as where, _table(where.url), _cursor(where.url) as cursor:
        for n in range(count):
            begin = time.perf_counter()
            await cursor.execute(INSERT, (run, n, texts[n % len(texts)]), prepare=True)
            taken.append(time.perf_counter() - begin)
        need(await _count(cursor), count)
    return spread(taken)


@asynccontextmanager
async def _table(url: str) -> AsyncIterator[None]:
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        await connection.execute(TABLE)
        await connection.execute(AS_IT_COMES)
    yield


@asynccontextmanager
async def _cursor(url: str) -> AsyncIterator[psycopg.AsyncCursor[Any]]:
    connection = await psycopg.AsyncConnection.connect(url, autocommit=True)
    async with connection, connection.cursor() as cursor:
        await cursor.execute(INSERT, (uuid4(), 0, b""), prepare=True)
        await cursor.execute("TRUNCATE floor")
        yield cursor


async def _insert(cursor: psycopg.AsyncCursor[Any], run: UUID, payloads: Sequence[bytes]) -> None:
    for seq, payload in enumerate(payloads):
        await cursor.execute(INSERT, (run, seq, payload), prepare=True)


async def _count(cursor: psycopg.AsyncCursor[Any]) -> int:
    row = await (await cursor.execute("SELECT count(*) FROM floor")).fetchone()
    return 0 if row is None else int(row[0])


MEASURES: dict[str, Measure] = {"chain": chain, "many": many, "writes": writes}
