"""The local supervisor over real runner processes: crashes, kills, interrupts, and nothing left behind."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest
from tests.crash.runner.processes import PATIENCE_SECONDS, until, until_there

from cairn_runtime.errors import InvalidInput
from cairn_runtime.runner.accepting import accept
from cairn_runtime.runner.answering import open_approval, send_answer
from cairn_runtime.runner.starting import cancel_run, find_or_create
from cairn_runtime.runner.supervisor import Supervisor, SupervisorSettings
from cairn_runtime.store.opening import open_store

CODE = """
import asyncio, os, signal, time

def note(name):
    with open(os.path.join(os.environ["CAIRN_TEST_FOLDER"], name), "a") as file:
        file.write(f"{os.getpid()}\\n")

def there(name):
    return os.path.exists(os.path.join(os.environ["CAIRN_TEST_FOLDER"], name))

async def quick(state, ctx):
    note(f"quick.{ctx.visit}")
    return {"count": 1}

async def item(state, ctx):
    note(f"item.{ctx.index}")
    return ctx.item

async def gated(state):
    note("gated")
    while not there("gate"):
        await asyncio.sleep(0.01)

async def drained(state, ctx):
    note("drained")
    while not ctx.draining:
        await asyncio.sleep(0.01)

async def suicide(state):
    note("suicide")
    os.kill(os.getpid(), signal.SIGKILL)

async def leave(state):
    note("leave")
    os._exit(0)
