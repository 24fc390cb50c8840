"""What overran, was cancelled, or lost its runner leaves no process: proved by process ids."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.crash.executors.processes import alive, noted, parent, survivors, until
from tests.unit.engine.execute.calls import make_call, make_step

from cairn_runtime.engine.execute import CodeSource, Executor, warden
from cairn_runtime.errors import StepFailed, StepTimeout

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
KINDS = ("main", "child", "session", "daemon")
LONG_ENOUGH = 3.0
"""For a tree to grow, also on a busy machine; a test of overrunning takes as long."""

CODE = f"""
import subprocess, time

def tree(state):
    subprocess.run(["sh", {str(HERE / "tree.sh")!r}, ".", "leave"], check=True)
    time.sleep(600)

async def hold_the_loop(state):
    time.sleep(600)

async def hold_the_interpreter(state):
    import re
    re.match("(a+)+$", "a" * 64 + "b")
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "steps.py").write_text(CODE)
    return tmp_path


@pytest.fixture
async def executor(folder: Path) -> AsyncIterator[Executor]:
    made = Executor(code=CodeSource(str(folder)))
    yield made
    await made.close()


def step_of(kind: str, end: str = "hold") -> dict[str, Any]:
    """A step that grows a tree in its folder: as a program, in a shell, or as a function with a timeout."""
    command = ["sh", str(HERE / "tree.sh"), ".", end]
    match kind:
        case "argv":
            return {"argv": command}
        case "run":
            return {"run": " ".join(command) + "; echo done"}
        case _:
            return {"python": "steps:tree"}


ALL = pytest.mark.parametrize("kind", ["argv", "run", "python"])


@ALL
async def test_what_overruns_is_ended_with_all_that_it_started(
    executor: Executor, folder: Path, kind: str
) -> None:
    """Children, sessions, daemons without an environment: nothing is left when `execute` raises."""
    action = executor.prepare(make_step(**step_of(kind)))

    with pytest.raises(StepTimeout, match="overran its timeout of 3s and was ended"):
        await executor.execute(action, make_call(timeout_seconds=LONG_ENOUGH))

    assert survivors(noted(folder, KINDS).values()) == []


@ALL
async def test_what_is_cancelled_is_ended_before_the_engine_hears_of_it(
    executor: Executor, folder: Path, kind: str
) -> None:
    """A drain leaves nothing behind."""
    action = executor.prepare(make_step(**step_of(kind)))
    task = asyncio.create_task(executor.execute(action, make_call(timeout_seconds=600.0)))
    pids = await asyncio.to_thread(noted, folder, KINDS)

    task.cancel()
    await asyncio.wait([task])

    assert task.cancelled()
    assert survivors(pids.values()) == []


@pytest.mark.parametrize("kind", ["argv", "run"])
async def test_a_finished_command_leaves_nothing_in_the_background(
    executor: Executor, folder: Path, kind: str
) -> None:
    """Children that hold its output open do not hang the step: they get a second, then they are ended."""
    action = executor.prepare(make_step(**step_of(kind, "leave")))

    await executor.execute(action, make_call())

    assert survivors(noted(folder, KINDS).values()) == []


async def test_closing_ends_what_is_still_running(folder: Path) -> None:
    """Also where the engine forgot to cancel."""
    executor = Executor(code=CodeSource(str(folder)))
    action = executor.prepare(make_step(**step_of("argv")))
    task = asyncio.create_task(executor.execute(action, make_call()))
    pids = await asyncio.to_thread(noted, folder, KINDS)

    await executor.close()

    with pytest.raises(StepFailed, match="killed by SIGKILL"):
        await task
    assert survivors(pids.values()) == []


async def test_a_keeper_that_is_killed_takes_its_program_along(executor: Executor, folder: Path) -> None:
    """The warden inherits what it kept and ends it; the step fails and may be tried again."""
    action = executor.prepare(make_step(**step_of("argv")))
    task = asyncio.create_task(executor.execute(action, make_call()))
    pids = await asyncio.to_thread(noted, folder, KINDS)

    os.kill(parent(pids["main"]), signal.SIGKILL)

    with pytest.raises(StepFailed, match="the process that keeps the command was killed"):
        await task
    await asyncio.to_thread(until, lambda: not survivors(pids.values()), "the orphans are ended")


