"""What the tests of the Postgres store share: ways into a place beside the store."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import psycopg
from psycopg import sql

from cairn_runtime.store.opening import parse_store_url
from cairn_runtime.store.postgres import PostgresStore
from cairn_runtime.store.postgres.addresses import address_of


def with_option(url: str, option: str) -> str:
    """Add an option to a URL."""
    return f"{url}{'&' if '?' in url else '?'}{option}"


@asynccontextmanager
async def opened(url: str, *options: str) -> AsyncIterator[PostgresStore]:
    """Open a store, and close it again."""
    for option in options:
        url = with_option(url, option)
    store = PostgresStore(parse_store_url(url))
    await store.open()
    try:
        yield store
    finally:
        await store.close()


@asynccontextmanager
async def beside(url: str) -> AsyncIterator[psycopg.AsyncConnection[Any]]:
    """Connect to a store's server without the store."""
    options: dict[str, Any] = address_of(parse_store_url(url)).options
    async with await psycopg.AsyncConnection.connect(**options, autocommit=True) as connection:
        yield connection


def table(store: PostgresStore, name: str) -> sql.SQL:
    """The name of a table, for a statement."""
    return sql.SQL(store._address.naming.table(name))


async def rows(connection: psycopg.AsyncConnection[Any], text: str, **tables: Any) -> list[tuple[Any, ...]]:
    """Run a statement with the names of tables in it."""
    cursor = await connection.execute(sql.SQL(text).format(**tables))
    return await cursor.fetchall() if cursor.description else []
