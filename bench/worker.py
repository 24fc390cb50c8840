"""A worker: a process that makes measurements of one side, one after the other, as it is told.

    python -m bench.worker bench.cairn_measures

Each side has a process of its own, so that neither pays for the other's objects when garbage is collected.
It reads JSON lines `{"measure", "folder", "parameters"}` and answers each with one line: the quantities, or
`{"error": text}`.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
import traceback
from importlib import import_module
from typing import Any, TextIO

from bench.measures import Measure


def main(module: str) -> None:
    """Serve measurements until standard input ends."""
    answers, sys.stdout = sys.stdout, sys.stderr
    logging.getLogger().addHandler(logging.NullHandler())  # many runs at once wait long, and would say so
    measures: dict[str, Measure] = import_module(module).MEASURES
    for line in sys.stdin:
        answer(answers, measures, json.loads(line))


def answer(answers: TextIO, measures: dict[str, Measure], asked: dict[str, Any]) -> None:
    """Make one measurement."""
    try:
        said: dict[str, Any] = asyncio.run(measures[asked["measure"]](asked["folder"], **asked["parameters"]))
    except Exception as error:  # noqa: BLE001 - the table names it, and the others go on
        traceback.print_exc()
        said = {"error": f"{type(error).__name__}: {error}"}
    answers.write(json.dumps(said) + "\n")
    answers.flush()


if __name__ == "__main__":
    main(sys.argv[1])
