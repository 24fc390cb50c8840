"""`python -m bench`: measure Cairn, and LangGraph beside it; prints one table.

Everything is measured in one go and in turns. It fails only where something could not be measured or was
computed wrong; a bar that is not met is a line of the table.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from bench.machine import machine
from bench.rounds import Series, cases_of, measure
from bench.rows import DEFAULTS, FULL, QUICK, Row, table
from bench.tables import line_of, markdown, to_json

ROOT = Path(__file__).parents[1]
NOTES = """\
Median (least - most) of interleaved rounds. CPU: processor time of all threads, in the same unit, the median.
`ratio`: how many times LangGraph's number is Cairn's, the median over the rounds.
A chain holds 10 channels of 1 KiB; each step reads one and rewrites it. Texts are random, so that compression
flatters nobody. Steps are async functions; with SqliteSaver, which has no async methods, they are plain ones.
Both sides: SQLite in WAL mode with synchronous=FULL, the same folder, a new file for each round."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; returns 0, or 1 where a number is missing."""
    asked = _arguments(arguments)
    rows = [
        row for row in table(QUICK if asked.quick else FULL, largest_example()) if asked.only in row.title
    ]
    if not rows:
        print(f'no row of the table has "{asked.only}" in its title', file=sys.stderr)
        return 2
    if find_spec("langgraph") is None:
        print("LangGraph is not installed: its columns stay empty", file=sys.stderr)
        rows = [
            Row(row.title, row.unit, row.quantity, row.cairn, (), row.bar, row.cpu)
            for row in rows
            if row.cairn
        ]
    asked.folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=asked.folder, prefix="bench-") as base:
        facts = machine(Path(base))
        compared = any(row.rivals for row in rows)
        series = measure([*cases_of(rows), *([DEFAULTS] if compared else [])], Path(base), _tell)
    if compared:
        facts["synchronous"] = _synchronous(series[DEFAULTS.key])
    lines = [line_of(row, series) for row in rows]
    if asked.output == "json":
        print(json.dumps({"machine": facts, "quick": asked.quick, "rows": to_json(lines)}, indent=2))
    else:
        print(markdown(lines, judged=not asked.quick), "", NOTES, "", *_facts(facts), sep="\n")
    return 1 if any(line.problem for line in lines) else 0


def largest_example() -> str:
    """The example with the longest manifest, as a path from the root."""
    found = max((ROOT / "examples").glob("*/workflow.yaml"), key=lambda path: path.stat().st_size)
    return str(found.relative_to(ROOT))


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench", description="Measure Cairn, and LangGraph beside it."
    )
    parser.add_argument("-o", "--output", choices=("table", "json"), default="table")
    parser.add_argument(
        "--quick", action="store_true", help="small sizes, few rounds: to see that all of it runs"
    )
    parser.add_argument("--only", default="", metavar="TEXT", help="only rows with this text in their title")
    parser.add_argument(
        "--folder",
        type=Path,
        default=ROOT / "build",
        help="where the stores are made; a disk, since one in memory makes every fsync free (default: build)",
    )
    return parser.parse_args(arguments)


def _synchronous(found: Series) -> str:
    """How LangGraph's savers would have synced by themselves, as SQLite numbers it."""
    values = {0: "OFF", 1: "NORMAL", 2: "FULL", 3: "EXTRA"}
    left = [values.get(int(value), "unknown") for value in found.values("synchronous")]
    return f"FULL on both sides; LangGraph's savers leave it at {left[0] if left else 'unknown'} here"


def _tell(text: str) -> None:
    """Show on a terminal what is being measured."""
    if sys.stderr.isatty():
        print(f"\r\x1b[2K{text[:100]}", end="", file=sys.stderr, flush=True)


def _facts(facts: dict[str, str]) -> list[str]:
    return [f"{name}: {text}" for name, text in facts.items()]


if __name__ == "__main__":
    sys.exit(main())
