"""Removing what a test left on a server that others use too, over one connection for each process."""

from __future__ import annotations

from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import psycopg
import redis
from psycopg import sql

Connection = psycopg.Connection[tuple[object, ...]]

LOCK_TIMEOUT = "SET lock_timeout = '20s'"

_POSTGRES: dict[str, Connection] = {}
_REDIS: dict[str, redis.Redis] = {}


def drop_schema(url: str, schema: str) -> None:
    """Drop a test's schema.

    Raises:
        psycopg.errors.LockNotAvailable: the test left a transaction open in it.
    """
    statement = sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(sql.Identifier(schema))
    try:
        _postgres(url).execute(statement)
    except psycopg.OperationalError:
        if not _postgres(url).closed:
            raise
        # The test has ended all connections of the server, ours among them.
        _POSTGRES.pop(url)
        _postgres(url).execute(statement)


def remove_keys(url: str, prefix: str) -> None:
    """Remove all keys in which a test's prefix stands."""
    for client in _masters(url):
        # One by one in a pipeline: the keys of a cluster's node need not be of one slot.
        with client.pipeline(transaction=False) as pipeline:
            for key in client.scan_iter(match=f"*{prefix}*", count=1_000):
                pipeline.unlink(key)
            pipeline.execute()


def close_all() -> None:
    """Close this process's connections."""
    for connections in (_POSTGRES, _REDIS):
        while connections:
            connections.popitem()[1].close()


def _postgres(url: str) -> Connection:
    if url not in _POSTGRES:
        _POSTGRES[url] = psycopg.connect(url, autocommit=True, application_name="cairn-tests")
        _POSTGRES[url].execute(LOCK_TIMEOUT)
    return _POSTGRES[url]


def _masters(url: str) -> list[redis.Redis]:
    """A client for each server that holds keys."""
    client = _redis(url)
    if client.info("cluster").get("cluster_enabled") != 1:
        return [client]
    return [_redis(f"redis://{address}/0") for address in client.execute_command("CLUSTER NODES")]


def _redis(url: str) -> redis.Redis:
    """A client; the store's word for the file of an authority is not the driver's."""
    parts = urlsplit(url)
    options = {"ssl_ca_certs" if name == "ca" else name: value for name, value in parse_qsl(parts.query)}
    if url not in _REDIS:
        address = urlunsplit(parts._replace(query=urlencode(options)))
        _REDIS[url] = redis.Redis.from_url(address, socket_timeout=30)
    return _REDIS[url]
