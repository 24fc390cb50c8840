"""What the operator's process is told from outside: the `CAIRN_*` variables, read once in `__main__`.

Every variable that is missing or wrong is named, all in one error.
There is no default for what must differ between installations: two that share a store under one name would
sweep each other's runs away.
No password passes through here: the stores' URLs lie in files, and only the folder is named.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

from cairn_operator.names import WRITES
from cairn_runtime.errors import Fault, SettingsInvalid
from cairn_runtime.model.durations import parse_duration

SERVICE_ACCOUNT_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
LogFormat = Literal["json", "text"]
_FORMATS: dict[str, LogFormat] = {"json": "json", "text": "text"}
_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
_PULL_POLICIES = ("Always", "IfNotPresent", "Never")
_LABEL = re.compile(r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?\Z")
_OBJECT_NAME = re.compile(r"^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?\Z")
_FAULT = re.compile(r"^(?P<name>[a-z_]+)(:(?P<count>[1-9]\d{0,5}))?\Z", re.ASCII)
_MOST_WORKERS, _LAST_PORT = 100, 65535
_SHORTEST_APART_SECONDS = 1.0
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class DieAt:
    """Before which write this process ends itself, as a crash would: for tests of what is left behind."""

    name: str
    count: int = 1
    """The how many-th time of that name."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How one operator process runs."""

    installation: str
    """CAIRN_INSTALLATION: name of this installation; its runs carry it, and only those are ever swept."""
    image: str
    """CAIRN_IMAGE: image of runners whose Workflow names none."""
    identity: str
    """CAIRN_IDENTITY: name of this process in the Lease; default host name and a random part."""
    pull_policy: str = ""
    """CAIRN_IMAGE_PULL_POLICY: Always, IfNotPresent or Never; empty: as Kubernetes decides by the tag."""
    keys_secret: str = ""
    """CAIRN_KEYS_SECRET: Secret in each runner's namespace whose key `keys` is a key file; empty: no keys."""
    namespaces: tuple[str, ...] = ()
    """CAIRN_NAMESPACES: namespaces to watch, with commas between; empty: all."""
    stores: Path = Path("/etc/cairn/stores")
    """CAIRN_STORES: folder in which `<name>/url` is the URL of each store."""
    lease: str = "cairn-operator"
    """CAIRN_LEASE: name of the Lease that the active operator holds."""
    lease_namespace: str = "default"
    """CAIRN_LEASE_NAMESPACE: where it is; default the namespace of this pod."""
    finished_pods: int = 3
    """CAIRN_FINISHED_PODS: finished pods kept for each Workflow."""
    finished_pods_seconds: float = 3600.0
    """CAIRN_FINISHED_PODS_FOR: for how long, e.g. `1h`."""
    workers: int = 10
    """CAIRN_WORKERS: passes that may be under way at once."""
    list_seconds: float = 300.0
    """CAIRN_LIST_EVERY: time between two full lists of all Workflows."""
    sweep_seconds: float = 3600.0
    """CAIRN_SWEEP_EVERY: time between two sweeps of the stores."""
    sweep_apart_seconds: float = 600.0
    """CAIRN_SWEEP_APART: time between the two lists of a sweep."""
    sweep_patience_seconds: float = 86400.0
    """CAIRN_SWEEP_PATIENCE: how long lists must miss a Workflow before it goes together with many others."""
    prune_seconds: float = 3600.0
    """CAIRN_PRUNE_EVERY: time between two rounds that take what `history` lets go."""
    port: int = 8080
    """CAIRN_PORT: where /healthz, /readyz and /metrics answer."""
    log_format: LogFormat | None = None
    """CAIRN_LOG_FORMAT: default text on a terminal, else json."""
    log_level: str = "INFO"
    """CAIRN_LOG_LEVEL: DEBUG, INFO, WARNING, ERROR or CRITICAL."""
    die_at: DieAt | None = None
    """CAIRN_DIE_AT: for tests only: `create_pod`, or `create_pod:2` for the second time."""


