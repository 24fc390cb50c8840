"""Sync steps with a timeout, in a worker process: the same to their author as in a thread."""

from __future__ import annotations

import asyncio
import logging
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from tests.crash.executors.processes import alive
from tests.unit.engine.execute.calls import Port, make_call, make_step

from cairn_runtime.engine.context import Park, idempotency_key
from cairn_runtime.engine.execute import Returned
from cairn_runtime.errors import StepError, StepFailed, StepTimeout, StepUnusable, Superseded, WriteRefused

STEPS = """
import asyncio, ctypes, dataclasses, functools, logging, os, signal, subprocess, sys, threading, time
from datetime import datetime, timezone
from cairn_runtime import Park
from cairn_runtime.errors import WriteRefused

CALLS = []

def everything(state, ctx):
    state["n"] += 1
    ctx.checkpoint({"a": state["n"]}, key="k")
    before = ctx.progress.value
    ctx.progress.save([state["n"]])
    ctx.goto("one")
    ctx.goto("next")
    return {
        "n": state["n"], "before": before, "after": ctx.progress.value, "item": ctx.item, "index": ctx.index,
        "signal": ctx.signal, "draining": ctx.draining, "key": ctx.idempotency_key, "visit": ctx.visit,
        "attempt": ctx.attempt, "step": ctx.step, "run": ctx.run_id,
        "left": (ctx.deadline - datetime.now(timezone.utc)).total_seconds(),
    }

def pid(state):
    CALLS.append(1)
    return {"pid": os.getpid(), "calls": len(CALLS)}

def meet(state):
    open(f"{state['folder']}/{state['n']}", "w").close()
    while len(os.listdir(state["folder"])) < state["all"]: time.sleep(0.01)
    return os.getpid()

class Trouble(ConnectionError):
    def __str__(self): raise ValueError

def lost(state): raise ConnectionResetError("gone " + "x" * 10_000)
def trouble(state): raise Trouble
def stop(state): raise StopIteration(3)
def leave(state): sys.exit("bye")
def interrupt(state): raise KeyboardInterrupt
def group(state): raise ExceptionGroup("many", [OSError("a"), ValueError("b")])
def park(state): raise Park(datetime(2030, 1, 1, tzinfo=timezone.utc), signal="paid", message="waits")
def own_timeout(state): raise TimeoutError("its own")
def refused(state): raise WriteRefused("by the step itself")
def unpicklable(state):
    class Local(Exception):
        def __init__(self, lock): super().__init__("local"); self.lock = lock
    raise Local(threading.Lock())

def not_json(state): return {"pages": [{"when": datetime.now()}]}
def not_text(state): return {"a": "\\ud800"}
def too_large(state): return {"a": "x" * 70_000_000}
def not_json_checkpoint(state, ctx): ctx.checkpoint({"a": {1: 2}})
@dataclasses.dataclass
class Page: url: str
def dumped(state): return {"page": Page("u"), "pair": (1, 2)}

def checkpoint(state, ctx): ctx.checkpoint({"a": 1})
def catches(state, ctx):
    try: ctx.checkpoint({"a": 1})
    except WriteRefused as error: return {"caught": str(error)}

def gone(state): os._exit(3)
def killed(state): os.kill(os.getpid(), signal.SIGKILL)
def crash(state): ctypes.string_at(0)
def sleep(state): time.sleep(600)

def forks(state):
    pid = os.fork()
    if pid: os.waitpid(pid, 0)
    return {"pid": pid}

def prints(state, ctx):
    print("plain")
    ctx.log.warning("with %s", "arguments", extra={"url": "u"})
    logging.getLogger("library").info("from a library")
    logging.getLogger("library").debug("too fine")
    try: 1 / 0
    except ZeroDivisionError: ctx.log.exception("caught")
    subprocess.run(["echo", "from a child"])
    sys.stderr.write("half a line")

def secrets(state): return {k: v for k, v in os.environ.items() if k.startswith("CAIRN_")}
def light(state): return [name for name in ("pydantic", "cairn_runtime.store", "yaml") if name in sys.modules]

def leaves_a_thread(state, ctx):
    def later():
        time.sleep(0.2)
        try: ctx.checkpoint({"a": "stolen"})
        except BaseException as error: OUTCOME.append(str(error))
        else: OUTCOME.append("done")
    threading.Thread(target=later, daemon=True).start()
OUTCOME = []
def thread_outcome(state):
    while not OUTCOME: time.sleep(0.01)
    return OUTCOME[0]

@functools.wraps(pid)
def hidden(state):
    async def inner(): return {"was": "async"}
    return inner()
"""


