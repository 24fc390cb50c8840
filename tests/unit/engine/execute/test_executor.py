from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.unit.engine.execute.calls import Port, make_call, make_step, run_once, with_code

from cairn_runtime.engine.context import Park
from cairn_runtime.engine.execute import CodeSource, Executor, Returned
from cairn_runtime.errors import StepFailed, StepTimeout, StepUnusable, Superseded, WriteRefused

SPAN: contextvars.ContextVar[str] = contextvars.ContextVar("SPAN", default="none")

STEPS = """
import asyncio, contextvars, functools, threading
from cairn_runtime import Park

def sync_all(state, ctx):
    state["n"] += 1
    ctx.checkpoint({"a": state["n"]}, key="k")
    ctx.progress.save([state["n"]])
    ctx.goto("next")
    return {"n": state["n"], "p": ctx.progress.value, "item": ctx.item, "thread": threading.get_ident()}

async def async_all(state, ctx):
    state["n"] += 1
    await ctx.checkpoint({"a": state["n"]}, key="k")
    await ctx.progress.save([state["n"]])
    ctx.goto("next")
    return {"n": state["n"], "p": ctx.progress.value, "item": ctx.item, "thread": threading.get_ident()}

def sync_nothing(): pass
async def async_nothing(): pass

def sync_raise(state): raise state["error"]
async def async_raise(state): raise state["error"]

def sync_checkpoint(state, ctx): ctx.checkpoint({"a": 1})
async def async_checkpoint(state, ctx): await ctx.checkpoint({"a": 1})

def sync_catches(state, ctx):
    try: ctx.checkpoint({"a": 1})
    except Exception as error: return {"caught": type(error).__name__}
async def async_catches(state, ctx):
    try: await ctx.checkpoint({"a": 1})
    except Exception as error: return {"caught": type(error).__name__}

async def deadline(state, ctx): return ctx.deadline
async def no_deadline(state, ctx): return ctx.deadline

def hide(function):
    @functools.wraps(function)
    def wrapper(*args): return function(*args)
    return wrapper

@hide
async def hidden(state): return {"was": "async"}
@hide
async def hidden_failing(state): raise ValueError("x")
@hide
async def hidden_blocking(state, ctx): await ctx.checkpoint({"a": 1})

async def group(state):
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(fail())
async def fail(): raise Park(60.0, message="in a task")
"""


@pytest.fixture
async def executor() -> AsyncIterator[Executor]:
    made = with_code(STEPS)
    yield made
    await made.close()


async def execute(executor: Executor, name: str, call: Any = None) -> Returned:
    action = executor.prepare(make_step(python=f"steps:{name}"))
    return await executor.execute(action, make_call() if call is None else call)


BOTH = pytest.mark.parametrize("kind", ["sync", "async"])


@BOTH
async def test_a_step_reads_writes_checkpoints_saves_and_goes(executor: Executor, kind: str) -> None:
    """Everything that a Context offers, sync and async by the same names."""
    port, channels = Port(), {"n": 1}

    returned = await execute(executor, f"{kind}_all", make_call(channels, port=port, item={"u": 1}, index=0))

    value: Any = returned.value
    thread = value.pop("thread")
    assert value == {"n": 2, "p": [2], "item": {"u": 1}}
    assert returned.goto == "next"
    assert (port.checkpoints, port.saved) == ([({"a": 2}, "k")], [[2]])
    assert channels == {"n": 1}, "the run's own state is as it was"
    assert (thread == threading.get_ident()) == (kind == "async")


@BOTH
async def test_a_step_may_take_nothing_and_return_nothing(executor: Executor, kind: str) -> None:
    """f() with None is a step without writes."""
    assert await execute(executor, f"{kind}_nothing") == Returned(None, None)