def read_settings(environ: Mapping[str, str], *, host: str, own_namespace: str) -> Settings:
    """Read the variables; `own_namespace` is that of this pod, empty outside of a cluster.

    Raises:
        SettingsInvalid: naming every variable that is missing or wrong.
    """
    reader = _Reader(environ)
    settings = Settings(
        installation=reader.required("CAIRN_INSTALLATION", _label, "a name of its own for this installation"),
        image=reader.required("CAIRN_IMAGE", str, "the image of runners whose Workflow names none"),
        identity=reader.optional("CAIRN_IDENTITY", str, host),
        pull_policy=reader.optional("CAIRN_IMAGE_PULL_POLICY", _pull_policy, ""),
        keys_secret=reader.optional("CAIRN_KEYS_SECRET", _object_name, ""),
        namespaces=reader.optional("CAIRN_NAMESPACES", _namespaces, ()),
        stores=reader.optional("CAIRN_STORES", Path, Path("/etc/cairn/stores")),
        lease=reader.optional("CAIRN_LEASE", _label, "cairn-operator"),
        lease_namespace=reader.optional("CAIRN_LEASE_NAMESPACE", _label, own_namespace or "default"),
        finished_pods=reader.optional("CAIRN_FINISHED_PODS", _number(0, 1000), 3),
        finished_pods_seconds=reader.optional("CAIRN_FINISHED_PODS_FOR", parse_duration, 3600.0),
        workers=reader.optional("CAIRN_WORKERS", _number(1, _MOST_WORKERS), 10),
        list_seconds=reader.optional("CAIRN_LIST_EVERY", _pause, 300.0),
        sweep_seconds=reader.optional("CAIRN_SWEEP_EVERY", _pause, 3600.0),
        sweep_apart_seconds=reader.optional("CAIRN_SWEEP_APART", _pause, 600.0),
        sweep_patience_seconds=reader.optional("CAIRN_SWEEP_PATIENCE", _pause, 86400.0),
        prune_seconds=reader.optional("CAIRN_PRUNE_EVERY", _pause, 3600.0),
        port=reader.optional("CAIRN_PORT", _number(0, _LAST_PORT), 8080),
        log_format=reader.optional("CAIRN_LOG_FORMAT", _format, None),
        log_level=reader.optional("CAIRN_LOG_LEVEL", _level, "INFO"),
        die_at=reader.optional("CAIRN_DIE_AT", _die_at, None),
    )
    if reader.faults:
        raise SettingsInvalid(reader.faults)
    return settings


class _Reader:
    """Reads variables one by one and keeps what is wrong with them; an empty variable counts as absent."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.faults: list[Fault] = []
        self._environ = environ

    def required(self, name: str, parse: Callable[[str], str], what: str) -> str:
        if not self._environ.get(name):
            self.faults.append(Fault(name, f"is not set; it is {what}"))
        return self.optional(name, parse, "")

    def optional(self, name: str, parse: Callable[[str], _T], default: _T) -> _T:
        text = self._environ.get(name, "").strip()
        try:
            return parse(text) if text else default
        except ValueError as error:
            self.faults.append(Fault(name, str(error)))
            return default


def _label(text: str) -> str:
    if not _LABEL.match(text):
        raise ValueError(f'"{text}" is not a name of small letters, digits and "-", at most 63 characters')
    return text


def _object_name(text: str) -> str:
    if not _OBJECT_NAME.match(text):
        raise ValueError(f'"{text}" cannot be the name of a Secret')
    return text


def _namespaces(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(_label(part.strip()) for part in text.split(",") if part.strip()))


def _number(least: int, most: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not (text.isascii() and text.isdigit() and len(text) < 10 and least <= int(text) <= most):
            raise ValueError(f'"{text}" is not a whole number from {least} to {most}')
        return int(text)

    return parse


def _pause(text: str) -> float:
    seconds = parse_duration(text)
    if seconds < _SHORTEST_APART_SECONDS:
        raise ValueError(f'"{text}" is too short; write at least 1s')
    return seconds


def _pull_policy(text: str) -> str:
    if text not in _PULL_POLICIES:
        raise ValueError(f'"{text}" is not a pull policy; write {", ".join(_PULL_POLICIES)}')
    return text


def _format(text: str) -> LogFormat | None:
    if text not in _FORMATS:
        raise ValueError(f'"{text}" is not a format; write json or text')
    return _FORMATS[text]


def _level(text: str) -> str:
    if text.upper() not in _LEVELS:
        raise ValueError(f'"{text}" is not a level; write {", ".join(_LEVELS[:-1])} or {_LEVELS[-1]}')
    return text.upper()


def _die_at(text: str) -> DieAt | None:
    match = _FAULT.match(text)
    if match is None or match["name"] not in WRITES:
        raise ValueError(f'"{text}" is not a write; it is one of {", ".join(WRITES)}, or create_pod:2')
    return DieAt(match["name"], int(match["count"] or 1))
