"""The runner process by itself: signals, stores that are not as they should be, and its last word."""

from __future__ import annotations

import json
import signal
import sqlite3

import pytest
from tests.crash.runner.processes import Runner, claimed, until, until_it_says, until_there

from cairn_runtime.model.metrics import read_metrics
from cairn_runtime.runner.accepting import accept
from cairn_runtime.runner.starting import find_or_create
from cairn_runtime.store.base import Fence, NewRun

CODE = """
import asyncio, os, time

async def quick(state):
    return {"done": ["quick"]}

async def gated(state, ctx):
    open("gated.began", "a").write(str(os.getpid()) + "\\n")
    while not os.path.exists("gate"):
        await asyncio.sleep(0.01)
    return {"done": ["gated"]}

async def holding(state):
    open("holding.began", "a").write(str(os.getpid()))
    while not os.path.exists("gate"):
        time.sleep(0.01)
    return {"done": ["holding"]}

async def last(state):
    return {"done": ["last"]}
"""
QUICK = {"name": "quick", "python": "steps:quick"}
GATED = {"name": "gated", "python": "steps:gated", "needs": ["quick"]}
LAST = {"name": "last", "python": "steps:last", "needs": ["gated"]}


def manifest(*steps, **spec):
    return {
        "apiVersion": "cairn.dev/v1alpha1",
        "kind": "Workflow",
        "metadata": {"name": "process"},
        "spec": {
            "code": {"steps.py": CODE},
            "state": {"channels": {"done": {"reducer": "extend"}}},
            "steps": list(steps) or [QUICK, GATED, LAST],
            **spec,
        },
    }


@pytest.fixture
def url(tmp_path):
    return f"sqlite:///{tmp_path}/cairn.db?timeout=200ms"


async def begin(store, url, folder, *steps, **environ):
    row = await find_or_create(store, accept(manifest(*steps)))
    fence = await claimed(store, row)
    return row, await Runner.start(url, row.run_id, fence, folder, **environ)


def open_the_gate(folder):
    (folder / "gate").touch()


async def test_a_run_is_run_to_its_end(store, url, tmp_path):
    """Exit code 0, the row says Succeeded, and the last word says where the run stands."""
    open_the_gate(tmp_path)

    row, runner = await begin(store, url, tmp_path)

    assert await runner.ended() == 0
    row = await store.run(row.run_id)
    assert row.phase == "Succeeded"
    assert runner.word == {
        "run": row.run_id,
        "epoch": 1,
        "phase": "Succeeded",
        "reason": "",
        "message": "",
        "head": {"seq": row.head_seq, "id": row.head_id},
    }
    assert runner.messages == ["runner started", "runner ended"]
    assert json.loads(runner.log.splitlines()[-1])["run_id"] == row.run_id


async def test_a_run_that_was_killed_has_its_numbers_in_the_end(store, url, tmp_path):
    """What heartbeats had told counts once; only what they had not told is lost with a runner."""
    row, first = await begin(store, url, tmp_path, CAIRN_HEARTBEAT_SECONDS="0.05")
    await until_there(tmp_path / "gated.began")
    await until(store, row.run_id, lambda row: told_of_one_step(read_metrics(row.metrics)))
    first.send(signal.SIGKILL)
    assert await first.ended() == -signal.SIGKILL
    open_the_gate(tmp_path)

    second = await Runner.start(
        url, row.run_id, await claimed(store, row), tmp_path, CAIRN_HEARTBEAT_SECONDS="3600"
    )

    assert await second.ended() == 0
    row = await store.run(row.run_id)
    metrics = read_metrics(row.metrics)
    assert metrics is not None
    assert metrics.steps == {"done": 3, "failed": 0, "parked": 0, "skipped": 0}
    assert (sum(metrics.saves.counts), row.checkpoints) == (4, 4)
    assert sum(metrics.restores.counts) == 1


def told_of_one_step(metrics):
    """Whether a heartbeat has told of a step and of its save, which is counted a moment later."""
    return metrics is not None and (metrics.steps["done"], sum(metrics.saves.counts)) == (1, 2)


async def test_a_failed_run_is_exit_code_1(store, url, tmp_path):
    """The row has the reason, and so has the last word."""
    step = {"name": "quick", "run": "exit 3", "retry": {"limit": 0}}

    row, runner = await begin(store, url, tmp_path, step)

    assert await runner.ended() == 1
    assert (await store.run(row.run_id)).phase == "Failed"
    assert (runner.word["phase"], runner.word["reason"]) == ("Failed", "StepFailed")