@BOTH
@pytest.mark.parametrize(
    ("error", "name"),
    [
        (ValueError("no"), "ValueError"),
        (StopIteration(3), "RuntimeError|StopIteration"),
        (SystemExit(3), "SystemExit"),
        (KeyboardInterrupt(), "KeyboardInterrupt"),
        (asyncio.CancelledError(), "CancelledError"),
        (TimeoutError("its own"), "TimeoutError"),
        (ExceptionGroup("many", [OSError("x")]), "OSError"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else "",
)
async def test_whatever_a_step_raises_is_its_failure(
    executor: Executor, kind: str, error: BaseException, name: str
) -> None:
    """Nothing of it ends the runner, nor looks like the engine's own cancellation; no frame is kept."""
    with pytest.raises(StepFailed) as caught:
        await execute(executor, f"{kind}_raise", make_call({"error": error}))

    assert caught.value.error in name.split("|")
    assert caught.value.__context__ is None


@BOTH
async def test_a_park_comes_through(executor: Executor, kind: str) -> None:
    """It is control flow, for the engine."""
    park = Park(signal="paid", message="waits")

    with pytest.raises(Park) as caught:
        await execute(executor, f"{kind}_raise", make_call({"error": park}))

    assert caught.value is park


async def test_a_park_out_of_a_task_group_comes_through(executor: Executor) -> None:
    """Though the group wraps it."""
    with pytest.raises(Park, match="in a task"):
        await execute(executor, "group")


@BOTH
@pytest.mark.parametrize("refusal", [WriteRefused("no such channel"), Superseded("run-1")])
async def test_what_the_engine_refuses_comes_back_unchanged(
    executor: Executor, kind: str, refusal: Exception
) -> None:
    """A step that does not catch it has not failed with an error of its own; one that does goes on."""
    call = make_call(port=Port(refusal))

    with pytest.raises(type(refusal)) as caught:
        await execute(executor, f"{kind}_checkpoint", call)
    returned = await execute(executor, f"{kind}_catches", call)

    assert caught.value is refusal
    assert returned.value == {"caught": type(refusal).__name__}


async def test_an_async_step_that_a_decorator_hides_is_awaited(executor: Executor) -> None:
    """It runs as sync until it returns what can be awaited."""
    assert (await execute(executor, "hidden")).value == {"was": "async"}
    with pytest.raises(StepFailed, match="x"):
        await execute(executor, "hidden_failing")


async def test_a_hidden_async_step_cannot_block_the_loop_that_it_waits_for(executor: Executor) -> None:
    """Its Context is the sync one; a call on the event loop would wait for itself."""
    with pytest.raises(StepFailed, match="a decorator hides it"):
        await execute(executor, "hidden_blocking")


async def test_a_deadline_is_known_to_the_step(executor: Executor) -> None:
    """Aware, and None without a timeout."""
    timed = await execute(executor, "deadline", make_call(timeout_seconds=60.0))
    untimed = await execute(executor, "deadline")

    moment: Any = timed.value
    assert moment.tzinfo is not None
    assert untimed.value is None


async def test_a_cancelled_async_step_is_cancelled() -> None:
    """The engine's own cancellation comes back as such."""
    executor = with_code("import asyncio\nasync def wait(state): await asyncio.Event().wait()")
    action = executor.prepare(make_step(python="steps:wait"))
    for seconds in (None, 3600.0):
        task = asyncio.create_task(executor.execute(action, make_call(timeout_seconds=seconds)))
        for _ in range(3):
            await asyncio.sleep(0)

        task.cancel()
        await asyncio.wait([task])

        assert task.cancelled()
    await executor.close()


async def test_a_thread_that_is_left_behind_reaches_the_run_no_more() -> None:
    """The engine cancelled; what the function does afterwards is dropped, its checkpoint refused."""
    code = """
import threading
started, go_on, ended = threading.Event(), threading.Event(), threading.Event()
outcome = []
def hold(state, ctx):
    started.set(); go_on.wait(60)
    try: ctx.checkpoint({"a": 1})
    except BaseException as error: outcome.append(type(error).__name__)
    finally: ended.set()
"""
    executor, port = with_code(code), Port()
    action = executor.prepare(make_step(python="steps:hold"))
    module = action.function.__globals__
    task = asyncio.create_task(executor.execute(action, make_call(port=port)))
    await asyncio.to_thread(module["started"].wait, 60)
    task.cancel()
    await asyncio.wait([task])
    module["go_on"].set()
    await asyncio.to_thread(module["ended"].wait, 60)

    assert task.cancelled()
    assert module["outcome"] == ["CancelledError"]
    assert port.checkpoints == []
    await executor.close()


async def test_an_async_step_that_overruns_is_ended() -> None:
    """Its timeout comes with the call, since an Emergency's last try is shorter."""
    executor = with_code("import asyncio\nasync def wait(state): await asyncio.Event().wait()")
    action = executor.prepare(make_step(python="steps:wait", timeout="1h"))

    with pytest.raises(StepTimeout, match="overran its timeout of 10ms"):
        await executor.execute(action, make_call(timeout_seconds=0.01))
    await executor.close()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        pytest.param({"python": "absent_steps:f"}, "there is no module", id="a module that is not there"),
        pytest.param({"python": "builtins:fetch"}, "there is no fetch in module builtins", id="no function"),
        pytest.param({"argv": ["wc", "a\0b"]}, r"argv\[1\]: a null byte", id="a null byte in an argument"),
        pytest.param({"run": "echo \0"}, "run: a null byte", id="a null byte in a command"),
        pytest.param({"argv": [""]}, "name is empty", id="an empty program"),
    ],
)
async def test_what_cannot_run_is_found_when_the_step_is_prepared(
    fields: dict[str, Any], message: str
) -> None:
    """Before the first attempt, with words."""
    with pytest.raises(StepUnusable, match=message):
        await run_once(Executor(code=CodeSource()), **fields)


def test_a_step_that_waits_has_nothing_to_run() -> None:
    """Approvals, signals and sleeps are the engine's own."""
    with pytest.raises(ValueError, match="nothing to run"):
        Executor(code=CodeSource()).prepare(make_step(sleep="1s"))


def test_a_reducers_function_is_loaded_the_same_way() -> None:
    """From the same code, with the same errors."""
    executor = with_code("def join(old, new): return old + new\nN = 1")

    assert executor.load_function("steps:join")(1, 2) == 3
    with pytest.raises(StepUnusable, match="int cannot be called"):
        executor.load_function("steps:N")
    executor._files.close()


async def test_an_executor_that_did_nothing_closes_at_once() -> None:
    """No thread, process or file is made before it is needed."""
    executor = Executor(code=CodeSource())

    await executor.close()

    assert executor._files._root is None
    assert executor._warden._process is None
    assert executor._threads._started == 0
