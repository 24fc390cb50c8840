"""Damage to what a store keeps, done behind its back: bits flipped, rows cut, exchanged, lost.

One class for each kind of store, each with the same methods; what they name a *row* is a checkpoint as it was
written. Every method leaves the store's place as a failing disk, a careless hand or a wrong restore might.
"""

from __future__ import annotations

import sqlite3
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any, Protocol
from urllib.parse import parse_qs, urlsplit

import psycopg
import redis
from psycopg import sql
from psycopg.types.string import TextLoader

from cairn_runtime.store.base import Checkpoint


class Place(Protocol):
    """A store's place, and what can happen to it."""

    url: str

    def flip_payload(self, row: Checkpoint, at: int) -> None:
        """Flip a bit in one byte of a checkpoint's payload."""

    def flip_somewhere(self, run_id: str, chance: Random) -> None:
        """Flip one bit in anything that is kept of a run."""


class Rows(Place, Protocol):
    """A place whose rows can be changed one by one."""

    def set_payload(self, row: Checkpoint, payload: bytes) -> None:
        """Put another payload in the place of a checkpoint's own."""

    def exchange(self, one: Checkpoint, other: Checkpoint) -> None:
        """Put each of two checkpoints, payload and all, where the other was."""

    def lose(self, row: Checkpoint) -> None:
        """Remove a checkpoint."""


def flipped(data: bytes, at: int, bit: int = 0) -> bytes:
    """Return the bytes with one bit changed."""
    changed = bytearray(data)
    changed[at] ^= 1 << bit
    return bytes(changed)


def flipped_somewhere(data: bytes, chance: Random) -> bytes:
    """Return the bytes with a bit changed anywhere."""
    return flipped(data, chance.randrange(len(data)), chance.randrange(8)) if data else b"\1"


