"""The spans of a run, made and exported with OpenTelemetry; imported only where somebody asks for traces.

    run digest                  its id and the trace's derived from the run's; exported where the run ends
    ├── attempt                 one for each epoch, id derived from run and epoch; links to the one before
    │   ├── restore
    │   ├── fetch               one for each attempt of a task
    │   └── save
    └── attempt

All runners of a run know the ids, so that what each of them exports by itself falls into one trace.
A process that is killed takes along what it had not exported: the spans of its last second, and its own.
Law: nothing here holds up a step, and no state value and no message becomes an attribute. What a sampler or
a processor of somebody else raises passes through: `traces.Guarded` is before every call.
"""

from __future__ import annotations

import atexit
import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from datetime import datetime
from hashlib import sha256
from threading import Event, Thread

from opentelemetry import trace
from opentelemetry.context import Context, attach
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import Decision
from opentelemetry.trace import Link, NonRecordingSpan, Span, SpanContext, Status, StatusCode, TraceFlags
from opentelemetry.util.types import Attributes, AttributeValue

from cairn_runtime import __version__
from cairn_runtime.engine.context import Call, traceparent
from cairn_runtime.engine.tracing import Result
from cairn_runtime.model.ids import trace_id_for
from cairn_runtime.runner.naming import workflow_name
from cairn_runtime.store.base import FINISHED, Run

log = logging.getLogger("cairn.traces")

CLOSE_SECONDS = 1.0
"""How much longer a process may take to end because spans are left."""
EXPORT_EVERY_MILLIS = 1000
"""How long a span waits for others, unless OTEL_BSP_SCHEDULE_DELAY says: what a killed runner may lose."""
_UNSAMPLED = TraceFlags(TraceFlags.DEFAULT)
_SAMPLED = TraceFlags(TraceFlags.SAMPLED)
_next_ids: ContextVar[tuple[int, int] | None] = ContextVar("cairn_next_ids", default=None)


class Exporting:
    """Makes spans and hands them to a processor; one for a process."""

    def __init__(self, processor: SpanProcessor, exporter: Quiet | None = None) -> None:
        self.provider = TracerProvider(resource=_resource(), id_generator=_Ids(), shutdown_on_exit=False)
        self.provider.add_span_processor(processor)
        self._exporter = exporter
        self._ended = Event()
        # Waits from the start: while an interpreter ends no thread can be started any more.
        self._closing = Thread(target=self._shut_down, name="cairn-last-spans", daemon=True)
        self._closing.start()
        self._tracer = self.provider.get_tracer("cairn", __version__)

    @classmethod
    def from_environment(cls, *, own_process: bool) -> Exporting:
        """Export by OTLP over HTTP, as OpenTelemetry's variables say."""
        delay = None if os.environ.get("OTEL_BSP_SCHEDULE_DELAY") else EXPORT_EVERY_MILLIS
        exporter = Quiet(OTLPSpanExporter())
        made = cls(BatchSpanProcessor(exporter, schedule_delay_millis=delay), exporter)
        if not own_process:
            atexit.register(made.close)
            return made
        # What it has to say about a collector that is down, `Quiet` says once.
        logging.getLogger("opentelemetry.exporter").setLevel(logging.CRITICAL)
        if not isinstance(trace.get_tracer_provider(), TracerProvider):
            trace.set_tracer_provider(made.provider)
        return made

    def attempt(self, run: Run, began_ns: int) -> AttemptSpans:
        """Begin the span of a run attempt; see `Traces.attempt`."""
        return AttemptSpans(self._tracer, run, began_ns, sampled=self._sampled(run.run_id))

    def close(self) -> None:
        """Export what is left, for a bounded time."""
        self._ended.set()
        self._closing.join(0.0 if self._exporter is not None and self._exporter.down else CLOSE_SECONDS)
        if self._exporter is not None:
            self._exporter.shutdown()

    def _shut_down(self) -> None:
        """Export what is left; the library's own bound for that is half a minute."""
        self._ended.wait()
        # On a thread of its own: an error of a processor that somebody added must not be written as a crash.
        with suppress(Exception):
            self.provider.shutdown()

    def _sampled(self, run_id: str) -> bool:
        """Whether the sampler takes this trace: asked as for a root, so that all runners get one answer."""
        asked = self.provider.sampler.should_sample(Context(), int(trace_id_for(run_id), 16), "run")
        return asked.decision is Decision.RECORD_AND_SAMPLE