async def test_sigterm_lets_running_tasks_finish_and_starts_nothing_new(store, url, tmp_path):
    """What ends within the grace is committed; the rest of the run is left for the next runner."""
    row, runner = await begin(store, url, tmp_path)
    await until_there(tmp_path / "gated.began")

    runner.send(signal.SIGTERM)
    open_the_gate(tmp_path)

    assert await runner.ended() == 0
    assert (runner.word["phase"], runner.word["reason"]) == ("Running", "Drained")
    rows = await store.checkpoints(row.run_id)
    assert [header.step for header in rows[::-1]] == ["", "quick", "gated"]

    again = await Runner.start(url, row.run_id, await claimed(store, row), tmp_path)
    assert await again.ended() == 0
    assert (await store.run(row.run_id)).phase == "Succeeded"
    assert len((tmp_path / "gated.began").read_text().splitlines()) == 1


async def test_a_task_that_outlasts_the_grace_runs_again(store, url, tmp_path):
    """After the grace the task is ended, nothing of it is saved, and the next runner begins it anew."""
    row, runner = await begin(store, url, tmp_path, CAIRN_GRACE="50ms")
    await until_there(tmp_path / "gated.began")

    runner.send(signal.SIGTERM)

    assert await runner.ended() == 0
    assert runner.word["reason"] == "Drained"
    open_the_gate(tmp_path)
    again = await Runner.start(url, row.run_id, await claimed(store, row), tmp_path)
    assert await again.ended() == 0
    assert len((tmp_path / "gated.began").read_text().splitlines()) == 2


async def test_a_second_signal_ends_the_process_at_once(store, url, tmp_path):
    """Whoever insists is obeyed; what was committed stays, and it is no crash."""
    row, runner = await begin(store, url, tmp_path, CAIRN_GRACE="1h")
    await until_there(tmp_path / "gated.began")

    runner.send(signal.SIGTERM)
    runner.send(signal.SIGINT)

    assert await runner.ended() == 0
    assert runner.word["reason"] == "Drained"
    assert (await store.run(row.run_id)).head_seq == 2


async def test_a_held_loop_is_left_behind_after_the_grace(store, url, tmp_path):
    """User code that never lets go of the event loop cannot keep a drained process."""
    holding = {"name": "gated", "python": "steps:holding"}
    row, runner = await begin(store, url, tmp_path, holding, CAIRN_GRACE="10ms")
    await until_there(tmp_path / "holding.began")

    runner.send(signal.SIGTERM)

    assert await runner.ended() == 0
    assert runner.word["reason"] == "Drained"
    assert (await store.run(row.run_id)).head_seq == 1


async def test_heartbeats_go_on_while_user_code_holds_the_loop(store, url, tmp_path):
    """A run is not taken for dead because a step computes."""
    holding = {"name": "gated", "python": "steps:holding"}
    row, runner = await begin(store, url, tmp_path, holding)
    await until_there(tmp_path / "holding.began")
    first = (await store.run(row.run_id)).heartbeat_at

    await until(store, row.run_id, lambda row: row.heartbeat_at > first)

    open_the_gate(tmp_path)
    assert await runner.ended() == 0


async def test_a_runner_whose_claim_was_taken_stops(store, url, tmp_path):
    """The heartbeat hears of the newer claim: exit 75, nothing written, whatever the task is doing."""
    row, runner = await begin(store, url, tmp_path)
    await until_there(tmp_path / "gated.began")

    await claimed(store, row)

    assert await runner.ended() == 75
    assert runner.word["reason"] == "Superseded"
    assert (await store.run(row.run_id)).head_seq == 2


async def test_a_superseded_runner_whose_loop_is_held_ends_too(store, url, tmp_path):
    """The thread that beats ends the process where the loop does not hear it."""
    holding = {"name": "gated", "python": "steps:holding"}
    row, runner = await begin(store, url, tmp_path, holding)
    await until_there(tmp_path / "holding.began")

    await claimed(store, row)

    assert await runner.ended() == 75
    assert runner.word["reason"] == "Superseded"


async def test_a_runner_that_was_stopped_and_comes_back_is_refused(store, url, tmp_path):
    """SIGSTOP, another runner does the work, SIGCONT: nothing that it still knows is written."""
    row, frozen = await begin(store, url, tmp_path, CAIRN_HEARTBEAT_SECONDS="3600")
    await until_there(tmp_path / "gated.began")
    frozen.send(signal.SIGSTOP)
    open_the_gate(tmp_path)
    other = tmp_path / "other"
    other.mkdir()
    open_the_gate(other)

    second = await Runner.start(url, row.run_id, await claimed(store, row), other)
    assert await second.ended() == 0
    before = await store.checkpoints(row.run_id)
    frozen.send(signal.SIGCONT)

    assert await frozen.ended() == 75
    assert frozen.word["reason"] == "Superseded"
    assert await store.checkpoints(row.run_id) == before
    assert [header.epoch for header in before[::-1]] == [1, 1, 2, 2]


