"""The rounds: every case once, then every case again, so that a machine that drifts slows all sides alike.

Each side has one worker process for the whole benchmark. A case that fails is named and not tried again.
Every call gets an empty folder of its own, which is removed afterwards.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.cases import Case, Row, Side

MODULES: dict[Side, str] = {
    "cairn": "bench.cairn_measures",
    "processes": "bench.process_measures",
    "langgraph": "bench.langgraph_measures",
    "dbos": "bench.dbos_measures",
    "floor": "bench.floor_measures",
}
Tell = Callable[[str], None]


class Failed(Exception):
    """A measurement could not be made, or computed the wrong thing."""


@dataclass(slots=True)
class Series:
    """The quantities of one case, by round, or why there are none."""

    rounds: list[dict[str, float]] = field(default_factory=list)
    problem: str = ""

    def values(self, quantity: str) -> list[float]:
        """One quantity, by round; empty where the case does not have it or failed."""
        return [] if self.problem else [found[quantity] for found in self.rounds if quantity in found]


class Worker:
    """One side's process."""

    def __init__(self, side: Side) -> None:
        command = [sys.executable, "-m", "bench.worker", MODULES[side]]
        root = Path(__file__).parents[1]
        self._process = subprocess.Popen(
            command, cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def ask(self, measure: str, parameters: dict[str, Any], folder: Path) -> dict[str, float]:
        """Make one measurement. Raises `Failed`."""
        stdin, stdout = self._process.stdin, self._process.stdout
        if stdin is None or stdout is None:
            raise Failed("the worker has no pipes")
        try:
            asked = {"measure": measure, "folder": str(folder), "parameters": parameters}
            stdin.write(json.dumps(asked) + "\n")
            stdin.flush()
        except OSError as error:
            raise Failed(f"the worker is gone: {error}") from None
        line = stdout.readline()
        if not line:
            raise Failed(f"the worker ended with exit code {self._process.wait()}")
        said: dict[str, Any] = json.loads(line)
        if "error" in said:
            raise Failed(str(said["error"]))
        return said

    def close(self) -> None:
        """End the process."""
        if self._process.stdin is not None:
            with suppress(OSError):
                self._process.stdin.close()
        self._process.wait()


def cases_of(rows: Sequence[Row]) -> list[Case]:
    """Every case that the rows show, once, in their order: Cairn's and then its rivals' of the same row."""
    found: dict[str, Case] = {}
    for row in rows:
        for case in (row.cairn, *row.rivals):
            if case is not None:
                found.setdefault(case.key, case)
    return list(found.values())


def measure(cases: Sequence[Case], base: Path, tell: Tell) -> dict[str, Series]:
    """Make all rounds of all cases; folders are made below `base`."""
    series = {case.key: Series() for case in cases}
    workers: dict[Side, Worker] = {}
    try:
        for number in range(-1, max(case.rounds for case in cases)):
            for case in cases:
                if not series[case.key].problem:
                    worker = workers.get(case.side) or workers.setdefault(case.side, Worker(case.side))
                    _once(worker, case, number, series[case.key], base=base, tell=tell)
    finally:
        for worker in workers.values():
            worker.close()
    return series


def _once(worker: Worker, case: Case, number: int, series: Series, *, base: Path, tell: Tell) -> None:
    """Make one round of one case; round -1 warms up."""
    parameters = case.warm if number < 0 else case.parameters
    if parameters is None or number >= case.rounds:
        return
    tell(f"round {number + 1}: {case.key}" if number >= 0 else f"warming up: {case.key}")
    folder = Path(tempfile.mkdtemp(dir=base))
    try:
        found = worker.ask(case.measure, parameters, folder)
    except Failed as error:
        series.problem = str(error)
    else:
        if number >= 0:
            series.rounds.append(found)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