async def execute(
    executor: Any, name: str, *, seconds: float = 60.0, module: str = "steps", **call: Any
) -> Returned:
    action = executor.prepare(make_step(python=f"{module}:{name}"))
    returned: Returned = await executor.execute(action, make_call(timeout_seconds=seconds, **call))
    return returned


@pytest.fixture
def executor(with_folder: Any) -> Any:
    return with_folder(steps=STEPS)


async def test_a_step_in_a_worker_has_the_whole_context(executor: Any) -> None:
    """State, checkpoint, progress, goto, item, signal, draining, key, deadline: as in a thread."""
    port, channels = Port(), {"n": 1}
    port.draining = True
    call: dict[str, Any] = {
        "port": port,
        "state": make_call(channels).state,
        "progress": {"p": 1},
        "item": [1],
        "index": 4,
    }

    returned = await execute(executor, "everything", **call, signal={"s": 1}, task="draft#1[4]", attempt=2)

    value: Any = returned.value
    assert 0 < value.pop("left") <= 60
    assert value == {
        "n": 2,
        "before": {"p": 1},
        "after": [2],
        "item": [1],
        "index": 4,
        "signal": {"s": 1},
        "draining": True,
        "key": idempotency_key("base", "draft#1[4]"),
        "visit": 1,
        "attempt": 2,
        "step": "draft",
        "run": "run-1",
    }
    assert returned.goto == "next"
    assert (port.checkpoints, port.saved) == ([({"a": 2}, "k")], [[2]])
    assert channels == {"n": 1}


async def test_a_worker_is_used_again_with_its_modules(executor: Any) -> None:
    """Its imports are warm; what a module keeps is kept, as in a thread."""
    first, second = [(await execute(executor, "pid")).value for _ in range(2)]

    assert first["pid"] == second["pid"] != os.getpid()
    assert (first["calls"], second["calls"]) == (1, 2)


async def test_as_many_workers_as_calls_at_once(executor: Any, tmp_path: Path) -> None:
    """Items of a foreach that wait for each other meet."""
    folder = tmp_path / "meeting"
    folder.mkdir()

    state = [make_call({"folder": str(folder), "n": n, "all": 4}).state for n in range(4)]
    returned = await asyncio.gather(*(execute(executor, "meet", state=s) for s in state))

    assert len({r.value for r in returned}) == 4


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        pytest.param("lost", "ConnectionResetError", "gone x{4088}…$", id="an exception with a huge text"),
        pytest.param(
            "trouble", "Trouble", "a Trouble whose text cannot be shown", id="one that cannot be shown"
        ),
        pytest.param("stop", "StopIteration", "3", id="StopIteration"),
        pytest.param("leave", "SystemExit", "bye", id="sys.exit"),
        pytest.param("interrupt", "KeyboardInterrupt", "KeyboardInterrupt", id="KeyboardInterrupt"),
        pytest.param("group", "OSError", r"a \(and 1 more in the exception group\)", id="an exception group"),
        pytest.param("own_timeout", "TimeoutError", "its own", id="a timeout of its own"),
        pytest.param("unpicklable", "Local", "local", id="one that cannot be pickled"),
    ],
)
async def test_what_a_step_raises_crosses_the_pipe(
    executor: Any, name: str, error: str, message: str
) -> None:
    """Class, bases and text; the worker lives on."""
    before = (await execute(executor, "pid")).value

    with pytest.raises(StepFailed, match=message) as caught:
        await execute(executor, name)

    assert caught.value.error == error
    assert "BaseException" in caught.value.error_names
    assert (await execute(executor, "pid")).value["pid"] == before["pid"]