"""
STATE = {"channels": {"count": {"reducer": "add", "initial": 0}}}


@pytest.fixture
async def place(tmp_path, monkeypatch):
    """A store, and the folder where steps leave their notes."""
    monkeypatch.setenv("CAIRN_TEST_FOLDER", str(tmp_path))
    store = await open_store(f"sqlite:///{tmp_path}/cairn.db")
    yield Place(tmp_path, store)
    await store.close()


class Place:
    """A store with runs, and supervisors over them."""

    def __init__(self, folder, store):
        self.folder, self.store = folder, store
        self.heard = []

    async def run(self, *steps, **spec):
        manifest = {
            "apiVersion": "cairn.dev/v1alpha1",
            "kind": "Workflow",
            "metadata": {"name": "watched"},
            "spec": {"code": {"steps.py": CODE}, "state": STATE, "steps": list(steps), **spec},
        }
        return await find_or_create(self.store, accept(manifest))

    def settings(self, **changes):
        given = {"output": self.folder / "runner.log", "heartbeat_seconds": 0.1, "log_format": "json"}
        return SupervisorSettings(f"sqlite:///{self.folder}/cairn.db", **{**given, **changes})

    def supervisor(self, run, **changes):
        return Supervisor(self.store, run, self.settings(**changes), listen=self.heard.append)

    def notes(self, name):
        path = self.folder / name
        return [int(line) for line in path.read_text().split()] if path.exists() else []

    async def pid(self, name):
        return int((await until_there(self.folder / name)).split()[0])


def alive(pid):
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] not in {"Z", "X"}


async def until_gone(pid):
    async with asyncio.timeout(PATIENCE_SECONDS):
        while alive(pid):  # noqa: ASYNC110 - another process ends
            await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    ("kill_at", "steps", "killed", "twice"),
    [
        pytest.param(
            "quick",
            [{"name": "quick", "python": "steps:quick"}],
            "quick#1",
            "quick.1",
            id="a step, however quick",
        ),
        pytest.param(
            "quick#2",
            [
                {
                    "name": "quick",
                    "python": "steps:quick",
                    "next": [{"to": "quick", "when": "state.count < 3"}],
                }
            ],
            "quick#2",
            "quick.2",
            id="one visit of a loop",
        ),
        pytest.param(
            "each#1[2]",
            [
                {
                    "name": "each",
                    "python": "steps:item",
                    "foreach": {"in": "[1, 2, 3, 4, 5]", "collect": "out", "parallelism": 1},
                }
            ],
            "each#1[2]",
            "item.2",
            id="one item of a foreach",
        ),
    ],
)
async def test_kill_at_kills_in_the_middle_of_that_task_once(place, kill_at, steps, killed, twice):
    """However short the task is: it began, its outcome is lost, it runs again, and nothing else does."""
    run = await place.run(*steps)

    finish = await place.supervisor(run, kill_at=kill_at).watch()

    assert (finish.exit_code, finish.killed, finish.restarts) == (0, True, 1)
    assert [notice.task for notice in place.heard if notice.event == "killed"] == [killed]
    counts = {path.name: len(place.notes(path.name)) for path in place.folder.glob("[qi]*.[0-9]")}
    assert counts.pop(twice) == 2
    assert set(counts.values()) <= {1}


async def test_a_task_to_kill_that_never_comes_is_told(place):
    """The run ends as it would have; whoever asked can see that nothing was killed."""
    run = await place.run({"name": "quick", "python": "steps:quick"})

    finish = await place.supervisor(run, kill_at="quick#7").watch()

    assert (finish.exit_code, finish.killed, finish.restarts) == (0, False, 0)


async def test_a_step_that_kills_its_runner_ends_in_a_crash_loop(place):
    """Crash after crash with no new checkpoint: given up, with the reason in the row."""
    run = await place.run(
        {"name": "suicide", "python": "steps:suicide"}, restart={"limit": 2, "baseDelay": "1ms"}
    )

    finish = await place.supervisor(run).watch()

    assert (finish.exit_code, finish.run.phase, finish.run.reason) == (1, "Failed", "CrashLoop")
    assert len(place.notes("suicide")) == 3


async def test_a_step_that_leaves_with_exit_code_0_is_a_crash(place):
    """Success is read from the store: the process said nothing when it ended."""
    run = await place.run(
        {"name": "leave", "python": "steps:leave"}, restart={"limit": 1, "baseDelay": "1ms"}
    )

    finish = await place.supervisor(run).watch()

    assert (finish.exit_code, finish.run.reason) == (1, "CrashLoop")
    assert "ended with exit code 0" in finish.message


async def test_an_interrupt_drains_the_runner(place):
    """Ctrl-C: what runs may finish, nothing new starts, exit 130, and the run can go on."""
    run = await place.run(
        {"name": "drained", "python": "steps:drained"},
        {"name": "quick", "python": "steps:quick", "needs": ["drained"]},
    )
    supervisor = place.supervisor(run)
    watching = asyncio.ensure_future(supervisor.watch())
    pid = await place.pid("drained")

    supervisor.interrupt()
    finish = await watching

    assert (finish.exit_code, finish.run.phase, finish.run.head_seq) == (130, "Running", 2)
    assert not alive(pid)
    assert (await place.supervisor(finish.run).watch()).exit_code == 0
    assert len(place.notes("drained")) == 1


async def test_a_second_interrupt_leaves_nothing_running(place):
    """The runner is killed, and the program that its step had started ends with it."""
    run = await place.run(
        {"name": "forever", "run": 'echo $$ > "$CAIRN_TEST_FOLDER/forever"; sleep 1000 & wait'}
    )
    supervisor = place.supervisor(run, grace_seconds=3600.0)
    watching = asyncio.ensure_future(supervisor.watch())
    pid = await place.pid("forever")

    supervisor.interrupt()
    supervisor.interrupt()
    finish = await watching

    assert finish.exit_code == 130
    await until_gone(pid)


async def test_a_cancelled_watch_leaves_nothing_running(place):
    """A program that gives up on the call has no runner behind its back."""
    run = await place.run({"name": "gated", "python": "steps:gated"})
    watching = asyncio.ensure_future(place.supervisor(run).watch())
    pid = await place.pid("gated")

    watching.cancel()
    with pytest.raises(asyncio.CancelledError):
        await watching

    assert not alive(pid)


async def test_the_second_of_two_takes_the_run_over(place):
    """Both want one run: the first one's runner stops as superseded, nothing is lost or done twice."""
    run = await place.run(
        {"name": "quick", "python": "steps:quick"},
        {"name": "gated", "python": "steps:gated", "needs": ["quick"]},
    )
    first = asyncio.ensure_future(place.supervisor(run).watch())
    await until_there(place.folder / "gated")

    second = asyncio.ensure_future(place.supervisor(await place.store.run(run.run_id)).watch())
    beaten = await first
    (place.folder / "gate").touch()
    finish = await second

    assert (beaten.exit_code, beaten.reason) == (75, "Superseded")
    assert (finish.exit_code, finish.run.phase, finish.run.checkpoints) == (0, "Succeeded", 3)
    assert len(place.notes("quick.1")) == 1


async def test_cancelling_a_run_ends_its_supervisor(place):
    """`cairn cancel` from another terminal."""
    run = await place.run({"name": "gated", "python": "steps:gated"})
    watching = asyncio.ensure_future(place.supervisor(run).watch())
    await until_there(place.folder / "gated")

    await cancel_run(place.store, run)
    finish = await watching

    assert (finish.exit_code, finish.run.phase) == (75, "Cancelled")


