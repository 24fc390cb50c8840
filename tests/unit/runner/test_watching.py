"""Watching over a run: the moves, done against a real store, with attempts that go as the test says."""

from __future__ import annotations

from datetime import timedelta

import pytest
from tests.unit.runner.rows import accepted, approval, sleep

from cairn_runtime.errors import StoreUnavailable
from cairn_runtime.model.ids import utc_now
from cairn_runtime.model.workflow import Restart
from cairn_runtime.runner.announcements import Notice
from cairn_runtime.runner.moves import Exit
from cairn_runtime.runner.starting import cancel_run, find_or_create
from cairn_runtime.runner.watching import Watch
from cairn_runtime.store.base import Outcome

KILLED = Exit(-9, spoke=False)


class Scripted(Watch):
    """Attempts follow a script: each entry changes the row under its fence, or is just how it ended."""

    def __init__(self, store, row, script, *, limit=2):
        self.heard: list[Notice] = []
        restart = Restart(limit=limit, base_delay=0.001, max_delay=0.002)
        super().__init__(store, row, restart=restart, patience_seconds=0.1, listen=self.heard.append)
        self.script = list(script)
        self.fences = []

    async def attempt(self, fence):
        self.fences.append(fence)
        made = self.script.pop(0)
        if isinstance(made, Exit):
            return made
        if isinstance(made, Outcome):
            row = await self.store.run(self.run_id)
            await self.store.commit(self.run_id, fence, row.head_seq, f"w{fence.epoch}", [], made)
            return Exit(0)
        return await made(self, fence)


@pytest.fixture
async def row(store):
    return await find_or_create(store, accepted())


async def test_each_attempt_is_claimed_anew(store, row):
    """A crash is followed by a new epoch and another claim, until the run is over."""
    watch = Scripted(store, row, [KILLED, KILLED, Outcome("Succeeded")])

    finish = await watch.watch()

    assert (finish.exit_code, finish.restarts, finish.run.phase) == (0, 2, "Succeeded")
    assert [fence.epoch for fence in watch.fences] == [1, 2, 3]
    assert len({fence.claim_id for fence in watch.fences}) == 3


async def test_a_crash_loop_ends_in_the_row(store, row):
    """The reason is written under a claim of its own, so that the last runner cannot undo it."""
    watch = Scripted(store, row, [KILLED, KILLED, KILLED])

    finish = await watch.watch()

    assert (finish.exit_code, finish.reason) == (1, "CrashLoop")
    assert (finish.run.phase, finish.run.reason, finish.run.epoch) == ("Failed", "CrashLoop", 4)


async def test_a_second_watch_takes_the_run_over(store, row):
    """Whoever claims last has the run; the first sees that its epoch is gone and ends with 75."""

    async def overtaken(watch, fence):
        await Scripted(
            watch.store, await watch.store.run(watch.run_id), [Outcome("Waiting", waits=(approval(),))]
        ).watch()
        return KILLED

    finish = await Scripted(store, row, [overtaken]).watch()

    assert (finish.exit_code, finish.reason) == (75, "Superseded")
    assert finish.run.phase == "Waiting"


async def test_a_run_that_is_cancelled_ends_its_watch(store, row):
    """`cairn cancel` beside `cairn run`: the runner says 75, and nobody starts it again."""

    async def cancelled(watch, fence):
        await cancel_run(watch.store, await watch.store.run(watch.run_id))
        return Exit(75, "Superseded", "another claim")

    finish = await Scripted(store, row, [cancelled]).watch()

    assert (finish.exit_code, finish.run.phase) == (75, "Cancelled")


async def test_a_sleeping_run_is_started_again_when_it_is_due(store, row):
    """A sleep holds no runner; the watch waits for it, and that is no restart."""
    soon = utc_now() + timedelta(milliseconds=30)
    asleep = Outcome("Waiting", waits=(sleep(soon),), wake_at=soon)
    watch = Scripted(store, row, [asleep, Outcome("Succeeded")])

    finish = await watch.watch()

    assert (finish.exit_code, finish.restarts) == (0, 0)
    assert [notice.event for notice in watch.heard] == ["attempt", "sleeping", "attempt"]


async def test_a_run_that_waits_for_a_person_is_left_to_them(store, row):
    """The command ends with 3; the run is there when the answer comes."""
    finish = await Scripted(store, row, [Outcome("Waiting", waits=(approval(),))]).watch()

    assert (finish.exit_code, finish.run.phase) == (3, "Waiting")
    assert [wait.task for wait in finish.run.waits] == ["sign#1"]


async def test_an_interrupt_ends_a_pause(store, row):
    """Nobody has to wait for a long delay after Ctrl-C."""

    async def interrupted(watch, fence):
        watch.interrupt()
        return KILLED

    watch = Scripted(store, row, [interrupted])
    watch._restart = Restart(limit=5, base_delay=3600.0, max_delay=3600.0)

    finish = await watch.watch()

    assert (finish.exit_code, finish.run.phase) == (130, "Pending")


async def test_a_drain_that_nobody_asked_for_is_no_crash(store, row):
    """SIGTERM sent to the runner itself: it is started again, as often as it takes."""
    drained = Exit(0, "Drained", "asked to stop")

    finish = await Scripted(store, row, [drained, drained, drained, Outcome("Succeeded")], limit=0).watch()

    assert (finish.exit_code, finish.restarts) == (0, 3)


async def test_what_happened_is_told_as_it_happens(store, row):
    """Whoever listens can draw a table of it."""
    watch = Scripted(store, row, [KILLED, Outcome("Succeeded")])

    await watch.watch()

    assert watch.heard == [
        Notice("attempt", attempt=1),
        Notice("crashed", attempt=1, outcome="killed by signal 9", seconds=0.001),
        Notice("attempt", attempt=2),
    ]


async def test_a_claim_whose_answer_was_lost_starts_one_attempt(losing):
    """The claim was applied: asked again it is the same, and the run is not taken from itself."""
    row = await find_or_create(losing, accepted())
    losing.lose("claim")
    watch = Scripted(losing, row, [Outcome("Succeeded")])

    finish = await watch.watch()

    assert (finish.exit_code, finish.run.epoch) == (0, 1)


async def test_a_store_that_is_gone_is_told(store, row):
    """Without the row nothing can be decided; the run itself is as it was saved."""

    async def gone(run_id):
        raise StoreUnavailable("locked")

    watch = Scripted(store, row, [])
    watch.store = type("Gone", (), {"run": staticmethod(gone)})()

    with pytest.raises(StoreUnavailable):
        await watch.watch()