class AttemptSpans:
    """The spans of one run attempt."""

    def __init__(self, tracer: trace.Tracer, run: Run, began_ns: int, *, sampled: bool) -> None:
        self._tracer = tracer
        self._run = run
        self._flags = _SAMPLED if sampled else _UNSAMPLED
        self._common: dict[str, AttributeValue] = {
            "cairn.run_id": run.run_id,
            "cairn.workflow": workflow_name(run),
            "cairn.epoch": run.epoch,
        }
        ids = _attempt_ids(run.run_id, run.epoch)
        links = [Link(self._context_of(_attempt_ids(run.run_id, run.epoch - 1)))] if run.epoch > 1 else []
        with _given(ids):
            self._span = tracer.start_span(
                "attempt",
                _below(self._context_of(_run_ids(run.run_id))),
                attributes=self._common,
                links=[*links, *self._origin()],
                start_time=began_ns,
            )
        self._inside = trace.set_span_in_context(self._span, Context())
        restored = {**self._common, "cairn.seq": run.head_seq}
        tracer.start_span("restore", self._inside, attributes=restored, start_time=began_ns).end()

    def task(self, call: Call) -> TaskSpan:
        """Begin an attempt of a task, and make its span the current one here."""
        attributes: dict[str, AttributeValue] = {
            **self._common,
            "cairn.step": call.step,
            "cairn.task": call.task,
            "cairn.visit": call.visit,
            "cairn.attempt": call.attempt,
        }
        if call.index is not None:
            attributes["cairn.item"] = call.index
        return TaskSpan(self._tracer.start_span(call.step, self._inside, attributes=attributes))

    @contextmanager
    def saving(self) -> Iterator[None]:
        """Make a span of a save; one that raises is an error."""
        span = self._tracer.start_span("save", self._inside, attributes=self._common)
        try:
            yield
        except BaseException as error:
            _fail(span, type(error).__name__)
            raise
        finally:
            span.end()

    def end(self, phase: str, reason: str) -> None:
        """End the attempt's span; where the run is over, export the run's own too."""
        _conclude(self._span, phase, reason)
        self._span.end()
        if phase not in FINISHED:
            return
        with _given(_run_ids(self._run.run_id)):
            whole = self._tracer.start_span(
                f"run {workflow_name(self._run)}",
                Context(),
                attributes=self._common,
                links=self._origin(),
                start_time=_nanoseconds(self._run.created_at),
            )
        _conclude(whole, phase, reason)
        whole.end()

    def _origin(self) -> list[Link]:
        """A fork's link to the run that it comes from."""
        origin = self._run.origin
        if origin is None:
            return []
        attributes: Attributes = {"cairn.run_id": origin.run_id, "cairn.seq": origin.seq}
        return [Link(self._context_of(_run_ids(origin.run_id)), attributes)]

    def _context_of(self, ids: tuple[int, int]) -> SpanContext:
        """A span of another process, of which nothing but its ids is known here."""
        return SpanContext(*ids, is_remote=True, trace_flags=self._flags)


class TaskSpan:
    """The span of one attempt of a task."""

    def __init__(self, span: Span) -> None:
        self._span = span
        context = span.get_span_context()
        flags = context.trace_flags & TraceFlags.SAMPLED
        traceparent.set(f"00-{context.trace_id:032x}-{context.span_id:016x}-{flags:02x}")
        # Never detached: an attempt has an asyncio task of its own, and its variables end with it.
        attach(trace.set_span_in_context(span))

    def end(self, result: Result, error: str) -> None:
        """End the span."""
        self._span.set_attribute("cairn.result", result)
        if error:
            _fail(self._span, error)
        self._span.end()


class Quiet(SpanExporter):
    """An exporter that says once that nobody takes its spans, and never raises."""

    def __init__(self, exporter: SpanExporter) -> None:
        self.down = False
        """Whether the last export failed."""
        self._exporter = exporter
        self._told = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Hand spans on."""
        try:
            result = self._exporter.export(spans)
        except Exception:  # noqa: BLE001 - whatever an exporter meets
            result = SpanExportResult.FAILURE
        self.down = result is not SpanExportResult.SUCCESS
        if self.down and not self._told:
            self._told = True
            log.warning("spans were not taken by the collector; the run goes on without them")
        return result

    def shutdown(self) -> None:
        """Give up what is under way."""
        self._exporter.shutdown()


class _Ids(RandomIdGenerator):
    """Random ids, but for spans whose ids are derived."""

    def generate_span_id(self) -> int:
        given = _next_ids.get()
        return given[1] if given is not None else super().generate_span_id()

    def generate_trace_id(self) -> int:
        given = _next_ids.get()
        return given[0] if given is not None else super().generate_trace_id()


@contextmanager
def _given(ids: tuple[int, int]) -> Iterator[None]:
    """Let the next span have these ids."""
    token = _next_ids.set(ids)
    try:
        yield
    finally:
        _next_ids.reset(token)


def _run_ids(run_id: str) -> tuple[int, int]:
    """Trace and span of a run."""
    return int(trace_id_for(run_id), 16), _span_id(run_id)


def _attempt_ids(run_id: str, epoch: int) -> tuple[int, int]:
    """Trace and span of a run attempt."""
    return int(trace_id_for(run_id), 16), _span_id(f"{run_id}/{epoch}")


def _span_id(name: str) -> int:
    # 0 is no id.
    return int.from_bytes(sha256(f"cairn.span/{name}".encode()).digest()[:8], "big") or 1


def _below(parent: SpanContext) -> Context:
    return trace.set_span_in_context(NonRecordingSpan(parent), Context())


def _resource() -> Resource:
    """What the environment says of this process; its name is `cairn` where it says none."""
    found = Resource.create()
    named = not str(found.attributes.get(SERVICE_NAME, "")).startswith("unknown_service")
    return found if named else found.merge(Resource({SERVICE_NAME: "cairn"}))


def _conclude(span: Span, phase: str, reason: str) -> None:
    """Write down how an attempt or a run ended."""
    span.set_attribute("cairn.phase", phase)
    if reason:
        span.set_attribute("cairn.reason", reason)
    if phase in ("Failed", ""):
        _fail(span, reason)


def _fail(span: Span, error: str) -> None:
    """Mark a span by the class of its error: messages may hold values, so they stay out."""
    span.set_attribute("error.type", error)
    span.set_status(Status(StatusCode.ERROR, error))


def _nanoseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1e9)
