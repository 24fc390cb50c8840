"""Reading ahead: order, bounds, and a thread that never outlives who takes from it."""

from __future__ import annotations

import asyncio
import threading

import pytest

from cairn_runtime.errors import InvalidInput
from cairn_runtime.runner.archives import ahead as reading
from cairn_runtime.runner.archives.ahead import AHEAD_BYTES, ahead

ITEM = 1024**2


def readers():
    """The threads that read ahead now."""
    return [thread for thread in threading.enumerate() if thread.name == "cairn-ahead"]


@pytest.mark.parametrize("size", [1, 1000, ITEM, 2 * AHEAD_BYTES])
async def test_items_come_in_their_order(size):
    """Small ones by the piece, large ones one by one."""
    count = 20_000 if size < ITEM else 20
    async with ahead((number, size) for number in range(count)) as items:
        taken = [item async for item in items]

    assert taken == list(range(count))
    assert readers() == []


async def test_nothing_is_nothing():
    """An iterator that ends at once."""
    async with ahead(iter(())) as items:
        assert [item async for item in items] == []


async def test_what_is_raised_comes_after_the_items_before_it():
    """Whatever is still on the way then."""

    def items():
        yield from ((number, ITEM if number % 2 else 1) for number in range(9))
        raise InvalidInput("damaged")

    async with ahead(items()) as coming:
        for number in range(9):
            assert await anext(coming) == number
        with pytest.raises(InvalidInput, match="damaged"):
            await anext(coming)

    assert readers() == []


async def test_no_more_is_read_than_the_bound():
    """However slowly it is taken: the reader waits, and goes on when there is room."""
    full, loop = asyncio.Event(), asyncio.get_running_loop()
    taken, leads = 0, []

    def items():
        for number in range(40):
            leads.append((number + 1 - taken) * ITEM)
            if leads[-1] >= AHEAD_BYTES:
                loop.call_soon_threadsafe(full.set)
            yield number, ITEM

    async with ahead(items()) as coming:
        await full.wait()
        async for _ in coming:
            taken += 1

    assert taken == 40
    assert AHEAD_BYTES <= max(leads) <= AHEAD_BYTES + ITEM


def endless(begun):
    """Items without end; says when the first was asked for."""
    while True:
        begun()
        yield "item", ITEM


async def test_a_reader_ends_when_it_is_left():
    """By the end of the block, or by an error in it, while the reader waits for room."""
    for error in (None, ZeroDivisionError):
        try:
            async with ahead(endless(lambda: None)) as items:
                assert await anext(items) == "item"
                if error:
                    raise error
        except ZeroDivisionError:
            assert error is ZeroDivisionError
        assert readers() == []


async def test_a_reader_ends_when_its_taker_is_cancelled():
    """As by Ctrl-C."""
    begun, loop = asyncio.Event(), asyncio.get_running_loop()

    async def take():
        async with ahead(endless(lambda: loop.call_soon_threadsafe(begun.set))) as items:
            async for _ in items:
                await asyncio.Event().wait()

    task = asyncio.create_task(take())
    await begun.wait()
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task
    assert readers() == []


async def test_an_input_that_does_not_come_is_not_waited_for(monkeypatch):
    """Who leaves goes on; the reader ends when its input comes after all, and reads no more of it."""
    monkeypatch.setattr(reading, "_PARTING_SECONDS", 0.01)
    come = threading.Event()
    read = []

    def items():
        come.wait()
        for number in range(100):
            read.append(number)
            yield number, ITEM

    async with ahead(items()):
        (reader,) = readers()
    come.set()
    reader.join(10)

    assert not reader.is_alive()
    assert read == [0]


def test_a_reader_ends_where_its_loop_is_gone():
    """A loop that was stopped with the block open."""
    come = threading.Event()

    def items():
        come.wait()
        yield "item", ITEM

    loop = asyncio.new_event_loop()
    block = ahead(items())
    loop.run_until_complete(block.__aenter__())
    (reader,) = readers()
    loop.close()
    come.set()
    reader.join(10)

    assert not reader.is_alive()
