"""Whether traces are asked for, what of the variables is secret, and the spans that are made."""

from __future__ import annotations

import asyncio
import builtins
import re

import pytest
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import get_current_span
from tests.unit.runner.rows import accepted

from cairn_runtime.engine.context import traceparent
from cairn_runtime.errors import Superseded
from cairn_runtime.model.ids import trace_id_for
from cairn_runtime.runner.attempts import Attempt
from cairn_runtime.runner.otel import Exporting
from cairn_runtime.runner.session import SessionSettings
from cairn_runtime.runner.starting import claim_run, create_run, find_or_create
from cairn_runtime.runner.traces import log_keys, secrets_in, traces_wanted

ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"


@pytest.mark.parametrize(
    ("environ", "wanted"),
    [
        ({}, False),
        ({ENDPOINT: ""}, False),
        ({ENDPOINT: "http://c:4318"}, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://c:4318/v1/traces"}, True),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, True),
        ({ENDPOINT: "http://c:4318", "OTEL_TRACES_EXPORTER": "none"}, False),
        ({ENDPOINT: "http://c:4318", "OTEL_SDK_DISABLED": "TRUE"}, False),
        ({"OTEL_SERVICE_NAME": "digest"}, False),
    ],
)
def test_the_standard_variables_say_whether_traces_are_wanted(environ, wanted):
    """Nothing is traced unless somebody says where to, and OpenTelemetry switched off is off."""
    assert traces_wanted(environ) is wanted
    assert log_keys(environ, "r") == ({"trace_id": trace_id_for("r")} if wanted else {})


def test_headers_and_passwords_are_secret():
    """A token is struck out of the log as it is written, as it is meant, and without the word before it."""
    environ = {
        "OTEL_EXPORTER_OTLP_HEADERS": "api-key=canary1, authorization=Bearer%20canary2",
        ENDPOINT: "https://me:canary3@collector",
    }

    assert {"canary1", "Bearer%20canary2", "Bearer canary2", "canary2", "canary3"} <= {*secrets_in(environ)}


def test_a_trace_id_is_valid_and_its_lower_half_is_as_good_as_random():
    """Samplers compare the lower half with a bound: of many runs a tenth must fall below a tenth."""
    ids = [trace_id_for(f"run-{n}") for n in range(2000)]

    assert all(re.fullmatch("[0-9a-f]{32}", one) and int(one, 16) for one in ids)
    assert 120 < sum(int(one[16:], 16) < 2**64 // 10 for one in ids) < 280


async def test_a_run_gets_its_trace_id_when_it_is_made(store):
    """The same request again answers the same run with the same trace."""
    first = await create_run(store, accepted(), "nonce")
    again = await create_run(store, accepted(), "nonce")

    assert first.trace_id == again.trace_id == trace_id_for(first.run_id)


@pytest.fixture
def memory():
    return InMemorySpanExporter()


@pytest.fixture
async def attempt(store, memory):
    """Begin an attempt of a Workflow with these steps and this code."""
    exporting = Exporting(SimpleSpanProcessor(memory))

    async def begun(code, *steps, **spec):
        row = await find_or_create(store, accepted(*steps, code={"steps.py": code}, **spec))
        fence = await claim_run(store, row.run_id, (await store.run(row.run_id)).epoch)
        return Attempt(store, row.run_id, fence, settings=SessionSettings(traces=exporting))

    yield begun
    exporting.close()


def named(memory, name):
    return [span for span in memory.get_finished_spans() if span.name == name]


async def test_an_item_of_a_foreach_is_a_span_with_its_position(attempt, memory):
    """Every task is one span for each attempt, under the attempt of the run."""
    code = "async def each(state, ctx):\n    return ctx.item\n"
    step = {"name": "each", "python": "steps:each", "foreach": {"in": "input.numbers"}}

    await (await attempt(code, step, input={"numbers": [7, 8]})).run()

    spans = named(memory, "each")
    assert sorted(span.attributes["cairn.item"] for span in spans) == [0, 1]
    assert {span.attributes["cairn.task"] for span in spans} == {"each#1[0]", "each#1[1]"}
    assert {span.parent.span_id for span in spans} == {named(memory, "attempt")[0].context.span_id}


async def test_a_parked_run_is_not_over(attempt, memory):
    """The attempt ends, the run's own span waits for the runner that ends the run."""
    code = "from cairn_runtime import Park\nasync def ask(state):\n    raise Park(signal='go')\n"

    ending = await (await attempt(code, {"name": "ask", "python": "steps:ask"})).run()

    assert ending.phase == "Waiting"
    assert named(memory, "ask")[0].attributes["cairn.result"] == "parked"
    assert named(memory, "attempt")[0].attributes["cairn.phase"] == "Waiting"
    assert not [span for span in memory.get_finished_spans() if span.name.startswith("run ")]


async def test_an_attempt_that_lost_its_claim_says_so(attempt, memory, monkeypatch):
    """Its tasks are cancelled, the attempt is an error, and the run goes on elsewhere."""
    began = asyncio.Event()
    monkeypatch.setattr(builtins, "_began", began, raising=False)
    code = "import asyncio\nasync def long(state):\n    _began.set()\n    await asyncio.Event().wait()\n"
    one = await attempt(code, {"name": "long", "python": "steps:long"})
    running = asyncio.ensure_future(one.run())
    await began.wait()

    one.stop(Superseded(one.run_id))

    with pytest.raises(Superseded):
        await running
    (whole,) = named(memory, "attempt")
    assert whole.attributes["cairn.reason"] == "Superseded"
    assert not whole.status.is_ok
    assert {span.attributes["cairn.result"] for span in named(memory, "long")} == {"cancelled"}


async def test_a_program_keeps_its_own_current_span(attempt, memory):
    """A run inside a program leaves no span behind in the caller's context."""
    await (await attempt("async def a(state):\n    pass\n", {"name": "a", "python": "steps:a"})).run()

    assert named(memory, "a")
    assert not get_current_span().get_span_context().is_valid
    assert traceparent.get() == ""
