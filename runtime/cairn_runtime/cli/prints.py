"""What a runner and its steps print, on its way to people: a file that grows, read line by line.

The runner writes to a file: a pipe would break with its reader, and a step that prints would fail then.
A line is JSON of our own log, or whatever a step wrote past it.
Of the log only what a person would ask for is passed on: what steps say, attempts that failed in one line
each, and the traceback of the one that failed for good.
"""

from __future__ import annotations

import json
import logging
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from cairn_runtime.cli.views.texts import plain

_MOST = 1024 * 1024
"""So many bytes at most are taken at once; a step that prints without end must not hold up the rest."""
_STEP = "cairn.step"
_RECORD = '{"time":'
"""How a line of our own log begins."""
_SERIOUS = frozenset({"warning", "error", "critical"})
_TRACES = 256
"""So many tasks' last tracebacks are remembered."""
_HIDDEN = frozenset(
    {
        "time",
        "level",
        "logger",
        "message",
        "task",
        "stream",
        "traceback",
        "run_id",
        "epoch",
        "attempt",
        "error",
    }
)


@dataclass(frozen=True, slots=True)
class Printed:
    """One line: the task that printed it, where that is known, and how serious it is."""

    text: str
    task: str = ""
    level: str = "info"

    @property
    def line(self) -> str:
        """The line as plain text."""
        return f"{self.task} | {self.text}" if self.task else self.text


@dataclass(slots=True)
class Reader:
    """Makes lines for people of what a runner wrote."""

    debug: bool = False
    _traces: dict[str, str] = field(default_factory=dict)

    def read(self, text: str) -> list[Printed]:
        """Read one line of a runner's output; a record may stand behind a line that a step did not end."""
        begun, mark, rest = text.partition(_RECORD)
        record = _record(mark + rest)
        if record is None:
            return [Printed(plain(text))]
        return [*_lines(begun.rstrip(), ""), *self.take(record)]

    def take(self, record: Mapping[str, object]) -> list[Printed]:
        """Make lines of one record of our log."""
        level, logger, message, task = (
            str(record.get(name, "")) for name in ("level", "logger", "message", "task")
        )
        trace = str(record.get("traceback") or "")
        match message:
            case "step raised" if not self.debug:
                return self._remember(task, trace)
            case "attempt failed":
                return [Printed(f"{self._why(record)}; trying again", task, "warning")]
            case "task failed":
                last = Printed(f"failed: {self._why(record)}", task, "error")
                return [*_lines(self._traces.pop(task, ""), task), last]
            case "runner ended" if not self.debug:
                return []  # whoever reads here tells it better
        if not (self.debug or logger == _STEP or level in _SERIOUS):
            return []
        extra = "" if logger == _STEP else _extra(record)
        return [Printed(plain(f"{message}{extra}"), task, level), *_lines(trace, task)]

    def _remember(self, task: str, trace: str) -> list[Printed]:
        """Keep a traceback until it is known whether the task is tried again."""
        self._traces.pop(task, None)
        self._traces[task] = trace
        if len(self._traces) > _TRACES:
            del self._traces[next(iter(self._traces))]
        return []

    def _why(self, record: Mapping[str, object]) -> str:
        """The first line of the error at the end of the task's traceback, `OSError: reset`; else its name."""
        name = str(record.get("error", ""))
        lines = self._traces.get(str(record.get("task", "")), "").rstrip().splitlines()
        error = re.compile(rf"[\s|]*((?:\S+\.)?{re.escape(name)}(?::.*)?)$")
        told = [found[1] for text in lines if (found := error.match(text))]
        return plain((told or lines or [name])[-1])


@dataclass(slots=True)
class Tail:
    """Reads what was added to a file since the last time."""

    path: Path
    reader: Reader
    _at: int = 0
    _rest: bytes = b""

    def read(self) -> list[Printed]:
        """The lines that are complete."""
        data = self._more()
        if not data:
            return []
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > _MOST:
            lines, self._rest = [*lines, self._rest], b""
        return self._shown(lines)

    def read_all(self) -> list[Printed]:
        """Everything that is left, at the end: a last line without its newline too."""
        out: list[Printed] = []
        while more := self._more():
            *lines, self._rest = (self._rest + more).split(b"\n")
            out += self._shown(lines)
        rest, self._rest = self._rest, b""
        return [*out, *self._shown([rest])]

    def _more(self) -> bytes:
        try:
            fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:  # not there yet, or no descriptor is left: the lines wait in the file
            return b""
        try:
            data = os.pread(fd, _MOST, self._at)
        finally:
            os.close(fd)
        self._at += len(data)
        return data

    def _shown(self, lines: list[bytes]) -> list[Printed]:
        texts = (line.decode("utf-8", "replace").rstrip() for line in lines)
        return [printed for text in texts if text for printed in self.reader.read(text)]


def record_of(record: logging.LogRecord) -> dict[str, object]:
    """A log record of this process in the shape of a runner's line."""
    out: dict[str, object] = {
        "level": record.levelname.lower(),
        "logger": record.name,
        "message": record.getMessage(),
        "traceback": record.exc_text,
    }
    for name in ("task", "error", "retry_seconds", "seq", "problem"):
        if hasattr(record, name):
            out[name] = getattr(record, name)
    return out


def _record(text: str) -> dict[str, object] | None:
    """A line of our own log; what a step prints may be JSON too, but has not all of these keys."""
    if not text:
        return None
    try:
        record = json.loads(text)
    except ValueError:
        return None
    return record if isinstance(record, dict) and {"level", "logger", "message"} <= record.keys() else None


def _extra(record: Mapping[str, object]) -> str:
    """What belongs to a line: the cause as a sentence, it may say what to do; then the rest."""
    cause = f": {record['error']}" if record.get("error") else ""
    return cause + "".join(f"  {name}={value}" for name, value in record.items() if name not in _HIDDEN)


def _lines(text: str, task: str) -> list[Printed]:
    return [Printed(plain(line), task) for line in text.splitlines()]
