"""What a process writes down: a line before each call, and a line after its answer.

Written to the end with one `write`, so that a process that is killed has written down all that it was told.
Times are of the monotonic clock, in nanoseconds, which is the same for all processes of a machine.
Lines are JSON: `{n, race, kind, at, ...what was sent}` and `{n, at, answer, ...what was got}`.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import orjson
from tests.races.evidence import Call

SUFFIX = ".calls"


class Log:
    """The log of one process about one run at a time."""

    def __init__(self, folder: Path, who: str) -> None:
        self._folder = folder
        self._who = who
        self._run_id = ""
        self._file = -1
        self._calls = 0

    def about(self, run_id: str) -> None:
        """Write into this run's log from now on."""
        if run_id == self._run_id:
            return
        self.close()
        path = self._folder / f"{run_id}.{self._who}{SUFFIX}"
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._run_id = run_id

    def close(self) -> None:
        """Close the file."""
        if self._file >= 0:
            os.close(self._file)
        self._file, self._run_id = -1, ""

    def sent(self, race: int, kind: str, told: dict[str, Any]) -> int:
        """Write down a call that is about to be made; answer its number."""
        self._calls += 1
        self._write({"n": self._calls, "race": race, "kind": kind, **told, "at": time.monotonic_ns()})
        return self._calls

    def answered(self, number: int, answer: str, got: dict[str, Any]) -> None:
        """Write down what a call was answered."""
        self._write({"n": number, "at": time.monotonic_ns(), "answer": answer, **got})

    def _write(self, line: dict[str, Any]) -> None:
        os.write(self._file, orjson.dumps(line) + b"\n")


def read_logs(folder: Path, run_id: str) -> list[Call]:
    """Read what all processes wrote down about a run."""
    calls: list[Call] = []
    for path in sorted(folder.glob(f"{run_id}.*{SUFFIX}")):
        who = path.name.removeprefix(f"{run_id}.").removesuffix(SUFFIX)
        found: dict[int, Call] = {}
        # A killed process may have been stopped in the middle of its last line.
        for line in path.read_bytes().split(b"\n")[:-1]:
            fact = orjson.loads(line)
            number, at = fact.pop("n"), fact.pop("at")
            if "kind" in fact:
                found[number] = Call(who, fact.pop("race"), fact.pop("kind"), at, told=fact)
            else:
                found[number].answered, found[number].answer = at, fact.pop("answer")
                found[number].got = fact
        calls += found.values()
    return sorted(calls, key=lambda call: call.sent)


def forget_logs(folder: Path, run_id: str) -> None:
    """Remove what was written down about a run."""
    for path in folder.glob(f"{run_id}.*{SUFFIX}"):
        path.unlink()
