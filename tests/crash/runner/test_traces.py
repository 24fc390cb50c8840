"""Traces of real runner processes: killed and resumed, forked, with user code, with nobody to take them."""

from __future__ import annotations

import json
import signal
import socket
import time

import pytest
from tests.crash.runner.collector import collecting
from tests.crash.runner.processes import PATIENT, Runner, claimed, until, until_it_says, until_there

from cairn_runtime.model.ids import trace_id_for
from cairn_runtime.runner.accepting import accept
from cairn_runtime.runner.forking import ForkRequest, fork_run
from cairn_runtime.runner.library import state as channels_of
from cairn_runtime.runner.naming import find_checkpoint
from cairn_runtime.runner.starting import find_or_create
from cairn_runtime.store.codec import Codec
from cairn_runtime.store.opening import open_store

CODE = """
import asyncio, os, sys

async def quick(state):
    return {"done": ["quick"]}

async def gated(state, ctx):
    ctx.log.info("gated runs")
    open("gated.began", "w").write("1")
    while not os.path.exists("gate"):
        await asyncio.sleep(0.01)
    return {"done": ["gated"]}

async def imported(state):
    return {"done": sorted({name.split(".")[0] for name in sys.modules})}

async def fails(state):
    raise KeyError("a secret value")

def mine(name):
    from opentelemetry import trace
    with trace.get_tracer("mine").start_as_current_span(name):
        pass

async def asynchronous(state):
    mine("of async")

async def timed(state):
    mine("of timed")

def threaded(state):
    mine("of thread")

def worker(state):
    return {"done": [os.environ["TRACEPARENT"]]}
"""
QUICK = {"name": "quick", "python": "steps:quick"}
GATED = {"name": "gated", "python": "steps:gated", "needs": ["quick"]}


def manifest(*steps, **spec):
    return {
        "apiVersion": "cairn.dev/v1alpha1",
        "kind": "Workflow",
        "metadata": {"name": "traced"},
        "spec": {
            "code": {"steps.py": CODE},
            "state": {"channels": {"done": {"reducer": "extend"}}},
            "steps": list(steps),
            **spec,
        },
    }


@pytest.fixture
def url(tmp_path):
    return f"sqlite:///{tmp_path}/cairn.db"


@pytest.fixture
def collector():
    with collecting() as there:
        yield there


async def begin(store, url, folder, *steps):
    """Make a run; how its runners are started."""
    row = await find_or_create(store, accept(manifest(*steps)))

    async def start(**more):
        return await Runner.start(url, row.run_id, await claimed(store, row), folder, **more)

    return row, start


