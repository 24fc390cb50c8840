"""Blocking stores on a thread of their own."""

from __future__ import annotations

import asyncio
import threading

import pytest

from cairn_runtime.errors import StoreUnavailable, StoreUnusable
from cairn_runtime.store.base import NewRun, Outcome
from cairn_runtime.store.opening import store_for
from cairn_runtime.store.threads import StoreThread, ThreadedStore, drive


async def answer(value):
    return value


async def fail(error):
    raise error


def translate(error):
    return StoreUnavailable("ours") if isinstance(error, OSError) else None


def test_a_call_that_never_suspends_is_driven_to_its_end():
    """Its answer is its answer, its error its error."""
    assert drive(answer(7)) == 7
    with pytest.raises(KeyError):
        drive(fail(KeyError("x")))


def test_a_call_that_suspends_is_a_mistake():
    """A blocking store has no loop to wait in."""
    with pytest.raises(RuntimeError, match="must not suspend"):
        drive(asyncio.sleep(0))


async def test_calls_are_carried_out_in_their_order_on_one_thread():
    """So a blocking store needs no lock of its own."""
    thread = StoreThread("test", translate)
    seen = []

    async def note(n):
        seen.append((n, threading.current_thread().name))
        return n

    answers = await asyncio.gather(*(thread.call(note(n)) for n in range(50)))
    thread.stop()

    assert answers == list(range(50))
    assert seen == [(n, "test") for n in range(50)]


async def test_errors_are_translated_once():
    """Those of the driver become ours with the cause kept; ours and mistakes stay what they are."""
    thread = StoreThread("test", translate)

    with pytest.raises(StoreUnavailable, match="ours") as caught:
        await thread.call(fail(OSError("disk")))
    with pytest.raises(StoreUnusable, match="as it was"):
        await thread.call(fail(StoreUnusable("as it was")))
    with pytest.raises(ValueError, match="mistake"):
        await thread.call(fail(ValueError("mistake")))
    thread.stop()

    assert isinstance(caught.value.__cause__, OSError)


async def test_a_cancelled_caller_harms_nobody():
    """The call is carried out, its answer is lost, the next one gets its own."""
    thread = StoreThread("test", translate)
    gate, done = threading.Event(), []

    async def slow():
        gate.wait(5)
        done.append(True)

    waiting = asyncio.ensure_future(thread.call(slow()))
    await asyncio.sleep(0)
    waiting.cancel()
    gate.set()

    assert await thread.call(answer("next")) == "next"
    assert done == [True]
    thread.stop()


def test_one_thread_serves_several_loops():
    """Each caller gets its answer in its own loop."""
    thread = StoreThread("test", translate)

    async def ask(value):
        return await thread.call(answer(value))

    assert [asyncio.run(ask(n)) for n in range(3)] == [0, 1, 2]
    thread.stop()


def test_a_loop_that_was_closed_stops_no_thread():
    """Nobody hears the answer; the calls of others go on."""
    thread = StoreThread("test", translate)
    gate = threading.Event()

    async def slow():
        gate.wait(5)

    async def leave():
        thread.call(slow())

    async def ask():
        return await thread.call(answer("alive"))

    asyncio.run(leave())
    gate.set()

    assert asyncio.run(ask()) == "alive"
    thread.stop()


async def test_closing_waits_for_the_calls_under_way(tmp_path):
    """And ends the thread."""
    store = store_for(f"file://{tmp_path}/store")
    assert isinstance(store, ThreadedStore)
    await store.open()
    name = f"store {store.url}"
    calls = [asyncio.ensure_future(store.runs()) for _ in range(5)]
    await asyncio.sleep(0)

    await store.close()

    assert [await call for call in calls] == [[]] * 5
    for thread in threading.enumerate():
        if thread.name == name:
            thread.join(5)
            assert not thread.is_alive()


async def test_a_store_that_could_not_be_opened_can_be_opened_again(tmp_path):
    """The thread of the failed attempt is gone."""
    (tmp_path / "store").write_text("a file in the way")
    store = store_for(f"file://{tmp_path}/store")
    with pytest.raises(StoreUnusable):
        await store.open()
    (tmp_path / "store").unlink()

    await store.open()

    assert await store.runs() == []
    await store.close()


async def test_a_commit_is_made_on_the_callers_thread_where_nothing_else_needs_the_loop(
    tmp_path, monkeypatch
):
    """A program that owns its event loop says so; everybody else's loop is never held up."""
    store = store_for(f"sqlite:///{tmp_path}/cairn.db")
    assert isinstance(store, ThreadedStore)
    await store.open()
    made = []
    commit = store._inner.commit

    async def noted(*arguments):
        made.append(threading.current_thread() is threading.main_thread())
        await commit(*arguments)

    monkeypatch.setattr(store._inner, "commit", noted)
    await store.create_run(NewRun("run", "a/b/c", {}, "", "run"))
    fence = await store.claim("run", 0, "claim")

    await store.commit("run", fence, 0, "write-1", [], Outcome("Running"))
    store.alone = lambda: True
    await store.commit("run", fence, 0, "write-2", [], Outcome("Waiting"))

    assert made == [False, True]
    assert (await store.run("run")).phase == "Waiting"
    await store.close()


async def test_a_call_waits_its_turn_where_the_thread_is_at_work():
    """Two threads never use a blocking store at once."""
    thread, gate, at_work = StoreThread("test", translate), threading.Event(), threading.Event()

    async def slow():
        at_work.set()
        gate.wait(5)

    waiting = thread.call(slow())
    at_work.wait(5)
    refused = answer(None)
    carried_out = thread.carry_out_here(refused)
    refused.close()
    gate.set()
    await waiting
    thread.stop()

    assert not carried_out


async def test_errors_on_the_callers_thread_are_translated_too():
    """Whoever carries a call out, the caller sees our errors, and the store can be used again."""
    thread = StoreThread("test", translate)

    with pytest.raises(StoreUnavailable, match="ours"):
        thread.carry_out_here(fail(OSError("disk")))
    with pytest.raises(StoreUnusable, match="as it was"):
        thread.carry_out_here(fail(StoreUnusable("as it was")))

    assert thread.carry_out_here(answer(None))
    assert await thread.call(answer(7)) == 7
    thread.stop()
