"""LangGraph's savers, opened as its documentation opens them, and its other ways to the same tables.

    "none"               no checkpointer
    "memory"             InMemorySaver
    "aiosqlite"          AsyncSqliteSaver
    "sqlite"             SqliteSaver, which has no async methods: plain nodes, no event loop
    "postgres"           AsyncPostgresSaver.from_conn_string: one connection, a pipeline for each write
    "postgres-pipeline"  the same with pipeline=True: one pipeline for all
    "postgres-pool"      AsyncPostgresSaver on an AsyncConnectionPool
    "postgres-plain"     PostgresSaver, plain nodes, no event loop

A saver lets one call through at a time, whatever it stands on; so for many runs in one process there are also

    "postgres-each"      a saver for each run, all on one pool
    "postgres-threads"   the same with PostgresSaver, plain nodes and a thread for each run

Both SQLite savers set WAL and leave `synchronous` as SQLite was built, nearly always FULL; it is set to FULL
here, which is what Cairn sets, so that both sides wait for the same fsync. `defaults` says what it would be.
On Postgres nothing is set: both sides have the server's `synchronous_commit=on`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.postgres import PostgresSaver
from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool, ConnectionPool

FULL = 2
"""`PRAGMA synchronous`: the log is synced at every commit."""
POOL = 8
"""Connections of a pool: on two cores more of them made it slower."""
PLAIN = ("sqlite", "postgres-plain", "postgres-threads")
"""Savers whose graph is called without an event loop."""
OPTIONS: dict[str, Any] = {"autocommit": True, "prepare_threshold": 0, "row_factory": dict_row}
"""What the documentation asks of a connection that is not the saver's own."""


@asynccontextmanager
async def opened(saver: str, folder: str, url: str) -> AsyncIterator[Any]:
    """Open a saver of the given kind, its tables made."""
    path = f"{folder}/langgraph.db"
    if saver == "memory":
        yield InMemorySaver()
    elif saver == "aiosqlite":
        async with AsyncSqliteSaver.from_conn_string(path) as made:
            await made.setup()
            await made.conn.execute(f"PRAGMA synchronous={FULL}")
            yield made
    elif saver == "sqlite":
        with SqliteSaver.from_conn_string(path) as plain:
            plain.setup()
            plain.conn.execute(f"PRAGMA synchronous={FULL}")
            yield plain
    elif saver == "postgres-plain":
        with PostgresSaver.from_conn_string(url) as plain:
            plain.setup()
            yield plain
    elif saver == "postgres-pool":
        async with _pool(url) as pool:
            yield AsyncPostgresSaver(pool)
    elif saver in {"postgres", "postgres-pipeline"}:
        async with AsyncPostgresSaver.from_conn_string(url) as made:
            await made.setup()  # not within a pipeline: it makes indexes
            if saver == "postgres":
                yield made
                return
        async with AsyncPostgresSaver.from_conn_string(url, pipeline=True) as made:
            yield made
    else:
        yield None


@asynccontextmanager
async def each(saver: str, runs: int, url: str) -> AsyncIterator[list[Any]]:
    """Open what so many runs at once use: a saver for all, or one for each on a common pool."""
    if saver == "postgres-each":
        async with _pool(url) as pool:
            yield [AsyncPostgresSaver(pool) for _ in range(runs)]
    elif saver == "postgres-threads":
        with _plain_pool(url) as plain:
            yield [PostgresSaver(plain) for _ in range(runs)]
    else:
        async with opened(saver, "", url) as one:
            yield [one] * runs


@asynccontextmanager
async def _pool(url: str) -> AsyncIterator[Any]:
    pool: Any = AsyncConnectionPool(url, min_size=POOL, max_size=POOL, open=False, kwargs=OPTIONS)
    async with pool:
        await pool.wait()
        await AsyncPostgresSaver(pool).setup()
        yield pool


@contextmanager
def _plain_pool(url: str) -> Iterator[Any]:
    pool: Any = ConnectionPool(url, min_size=POOL, max_size=POOL, open=False, kwargs=OPTIONS)
    with pool:
        pool.wait()
        PostgresSaver(pool).setup()
        yield pool
