"""Heartbeats: what they bring back, and what does not stop them."""

from __future__ import annotations

import threading

import pytest
from tests.unit.runner.rows import accepted

from cairn_runtime.errors import RunNotFound, StoreUnavailable, Superseded
from cairn_runtime.model.values import JSONObject
from cairn_runtime.runner import heartbeats
from cairn_runtime.runner.heartbeats import Heart, Pulse
from cairn_runtime.runner.starting import claim_run, find_or_create
from cairn_runtime.store.base import NewSignal
from cairn_runtime.store.opening import open_store, store_for


class Heard:
    """What a pulse told."""

    def __init__(self):
        self.signals = 0
        self.lost = []
        self.something = threading.Event()

    def on_signals(self):
        self.signals += 1
        self.something.set()

    def on_lost(self, error):
        self.lost.append(type(error))
        self.something.set()

    def pulse(self, run_id, fence):
        return Pulse(run_id, fence, on_signals=self.on_signals, on_lost=self.on_lost)


@pytest.fixture
async def claimed(store):
    row = await find_or_create(store, accepted())
    return row.run_id, await claim_run(store, row.run_id, 0)


async def test_a_beat_is_a_sign_of_life(store, claimed):
    """The row shows it, and nobody has to be told anything."""
    heard = Heard()
    before = (await store.run(claimed[0])).heartbeat_at

    assert await heard.pulse(*claimed).beat(store)

    assert (await store.run(claimed[0])).heartbeat_at > before
    assert (heard.signals, heard.lost) == (0, [])


async def test_a_beat_takes_the_numbers_along(store, claimed):
    """As they are when it beats; where there are none yet, those in the row stay."""
    counted: list[JSONObject | None] = [{"count": 1}, {"count": 2}, None]
    pulse = Pulse(
        *claimed, on_signals=lambda: None, on_lost=lambda _error: None, metrics=lambda: counted.pop(0)
    )

    seen = []
    while counted:
        await pulse.beat(store)
        seen.append((await store.run(claimed[0])).metrics)

    assert seen == [{"count": 1}, {"count": 2}, {"count": 2}]


async def test_a_beat_brings_news_of_signals(store, claimed):
    """As long as a signal is not used up, each beat says so: the loop may not have waited for it yet."""
    heard = Heard()
    await store.send(claimed[0], NewSignal("payment", 5, "c"))

    await heard.pulse(*claimed).beat(store)
    await heard.pulse(*claimed).beat(store)

    assert heard.signals == 2


async def test_a_newer_claim_ends_the_beating(store, claimed):
    """Whoever lost the claim has no life to show."""
    heard = Heard()
    await store.claim(claimed[0], 1, "another")

    assert not await heard.pulse(*claimed).beat(store)

    assert heard.lost == [Superseded]


async def test_a_deleted_run_ends_the_beating(store, claimed):
    """There is nothing left to write."""
    heard = Heard()
    await store.delete_run(claimed[0])

    assert not await heard.pulse(*claimed).beat(store)

    assert heard.lost == [RunNotFound]


async def test_a_store_that_does_not_answer_is_asked_again(store, claimed, monkeypatch):
    """Whether it is gone for good is the engine's to find out."""
    heard = Heard()

    async def unanswered(*_):
        raise StoreUnavailable("locked")

    monkeypatch.setattr(store, "heartbeat", unanswered)

    assert await heard.pulse(*claimed).beat(store)
    assert heard.lost == []


@pytest.mark.parametrize("surprise", [StoreUnavailable("locked"), RuntimeError("a bug of a driver")])
async def test_the_thread_outlives_whatever_a_beat_meets(monkeypatch, surprise):
    """Without heartbeats a run looks dead: the next one may work."""
    url = f"memory:beating-{type(surprise).__name__}"
    store = await open_store(url)
    row = await find_or_create(store, accepted())
    fence = await claim_run(store, row.run_id, 0)
    await store.send(row.run_id, NewSignal("payment", 5, "c"))
    surprises = [surprise]

    def made(asked):
        inner = store_for(asked)
        opening = inner.open

        async def sometimes():
            if surprises:
                raise surprises.pop()
            await opening()

        monkeypatch.setattr(inner, "open", sometimes)
        return inner

    monkeypatch.setattr(heartbeats, "store_for", made)
    heard = Heard()
    heart = Heart(heard.pulse(row.run_id, fence), url, 0.001)

    heart.start()

    assert heard.something.wait(30)
    heart.stop()
    assert (surprises, heard.lost) == ([], [])
    await store.close()
