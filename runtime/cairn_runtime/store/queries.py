"""SQL from files: named statements and numbered migrations of one dialect.

Statements stand in `sql/DIALECT/queries.sql`, each under a line `-- name: NAME`; migrations are
`sql/DIALECT/NN_what.sql`, applied in order and never edited after a release.
"""

from __future__ import annotations

import re
from functools import cache
from importlib import resources
from typing import NamedTuple

_NAME = re.compile(r"^-- name: (\w+)\n", re.MULTILINE)
_MIGRATION = re.compile(r"^(\d\d)_\w+\.sql$")


class Migration(NamedTuple):
    """One step of a schema; `number` is the version that it brings."""

    number: int
    name: str
    sql: str


@cache
def queries(dialect: str) -> dict[str, str]:
    """Read the named statements of a dialect."""
    text = (_folder(dialect) / "queries.sql").read_text("utf-8")
    _, *parts = _NAME.split(text)
    return dict(zip(parts[::2], (part.strip() for part in parts[1::2]), strict=True))


@cache
def migrations(dialect: str) -> tuple[Migration, ...]:
    """Read the migrations of a dialect, ascending."""
    found = [
        Migration(int(match[1]), entry.name, entry.read_text("utf-8"))
        for entry in _folder(dialect).iterdir()
        if (match := _MIGRATION.match(entry.name))
    ]
    return tuple(sorted(found))


def _folder(dialect: str) -> resources.abc.Traversable:
    return resources.files("cairn_runtime.store") / "sql" / dialect
