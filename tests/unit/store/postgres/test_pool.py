"""The pool: connections are kept, shared, thrown away, and made again without a crowd."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from cairn_runtime.errors import StoreUnavailable, StoreUnusable
from cairn_runtime.store.postgres import pool as pools
from cairn_runtime.store.postgres.pool import Pool


class Line:
    """A connection as far as the pool sees it."""

    def __init__(self):
        self.alive = self.idle = True
        self.closed = False

    def is_alive(self):
        return self.alive

    def is_idle(self):
        return self.idle

    def close(self):
        self.closed = True


class Server:
    """What connections are made to: counts, and refuses as often as it is told."""

    def __init__(self, refusals=0):
        self.made: list[Line] = []
        self.attempts = 0
        self.refusals = refusals

    async def connect(self):
        self.attempts += 1
        await asyncio.sleep(0)
        if self.refusals:
            self.refusals -= 1
            raise StoreUnavailable("refused")
        self.made.append(Line())
        return cast("Any", self.made[-1])


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch):
    """Pauses of no length: nothing is measured here."""
    monkeypatch.setattr(pools, "_FIRST_PAUSE", 1e-9)
    monkeypatch.setattr(pools, "_LONGEST_PAUSE", 1e-9)


def opened(server: Server, size: int = 2) -> Pool:
    pool = Pool(server.connect, size, "place")
    pool.open()
    return pool


async def test_one_caller_keeps_one_connection():
    """What was given back is taken again."""
    server = Server()
    pool = opened(server)

    for _ in range(3):
        pool.give(await pool.take())

    assert len(server.made) == 1


async def test_whoever_comes_when_all_are_taken_waits_for_one():
    """The bound is kept, and nobody is forgotten."""
    server = Server()
    pool = opened(server)

    async def use():
        line = await pool.take()
        await asyncio.sleep(0)
        pool.give(line)

    await asyncio.gather(*(use() for _ in range(20)))

    assert len(server.made) == 2


async def test_whoever_waits_longest_is_first():
    """Also when the one who gives a connection back asks for it again at once."""
    server = Server()
    pool = opened(server, 1)
    order = []

    async def use(name):
        for _ in range(3):
            line = await pool.take()
            order.append(name)
            await asyncio.sleep(0)
            pool.give(line)

    await asyncio.gather(*(use(name) for name in "abc"))

    assert "".join(order) == "abc" * 3


@pytest.mark.parametrize("broken", ["alive", "idle"])
async def test_a_broken_connection_is_thrown_away(broken):
    """One that died while idle, or came back in the middle of something."""
    server = Server()
    pool = opened(server, 1)
    line = await pool.take()
    setattr(line, broken, False)
    pool.give(line)

    another = await pool.take()

    assert another is not line
    assert cast("Any", line).closed


async def test_a_waiter_that_is_cancelled_passes_its_turn_on():
    """Else the next one would wait for ever."""
    server = Server()
    pool = opened(server, 1)
    line = await pool.take()
    first, second = (asyncio.ensure_future(pool.take()) for _ in range(2))
    await asyncio.sleep(0)
    pool.give(line)
    first.cancel()

    assert await second is line
    with pytest.raises(asyncio.CancelledError):
        await first


async def test_a_cancelled_waiter_among_others_is_passed_over():
    """Whether it was cancelled before its turn or at the same moment."""
    server = Server()
    pool = opened(server, 1)
    line = await pool.take()
    first, second = (asyncio.ensure_future(pool.take()) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    pool.give(line)

    assert await second is line


async def test_a_server_that_comes_back_is_not_met_by_a_crowd():
    """While it is away one caller tries at a time, and the others fail with it."""
    server = Server(refusals=2)
    pool = opened(server, 50)
    with pytest.raises(StoreUnavailable):
        await pool.take()

    answers = await asyncio.gather(*(pool.take() for _ in range(50)), return_exceptions=True)

    assert {type(answer) for answer in answers} == {StoreUnavailable}
    assert server.attempts == 2
    pool.give(await pool.take())
    assert len(server.made) == 1


async def test_a_failed_attempt_leaves_room_for_the_next():
    """Connections that were never made do not count."""
    server = Server(refusals=5)
    pool = opened(server, 1)
    for _ in range(5):
        with pytest.raises(StoreUnavailable):
            await pool.take()

    line: Any = await pool.take()
    assert line is server.made[0]


async def test_a_cancelled_attempt_leaves_the_others_to_try():
    """Whoever tried for all may go away."""
    server = Server(refusals=1)
    pool = opened(server, 2)
    with pytest.raises(StoreUnavailable):
        await pool.take()
    first, second = (asyncio.ensure_future(pool.take()) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()

    line: Any = await second
    assert line is server.made[0]


async def test_a_closed_pool_closes_all_and_gives_none():
    """The idle ones at once, the others when they come back."""
    server = Server()
    pool = opened(server)
    one, two = await pool.take(), await pool.take()
    pool.give(one)
    pool.close()
    pool.close()
    was = [line.closed for line in server.made]
    pool.give(two)

    assert (was, [line.closed for line in server.made]) == ([True, False], [True, True])
    with pytest.raises(StoreUnusable, match="not open"):
        await pool.take()


async def test_a_closed_pool_keeps_nobody_waiting():
    """However many wait for one connection: it is given back once, and closed."""
    pool = opened(Server(), size=1)
    taken = await pool.take()
    waiting = [asyncio.ensure_future(pool.take()) for _ in range(3)]
    await asyncio.sleep(0)

    pool.close()
    pool.give(taken)
    async with asyncio.timeout(1):
        answers = await asyncio.gather(*waiting, return_exceptions=True)

    assert [type(answer) for answer in answers] == [StoreUnusable] * 3


async def test_a_connection_that_nobody_needs_is_closed(monkeypatch):
    """After a rush the store goes back to what it uses."""
    monkeypatch.setattr(pools, "IDLE_SECONDS", -1.0)
    server = Server()
    pool = opened(server)
    one, two = await pool.take(), await pool.take()
    pool.give(one)
    pool.give(two)

    assert cast("Any", one).closed
    assert not cast("Any", two).closed
