"""Log lines of a process: JSON in pods, readable on a terminal, the same keys in both.

A line is a constant message and what belongs to it as keys; `run_id` and `epoch` stand in every one.
What must not be in a log (the store's password, the claim) is struck out wherever it turns up, also in the
words of a driver or in a traceback; state values are never passed to a logger in the first place.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import TextIO
from urllib.parse import unquote, urlsplit

import orjson

from cairn_runtime.model.ids import to_wire
from cairn_runtime.runner.settings import LogFormat

_STANDARD = frozenset((*vars(logging.makeLogRecord({})), "message", "asctime", "taskName"))
"""What every record has; the rest came by `extra`."""
_SHORTEST_SECRET = 4
_KEYS_FIRST = ("task", "attempt")


class Lines(logging.Formatter):
    """Writes records as lines; `fixed` stands in every one, `secrets` in none."""

    def __init__(self, fixed: Mapping[str, object], secrets: Iterable[str] = ()) -> None:
        super().__init__()
        self._fixed = dict(fixed)
        told = [secret for secret in secrets if len(secret) >= _SHORTEST_SECRET]
        self._secrets = sorted({*told, *(orjson.dumps(secret).decode()[1:-1] for secret in told)}, key=len)[
            ::-1
        ]

    def format(self, record: logging.LogRecord) -> str:
        """Write one record."""
        line = self.write(record, self._keys(record))
        for secret in self._secrets:
            line = line.replace(secret, "***")
        return line

    def write(self, record: logging.LogRecord, keys: dict[str, object]) -> str:
        """Put a record's parts together."""
        raise NotImplementedError

    def _keys(self, record: logging.LogRecord) -> dict[str, object]:
        extra = {name: value for name, value in vars(record).items() if name not in _STANDARD}
        return {**self._fixed, **extra}

    def _trace(self, record: logging.LogRecord) -> str:
        if record.exc_text:
            return record.exc_text
        return self.formatException(record.exc_info) if record.exc_info else ""


class JSONLines(Lines):
    """One JSON object a line."""

    def write(self, record: logging.LogRecord, keys: dict[str, object]) -> str:
        """Put a record's parts together."""
        line = {
            "time": to_wire(datetime.fromtimestamp(record.created, UTC)),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **keys,
        }
        trace = self._trace(record)
        if trace:
            line["traceback"] = trace
        try:
            return orjson.dumps(line, default=str, option=orjson.OPT_NON_STR_KEYS).decode()
        except (orjson.JSONEncodeError, UnicodeError):
            # A key of a step's own may hold anything, e.g. half a surrogate pair.
            return orjson.dumps({name: ascii(value) for name, value in line.items()}).decode()


class TextLines(Lines):
    """One line for people; the run is known, so what stands in every line is left out."""

    def write(self, record: logging.LogRecord, keys: dict[str, object]) -> str:
        """Put a record's parts together."""
        shown = [name for name in _KEYS_FIRST if name in keys]
        shown += [name for name in keys if name not in shown and name not in self._fixed]
        moment = datetime.fromtimestamp(record.created).astimezone().strftime("%H:%M:%S")
        tail = "".join(f"  {name}={keys[name]}" for name in shown)
        trace = self._trace(record)
        return f"{moment} {record.levelname.lower():<8} {record.getMessage()}{tail}" + (
            f"\n{trace}" if trace else ""
        )


def set_up_logs(
    log_format: LogFormat | None,
    level: str,
    *,
    fixed: Mapping[str, object],
    secrets: Iterable[str] = (),
    stream: TextIO | None = None,
) -> None:
    """Send everything that this process logs to one stream, standard error by default.

    Args:
        log_format: None chooses text on a terminal, else JSON.
        level: the least level of our own loggers; those of other libraries start at WARNING.
        fixed: keys of every line.
        secrets: texts that are struck out.
        stream: where to.
    """
    stream = stream or sys.stderr
    text = log_format == "text" or (log_format is None and stream.isatty())
    handler = logging.StreamHandler(stream)
    handler.setFormatter((TextLines if text else JSONLines)(fixed, secrets))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(max(logging.WARNING, logging.getLevelName(level)))
    logging.getLogger("cairn").setLevel(level)
    logging.getLogger("cairn_runtime").setLevel(level)
    logging.captureWarnings(capture=True)


def secrets_of(store_url: str) -> list[str]:
    """What of a store's URL must never be shown: the password, as it is written and as it is meant."""
    try:
        password = urlsplit(store_url).password or ""
    except ValueError:
        return [store_url]
    return [text for text in {password, unquote(password)} if text]
