"""What a runner tells its supervisor, over a real pair of sockets."""

from __future__ import annotations

import asyncio
import socket

import pytest

from cairn_runtime.runner.announcements import BACKLOG_BYTES, Line, Notice, names


@pytest.mark.parametrize(
    ("wanted", "task", "meant"),
    [
        ("draft", "draft#1", True),
        ("draft", "draft#2", True),
        ("draft", "draft#2[5]", True),
        ("draft#2", "draft#2", True),
        ("draft#2", "draft#2[5]", True),
        ("draft#2[5]", "draft#2[5]", True),
        ("draft#2", "draft#1", False),
        ("draft#1", "draft#11", False),
        ("draft#2[5]", "draft#2[50]", False),
        ("draft", "drafts#1", False),
        ("", "draft#1", False),
    ],
)
def test_a_step_a_visit_or_an_item_names_a_task(wanted, task, meant):
    """`--kill-at` takes what people see: a step, one visit of it, or one item."""
    assert names(wanted, task) is meant


async def lines(on_notice=None, on_lost=None):
    ours, theirs = socket.socketpair()
    return await Line.over(ours, on_notice=on_notice, on_lost=on_lost), theirs


async def test_what_is_said_is_heard_in_order():
    """A notice arrives as it was said; empty fields need no bytes."""
    heard: list[Notice] = []
    ear, end = await lines(heard.append)
    mouth = await Line.over(end)
    said = [Notice("started", "a#1", 1), Notice("saved", seq=7), Notice("last", body={"code": 0, "word": {}})]

    for notice in said:
        mouth.say(notice)
    await mouth.close()
    await ear.heard_all()

    assert heard == said


async def test_a_line_that_is_no_notice_is_passed_over():
    """A newer runner may say more, and a line may be torn: neither stops the supervisor."""
    heard: list[Notice] = []
    ear, end = await lines(heard.append)

    end.sendall(b'no json\n{"event": "x", "newer": 1}\n[1]\n\n{"event": "saved", "seq": 2}\n{"event": "torn')
    end.close()
    await ear.heard_all()

    assert heard == [Notice("saved", seq=2)]


async def test_an_endless_line_is_not_kept():
    """What never ends in a newline must not fill the memory."""
    heard: list[Notice] = []
    ear, end = await lines(heard.append)
    loop = asyncio.get_running_loop()
    end.setblocking(False)

    await loop.sock_sendall(end, b"x" * 500_000)
    await loop.sock_sendall(end, b'\n{"event": "saved", "seq": 2}\n')
    end.close()
    await ear.heard_all()

    assert heard == [Notice("saved", seq=2)]


async def test_the_end_of_the_other_side_is_news():
    """A runner whose supervisor is gone hears of it."""
    lost = asyncio.Event()
    _, end = await lines(on_lost=lost.set)

    end.close()

    await lost.wait()


async def test_whoever_waits_for_the_end_in_vain_can_close_all_the_same():
    """A process that a step forked holds the runner's end longer than the runner lives."""
    ear, end = await lines()

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0):
            await ear.heard_all()
    async with asyncio.timeout(5):
        await ear.close()
    end.close()


async def test_ones_own_close_is_no_news():
    """Closing is not being left."""
    lost: list[bool] = []
    mouth, end = await lines(on_lost=lambda: lost.append(True))

    await mouth.close()
    end.close()

    assert lost == []


async def test_a_supervisor_that_does_not_read_holds_nothing_up():
    """Announcements beyond the backlog are dropped; the last word never is."""
    mouth, end = await lines()
    big = Notice("started", "x" * 1000)
    for _ in range(3 * BACKLOG_BYTES // 1000):
        mouth.say(big)
    mouth.say(Notice("last", body={"code": 0}))

    heard: list[Notice] = []
    ear = await Line.over(end, on_notice=heard.append)
    await mouth.close()
    await ear.heard_all()

    assert heard[-1] == Notice("last", body={"code": 0})
    assert len(heard) < 3 * BACKLOG_BYTES // 1000


async def test_speaking_to_somebody_who_left_is_harmless():
    """The runner goes on to drain; what it says meanwhile is lost."""
    lost = asyncio.Event()
    mouth, end = await lines(on_lost=lost.set)
    end.close()
    await lost.wait()

    mouth.say(Notice("saved", seq=1))
    mouth.shout(Notice("last"))


async def test_a_shout_goes_past_the_event_loop():
    """A process that ends by force speaks without its loop; a torn line before it does not matter."""
    mouth, end = await lines()

    mouth.shout(Notice("last", body={"code": 75}))

    assert end.recv(1000) == b'\n{"event":"last","body":{"code":75}}\n'
    end.close()
    await mouth.close()
