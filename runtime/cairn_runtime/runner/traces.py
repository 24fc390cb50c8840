"""Whether spans of a run are asked for, and the port behind which they are made.

    OTEL_EXPORTER_OTLP_ENDPOINT, or ..._TRACES_ENDPOINT, or OTEL_TRACES_EXPORTER=otlp      asks for them
    OTEL_SDK_DISABLED=true, or OTEL_TRACES_EXPORTER=none                                   does not

Everything is configured by OpenTelemetry's own variables; Cairn adds none.
Law: where nobody asks, nothing of OpenTelemetry is imported. Where somebody asks and it cannot be done, that
is said once and the run goes on: no span is worth a step.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Protocol
from urllib.parse import unquote

from cairn_runtime.engine.tracing import Tracer
from cairn_runtime.model.ids import trace_id_for
from cairn_runtime.runner.logs import secrets_of
from cairn_runtime.store.base import Run

log = logging.getLogger("cairn.traces")

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_HEADERS = ("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "OTEL_EXPORTER_OTLP_HEADERS")
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_PROTOCOL = "http/protobuf"


class AttemptTrace(Tracer, Protocol):
    """The spans of one run attempt."""

    def end(self, phase: str, reason: str) -> None:
        """Say how the attempt ended: the run's phase then, empty where that is not known; called once."""


class Traces(Protocol):
    """Where the spans of this process go."""

    def attempt(self, run: Run, began_ns: int) -> AttemptTrace:
        """Begin the span of a run attempt, whose state has just been restored; it began at `began_ns`."""
        ...

    def close(self) -> None:
        """Export what is left, for a bounded time."""


def traces_wanted(environ: Mapping[str, str]) -> bool:
    """Whether the environment asks for spans."""
    if environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return False
    exporters = environ.get("OTEL_TRACES_EXPORTER", "").strip().lower()
    return exporters != "none" and bool(exporters or _first(environ, _ENDPOINTS))


def log_keys(environ: Mapping[str, str], run_id: str) -> dict[str, object]:
    """What stands in every log line of a run that is traced."""
    return {"trace_id": trace_id_for(run_id)} if traces_wanted(environ) else {}


def secrets_in(environ: Mapping[str, str]) -> Iterator[str]:
    """What of the variables must never be shown: the headers' values, passwords in endpoints."""
    for name in _HEADERS:
        for header in environ.get(name, "").split(","):
            value = header.partition("=")[2].strip()
            yield from {value, unquote(value), unquote(value).rpartition(" ")[2]}
    for name in _ENDPOINTS:
        yield from secrets_of(environ.get(name, ""))


def open_traces(environ: Mapping[str, str], *, own_process: bool = False) -> Traces | None:
    """Answer where spans go; None where they are not asked for, or cannot be made: that is said in the log.

    Args:
        environ: the process's variables.
        own_process: nothing but a run is in this process: the spans of user code go the same way. In somebody
            else's program its OpenTelemetry is left alone, and what is left is exported when it ends.
    """
    return _opened(_unfit(environ), own_process) if traces_wanted(environ) else None


@cache
def _opened(problem: str, own_process: bool) -> Traces | None:  # noqa: FBT001 - the key of a cache
    """Make it once for this process, and say once that it cannot be made."""
    try:
        if not problem:
            from cairn_runtime.runner.otel import Exporting  # noqa: PLC0415 - only where spans are asked for

            return Exporting.from_environment(own_process=own_process)
    except ModuleNotFoundError:
        problem = "OpenTelemetry is not installed: pip install 'cairn-workflows[otel]'"
    except Exception as error:  # noqa: BLE001 - a variable that the library cannot read must not end a run
        problem = f"{type(error).__name__}: {error}"
    log.warning("traces are not exported", extra={"error": problem})
    return None


def _unfit(environ: Mapping[str, str]) -> str:
    """Why the variables ask for what cannot be done here; empty where they do not."""
    exporters = environ.get("OTEL_TRACES_EXPORTER", "otlp").strip().lower()
    if exporters not in ("", "otlp"):
        return f'OTEL_TRACES_EXPORTER is "{exporters}"; only otlp is built in'
    protocol = _first(environ, _PROTOCOLS)
    if protocol not in ("", _PROTOCOL):
        return f'the OTLP protocol is "{protocol}"; only {_PROTOCOL} is built in (its port is mostly 4318)'
    return ""


def _first(environ: Mapping[str, str], names: tuple[str, ...]) -> str:
    """The first of some variables that is set."""
    return next((text for name in names if (text := environ.get(name, "").strip())), "")
