"""`python -m tests.races`: race, have it judged, print a table.

Exit codes: 0 nothing found; 1 a rule is broken, the first cases are shown and the logs are kept; 2 the races
could not be run; 130 ended by Ctrl-C with nothing found. A second Ctrl-C ends at once.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from pathlib import Path
from types import FrameType
from typing import Any, TextIO, cast

from tests.races.crews import Tally, Task, direct
from tests.races.plants import PLANTS, planted
from tests.races.tables import facts, table, verdict

from cairn_runtime.errors import CairnError
from cairn_runtime.store.opening import parse_store_url

EXIT_BROKEN, EXIT_IMPOSSIBLE, EXIT_INTERRUPTED = 1, 2, 130
_FORK = get_context("fork")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the races; returns the exit code."""
    asked = _arguments(arguments)
    folder = Path(tempfile.mkdtemp(prefix="races-"))
    asked.store = asked.store or f"sqlite:///{folder}/store.db?timeout=60s"
    try:
        # Loads the driver before anything is forked, and finds a URL that cannot be used.
        planted(asked.store, asked.plant)
    except CairnError as error:
        _say(error.message, sys.stderr)
        folder.rmdir()
        return EXIT_IMPOSSIBLE
    races = Races(asked, folder)
    tally = races.run()
    if asked.output == "json":
        _say(json.dumps(facts(tally)))
    else:
        _show(asked, tally, races)
    if tally.problem:
        _say(f"not finished: {tally.problem}", sys.stderr)
    if tally.violations:
        _say(f"the logs of what was found are in {folder}", sys.stderr)
        return EXIT_BROKEN
    shutil.rmtree(folder, ignore_errors=True)
    if tally.problem:
        return EXIT_IMPOSSIBLE
    return EXIT_INTERRUPTED if races.interrupted else 0


@dataclass(slots=True)
class Races:
    """All crews, from their start to their end."""

    asked: argparse.Namespace
    folder: Path
    interrupted: bool = False
    seconds: float = 0.0

    def run(self) -> Tally:
        """Start the crews, add up what they tell, end them."""
        stop = _FORK.Event()
        crews: list[tuple[Any, Connection]] = []

        def interrupt(_number: int, _frame: FrameType | None) -> None:
            if self.interrupted:
                for process, _ in crews:
                    process.kill()
            self.interrupted = True
            stop.set()

        # Before the crews are there: they race before we come to anything else.
        before = signal.signal(signal.SIGINT, interrupt)
        begun = time.monotonic()
        try:
            crews += [self._start(number, stop) for number in range(self.asked.crews)]
            tally = self._gather([line for _, line in crews], stop, begun)
        finally:
            stop.set()
            for process, _ in crews:
                process.join(timeout=30)
                if process.is_alive():
                    process.kill()
            signal.signal(signal.SIGINT, before)
        self.seconds = time.monotonic() - begun
        return tally

    def _start(self, number: int, stop: Any) -> tuple[Any, Connection]:
        asked = self.asked
        share = asked.races // asked.crews + (number < asked.races % asked.crews)
        mine, theirs = _FORK.Pipe()
        kill_share = asked.kills / 1000
        task = Task(
            asked.store, asked.plant, str(asked.seed), number, share, kill_share, asked.keep, self.folder
        )
        process = _FORK.Process(target=direct, args=(task, theirs, stop))
        process.start()
        theirs.close()
        return process, mine

    def _gather(self, lines: list[Connection], stop: Any, begun: float) -> Tally:
        tally = Tally()
        shown = begun
        while lines:
            now = time.monotonic()
            if self.asked.seconds and now - begun > self.asked.seconds:
                stop.set()
            if now - shown > 1.0:
                shown = now
                _tell(tally, now - begun, self.asked.races)
            for line in cast("list[Connection]", wait(lines, timeout=0.5)):
                try:
                    told: Tally | None = line.recv()
                except EOFError:
                    told = None
                    tally.problem = tally.problem or "a crew has ended without a word"
                if told is None:
                    lines = [other for other in lines if other is not line]
                    continue
                tally.add(told)
                if told.violations or told.problem:
                    stop.set()
        if sys.stderr.isatty():
            _say("", sys.stderr)
        return tally


def _tell(tally: Tally, seconds: float, races: int) -> None:
    """Show how far it is: on a terminal in one line, else now and then."""
    done = sum(counts["races"] for counts in tally.kinds.values())
    text = f"{done:,} of {races:,} races, {done / seconds:.0f} a second, {len(tally.violations)} violations"
    if sys.stderr.isatty():
        _say(f"\r\x1b[2K{text}", sys.stderr, end="")
    elif int(seconds) % 10 == 0:
        _say(text, sys.stderr)


def _show(asked: argparse.Namespace, tally: Tally, races: Races) -> None:
    done = sum(counts["races"] for counts in tally.kinds.values())
    contested = sum(counts["contested"] for counts in tally.kinds.values())
    _say(table(tally) + "\n")
    _say(
        f"{parse_store_url(asked.store).safe}: {done:,} races, {contested:,} of them contested, on"
        f" {tally.runs:,} runs with {tally.checkpoints:,} checkpoints; {tally.kills:,} writers killed"
    )
    _say(
        f"{races.seconds:.0f} s, {done / max(races.seconds, 0.001):.0f} races a second, {asked.crews} crews,"
        f" seed {asked.seed}, Python {platform.python_version()}"
    )
    _say(verdict(tally))


def _say(text: str, where: TextIO | None = None, *, end: str = "\n") -> None:
    where = where or sys.stdout
    where.write(text + end)
    where.flush()


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.races", description=__doc__)
    parser.add_argument(
        "--store",
        default=os.environ.get("CAIRN_STORE_URL", ""),
        metavar="URL",
        help="where they race, on rows of their own (default: CAIRN_STORE_URL, which shows no password,"
        " else a new SQLite file)",
    )
    parser.add_argument("-o", "--output", choices=("table", "json"), default="table")
    parser.add_argument("--races", type=int, default=10_000, help="how many (default: 10000)")
    parser.add_argument("--seconds", type=float, default=0, help="end after so long, whatever is left")
    parser.add_argument("--seed", default="1", help="chooses the mix and every delay (default: 1)")
    parser.add_argument("--crews", type=int, default=2, help="crews that race side by side (default: 2)")
    parser.add_argument("--kills", type=float, default=5, help="kills in a thousand races (default: 5)")
    parser.add_argument("--keep", action="store_true", help="leave the rows of sound runs in the store")
    parser.add_argument("--plant", default="", choices=("", *PLANTS), help="a store with this fault (SQLite)")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
