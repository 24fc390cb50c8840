"""`python -m bench`: measure Cairn, and LangGraph, DBOS and a plain INSERT beside it; prints two tables.

Everything is measured in one go and in turns. It fails only where something could not be measured or was
computed wrong; a bar that is not met is a line of the table.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

from bench.cases import FULL, QUICK, Row
from bench.machine import machine
from bench.pages import page, put_into, terminal
from bench.rounds import Series, cases_of, measure
from bench.rows import DEFAULTS, local_rows
from bench.server_rows import server_rows
from bench.tables import line_of, to_json

ROOT = Path(__file__).parents[1]
NEEDS = {"langgraph": "langgraph", "dbos": "dbos"}
"""Packages without which a rival's columns stay empty."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; returns 0, or 1 where a number is missing."""
    asked = _arguments(arguments)
    rows = [row for row in _rows(asked) if asked.only in row.title]
    if not rows:
        print(f'no row of the table has "{asked.only}" in its title', file=sys.stderr)
        return 2
    asked.folder.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory(dir=asked.folder, prefix="bench-") as base,
        _servers(Path(base), rows) as servers,
    ):
        compared = [DEFAULTS] if any(row.part == "local" and row.rivals for row in rows) else []
        facts = {**machine(Path(base)), **servers}
        series = measure([*cases_of(rows), *compared], Path(base), _tell)
    if compared:
        facts["synchronous"] = _synchronous(series[DEFAULTS.key])
    lines = [line_of(row, series) for row in rows]
    judged = not asked.quick
    if asked.output == "json":
        print(json.dumps({"machine": facts, "quick": asked.quick, "rows": to_json(lines)}, indent=2))
    elif asked.output == "markdown":
        text = page(lines, facts, judged=judged)
        print(text) if asked.into is None else put_into(asked.into, text)
    else:
        print(terminal(lines, facts, judged=judged))
    problems = sorted({line.problem for line in lines if line.problem})
    print(*problems, sep="\n", end="\n" if problems else "", file=sys.stderr)
    return 1 if problems else 0


def largest_example() -> str:
    """The example with the longest manifest, as a path from the root."""
    found = max((ROOT / "examples").glob("*/workflow.yaml"), key=lambda path: path.stat().st_size)
    return str(found.relative_to(ROOT))


def _rows(asked: argparse.Namespace) -> list[Row]:
    """All rows that are asked for, without rivals that are not installed."""
    sizes = QUICK if asked.quick else FULL
    rows = [
        *(local_rows(sizes, largest_example()) if asked.part != "servers" else []),
        *(server_rows(sizes) if asked.part != "local" else []),
    ]
    missing = {side for side, package in NEEDS.items() if find_spec(package) is None}
    for side in missing:
        print(f"{NEEDS[side]} is not installed: its columns stay empty", file=sys.stderr)
    present = [
        replace(row, rivals=tuple(case for case in row.rivals if case.side not in missing)) for row in rows
    ]
    return [row for row in present if row.cairn or row.rivals]


@contextmanager
def _servers(base: Path, rows: Sequence[Row]) -> Iterator[dict[str, str]]:
    """Start the servers, if any row needs them, and tell the workers their addresses."""
    if all(row.part == "local" for row in rows):
        yield {}
        return
    from bench.servers import running  # noqa: PLC0415 - without drivers the local rows are measured all the same

    with running(base) as started:
        os.environ.update(started.urls)
        yield started.facts


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench", description="Measure Cairn, and LangGraph, DBOS and a plain INSERT beside it."
    )
    parser.add_argument("-o", "--output", choices=("table", "markdown", "json"), default="table")
    parser.add_argument(
        "--into",
        type=Path,
        metavar="PAGE",
        help="with -o markdown: put it between the marks of this page, e.g. docs/concepts/speed.md",
    )
    parser.add_argument(
        "--quick", action="store_true", help="small sizes, few rounds: to see that all of it runs"
    )
    parser.add_argument("--part", choices=("local", "servers", "all"), default="all")
    parser.add_argument("--only", default="", metavar="TEXT", help="only rows with this text in their title")
    parser.add_argument(
        "--folder",
        type=Path,
        default=ROOT / "build",
        help="where stores and servers keep their data; a disk, since one in memory makes every fsync free"
        " (default: build)",
    )
    return parser.parse_args(arguments)


def _synchronous(found: Series) -> str:
    """How LangGraph's savers would have synced by themselves, as SQLite numbers it."""
    values = {0: "OFF", 1: "NORMAL", 2: "FULL", 3: "EXTRA"}
    left = [values.get(int(value), "unknown") for value in found.values("synchronous")]
    return f"SQLite FULL on both sides; LangGraph's savers leave it at {left[0] if left else 'unknown'} here"


def _tell(text: str) -> None:
    """Show on a terminal what is being measured."""
    if sys.stderr.isatty():
        print(f"\r\x1b[2K{text[:100]}", end="", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
