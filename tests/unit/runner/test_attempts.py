"""One claim's time with one run: words that come early, and what is written where it cannot go on."""

from __future__ import annotations

import asyncio

import pytest
from tests.unit.runner.rows import accepted

from cairn_runtime.errors import StoreUnavailable, Superseded, WriteRefused
from cairn_runtime.model.metrics import read_metrics
from cairn_runtime.runner import attempts
from cairn_runtime.runner.attempts import DRAINED, Attempt
from cairn_runtime.runner.session import SessionSettings
from cairn_runtime.runner.starting import claim_run, find_or_create
from cairn_runtime.store.base import Outcome


@pytest.fixture
async def claimed(store):
    """A new run, and the fence of its first attempt."""
    row = await find_or_create(store, accepted())
    return row.run_id, await claim_run(store, row.run_id, 0)


async def test_asked_to_drain_before_it_began_it_does_not_begin(store, claimed):
    """A stop during the start is heard: nothing was run, nothing was written."""
    attempt = Attempt(store, *claimed)
    attempt.drain(0.0)

    assert await attempt.run() == DRAINED
    assert (await store.run(claimed[0])).head_seq == 0


@pytest.mark.parametrize("moment", ["before the store is asked", "with the last answer"])
async def test_asked_to_drain_while_it_opens_it_does_not_begin(store, claimed, moment):
    """At whatever moment of the opening the word comes, it is not lost."""
    attempt = Attempt(store, *claimed)
    inner = store.progress if moment == "with the last answer" else store.run

    async def asked(run_id):
        answer = await inner(run_id)
        attempt.drain(0.0)
        return answer

    setattr(store, inner.__name__, asked)

    assert await attempt.run() == DRAINED
    assert attempt.started is False


async def test_told_that_the_claim_is_lost_while_it_opens_it_stops(store, claimed):
    """The heartbeat may know before the session is open."""
    attempt = Attempt(store, *claimed)
    attempt.stop(Superseded(claimed[0]))

    with pytest.raises(Superseded):
        await attempt.run()


async def test_a_store_that_does_not_answer_at_first_is_asked_again(store, claimed):
    """Within the patience nobody notices."""
    answers = [StoreUnavailable("locked"), StoreUnavailable("locked")]
    inner = store.run

    async def sometimes(run_id):
        if answers:
            raise answers.pop()
        return await inner(run_id)

    store.run = sometimes

    ending = await Attempt(store, *claimed).run()

    assert (ending.phase, answers) == ("Succeeded", [])


async def test_a_run_that_cannot_go_on_is_failed_with_the_reason(store, claimed):
    """Whoever looks at the row sees why, and nobody starts it again."""

    def refused(_code):
        raise WriteRefused("number: not an integer")

    attempt = Attempt(store, *claimed, settings=SessionSettings(make_executor=refused))

    with pytest.raises(WriteRefused):
        await attempt.run()

    row = await store.run(claimed[0])
    assert (row.phase, row.reason, row.message) == ("Failed", "WriteRefused", "number: not an integer")


async def test_whoever_lost_the_claim_fails_nothing(store, claimed):
    """The reason of a runner that is superseded is nobody's reason."""

    def refused(_code):
        raise WriteRefused("x")

    row = await store.run(claimed[0])
    await store.claim(row.run_id, row.epoch, "another")

    with pytest.raises(Superseded):
        await Attempt(store, *claimed, settings=SessionSettings(make_executor=refused)).run()

    assert (await store.run(row.run_id)).phase == "Pending"


@pytest.mark.parametrize("phase", ["Succeeded", "Failed"])
async def test_a_run_that_a_dead_runner_had_finished_is_over(store, claimed, phase):
    """A server carries out the last commit of a client that died; whoever claimed next has nothing to do.

    Found by killing runners right after their commit was sent to Postgres: the next one took itself for
    superseded, and the command line said so with exit code 75 about a run that had succeeded.
    """
    run_id, fence = claimed
    await store.commit(run_id, fence, 0, "write", [], Outcome(phase, "Why", "what happened"))
    claim = await claim_run(store, run_id, fence.epoch)

    ending = await Attempt(store, run_id, claim).run()

    assert (ending.phase, ending.reason, ending.message) == (phase, "Why", "what happened")
    assert (await store.run(run_id)).phase == phase


async def test_the_last_numbers_are_told_after_the_end(store, claimed):
    """What the last commit took is known only then, and a run may be over before its first heartbeat."""
    attempt = Attempt(store, *claimed)
    await attempt.run()

    await attempt.tell_metrics()

    metrics = read_metrics((await store.run(claimed[0])).metrics)
    assert metrics is not None
    assert (metrics.steps["done"], sum(metrics.saves.counts)) == (1, 2)


@pytest.mark.parametrize("error", [StoreUnavailable("gone"), Superseded("run")])
async def test_without_anybody_to_write_to_nothing_is_told(store, claimed, error):
    """A store that is gone would only be waited for, and who lost the claim is refused anyway."""
    attempt = Attempt(store, *claimed, settings=SessionSettings(patience_seconds=0.0))

    async def refused(*_):
        raise error

    store.commit = refused
    with pytest.raises(type(error)):
        await attempt.run()
    store.heartbeat = pytest.fail

    await attempt.tell_metrics()


async def test_an_end_is_not_held_up_by_its_numbers(store, claimed, monkeypatch):
    """A store that does not answer any more costs a run its last numbers, and no more than a moment."""
    monkeypatch.setattr(attempts, "TELLING_SECONDS", 0.01)
    attempt = Attempt(store, *claimed)
    await attempt.run()

    async def never(*_):
        await asyncio.Event().wait()

    store.heartbeat = never

    await attempt.tell_metrics()
