"""What a runner process is told from outside: the `CAIRN_*` variables, read once.

Whoever claims a run starts its runner with these; nothing else of the environment steers it.
Every variable that is missing or wrong is named, all in one error.
The store's URL may hold a password: it is taken out of the environment once it was read, so that no step's
program inherits it, and it stays out of every repr.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, MutableMapping
from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path
from typing import Any, Literal, TypeVar

from cairn_runtime.errors import Fault, SettingsInvalid

DEFAULT_TERMINATION_MESSAGE = "/dev/termination-log"
SECRET = ("CAIRN_STORE_URL", "CAIRN_CLAIM", "CAIRN_KEYS_FILE", "CAIRN_SUPERVISOR_FD", "CAIRN_HOLD_AT")
"""Variables that are nobody's business but the runner's own."""
LogFormat = Literal["json", "text"]
_FORMATS: dict[str, LogFormat] = {"json": "json", "text": "text"}
_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Settings:
    """How one runner process runs."""

    run_id: str
    """CAIRN_RUN_ID: the run."""
    epoch: int
    """CAIRN_EPOCH: the epoch that was claimed for this process, from 1."""
    claim_id: str = field(repr=False)
    """CAIRN_CLAIM: the id that was given with it."""
    store_url: str = field(repr=False)
    """CAIRN_STORE_URL: where the run lives; may hold a password."""
    keys_file: str = ""
    """CAIRN_KEYS_FILE: file of the keys that payloads are encrypted with; empty: nothing is encrypted."""
    patience_seconds: float = 60.0
    """CAIRN_PATIENCE: how long a store that does not answer is asked again."""
    linger_seconds: float = 0.0
    """CAIRN_LINGER: how long a run whose tasks are all parked is kept, in the hope of an answer."""
    grace_seconds: float = 25.0
    """CAIRN_GRACE: how long tasks may go on after the word to stop; less than the pod's grace period."""
    heartbeat_seconds: float = 5.0
    """CAIRN_HEARTBEAT_SECONDS: time between two heartbeats."""
    log_format: LogFormat | None = None
    """CAIRN_LOG_FORMAT: default text on a terminal, else json."""
    log_level: str = "INFO"
    """CAIRN_LOG_LEVEL: DEBUG, INFO, WARNING, ERROR or CRITICAL."""
    termination_message: Path | None = None
    """CAIRN_TERMINATION_MESSAGE: file for the last word; default /dev/termination-log if writable."""
    spec: Mapping[str, Any] | None = None
    """CAIRN_SPEC: `timeout`, `retry` and `checkpoint` of the Workflow as they are now, as a JSON object; what
    is not in it is as by default. Unset: all three are as they were when the run was made."""
    supervisor_fd: int | None = None
    """CAIRN_SUPERVISOR_FD: socket to whoever started this process; its end means that nobody is there."""
    hold_at: str = ""
    """CAIRN_HOLD_AT: step or task whose outcome is kept back until the supervisor has killed this process."""


def read_settings(environ: Mapping[str, str], *, writable: Callable[[str], bool] | None = None) -> Settings:
    """Read the variables; `writable` tells whether a file can be written to.

    Raises:
        SettingsInvalid: naming every variable that is missing or wrong.
    """
    reader = _Reader(environ)
    settings = Settings(
        run_id=reader.required("CAIRN_RUN_ID", str, ""),
        epoch=reader.required("CAIRN_EPOCH", _epoch, 0),
        claim_id=reader.required("CAIRN_CLAIM", str, ""),
        store_url=reader.required("CAIRN_STORE_URL", str, ""),
        keys_file=environ.get("CAIRN_KEYS_FILE", ""),
        patience_seconds=reader.optional("CAIRN_PATIENCE", _duration, 60.0),
        linger_seconds=reader.optional("CAIRN_LINGER", _duration, 0.0),
        grace_seconds=reader.optional("CAIRN_GRACE", _duration, 25.0),
        heartbeat_seconds=reader.optional("CAIRN_HEARTBEAT_SECONDS", _positive, 5.0),
        log_format=reader.optional("CAIRN_LOG_FORMAT", _format, None),
        log_level=reader.optional("CAIRN_LOG_LEVEL", _level, "INFO"),
        termination_message=_termination_message(environ, writable or _writable),
        spec=reader.optional("CAIRN_SPEC", _object, None),
        supervisor_fd=reader.optional("CAIRN_SUPERVISOR_FD", _descriptor, None),
        hold_at=environ.get("CAIRN_HOLD_AT", ""),
    )
    if reader.faults:
        raise SettingsInvalid(reader.faults)
    return settings


def hide_secrets(environ: MutableMapping[str, str]) -> None:
    """Take out of the environment what steps and their programs must not inherit."""
    for name in SECRET:
        environ.pop(name, None)


class _Reader:
    """Reads variables one by one and keeps what is wrong with them; an empty variable counts as absent."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.faults: list[Fault] = []
        self._environ = environ

    def required(self, name: str, parse: Callable[[str], _T], default: _T) -> _T:
        if not self._environ.get(name):
            self.faults.append(Fault(name, "is not set; whoever claims a run starts its runner with it"))
        return self.optional(name, parse, default)

    def optional(self, name: str, parse: Callable[[str], _T], default: _T) -> _T:
        text = self._environ.get(name, "")
        try:
            return parse(text) if text else default
        except ValueError as error:
            self.faults.append(Fault(name, str(error)))
            return default


def _epoch(text: str) -> int:
    if not _digits(text) or int(text) < 1:
        raise ValueError(f'"{text}" is not an epoch; it is a whole number from 1')
    return int(text)


def _digits(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 19


def _duration(text: str) -> float:
    from cairn_runtime.model.durations import parse_duration  # noqa: PLC0415 - brings pydantic; most need it not

    return parse_duration(text)


def _positive(text: str) -> float:
    problem = f'"{text}" is not a number of seconds above 0'
    try:
        seconds = float(text)
    except ValueError:
        raise ValueError(problem) from None
    if not isfinite(seconds) or seconds <= 0:
        raise ValueError(problem)
    return seconds


def _object(text: str) -> Mapping[str, Any] | None:
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if isinstance(found, dict):
        return found
    raise ValueError("is not a JSON object")


def _format(text: str) -> LogFormat | None:
    if text not in _FORMATS:
        raise ValueError(f'"{text}" is not a format; write json or text')
    return _FORMATS[text]


def _level(text: str) -> str:
    if text.upper() not in _LEVELS:
        raise ValueError(f'"{text}" is not a level; write {", ".join(_LEVELS[:-1])} or {_LEVELS[-1]}')
    return text.upper()


def _descriptor(text: str) -> int | None:
    if not _digits(text):
        raise ValueError(f'"{text}" is not a file descriptor')
    return int(text)


def _termination_message(environ: Mapping[str, str], writable: Callable[[str], bool]) -> Path | None:
    """Where the last word goes: the named file, or the place that Kubernetes gives every container."""
    named = environ.get("CAIRN_TERMINATION_MESSAGE", "")
    if named:
        return Path(named)
    return Path(DEFAULT_TERMINATION_MESSAGE) if writable(DEFAULT_TERMINATION_MESSAGE) else None


def _writable(path: str) -> bool:
    return os.access(path, os.W_OK)