async def test_base_classes_cross_the_pipe(executor: Any) -> None:
    """So that `errors: [OSError]` matches."""
    with pytest.raises(StepFailed) as caught:
        await execute(executor, "lost")

    assert caught.value.error_names[:3] == ("ConnectionResetError", "ConnectionError", "OSError")


async def test_a_park_crosses_the_pipe(executor: Any) -> None:
    """Moment, signal and message."""
    with pytest.raises(Park) as caught:
        await execute(executor, "park")

    park = caught.value
    assert (park.until, park.signal, park.message) == (datetime(2030, 1, 1, tzinfo=UTC), "paid", "waits")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        pytest.param("not_json", r"pages\[0\]\.when: datetime is not JSON", id="a value that is not JSON"),
        pytest.param(
            "not_text", "a: character 0 of the text is half a surrogate pair", id="half a surrogate pair"
        ),
        pytest.param("too_large", "the result has 67 MiB; at most 64 MiB pass", id="a huge value"),
        pytest.param(
            "not_json_checkpoint", "a: the key 1 is not a string", id="a checkpoint that is not JSON"
        ),
        pytest.param("refused", "by the step itself", id="the step's own refusal"),
    ],
)
async def test_what_cannot_be_stored_is_refused_in_the_worker(executor: Any, name: str, message: str) -> None:
    """WriteRefused with the path, as in a thread."""
    with pytest.raises(WriteRefused, match=message):
        await execute(executor, name)


async def test_results_are_dumped_in_the_worker(executor: Any) -> None:
    """Dataclasses and tuples become JSON."""
    assert (await execute(executor, "dumped")).value == {"page": {"url": "u"}, "pair": [1, 2]}


@pytest.mark.parametrize("refusal", [WriteRefused("no such channel"), Superseded("run-1")])
async def test_what_the_engine_refuses_comes_back_unchanged(executor: Any, refusal: Exception) -> None:
    """The very error, not a copy that went over the pipe."""
    with pytest.raises(type(refusal)) as caught:
        await execute(executor, "checkpoint", port=Port(refusal))

    assert caught.value is refusal


async def test_a_step_may_catch_what_the_engine_refuses(executor: Any) -> None:
    """By its class, and go on."""
    returned = await execute(executor, "catches", port=Port(WriteRefused("no such channel")))

    assert returned.value == {"caught": "no such channel"}


@pytest.mark.parametrize(
    ("name", "message"),
    [
        pytest.param("gone", "the worker process ended with code 3 in the middle of the step", id="os._exit"),
        pytest.param("killed", r"the worker process was killed by SIGKILL \(out of memory\?\)", id="SIGKILL"),
        pytest.param("crash", "the worker process was killed by SIGSEGV", id="a segmentation fault"),
    ],
)
async def test_a_worker_that_dies_fails_the_step_and_nothing_else(
    executor: Any, name: str, message: str
) -> None:
    """It may be tried again, in a new worker."""
    with pytest.raises(StepFailed, match=message) as caught:
        await execute(executor, name)

    assert caught.value.error == "WorkerDied"
    assert caught.value.retryable
    assert (await execute(executor, "pid")).value["calls"] == 1


async def test_a_worker_that_dies_between_two_calls_is_replaced(executor: Any) -> None:
    """Whoever killed it."""
    pid = (await execute(executor, "pid")).value["pid"]
    os.kill(pid, 9)

    for _ in range(500):
        if not alive(pid):
            break
        await asyncio.sleep(0.01)

    assert (await execute(executor, "pid")).value["calls"] == 1


async def test_what_overruns_costs_its_worker_only(executor: Any) -> None:
    """The next call has a new one."""
    pid = (await execute(executor, "pid")).value["pid"]

    with pytest.raises(StepTimeout, match="overran its timeout of 100ms and was ended"):
        await execute(executor, "sleep", seconds=0.1)

    assert not alive(pid)
    assert (await execute(executor, "pid")).value["calls"] == 1


