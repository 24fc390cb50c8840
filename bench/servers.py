"""The servers that are measured: private ones, started for this benchmark on a disk, or those that are given.

    CAIRN_BENCH_POSTGRES_URL   a user that may create databases; each measurement makes one and drops it
    CAIRN_BENCH_REDIS_URL      each measurement has a prefix of its own and removes its keys

Private ones are those of the tests, with the settings that a server has by itself where the tests' differ.
Nothing is measured on a Postgres that does not sync: every number would be a lie.
The addresses reach the workers through their environment, since an address may hold a password.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
import redis
from bench.machine import file_system, fsync_ms
from psycopg.rows import TupleRow
from tests.servers.making import Servers
from tests.servers.sessions import Session

POSTGRES_URL, REDIS_URL = "CAIRN_BENCH_POSTGRES_URL", "CAIRN_BENCH_REDIS_URL"
POSTGRES_SETTINGS = {"shared_buffers": "128MB", "autovacuum_naptime": "1min", "jit": "on"}
REDIS_SETTINGS = {"auto-aof-rewrite-percentage": "100"}
PAGE_BYTES = 8192
"""What Postgres writes and syncs at the least."""
_SYNCING = ("fsync", "synchronous_commit", "full_page_writes")
_SAID = (*_SYNCING, "wal_sync_method", "shared_buffers")


class NotDurable(Exception):
    """The server may lose what it has acknowledged: nothing is measured on it."""


@dataclass(frozen=True, slots=True)
class Running:
    """Servers that answer: their addresses by the name of a variable, and what is known about them."""

    urls: dict[str, str] = field(repr=False)
    facts: dict[str, str]


@contextmanager
def running(folder: Path) -> Iterator[Running]:
    """Start what is not given; private servers keep their data in `folder` and end with the block.

    Raises:
        NotDurable: a given Postgres does not sync.
    """
    with Servers(_session(folder)) as servers:
        postgres, redis_url = os.environ.get(POSTGRES_URL, ""), os.environ.get(REDIS_URL, "")
        disk = "a server that was given: its disk is not known here"
        own = f"private server, data on {_disk(servers.session.folder.parent)}"
        facts = {"Postgres": disk if postgres else own, "Redis": disk if redis_url else own}
        postgres = postgres or servers.postgres(settings=POSTGRES_SETTINGS).url
        redis_url = redis_url or servers.redis(settings=REDIS_SETTINGS).url
        facts["Postgres"] = f"{_postgres(postgres)}; {facts['Postgres']}"
        facts["Redis"] = f"{_redis(redis_url)}; {facts['Redis']}"
        yield Running({POSTGRES_URL: postgres, REDIS_URL: redis_url}, facts)


def _session(folder: Path) -> Session:
    """A folder for servers below the given one, if the user that they run as can go there."""
    folder.chmod(0o711)
    parents = (folder.resolve(), *folder.resolve().parents)
    if os.geteuid() == 0 and not all(path.stat().st_mode & stat.S_IXOTH for path in parents):
        return Session.new()
    return Session(folder.resolve() / "servers", os.getpid())


def _disk(folder: Path) -> str:
    synced = fsync_ms(folder, page_bytes=PAGE_BYTES, sync=os.fdatasync)
    return (
        f"{file_system(folder)}, where 8 KiB are written and fdatasync'd in {synced:.2f} ms (median of 200)"
    )


def _postgres(url: str) -> str:
    with psycopg.connect(url, autocommit=True) as connection:
        found = {name: _shown(connection, name) for name in ("server_version", *_SAID)}
    if any(found[name] != "on" for name in _SYNCING):
        settings = ", ".join(f"{name}={found[name]}" for name in _SYNCING)
        raise NotDurable(f"Postgres may lose what it acknowledged ({settings}); nothing is measured on it")
    return ", ".join([found["server_version"].split()[0], *(f"{name}={found[name]}" for name in _SAID)])


def _shown(connection: psycopg.Connection[TupleRow], setting: str) -> str:
    row = connection.execute("SELECT current_setting(%s)", [setting]).fetchone()
    return "" if row is None else str(row[0])


def _redis(url: str) -> str:
    with redis.Redis.from_url(url, decode_responses=True) as client:
        version = client.info("server")["redis_version"]
        settings = {name: client.config_get(name).get(name) for name in ("appendonly", "appendfsync")}
    return ", ".join([str(version), *(f"{name}={value}" for name, value in settings.items())])
