"""The statements of `sql/postgres`, made for one place: its schema, its prefix, its way of preparing.

In the files `{name}` is a table and `{=name}` an index (their names come from the URL, so they are validated
and quoted), `$name` is a value, `{+name}` is the statement of that name, with which others begin.
The name of a prepared statement is made from its text: behind a pooler that nobody told us of, another
release's statement is never taken for ours.
Pure: no I/O but the reading of the files.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256

from cairn_runtime.store.queries import queries

TABLES = (
    "meta",
    "runs",
    "heads",
    "checkpoints",
    "row_writes",
    "heartbeats",
    "progress",
    "signals",
    "pins",
    "holds",
    "gaps",
    "audit",
)
_NAME = re.compile(r"\{(=?)(\w+)\}")
_VALUE = re.compile(r"\$([a-z_]+)")
_COMMENT = re.compile(r"^\s*--.*\n?", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement as the server gets it."""

    sql: bytes
    values: tuple[str, ...]
    """Names of its values, in the order of `$1`, `$2`..."""
    formats: tuple[int, ...]
    """That all of them are in binary form."""
    prepared_name: bytes
    guarded: bool
    """Whether its rows begin with two columns that tell where they were read."""


@dataclass(frozen=True, slots=True)
class Naming:
    """Where the tables of a store are."""

    schema: str
    prefix: str

    def table(self, name: str) -> str:
        """The name of a table, qualified: nothing depends on a search path."""
        return f'"{self.schema}"."{self.prefix}{name}"'

    def put_in(self, sql: str) -> str:
        """Put the names of tables and indexes into a script."""
        return _NAME.sub(
            lambda match: f'"{self.prefix}{match[2]}"' if match[1] else self.table(match[2]), sql
        )


def statements(naming: Naming, *, on_primary: bool = False) -> Mapping[str, Statement]:
    """Make the statements of a place; `on_primary`: those that only read also tell where they were read."""
    plain = {name: _plain(sql) for name, sql in queries("postgres").items()}
    parts = {name for sql in plain.values() for name in _PART.findall(sql)}
    whole = {
        name: _PART.sub(lambda match: plain[match[1]], sql)
        for name, sql in plain.items()
        if name not in parts
    }
    return {name: _statement(naming.put_in(sql), on_primary) for name, sql in whole.items()}


def _plain(sql: str) -> str:
    return _COMMENT.sub("", sql).strip().rstrip(";")


def _statement(sql: str, on_primary: bool) -> Statement:  # noqa: FBT001 - private
    order: dict[str, int] = {}
    guarded = on_primary and sql.startswith("SELECT") and not _LOCKS.search(sql)
    if guarded:
        sql = _ON_PRIMARY.format(sql)
    text = _VALUE.sub(lambda match: f"${order.setdefault(match[1], len(order) + 1)}", sql).encode()
    name = b"cairn_" + sha256(text).hexdigest()[:24].encode()
    return Statement(text, tuple(order), (1,) * len(order), name, guarded)


_PART = re.compile(r"\{\+(\w+)\}")
"""A statement that another one begins with."""
_LOCKS = re.compile(r"FOR (NO KEY )?UPDATE|advisory|set_config|pg_is_in_recovery")
"""These fail on a standby by themselves, or ask for it."""
_ON_PRIMARY = (
    "SELECT pg_is_in_recovery(), q.* FROM (SELECT) AS one "
    "LEFT JOIN LATERAL (SELECT true, p.* FROM ({}) AS p) AS q ON true"
)
"""Answers a row also where there is none: a standby that lags behind must not say that a run is not there."""