def sends_to(collector, **environ):
    """How a runner is started that leaves when the collector has all of its spans."""
    return {"argv": PATIENT, "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, **environ}


async def state(store, row):
    return await channels_of(row.run_id, store=store)


async def test_a_killed_and_resumed_run_is_one_trace(store, url, tmp_path, collector):
    """Both runners write into the trace that the row names, and the second attempt links to the first."""
    row, start = await begin(store, url, tmp_path, QUICK, GATED)
    environ = sends_to(collector, OTEL_BSP_SCHEDULE_DELAY="10")
    first = await start(**environ)
    await until_there(tmp_path / "gated.began")
    await collector.until(lambda: collector.named("quick") and collector.named("restore"))
    first.send(signal.SIGKILL)
    await first.ended()
    (tmp_path / "gate").touch()
    second = await start(**environ)

    assert await second.ended() == 0
    assert {span.trace for span in collector.spans} == {row.trace_id} == {trace_id_for(row.run_id)}
    assert {span.service for span in collector.spans} == {"cairn"}
    assert [span["epoch"] for span in collector.named("restore")] == [1, 2]
    (whole,) = collector.named("run traced")
    (attempt,) = collector.named("attempt")
    (quick,), (gated,) = collector.named("quick"), collector.named("gated")
    assert (whole.parent, whole["phase"]) == ("", "Succeeded")
    assert (attempt.parent, attempt["epoch"]) == (whole.span, 2)
    assert attempt.links == [(row.trace_id, quick.parent)]
    assert (gated.parent, gated["epoch"], gated["attempt"], gated["result"]) == (attempt.span, 2, 1, "done")
    assert collector.named("save")
    lines = [json.loads(line) for line in second.log.splitlines()]
    assert {line["trace_id"] for line in lines} == {row.trace_id}
    assert [line["span_id"] for line in lines if line["message"] == "gated runs"][-1] == gated.span


async def test_a_fork_has_a_trace_of_its_own_with_a_link(store, url, tmp_path, collector):
    """One trace for each run; the fork's spans lead to the run that it comes from."""
    row, start = await begin(store, url, tmp_path, QUICK)
    environ = sends_to(collector)
    await (await start(**environ)).ended()
    origin = await find_checkpoint(store, "1", await store.run(row.run_id))
    child = await fork_run(store, Codec(), ForkRequest(origin))
    runner = await Runner.start(url, child.run_id, await claimed(store, child), tmp_path, **environ)

    assert await runner.ended() == 0
    old, new = collector.named("run traced")
    assert (old.trace, new.trace) == (row.trace_id, child.trace_id)
    assert old.trace != new.trace
    assert new.links == [(old.trace, old.span)]
    assert [span.links for span in collector.named("attempt")] == [[], [(old.trace, old.span)]]


async def test_spans_of_user_code_are_inside_the_span_of_their_step(store, url, tmp_path, collector):
    """However a step is run: on the loop, with a timeout, in a thread; programs are told by TRACEPARENT."""
    steps = [
        {"name": "a", "python": "steps:asynchronous"},
        {"name": "b", "python": "steps:timed", "timeout": "10s", "needs": ["a"]},
        {"name": "c", "python": "steps:threaded", "needs": ["b"]},
        {"name": "d", "python": "steps:worker", "timeout": "10s", "needs": ["c"]},
        {"name": "e", "run": 'echo "{\\"done\\": [\\"$TRACEPARENT\\"]}" > "$CAIRN_OUTPUT"', "needs": ["d"]},
    ]
    row, start = await begin(store, url, tmp_path, *steps)
    runner = await start(**sends_to(collector))

    assert await runner.ended() == 0
    for step, inner in (("a", "of async"), ("b", "of timed"), ("c", "of thread")):
        ((outside,), (inside,)) = collector.named(step), collector.named(inner)
        assert (inside.trace, inside.parent) == (row.trace_id, outside.span)
    told = (await state(store, row))["done"]
    assert told == [f"00-{row.trace_id}-{collector.named(step)[0].span}-01" for step in "de"]


async def test_a_failed_step_tells_its_class_and_no_value(store, url, tmp_path, collector):
    """What a step raises may hold values of the state: a span says what class it was, nothing more."""
    step = {"name": "fails", "python": "steps:fails", "retry": {"limit": 1, "baseDelay": "1ms"}}
    _, start = await begin(store, url, tmp_path, step)
    runner = await start(**sends_to(collector))

    assert await runner.ended() == 1
    tries = collector.named("fails")
    assert [(span["attempt"], span["result"], span.failed) for span in tries] == [
        (1, "failed", True),
        (2, "failed", True),
    ]
    assert {span.attributes["error.type"] for span in tries} == {"KeyError"}
    assert collector.named("run traced")[0].failed
    assert "secret value" not in repr(collector.spans)


async def test_what_is_sent_holds_no_secret(servers, tmp_path, collector):
    """Not the store's password, a header, a variable or a value of the state, in no byte of any request."""
    server = servers.postgres(password=True)
    store = await open_store(server.url)
    try:
        code = f"{CODE}\nasync def tells(state, ctx):\n    ctx.log.info('here')\n"
        code += "    await ctx.checkpoint({'done': ['canary-1']}, key='a')\n"
        code += "    await ctx.progress.save('canary-2')\n    return {'done': ['canary-3']}\n"
        document = manifest({"name": "tells", "python": "steps:tells"}, code={"steps.py": code})
        row = await find_or_create(store, accept(document))
        runner = await Runner.start(
            server.url,
            row.run_id,
            await claimed(store, row),
            tmp_path,
            **sends_to(collector, OTEL_EXPORTER_OTLP_HEADERS="authorization=Bearer%20canary-4"),
            OF_THE_POD="canary-5",
        )

        assert await runner.ended() == 0
    finally:
        await store.close()
    sent = b"".join(collector.bodies)
    assert b"tells" in sent
    assert b"canary" not in sent
    assert server.password.encode() not in sent
    assert [server.password in runner.log, "canary" in runner.log] == [False, False]


async def test_a_trace_that_is_not_sampled_is_not_sampled_by_any_runner(store, url, tmp_path, collector):
    """The sampler is asked about the run as about a root, so that it answers all its runners alike."""
    row, start = await begin(store, url, tmp_path, QUICK)
    off = {"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.0"}
    runner = await start(**sends_to(collector, **off))

    assert await runner.ended() == 0
    assert (await store.run(row.run_id)).phase == "Succeeded"
    assert collector.spans == []


async def test_a_collector_that_is_down_costs_a_warning(store, url, tmp_path):
    """Nobody listens there: the run succeeds, one line says so, the end is late by a second at most."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        closed = f"http://127.0.0.1:{taken.getsockname()[1]}"
        secret = {"OTEL_EXPORTER_OTLP_HEADERS": "authorization=Bearer%20canary-4711"}
        row, start = await begin(store, url, tmp_path, QUICK, GATED)
        runner = await start(
            OTEL_EXPORTER_OTLP_ENDPOINT=closed,
            OTEL_BSP_SCHEDULE_DELAY="10",
            OTEL_EXPORTER_OTLP_TIMEOUT="0.5",
            **secret,
        )
        warning = "spans were not taken by the collector; the run goes on without them"
        await until_it_says(runner, warning)
        (tmp_path / "gate").touch()

        assert await runner.ended() == 0
    assert (await store.run(row.run_id)).phase == "Succeeded"
    assert runner.messages.count(warning) == 1
    assert "canary" not in runner.log


async def test_a_collector_that_hangs_delays_the_end_by_a_bound(store, url, tmp_path):
    """It takes the connection and says nothing: the process leaves all the same, with what it has to say."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        row, start = await begin(store, url, tmp_path, QUICK)
        endpoint = f"http://127.0.0.1:{silent.getsockname()[1]}"
        runner = await start(OTEL_EXPORTER_OTLP_ENDPOINT=endpoint, OTEL_EXPORTER_OTLP_TIMEOUT="90")
        await until(store, row.run_id, lambda row: row.finished)
        over = time.monotonic()

        assert await runner.ended() == 0
    assert time.monotonic() - over < 20.0  # the library by itself would wait for 30 s


async def test_without_the_variables_nothing_of_it_is_loaded(store, url, tmp_path):
    """A runner that nobody traces is as lean as before."""
    row, start = await begin(store, url, tmp_path, {"name": "all", "python": "steps:imported"})
    runner = await start()

    assert await runner.ended() == 0
    loaded = (await state(store, row))["done"]
    assert "cairn_runtime" in loaded
    assert not {"opentelemetry", "requests", "google"} & set(loaded)
    assert "trace_id" not in runner.log


@pytest.mark.parametrize(
    "environ",
    [
        {"OTEL_TRACES_EXPORTER": "zipkin"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4317", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c", "OTEL_BSP_MAX_QUEUE_SIZE": "-1"},
    ],
    ids=["another exporter", "grpc", "a number that is none"],
)
async def test_what_cannot_be_traced_runs_untraced(store, url, tmp_path, environ):
    """A variable that asks for what there is not ends no run; the log says why."""
    row, start = await begin(store, url, tmp_path, QUICK)
    runner = await start(**environ)

    assert await runner.ended() == 0
    assert (await store.run(row.run_id)).phase == "Succeeded"
    assert runner.messages.count("traces are not exported") == 1


RAISES = """
class Raises(Exception):
    pass

def raises(*_, **__):
    raise Raises("canary-4711")
"""
SAMPLER = (
    RAISES
    + """
from opentelemetry.sdk.trace import TracerProvider, sampling

class Sampler(sampling.Sampler):
    should_sample = raises
    def get_description(self):
        return "raises"

made = TracerProvider.__init__
def init(self, *args, **more):
    made(self, *args, **more)
    self.sampler = Sampler()
TracerProvider.__init__ = init
"""
)
"""A `sitecustomize` as an image may have it: every provider there samples by the image's own rule."""


async def test_a_sampler_that_raises_costs_a_warning(store, url, tmp_path, collector):
    """It is asked before every span: the run goes on without any, and one line says so, with no value."""
    image = tmp_path / "image"
    image.mkdir()
    (image / "sitecustomize.py").write_text(SAMPLER)
    row, start = await begin(store, url, tmp_path, QUICK)
    runner = await start(**sends_to(collector, PYTHONPATH=str(image)))

    assert await runner.ended() == 0
    assert (await store.run(row.run_id)).phase == "Succeeded"
    assert collector.spans == []
    _says_it_once(runner, "sitecustomize.py")


@pytest.mark.parametrize("when", ["on_start", "on_end", "shutdown"])
async def test_a_processor_that_raises_costs_a_warning(store, url, tmp_path, when):
    """One that a step adds to the provider of the process: the saves and steps after it are as without it."""
    code = (
        f"{CODE}{RAISES}"
        "async def adds(state):\n"
        "    from opentelemetry import trace\n"
        "    from opentelemetry.sdk.trace import SpanProcessor\n"
        f"    bad = type('Bad', (SpanProcessor,), {{'{when}': raises}})()\n"
        "    trace.get_tracer_provider().add_span_processor(bad)\n"
        "    return {'done': ['adds']}\n"
    )
    steps = [{"name": "adds", "python": "steps:adds"}, {**QUICK, "needs": ["adds"]}]
    row = await find_or_create(store, accept(manifest(*steps, code={"steps.py": code})))
    with collecting() as collector:
        told = sends_to(collector)
        runner = await Runner.start(url, row.run_id, await claimed(store, row), tmp_path, **told)

        assert await runner.ended() == 0
    assert (await store.run(row.run_id)).phase == "Succeeded"
    assert (await state(store, row))["done"] == ["adds", "quick"]
    if when == "shutdown":
        assert "canary" not in runner.log
        assert collector.named("run traced")
    else:
        _says_it_once(runner, "steps.py")


def _says_it_once(runner, where):
    said = [
        line for text in runner.log.splitlines() if (line := json.loads(text)).get("logger") == "cairn.traces"
    ]
    assert [line["message"] for line in said] == ["spans are left out; the run goes on without them"]
    assert said[0]["error"] == "Raises"
    assert where in said[0]["where"]
    assert "canary" not in runner.log
