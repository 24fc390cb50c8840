"""Log lines: JSON in pods, readable on a terminal, the same keys in both.

A line is a constant message and what belongs to it as keys. Passwords of stores are struck out wherever they
turn up, also in the words of a driver or in a traceback.
"""

from __future__ import annotations

import logging
import sys
from datetime import UTC, datetime
from typing import TextIO
from urllib.parse import unquote, urlsplit

import orjson

from cairn_operator.settings import LogFormat
from cairn_runtime.model.ids import to_wire

_STANDARD = frozenset((*vars(logging.makeLogRecord({})), "message", "asctime", "taskName"))
"""What every record has; the rest came by `extra`."""
_FOREIGN = frozenset({"settings"})
"""What kopf hangs on its records for itself."""
_SHORTEST_SECRET = 4


class Lines(logging.Formatter):
    """Writes records as lines without secrets."""

    def __init__(self, *, text: bool) -> None:
        super().__init__()
        self._text = text
        self._secrets: tuple[str, ...] = ()

    def hide(self, url: str) -> None:
        """Strike the password of a store's URL out of every line from now on."""
        try:
            password = urlsplit(url).password or ""
        except ValueError:
            password = url
        told = {*self._secrets, password, unquote(password)}
        kept = {secret for secret in told if len(secret) >= _SHORTEST_SECRET}
        written = {orjson.dumps(secret).decode()[1:-1] for secret in kept}
        self._secrets = tuple(sorted(kept | written, key=len, reverse=True))

    def format(self, record: logging.LogRecord) -> str:
        """Write one record."""
        line = self._readable(record) if self._text else self._json(record)
        for secret in self._secrets:
            line = line.replace(secret, "***")
        return line

    def _json(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": to_wire(datetime.fromtimestamp(record.created, UTC)),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **_keys(record),
        }
        if trace := self._trace(record):
            line["traceback"] = trace
        try:
            return orjson.dumps(line, default=str, option=orjson.OPT_NON_STR_KEYS).decode()
        except (orjson.JSONEncodeError, UnicodeError):
            return orjson.dumps({name: ascii(value) for name, value in line.items()}).decode()

    def _readable(self, record: logging.LogRecord) -> str:
        moment = datetime.fromtimestamp(record.created).astimezone().strftime("%H:%M:%S")
        tail = "".join(f"  {name}={value}" for name, value in _keys(record).items())
        trace = self._trace(record)
        return f"{moment} {record.levelname.lower():<8} {record.getMessage()}{tail}" + (
            f"\n{trace}" if trace else ""
        )

    def _trace(self, record: logging.LogRecord) -> str:
        return self.formatException(record.exc_info) if record.exc_info else ""


def set_up_logs(log_format: LogFormat | None, level: str, stream: TextIO | None = None) -> Lines:
    """Send everything that this process logs to one stream, standard error by default.

    Our own loggers start at `level`, those of libraries at WARNING.
    """
    stream = stream or sys.stderr
    lines = Lines(text=log_format == "text" or (log_format is None and stream.isatty()))
    handler = logging.StreamHandler(stream)
    handler.setFormatter(lines)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(max(logging.WARNING, logging.getLevelName(level)))
    for name in ("cairn", "cairn_runtime"):
        logging.getLogger(name).setLevel(level)
    logging.captureWarnings(capture=True)
    return lines


def _keys(record: logging.LogRecord) -> dict[str, object]:
    return {
        name: value for name, value in vars(record).items() if name not in _STANDARD and name not in _FOREIGN
    }