async def test_a_warden_that_is_killed_is_replaced(executor: Executor, folder: Path) -> None:
    """What runs is not touched; what comes next has a new one."""
    slow = executor.prepare(make_step(run="touch there; while [ ! -e go ]; do sleep 0.01; done; touch done"))
    task = asyncio.create_task(executor.execute(slow, make_call()))
    await asyncio.to_thread(until, (folder / "there").exists, "the command runs")

    process = executor._warden._process
    assert process is not None
    process.kill()
    await asyncio.to_thread(process.wait)
    await executor.execute(executor.prepare(make_step(run="touch go")), make_call())
    await task

    assert (folder / "done").exists()


async def test_an_interrupt_at_the_terminal_reaches_the_runner_only(executor: Executor, folder: Path) -> None:
    """Ctrl-C goes to the foreground's processes: the runner drains, its programs are in other sessions."""
    action = executor.prepare(make_step(**step_of("argv")))
    task = asyncio.create_task(executor.execute(action, make_call()))
    pids = await asyncio.to_thread(noted, folder, KINDS)
    keeper = parent(pids["main"])

    sessions = {os.getsid(pid) for pid in (*pids.values(), keeper, parent(keeper))}
    task.cancel()
    await asyncio.wait([task])

    assert os.getsid(0) not in sessions


def test_without_subreapers_the_programs_process_group_is_ended(tmp_path: Path) -> None:
    """The most that another system offers: children go, what took a session of its own would not."""
    command = "sleep 600 & echo $! > child; echo $$ > main; mv main there; wait"
    process = subprocess.Popen(["sh", "-c", command], cwd=tmp_path, start_new_session=True)
    noted(tmp_path, ["there"])
    child = int((tmp_path / "child").read_text())

    warden.end_group(process.pid, running=True)
    process.returncode = -signal.SIGKILL  # it was collected there

    until(lambda: not survivors([process.pid, child]), "the group is gone")


# ------------------------------------------------------------------------- the runner itself is killed


@pytest.fixture
def started() -> Iterator[list[subprocess.Popen[str]]]:
    made: list[subprocess.Popen[str]] = []
    yield made
    for process in made:
        process.kill()
        process.communicate()


def start_runner(folder: Path, asked: dict[str, Any]) -> subprocess.Popen[str]:
    temporary = folder / "tmp"
    temporary.mkdir()
    command = [sys.executable, str(HERE / "runner.py"), str(folder), json.dumps(asked)]
    env = {**os.environ, "TMPDIR": str(temporary), "PYTHONPATH": str(ROOT / "runtime")}
    return subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.parametrize(
    "forked", [False, True], ids=["alone", "with a copy of itself that holds its descriptors"]
)
@pytest.mark.parametrize("kind", ["argv", "python"])
def test_a_killed_runner_leaves_nothing(
    folder: Path, started: list[subprocess.Popen[str]], kind: str, forked: bool
) -> None:
    """Neither processes, nor its warden and keepers, nor files with state."""
    runner = start_runner(folder, {**step_of(kind), "timeout": 600.0, "forked": forked})
    started.append(runner)
    pids = noted(folder, [*KINDS, "fork"] if forked else KINDS)
    copy = pids.pop("fork", None)
    keeper = parent(pids["main"]) if kind == "argv" else parent(parent(pids["session"]))
    keepers = [keeper, parent(keeper)]

    runner.kill()
    runner.wait()

    try:
        until(lambda: not survivors([*pids.values(), *keepers]), "all that the runner started is gone")
        until(lambda: not list((folder / "tmp").iterdir()), "its temporary files are gone")
        assert copy is None or alive(copy), "it was the runner's death that counted"
    finally:
        if copy is not None:
            os.kill(copy, signal.SIGKILL)


def test_a_step_that_holds_the_event_loop_ends_the_runner(folder: Path) -> None:
    """Nothing else could end it; the log says which task, and where it stood."""
    runner = start_runner(folder, {"python": "steps:hold_the_loop", "timeout": 0.1, "watchdog": 0.2})

    _, log = runner.communicate(timeout=60)

    assert runner.returncode == 70
    assert "CRITICAL a step held the event loop beyond its timeout" in log
    assert "steps.py:" in log
    assert "in hold_the_loop" in log


def test_a_step_that_holds_the_whole_interpreter_ends_the_runner(folder: Path) -> None:
    """A regular expression gone wild lets no thread of Python run, not even the watchdog's."""
    runner = start_runner(folder, {"python": "steps:hold_the_interpreter", "timeout": 0.1, "watchdog": 0.2})

    _, log = runner.communicate(timeout=60)

    assert runner.returncode == 1
    assert "in hold_the_interpreter" in log