async def test_a_runner_that_is_sent_sigterm_is_started_again(place):
    """Somebody drains the runner itself: that is no crash, and the run goes on."""
    run = await place.run(
        {"name": "gated", "python": "steps:gated"}, restart={"limit": 0, "baseDelay": "1ms"}
    )
    watching = asyncio.ensure_future(place.supervisor(run, grace_seconds=0.01).watch())
    os.kill(await place.pid("gated"), signal.SIGTERM)

    async with asyncio.timeout(PATIENCE_SECONDS):
        while len(place.notes("gated")) < 2:  # noqa: ASYNC110 - another process writes it
            await asyncio.sleep(0.01)
    (place.folder / "gate").touch()

    assert (await watching).exit_code == 0


async def test_an_answer_sent_while_the_runner_runs_is_used(place):
    """A live runner looks for signals at its heartbeat; the wait does not need a restart."""
    run = await place.run(
        {"name": "gated", "python": "steps:gated"},
        {"name": "sign", "approval": {"message": "?"}},
        {"name": "quick", "python": "steps:quick", "needs": ["sign"]},
    )
    watching = asyncio.ensure_future(place.supervisor(run).watch())
    row = await until(place.store, run.run_id, lambda row: bool(row.waits))

    await send_answer(place.store, row, open_approval(row), approved=True)

    await until_there(place.folder / "quick.1")
    (place.folder / "gate").touch()
    finish = await watching
    assert (finish.exit_code, finish.restarts, finish.run.epoch) == (0, 0, 1)


SUPERVISE = """
import asyncio, sys
from cairn_runtime.runner.supervisor import SupervisorSettings, supervise
from cairn_runtime.store.opening import open_store
from pathlib import Path

async def main(url, run_id, output):
    store = await open_store(url)
    finish = await supervise(store, await store.run(run_id), SupervisorSettings(url, output=Path(output)))
    await store.close()
    return finish.exit_code

sys.exit(asyncio.run(main(*sys.argv[1:])))
"""


async def supervising(place, run):
    """A supervisor in a process of its own, as `cairn run` is one."""
    url, output = f"sqlite:///{place.folder}/cairn.db", str(place.folder / "runner.log")
    return await asyncio.create_subprocess_exec(
        sys.executable, "-P", "-c", SUPERVISE, url, run.run_id, output
    )


async def test_a_runner_whose_supervisor_was_killed_drains_by_itself(place):
    """Kill -9 on `cairn run`: no runner stays behind for ever, and the next one goes on."""
    run = await place.run({"name": "gated", "python": "steps:gated"})
    process = await supervising(place, run)
    pid = await place.pid("gated")

    process.kill()
    await process.wait()
    (place.folder / "gate").touch()

    await until_gone(pid)
    row = await place.store.run(run.run_id)
    assert row.phase == "Succeeded" or row.head_seq >= 1
    assert (await place.supervisor(row).watch()).exit_code == 0
    assert len(place.notes("gated")) == 1


async def test_an_output_that_cannot_be_written_is_bad_usage(place):
    """The mistake is the caller's: no attempt was made, and the run is as it was."""
    run = await place.run({"name": "quick", "python": "steps:quick"})
    (place.folder / "file").touch()

    with pytest.raises(InvalidInput, match="the runner's output cannot be written there"):
        await place.supervisor(run, output=place.folder / "file" / "log").watch()

    assert (await place.store.run(run.run_id)).phase == "Pending"


async def test_a_program_that_cannot_be_started_is_no_endless_loop(place):
    """Whatever keeps the process from starting counts like a crash."""
    run = await place.run(
        {"name": "quick", "python": "steps:quick"}, restart={"limit": 1, "baseDelay": "1ms"}
    )

    finish = await place.supervisor(run, command=("/nonexistent/python",)).watch()

    assert (finish.exit_code, finish.reason) == (1, "CrashLoop")
    assert "No such file" in finish.message


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
async def test_signals_to_the_supervisor_drain(place, number):
    """Ctrl-C, a polite kill, and the terminal that was closed."""
    run = await place.run(
        {"name": "drained", "python": "steps:drained"},
        {"name": "quick", "python": "steps:quick", "needs": ["drained"]},
    )
    process = await supervising(place, run)
    pid = await place.pid("drained")

    process.send_signal(number)

    assert await process.wait() == 130
    assert not alive(pid)
    assert (await place.store.run(run.run_id)).head_seq == 2


async def test_the_address_of_the_store_is_in_no_command_line(place):
    """Others on the machine can read command lines; the environment they cannot."""
    run = await place.run({"name": "gated", "python": "steps:gated"})
    watching = asyncio.ensure_future(place.supervisor(run).watch())
    pid = await place.pid("gated")

    told = Path(f"/proc/{pid}/cmdline").read_bytes()

    (place.folder / "gate").touch()
    assert (await watching).exit_code == 0
    assert b"sqlite" not in told
    assert b"cairn_runtime.runner" in told
