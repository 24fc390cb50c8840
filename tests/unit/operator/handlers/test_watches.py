"""Watches that begin again whenever they end, on a thread that leaves the process's own loop alone."""

from __future__ import annotations

import asyncio
import copy
import json
import signal
import threading

import pytest

from cairn_operator.handlers import watches as rooms
from cairn_operator.handlers.doorbells import Ring
from cairn_operator.handlers.watches import Watches
from cairn_operator.reconcile.workqueue import Key

LEVELS = 10_000
"""As deep as the API server lets an object be."""
RING = Ring("Workflow", Key("team", "digest"), "17")


class Kopf:
    """Stands for `kopf.operator`: each time it is started it does what the test wrote down for that time."""

    def __init__(self, *lives):
        self.lives = list(lives)
        self.threads = []
        self.started = threading.Semaphore(0)
        self.bell = None

    async def __call__(self, *, registry, stop_flag, **options):
        self.threads.append(threading.current_thread())
        self.options = options
        life = self.lives.pop(0) if self.lives else "watch"
        if life == "deep":
            copy.deepcopy(json.loads("[" * LEVELS + "]" * LEVELS))
            life = "watch"
        self.started.release()
        if isinstance(life, Exception):
            raise life
        if life == "watch":
            await asyncio.to_thread(stop_flag.wait, 10)

    async def until_started(self, times=1):
        for _ in range(times):
            assert await asyncio.to_thread(self.started.acquire, timeout=10)


@pytest.fixture
def started(monkeypatch):
    """Start watches on a made-up kopf; they are stopped with the test."""
    monkeypatch.setattr(rooms, "FIRST_PAUSE_SECONDS", 0.001)
    monkeypatch.setattr(rooms, "LONGEST_PAUSE_SECONDS", 0.002)
    running = []

    def start(kopf, namespaces=()):
        monkeypatch.setattr("kopf.operator", kopf)
        found = Watches(running.append, asyncio.get_running_loop(), namespaces)
        found.start()
        return found

    return start


@pytest.mark.parametrize(
    "end",
    [
        pytest.param("return", id="it ends as if all were well"),
        pytest.param(RuntimeError("x"), id="it fails"),
    ],
)
async def test_watches_that_end_begin_again(started, end):
    """Kopf ends on a watch error that it does not know, and sometimes for nothing."""
    kopf = Kopf(end, end, "watch")
    found = started(kopf)
    await kopf.until_started(3)
    await found.stop()

    assert found.restarts == 2


async def test_watches_are_started_again_when_asked(started):
    """A list has shown what they did not tell."""
    kopf = Kopf()
    found = started(kopf)
    await kopf.until_started()
    found.restart("a test asks for it")
    await kopf.until_started()
    await found.stop()

    assert len(kopf.threads) == 2


async def test_stopped_watches_stay_stopped(started):
    """An operator that lost the Lease watches nothing."""
    kopf = Kopf()
    found = started(kopf)
    await kopf.until_started()
    await found.stop()

    assert not kopf.threads[0].is_alive()
    assert (len(kopf.threads), found.restarts) == (1, 0)


async def test_they_may_begin_again_after_a_stop(started):
    """The Lease was lost and came back."""
    kopf = Kopf()
    found = started(kopf)
    await kopf.until_started()
    await found.stop()
    found.start()
    await kopf.until_started()
    await found.stop()

    assert len(kopf.threads) == 2


async def test_the_deepest_object_does_not_end_the_watches(started):
    """Kopf reads and copies by recursion: one such object would take the bell from all the others."""
    kopf = Kopf("deep")
    found = started(kopf)
    await kopf.until_started()
    await found.stop()

    assert found.restarts == 0
    assert threading.stack_size() == 0


async def test_signals_stay_ours(started):
    """Kopf takes the handlers of the main thread; it does not run there."""
    ours = threading.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, ours.set)
    kopf = Kopf()
    found = started(kopf)
    await kopf.until_started()
    signal.raise_signal(signal.SIGTERM)
    await asyncio.sleep(0)
    await found.stop()
    loop.remove_signal_handler(signal.SIGTERM)

    assert ours.is_set()
    assert kopf.threads[0] is not threading.main_thread()


@pytest.mark.parametrize(("namespaces", "clusterwide"), [((), True), (("a", "b"), False)])
async def test_the_namespaces_are_those_of_the_settings(started, namespaces, clusterwide):
    """None named means all of them."""
    kopf = Kopf()
    found = started(kopf, namespaces)
    await kopf.until_started()
    await found.stop()

    assert (kopf.options["namespaces"], kopf.options["clusterwide"]) == (namespaces, clusterwide)
    assert kopf.options["standalone"] is True
    assert kopf.options["identity"] == "cairn"


async def test_a_ring_arrives_on_the_loop_of_the_passes():
    """The queue belongs to one event loop and knows no locks."""
    heard = asyncio.Queue()
    found = Watches(
        lambda ring: heard.put_nowait((ring, threading.current_thread())), asyncio.get_running_loop(), ()
    )
    await asyncio.to_thread(found._across, RING)

    assert await heard.get() == (RING, threading.main_thread())
