"""Keys that wait, keys that are taken, rings and pauses."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from cairn_operator.reconcile.workqueue import LONGEST_PAUSE_SECONDS, Key, Queue

A, B, C = (Key("team", name) for name in "abc")


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def queue(clock):
    return Queue(clock)


async def took(queue):
    """The key that is due, or None; never waits for the clock."""
    return await queue.take() if len(queue) else None


async def test_many_rings_are_one_pass(queue):
    """Whoever rings may ring as often as it likes."""
    for _ in range(5):
        queue.ring(A)

    assert await took(queue) == A
    queue.done(A)
    assert await took(queue) is None


async def test_keys_come_in_the_order_in_which_they_are_due(queue, clock):
    """The one that waits longest comes first."""
    queue.ring(B)
    clock.now += 1
    queue.ring(A)

    assert [await took(queue), await took(queue)] == [B, A]


async def test_a_key_is_with_one_worker_at_a_time(queue):
    """A ring during its pass makes one more pass, after it."""
    queue.ring(A)
    assert await took(queue) == A
    queue.ring(A)
    queue.ring(A)

    assert await took(queue) is None
    queue.done(A)
    assert await took(queue) == A
    queue.done(A)
    assert await took(queue) is None


async def test_a_key_comes_again_when_it_asked_to(queue, clock):
    """Not before; a ring brings it at once."""
    for rung in (False, True):
        queue.ring(A)
        await took(queue)
        queue.done(A, 30.0)
        if rung:
            queue.ring(A)
            assert await took(queue) == A
            queue.done(A)
        clock.now += 29.5
        assert await took(queue) is None
        clock.now += 0.5
        assert await took(queue) == (None if rung else A)
        queue.done(A)


async def test_a_ring_during_the_pass_wins_over_a_later_time(queue):
    """What it tells of may have happened after the pass had looked."""
    queue.ring(A)
    await took(queue)
    queue.ring(A)
    queue.done(A, 3600.0)

    assert await took(queue) == A


async def test_failures_pause_longer_each_time(queue, clock):
    """Half a second, doubling, up to two minutes; rings do not cut it short, success ends it."""
    pauses = []
    queue.ring(A)
    for _ in range(12):
        await took(queue)
        queue.ring(A)
        queue.done(A, failed=True)
        queue.ring(A)
        begin = clock.now
        while not len(queue):
            clock.now += 0.5
        pauses.append(clock.now - begin)

    assert pauses == [0.5, 1, 2, 4, 8, 16, 32, 64, *[LONGEST_PAUSE_SECONDS] * 4]
    await took(queue)
    queue.done(A)
    queue.ring(A)
    assert await took(queue) == A


async def test_one_that_fails_holds_up_no_other(queue):
    """Each pauses on its own."""
    queue.ring(A)
    await took(queue)
    queue.done(A, failed=True)
    queue.ring(B)

    assert await took(queue) == B


async def test_a_workflow_that_is_gone_is_forgotten(queue):
    """With its failures; one of the same name that was made meanwhile is looked at."""
    queue.ring(A)
    await took(queue)
    queue.done(A, failed=True)
    queue.forget(A)
    queue.ring(A)

    assert await took(queue) == A
    queue.ring(A)
    queue.forget(A)
    assert await took(queue) == A


async def test_workers_that_wait_are_woken(queue):
    """As many as there are keys."""
    workers = [asyncio.create_task(queue.take()) for _ in range(3)]
    await asyncio.sleep(0)
    queue.ring(A)
    queue.ring(B)
    await asyncio.wait(workers, return_when=asyncio.FIRST_COMPLETED)
    queue.ring(C)

    assert set(await asyncio.gather(*workers)) == {A, B, C}


async def test_a_worker_that_is_ended_takes_no_key_with_it(queue):
    """The next one gets it."""
    worker = asyncio.create_task(queue.take())
    await asyncio.sleep(0)
    worker.cancel()
    await asyncio.gather(worker, return_exceptions=True)
    queue.ring(A)

    assert await took(queue) == A


async def test_a_time_that_comes_wakes_a_worker():
    """Without anybody ringing."""
    queue = Queue()
    queue.ring(A)
    await queue.take()
    queue.done(A, 0.001)

    assert await queue.take() == A


class Rung(RuleBasedStateMachine):
    """A queue beside the simplest account of it."""

    def __init__(self):
        super().__init__()
        self.clock = Clock()
        self.queue = Queue(self.clock)
        self.due: dict[Key, float] = {}
        self.taken: dict[Key, bool] = {}
        self.failures: dict[Key, int] = {}

    @rule(key=st.sampled_from([A, B, C]))
    def ring(self, key):
        self.queue.ring(key)
        if key in self.taken:
            self.taken[key] = True
        elif not self.failures.get(key):
            self.due[key] = min(self.due.get(key, self.clock.now), self.clock.now)

    @precondition(lambda self: any(due <= self.clock.now for due in self.due.values()))
    @rule()
    def take(self):
        key = asyncio.run(self.queue.take())
        assert self.due[key] == min(self.due.values())
        del self.due[key]
        assert key not in self.taken
        self.taken[key] = False

    @precondition(lambda self: self.taken)
    @rule(data=st.data(), again=st.none() | st.integers(0, 5), failed=st.booleans())
    def done(self, data, again, failed):
        key = data.draw(st.sampled_from(sorted(self.taken)))
        self.queue.done(key, again, failed=failed)
        rung = self.taken.pop(key)
        self.failures[key] = self.failures.get(key, 0) + 1 if failed else 0
        if failed:
            self.due[key] = self.clock.now + min(0.5 * 2 ** (self.failures[key] - 1), LONGEST_PAUSE_SECONDS)
        elif rung or again is not None:
            self.due[key] = self.clock.now + (0 if rung else again)

    @rule(seconds=st.integers(1, 4))
    def wait(self, seconds):
        self.clock.now += seconds
        assert len(self.queue) == sum(due <= self.clock.now for due in self.due.values())


Rung.TestCase.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
TestRung = Rung.TestCase


@pytest.mark.parametrize("turns", range(5), ids="after {} turns of the loop".format)
async def test_whoever_waits_can_be_ended_in_the_moment_of_a_ring(queue, turns):
    """A worker that lost the word to end would keep its process from ending for ever."""
    queue.ring(B)
    queue.done(await queue.take(), 60.0)
    waiting = asyncio.create_task(queue.take())
    await asyncio.sleep(0)
    await asyncio.sleep(0)

    queue.ring(A)
    for _ in range(turns):
        await asyncio.sleep(0)
    came = waiting.done()
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)

    assert waiting.cancelled() is not came
