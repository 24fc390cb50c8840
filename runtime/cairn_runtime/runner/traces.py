"""Whether spans of a run are asked for, and the port behind which they are made.

    OTEL_EXPORTER_OTLP_ENDPOINT, or ..._TRACES_ENDPOINT, or OTEL_TRACES_EXPORTER=otlp      asks for them
    OTEL_SDK_DISABLED=true, or OTEL_TRACES_EXPORTER=none                                   does not

Everything is configured by OpenTelemetry's own variables; Cairn adds none.
Law: where nobody asks, nothing of OpenTelemetry is imported. Where somebody asks and it cannot be done, that
is said once and the run goes on: no span is worth a step. A sampler or processor of the image that raises is
met here, by `Guarded`: the one way by which engine and runner reach what makes spans.
"""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import Protocol, TypeVar
from urllib.parse import unquote

from cairn_runtime.engine.context import Call
from cairn_runtime.engine.tracing import Result, TaskSpan, Tracer
from cairn_runtime.model.ids import trace_id_for
from cairn_runtime.runner.logs import secrets_of
from cairn_runtime.store.base import Run

log = logging.getLogger("cairn.traces")

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_HEADERS = ("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "OTEL_EXPORTER_OTLP_HEADERS")
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_PROTOCOL = "http/protobuf"
_T = TypeVar("_T")


class AttemptTrace(Tracer, Protocol):
    """The spans of one run attempt."""

    def end(self, phase: str, reason: str) -> None:
        """Say how the attempt ended: the run's phase then, empty where that is not known; called once."""


class Traces(Protocol):
    """Where the spans of this process go."""

    def attempt(self, run: Run, began_ns: int) -> AttemptTrace | None:
        """Begin the span of a run attempt, whose state has just been restored; it began at `began_ns`.

        None: this attempt cannot be traced.
        """
        ...

    def close(self) -> None:
        """Export what is left, for a bounded time."""


class Guarded:
    """Traces that never raise: a span that meets an error is left out, and the first error is said."""

    def __init__(self, traces: Traces) -> None:
        self._traces = traces
        self._told = False

    def attempt(self, run: Run, began_ns: int) -> AttemptTrace | None:
        """Begin the span of a run attempt; see `Traces.attempt`."""
        made = self.tried(lambda: self._traces.attempt(run, began_ns))
        return None if made is None else _GuardedAttempt(self, made)

    def close(self) -> None:
        """Export what is left, for a bounded time."""
        self.tried(self._traces.close)

    def tried(self, call: Callable[[], _T]) -> _T | None:
        """Answer what a call answers; None where it raised."""
        try:
            return call()
        except Exception as error:  # noqa: BLE001 - whatever somebody else's sampler or processor meets
            if not self._told:
                self._told = True
                log.warning("spans are left out; the run goes on without them", extra=_told(error))
            return None


class _GuardedAttempt:
    """The spans of one run attempt, behind the guard."""

    def __init__(self, guard: Guarded, spans: AttemptTrace) -> None:
        self._guard = guard
        self._spans = spans

    def task(self, call: Call) -> TaskSpan:
        """Begin an attempt of a task."""
        return _GuardedTask(self._guard, self._guard.tried(lambda: self._spans.task(call)))

    @contextmanager
    def saving(self) -> Iterator[None]:
        """Tell of a save; what the save itself raises is passed on."""
        tried = self._guard.tried
        span = tried(self._spans.saving)
        if span is None:
            yield
            return
        tried(span.__enter__)
        try:
            yield
        except BaseException as error:
            raised = error
            tried(lambda: span.__exit__(type(raised), raised, raised.__traceback__))
            raise
        else:
            tried(lambda: span.__exit__(None, None, None))

    def end(self, phase: str, reason: str) -> None:
        """Say how the attempt ended."""
        self._guard.tried(lambda: self._spans.end(phase, reason))


class _GuardedTask:
    """The span of one attempt of a task, behind the guard; perhaps there is none."""

    def __init__(self, guard: Guarded, span: TaskSpan | None) -> None:
        self._guard = guard
        self._span = span

    def end(self, result: Result, error: str) -> None:
        """End the span."""
        span = self._span
        if span is not None:
            self._guard.tried(lambda: span.end(result, error))


def _told(error: Exception) -> dict[str, object]:
    """What was raised, and where; no message, which may hold a value."""
    place = traceback.extract_tb(error.__traceback__)[-1]
    return {"error": type(error).__name__, "where": f"{place.filename}:{place.lineno}"}


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

            return Guarded(Exporting.from_environment(own_process=own_process))
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