async def test_loading_the_code_does_not_count_towards_the_timeout(with_folder: Any) -> None:
    """Else a step with a short timeout and a slow import would never succeed."""
    executor = with_folder(slow="import time\ntime.sleep(0.7)\ndef f(state): return 1")

    assert (await execute(executor, "f", seconds=0.5, module="slow")).value == 1


_FICKLE = """import pathlib
if pathlib.Path("{mark}").exists(): raise ValueError("twice")
pathlib.Path("{mark}").touch()
def f(state): ...
"""


async def test_code_that_only_the_worker_cannot_load_is_told(with_folder: Any, tmp_path: Path) -> None:
    """The runner imported it before; what it did to the disk, say, shows in the worker."""
    mark = tmp_path / "done"
    executor = with_folder(fickle=_FICKLE.format(mark=str(mark)))

    with pytest.raises(StepUnusable, match=r"fickle\.py, line 2: ValueError: twice"):
        await execute(executor, "f", module="fickle")


async def test_a_step_that_forks_is_answered_once(executor: Any) -> None:
    """The child that comes back into the worker's loop is ended there."""
    first = (await execute(executor, "forks")).value
    again = (await execute(executor, "pid")).value

    assert first["pid"] not in (0, again["pid"])
    assert again["calls"] == 1


async def test_what_a_worker_prints_and_logs_reaches_the_log(
    executor: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """Streams by line, records by level and name, all with the task's keys, before the step returns."""
    caplog.set_level(logging.INFO)

    await execute(executor, "prints")

    records = [r for r in caplog.records if r.name != "asyncio"]
    told = {r.getMessage(): r for r in records}
    assert {"plain", "half a line", "from a child"} <= set(told)
    assert (told["with arguments"].name, told["with arguments"].levelno) == ("cairn.step", logging.WARNING)
    assert vars(told["with arguments"])["url"] == "u"
    assert told["from a library"].name == "library"
    assert "too fine" not in told
    assert "ZeroDivisionError" in str(told["caught"].exc_text)
    assert {vars(r)["task"] for r in records} == {"draft#1"}


async def test_the_traceback_of_a_failed_step_is_logged(
    executor: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """With its own lines and without Cairn's."""
    with pytest.raises(StepError):
        await execute(executor, "own_timeout")

    (record,) = [r for r in caplog.records if r.getMessage() == "step raised"]
    assert "in own_timeout" in str(record.exc_text)
    assert "engine/execute" not in str(record.exc_text)


async def test_the_runners_secrets_do_not_reach_a_worker(
    executor: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor does the channel's number."""
    for name in ("CAIRN_STORE_URL", "CAIRN_CLAIM", "CAIRN_EPOCH", "CAIRN_KEYS_FILE", "CAIRN_OTHER"):
        monkeypatch.setenv(name, "x")

    assert (await execute(executor, "secrets")).value == {"CAIRN_OTHER": "x"}


async def test_a_worker_is_light(executor: Any) -> None:
    """It starts in a tenth of a second because it loads neither pydantic nor stores."""
    assert (await execute(executor, "light")).value == []


async def test_a_thread_that_a_step_left_cannot_speak_for_the_next(executor: Any) -> None:
    """Its checkpoint would be committed under another task's name."""
    port = Port()

    await execute(executor, "leaves_a_thread", port=port)
    outcome = (await execute(executor, "thread_outcome", port=port)).value

    assert outcome == "the step has ended; its Context is of no use any more"
    assert port.checkpoints == []


async def test_an_async_function_that_a_decorator_hides_is_awaited(executor: Any) -> None:
    """In the worker, on a loop of its own."""
    assert (await execute(executor, "hidden")).value == {"was": "async"}


async def test_workers_are_gone_when_the_executor_is_closed(executor: Any) -> None:
    """Idle ones leave by themselves, running their exit hooks."""
    pid = (await execute(executor, "pid")).value["pid"]

    await executor.close()

    assert not alive(pid)
