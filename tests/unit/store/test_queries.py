"""SQL in files: all of it used, nothing else asked for."""

from __future__ import annotations

from pathlib import Path

import cairn_runtime.store
from cairn_runtime.store.queries import migrations, queries

SOURCES = [path.read_text() for path in Path(cairn_runtime.store.__file__).parent.glob("sqlite*.py")]


def test_every_statement_is_used():
    """No statement is left over; that every name asked for is there, the contract shows."""
    assert [name for name in queries("sqlite") if not any(f'"{name}"' in text for text in SOURCES)] == []


def test_every_statement_is_one_statement():
    """No script hides behind a name."""
    for name, sql in queries("sqlite").items():
        lines = [line for line in sql.splitlines() if not line.startswith("--")]

        assert "\n".join(lines).find(";") == len("\n".join(lines)) - 1, name


def test_migrations_are_numbered_without_a_hole():
    """From 01 on, so that a version says which were applied."""
    found = migrations("sqlite")

    assert [step.number for step in found] == list(range(1, len(found) + 1))
    assert all(step.name.startswith(f"{step.number:02}_") for step in found)
