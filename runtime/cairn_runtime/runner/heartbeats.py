"""Heartbeats: the sign that the holder of a claim lives, and its ear for signals and for newer claims.

In a runner process they come from a thread with an event loop and a store connection of its own, because user
code may hold the main loop for longer than a heartbeat may be late.
A store that does not answer a heartbeat is asked again at the next one; whether it is gone for good is the
engine's to find out, when it has something to save.
The first one comes after one interval: the claim was a sign of life itself.
Each takes the numbers along that the run has counted until then, so that a crash loses those of an interval.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from threading import Event, Thread

from cairn_runtime.errors import CairnError, RunNotFound, Superseded
from cairn_runtime.model.values import JSONObject
from cairn_runtime.store.base import Fence, Store
from cairn_runtime.store.opening import store_for

log = logging.getLogger("cairn.heartbeat")

_JOIN_SECONDS = 1.0


class Pulse:
    """One run's heartbeats over one store; what they bring back is told to two callbacks.

    `metrics` is asked for the run's numbers on whatever thread beats.
    """

    def __init__(
        self,
        run_id: str,
        fence: Fence,
        *,
        on_signals: Callable[[], None],
        on_lost: Callable[[CairnError], None],
        metrics: Callable[[], JSONObject | None] = lambda: None,
    ) -> None:
        self._run_id, self._fence = run_id, fence
        self._metrics = metrics
        self._on_signals, self._on_lost = on_signals, on_lost

    async def beat(self, store: Store) -> bool:
        """Give one sign of life; False once the claim is lost."""
        try:
            beat = await store.heartbeat(self._run_id, self._fence, self._metrics())
        except (Superseded, RunNotFound) as error:
            self._on_lost(error)
            return False
        except CairnError as error:
            log.warning("heartbeat got no answer", extra={"error": error.message})
            return True
        if beat.signals_pending:
            self._on_signals()
        return True

    async def go_on(self, store: Store, seconds: float) -> None:
        """Beat until the claim is lost or the task is cancelled; for programs that run Workflows inside."""
        await asyncio.sleep(seconds)
        while await self.beat(store):  # noqa: ASYNC110 - the pace is the point, nothing is waited for
            await asyncio.sleep(seconds)


class Heart:
    """A thread that beats; its callbacks are called on that thread."""

    def __init__(self, pulse: Pulse, store_url: str, seconds: float) -> None:
        self._pulse = pulse
        self._url = store_url
        self._seconds = seconds
        self._stopped = Event()
        self._opened = False
        # A daemon: a store that never answers must not keep the process from ending.
        self._thread = Thread(target=self._run, name="cairn-heartbeat", daemon=True)

    def start(self) -> None:
        """Begin; the first beat comes after one interval."""
        self._thread.start()

    def stop(self) -> None:
        """End, and close the connection if that is quick."""
        self._stopped.set()
        self._thread.join(_JOIN_SECONDS)

    def _run(self) -> None:
        if self._stopped.wait(self._seconds):
            return
        with asyncio.Runner() as runner:
            store = store_for(self._url)
            while not self._stopped.is_set():
                if not runner.run(self._beat(store)):
                    break
                self._stopped.wait(self._seconds)
            runner.run(store.close())

    async def _beat(self, store: Store) -> bool:
        """Give one sign of life, connecting where that is due; False once the claim is lost."""
        try:
            if not self._opened:
                await store.open()
                self._opened = True
            return await self._pulse.beat(store)
        except CairnError as error:
            log.warning("heartbeat found no store", extra={"error": error.message})
        except Exception:
            # Without heartbeats a run looks dead: whatever it was, the next one may work.
            log.exception("heartbeat failed")
        return True