class InFile:
    """SQLite and file stores: one file holds the run's rows."""

    def __init__(self, url: str, file: Callable[[], Path]) -> None:
        self.url = url
        self._file = file

    def flip_payload(self, row: Checkpoint, at: int) -> None:
        """Find the payload by its own bytes."""
        payload = row.payload or b""
        if self.url.startswith("file:"):
            encoded = b64encode(payload)
            # Any bit of a letter would do; the one of its case gives another letter.
            self._flip(self._file().read_bytes().index(encoded) + at * 4 // 3, 0)
        else:
            self._flip(self._file().read_bytes().index(payload) + at, 0)

    def flip_somewhere(self, run_id: str, chance: Random) -> None:
        """Anywhere in the file."""
        self._flip(chance.randrange(self._file().stat().st_size), chance.randrange(8))

    def _flip(self, at: int, bit: int) -> None:
        self._file().write_bytes(flipped(self._file().read_bytes(), at, bit))


class InSqlite(InFile):
    """The same, and its rows by the database's own means."""

    def set_payload(self, row: Checkpoint, payload: bytes) -> None:
        """Change the row."""
        self._execute("UPDATE checkpoints SET payload = ? WHERE id = ?", payload, row.id)

    def exchange(self, one: Checkpoint, other: Checkpoint) -> None:
        """Give each the other's key, which is its place."""
        keys = [
            self._execute("SELECT key FROM checkpoints WHERE id = ?", row.id)[0][0] for row in (one, other)
        ]
        for key, row in ((-1, one), (keys[0], other), (keys[1], one)):
            self._execute("UPDATE checkpoints SET key = ? WHERE id = ?", key, row.id)

    def lose(self, row: Checkpoint) -> None:
        """Delete the row."""
        self._execute("DELETE FROM checkpoints WHERE id = ?", row.id)

    def _execute(self, statement: str, *values: object) -> list[Any]:
        connection = sqlite3.connect(self._file())
        with connection:
            found = connection.execute(statement, values).fetchall()
        connection.close()
        return found


class InPostgres:
    """A Postgres store: rows of its schema, in values that Postgres takes."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._server = url.partition("?")[0]
        self._schema = parse_qs(urlsplit(url).query)["schema"][0]

    def flip_payload(self, row: Checkpoint, at: int) -> None:
        """Change the byte."""
        self._execute(
            "UPDATE checkpoints SET payload = set_byte(payload, %s, get_byte(payload, %s) # 1) WHERE id = %s",
            at,
            at,
            row.id,
        )

    def flip_somewhere(self, run_id: str, chance: Random) -> None:
        """In any column of the run's row, its head or one of its checkpoints."""
        while True:
            table = chance.choice(["runs", "heads", "checkpoints"])
            rows = self._execute(f"SELECT ctid::text, * FROM {table} ORDER BY 1")
            place, *values = chance.choice(rows)
            names = [name for (name,) in self._execute(COLUMNS, self._schema, table)]
            at = chance.randrange(len(names))
            try:
                changed = _changed(values[at], chance)
                statement = f'UPDATE {table} SET "{names[at]}" = %s WHERE ctid = %s::tid'
                self._execute(statement, changed, place)
            except (UnicodeDecodeError, psycopg.DataError, psycopg.ProgrammingError, psycopg.IntegrityError):
                continue  # what Postgres does not take cannot stand in it
            return

    def set_payload(self, row: Checkpoint, payload: bytes) -> None:
        """Change the row."""
        self._execute("UPDATE checkpoints SET payload = %s WHERE id = %s", payload, row.id)

    def exchange(self, one: Checkpoint, other: Checkpoint) -> None:
        """Give each the other's number."""
        for seq, row in ((-1, one), (one.seq, other), (other.seq, one)):
            self._execute("UPDATE checkpoints SET seq = %s WHERE id = %s", seq, row.id)

    def lose(self, row: Checkpoint) -> None:
        """Delete the row."""
        self._execute("DELETE FROM checkpoints WHERE id = %s", row.id)

    def _execute(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        with psycopg.connect(self._server, autocommit=True) as connection:
            connection.execute(sql.SQL("SET search_path = {}").format(sql.Identifier(self._schema)))
            for name in ("json", "timestamptz", "xid8"):
                connection.adapters.register_loader(name, TextLoader)
            cursor = connection.execute(statement.encode(), values or None)
            return cursor.fetchall() if cursor.description else []


COLUMNS = """
    SELECT column_name::text FROM information_schema.columns
    WHERE table_schema = %s AND table_name = %s ORDER BY ordinal_position
"""


def _changed(value: object, chance: Random) -> object:
    """A value of the same type with one bit changed."""
    match value:
        case bool():
            return not value
        case int():
            return value ^ 1 << chance.randrange(62)
        case bytes():
            return flipped_somewhere(value, chance)
        case str():
            return flipped_somewhere(value.encode(), chance).decode()
        case _:
            return chance.choice([0, "0"])


Entry = tuple[bytes, dict[bytes, bytes]]


class InRedis:
    """A Redis store: the keys of a run, the stream of its headers and the hash of its payloads among them."""

    def __init__(self, url: str) -> None:
        self.url = url
        parts = urlsplit(url)
        self._server = parts._replace(query="").geturl()
        self._prefix = parse_qs(parts.query)["prefix"][0]

    def flip_payload(self, row: Checkpoint, at: int) -> None:
        """Change the byte."""
        self.set_payload(row, flipped(row.payload or b"", at))

    def flip_somewhere(self, run_id: str, chance: Random) -> None:
        """In a value, or a name, of the run's row, its headers, its payloads or the index of its ids."""
        part = chance.choice(["row", "log", "payloads", "ids"])
        key = self._key(run_id, part)
        with redis.Redis.from_url(self._server) as client:
            if part == "log":
                entries = client.xrange(key)
                at = chance.randrange(len(entries))
                entries[at] = (entries[at][0], _changed_field(entries[at][1], chance))
                self._write_log(client, run_id, entries)
                return
            fields = _changed_field(client.hgetall(key), chance)
            client.delete(key)
            client.hset(key, mapping=fields)

    def set_payload(self, row: Checkpoint, payload: bytes) -> None:
        """Change the field."""
        with redis.Redis.from_url(self._server) as client:
            client.hset(self._key(row.run_id, "payloads"), str(row.seq), payload)

    def exchange(self, one: Checkpoint, other: Checkpoint) -> None:
        """Put each header and each payload where the other was."""
        with redis.Redis.from_url(self._server) as client:
            entries = dict(client.xrange(self._key(one.run_id, "log")))
            here, there = f"{one.seq}-0".encode(), f"{other.seq}-0".encode()
            entries[here], entries[there] = entries[there], entries[here]
            self._write_log(client, one.run_id, list(entries.items()))
        self.set_payload(one, other.payload or b"")
        self.set_payload(other, one.payload or b"")

    def lose(self, row: Checkpoint) -> None:
        """Remove header and payload."""
        with redis.Redis.from_url(self._server) as client:
            client.xdel(self._key(row.run_id, "log"), f"{row.seq}-0")
            client.hdel(self._key(row.run_id, "payloads"), str(row.seq))

    def _key(self, run_id: str, part: str) -> str:
        return f"{self._prefix}:{{{run_id}}}:{part}"

    def _write_log(
        self, client: redis.Redis, run_id: str, entries: list[tuple[bytes, dict[bytes, bytes]]]
    ) -> None:
        """Write the stream anew: what stands in one cannot be changed."""
        client.delete(self._key(run_id, "log"))
        for number, fields in entries:
            client.xadd(self._key(run_id, "log"), fields, id=number)


def _changed_field(fields: dict[bytes, bytes], chance: Random) -> dict[bytes, bytes]:
    """One bit of one value, or of one name."""
    name = chance.choice(sorted(fields))
    if chance.random() < 0.8:
        return {**fields, name: flipped_somewhere(fields[name], chance)}
    other = flipped_somewhere(name, chance)
    return {other if field == name else field: value for field, value in fields.items()}
