"""Removing what a test left on a server that others use too."""

from __future__ import annotations

from functools import cache

import psycopg
import redis
from psycopg import sql

LOCK_TIMEOUT = "SET lock_timeout = '20s'"


def drop_schema(url: str, schema: str) -> None:
    """Drop a test's schema.

    Raises:
        psycopg.errors.LockNotAvailable: the test left a transaction open in it.
    """
    statement = sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(sql.Identifier(schema))
    try:
        _postgres(url).execute(statement)
    except psycopg.OperationalError:
        # The test has ended all connections of the server, ours among them.
        close(url)
        _postgres(url).execute(statement)


def remove_keys(url: str, prefix: str) -> None:
    """Remove all keys in which a test's prefix stands."""
    client = _redis(url)
    keys = list(client.scan_iter(match=f"*{prefix}*", count=1_000))
    for start in range(0, len(keys), 1_000):
        client.unlink(*keys[start : start + 1_000])


def close(url: str) -> None:
    """Close this process's connection to a server."""
    if url.startswith("redis"):
        _redis(url).close()
        _redis.cache_clear()
    else:
        _postgres(url).close()
        _postgres.cache_clear()


@cache
def _postgres(url: str) -> psycopg.Connection[tuple[object, ...]]:
    """One connection for all tests of this process; it ends with the process."""
    connection = psycopg.connect(url, autocommit=True, application_name="cairn-tests")
    connection.execute(LOCK_TIMEOUT)
    return connection


@cache
def _redis(url: str) -> redis.Redis:
    return redis.Redis.from_url(url, socket_timeout=30)