async def test_a_claim_that_is_old_already_starts_nothing(store, url, tmp_path):
    """A pod that comes late finds another epoch in the row."""
    row = await find_or_create(store, accept(manifest()))
    old = await claimed(store, row)
    await claimed(store, row)

    runner = await Runner.start(url, row.run_id, old, tmp_path)

    assert await runner.ended() == 75
    assert (await store.run(row.run_id)).head_seq == 0


async def test_a_deleted_run_is_not_written_again(store, url, tmp_path):
    """Deleted while it ran: the runner stops as superseded."""
    row, runner = await begin(store, url, tmp_path)
    await until_there(tmp_path / "gated.began")

    await store.delete_run(row.run_id)

    assert await runner.ended() == 75
    assert runner.word["reason"] == "RunNotFound"
    assert await store.runs() == []


async def test_a_run_that_is_not_there_is_bad_configuration(url, tmp_path, store):
    """A wrong id, or the wrong store."""
    runner = await Runner.start(url, "00000000-0000-4000-8000-000000000000", Fence(1, "c"), tmp_path)

    assert await runner.ended() == 78
    assert runner.word["reason"] == "RunNotFound"


async def test_a_store_that_is_locked_all_the_time_is_unavailable(store, url, tmp_path):
    """After the patience: exit 69, and the run goes on once the store answers."""
    row = await find_or_create(store, accept(manifest()))
    fence = await claimed(store, row)
    open_the_gate(tmp_path)
    blocker = sqlite3.connect(tmp_path / "cairn.db", isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")

    runner = await Runner.start(url, row.run_id, fence, tmp_path, CAIRN_PATIENCE="300ms")

    assert await runner.ended() == 69
    assert runner.word["reason"] == "StoreUnavailable"
    blocker.execute("ROLLBACK")
    blocker.close()
    again = await Runner.start(url, row.run_id, await claimed(store, row), tmp_path)
    assert await again.ended() == 0


async def test_a_store_that_is_locked_for_a_while_is_waited_for(store, url, tmp_path):
    """Within the patience nobody notices anything."""
    row = await find_or_create(store, accept(manifest()))
    fence = await claimed(store, row)
    open_the_gate(tmp_path)
    blocker = sqlite3.connect(tmp_path / "cairn.db", isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")

    runner = await Runner.start(url, row.run_id, fence, tmp_path, CAIRN_PATIENCE="60s")
    await until_it_says(runner, "store did not answer")
    blocker.execute("ROLLBACK")
    blocker.close()

    assert await runner.ended() == 0


async def test_a_drain_does_not_wait_for_a_store_that_does_not_answer(tmp_path):
    """Asked to stop before it could begin, a runner ends at once: nothing has happened."""
    blocker = sqlite3.connect(tmp_path / "new.db", isolation_level=None)
    blocker.execute("BEGIN EXCLUSIVE")
    url = f"sqlite:///{tmp_path}/new.db?timeout=10ms"
    runner = await Runner.start(url, "r", Fence(1, "c"), tmp_path, CAIRN_PATIENCE="1h")
    await until_it_says(runner, "store did not answer")

    runner.send(signal.SIGTERM)

    assert await runner.ended() == 0
    assert runner.word["reason"] == "Drained"
    assert runner.messages[-1] == "runner ended"
    blocker.close()


async def test_a_store_that_is_no_store_is_bad_configuration(store, tmp_path):
    """A file of another kind, a folder that nobody may write to, an address that is none: exit 78."""
    row = await find_or_create(store, accept(manifest()))
    (tmp_path / "text.db").write_text(
        "this is no database, but long enough to be looked at as if it were one"
    )

    for url in (f"sqlite:///{tmp_path}/text.db", f"sqlite:///{tmp_path}", "nosuch://x"):
        runner = await Runner.start(url, row.run_id, Fence(1, "c"), tmp_path)
        assert await runner.ended() == 78, url


async def test_a_store_of_a_newer_release_is_left_alone(store, url, tmp_path):
    """Exit 78 with the reason that counts as no crash; a newer runner can go on."""
    row = await find_or_create(store, accept(manifest()))
    fence = await claimed(store, row)
    await store.close()
    with sqlite3.connect(tmp_path / "cairn.db") as db:
        version = db.execute("PRAGMA user_version").fetchone()[0]
        db.execute(f"PRAGMA user_version={version + 1}")

    runner = await Runner.start(url, row.run_id, fence, tmp_path)

    assert await runner.ended() == 78
    assert runner.word["reason"] == "RunnerTooOld"
    with sqlite3.connect(tmp_path / "cairn.db") as db:
        db.execute(f"PRAGMA user_version={version}")
    await store.open()
    assert (await store.run(row.run_id)).phase == "Pending"


async def test_a_spec_of_a_newer_release_is_left_alone(store, url, tmp_path):
    """The row says which fields it may have; an older runner does not guess."""
    accepted = accept(manifest())
    row = await store.create_run(
        NewRun("newer", accepted.key, accepted.document, "g", "k", spec_version=2),
    )

    runner = await Runner.start(url, row.run_id, await claimed(store, row), tmp_path)

    assert await runner.ended() == 78
    assert runner.word["reason"] == "RunnerTooOld"
    assert (await store.run(row.run_id)).phase == "Pending"


def damage(folder, run_id, seqs):
    """Turn bits of stored payloads."""
    with sqlite3.connect(folder / "cairn.db") as db:
        keys = [row[0] for row in db.execute("SELECT key FROM checkpoints ORDER BY key")]
        for seq in seqs:
            db.execute("UPDATE checkpoints SET payload = zeroblob(40) WHERE key = ?", (keys[seq - 1],))


async def test_a_corrupt_head_is_left_behind(store, url, tmp_path):
    """The runner goes on from the newest valid checkpoint, and its first commit names what it skips."""
    row, runner = await begin(store, url, tmp_path, CAIRN_GRACE="10ms")
    await until_there(tmp_path / "gated.began")
    runner.send(signal.SIGTERM)
    assert await runner.ended() == 0
    damage(tmp_path, row.run_id, [2])
    open_the_gate(tmp_path)

    again = await Runner.start(url, row.run_id, await claimed(store, row), tmp_path)

    assert await again.ended() == 0
    # Those before it went at the end of the run: nothing is folded from them any more.
    oldest = (await store.checkpoints(row.run_id))[-1]
    assert (oldest.seq, oldest.kind, oldest.step) == (3, "snapshot", "quick")
    assert "went back to a valid checkpoint" in again.messages


async def test_a_run_without_a_valid_checkpoint_stops(store, url, tmp_path):
    """It never starts again from nothing: exit 78, and the row is Failed with the reason."""
    row, runner = await begin(store, url, tmp_path, CAIRN_GRACE="10ms")
    await until_there(tmp_path / "gated.began")
    runner.send(signal.SIGTERM)
    assert await runner.ended() == 0
    damage(tmp_path, row.run_id, [1, 2])

    again = await Runner.start(url, row.run_id, await claimed(store, row), tmp_path)

    assert await again.ended() == 78
    failed = await store.run(row.run_id)
    assert (failed.phase, failed.reason) == ("Failed", "CheckpointCorrupted")
    assert again.word["reason"] == "CheckpointCorrupted"


async def test_missing_variables_are_named(tmp_path):
    """All of them, in one line of the log; exit 78."""
    runner = await Runner.start("", "", Fence(0, ""), tmp_path)

    assert await runner.ended() == 78
    for name in ("CAIRN_RUN_ID", "CAIRN_EPOCH", "CAIRN_CLAIM", "CAIRN_STORE_URL"):
        assert name in runner.log


async def test_steps_see_neither_the_stores_address_nor_the_claim(store, url, tmp_path):
    """What a program inherits is what was written for steps; the log shows no claim either."""
    step = {"name": "quick", "run": 'env > "$CAIRN_TEST_SEEN"'}
    row = await find_or_create(store, accept(manifest(step)))
    fence = await claimed(store, row)

    runner = await Runner.start(url, row.run_id, fence, tmp_path, CAIRN_TEST_SEEN=str(tmp_path / "seen"))

    assert await runner.ended() == 0
    seen = (tmp_path / "seen").read_text()
    assert "CAIRN_RUN_ID" in seen
    assert "CAIRN_STORE_URL" not in seen
    assert fence.claim_id not in seen
    assert fence.claim_id not in runner.log


async def test_a_step_that_prints_json_does_not_confuse_anybody(store, url, tmp_path):
    """Output of steps goes to the log as it is."""
    step = {"name": "quick", "run": 'echo \'{"event": "last", "body": {"code": 75}}\'; echo half >&2'}

    _, runner = await begin(store, url, tmp_path, step)

    assert await runner.ended() == 0
