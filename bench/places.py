"""Where one measurement keeps its rows: a folder, a database, or a prefix, made for it and removed after it.

A database for each measurement, so that no side works on tables that another measurement has filled; what a
drop leaves to the server (a checkpoint) is done before the next one begins, for all sides alike.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

import psycopg
from bench.measures import disk_bytes, written_bytes
from psycopg import sql
from redis.asyncio import Redis

LOCAL = {"memory": "memory:", "sqlite": "sqlite:///{}/cairn.db", "file": "file://{}/runs"}
LEFT = """
SELECT coalesce(sum(pg_total_relation_size(c.oid)), 0)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND n.nspname !~ '^(pg_|information_schema)'
"""


class Place:
    """A place for rows of this machine: what is in the folder, and what this process has written."""

    def __init__(self, url: str, folder: str) -> None:
        self.url = url
        self._folder = Path(folder)

    async def left_bytes(self) -> int:
        """Bytes that are left behind."""
        return disk_bytes(self._folder)

    async def written_bytes(self) -> int:
        """Bytes written since some moment."""
        return written_bytes()


class Database(Place):
    """A database: its tables with their indexes, and the server's log."""

    async def left_bytes(self) -> int:
        """Tables, what is stored beside them, and indexes."""
        return await self._number(LEFT)

    async def written_bytes(self) -> int:
        """Position in the write-ahead log, which nobody else moves."""
        return await self._number("SELECT pg_current_wal_insert_lsn() - '0/0'")

    async def _number(self, query: str) -> int:
        async with await psycopg.AsyncConnection.connect(self.url, autocommit=True) as connection:
            row = await (await connection.execute(query)).fetchone()
        return 0 if row is None else int(row[0])


class Prefix(Place):
    """Keys with one prefix, in the memory of a server."""

    async def left_bytes(self) -> int:
        """Memory that the server uses."""
        async with Redis.from_url(self.url.partition("?")[0]) as client:
            found = await client.info("memory")
        return int(found["used_memory"])

    async def written_bytes(self) -> int:
        """Not known."""
        return 0


@asynccontextmanager
async def place(store: str, folder: str) -> AsyncIterator[Place]:
    """Make the place for a store of Cairn's, or for a rival on the same server."""
    if store in LOCAL:
        yield Place(LOCAL[store].format(folder), folder)
    elif store == "redis":
        async with _prefix(os.environ["CAIRN_BENCH_REDIS_URL"]) as url:
            yield Prefix(url, folder)
    else:
        async with _database(os.environ["CAIRN_BENCH_POSTGRES_URL"]) as url:
            yield Database(url, folder)


@asynccontextmanager
async def _database(server: str) -> AsyncIterator[str]:
    name = f"bench_{uuid4().hex[:12]}"
    async with await psycopg.AsyncConnection.connect(server, autocommit=True) as admin:
        await admin.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        try:
            yield urlsplit(server)._replace(path=f"/{name}").geturl()
        finally:
            await admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@asynccontextmanager
async def _prefix(server: str) -> AsyncIterator[str]:

    prefix = f"bench-{uuid4().hex[:12]}"
    try:
        yield f"{server}{'&' if '?' in server else '?'}prefix={prefix}"
    finally:
        async with Redis.from_url(server) as client:
            keys = [key async for key in client.scan_iter(match=f"*{prefix}*", count=1000)]
            for at in range(0, len(keys), 1000):
                await client.unlink(*keys[at : at + 1000])
