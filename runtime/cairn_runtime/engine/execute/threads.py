"""Threads for sync steps without a timeout.

Not `concurrent.futures`: its threads are joined when the interpreter leaves, so a step that never returns
would keep a drained runner alive until it is killed. These are daemons.
Submitting and counting happen on the event loop, so there is no lock.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable
from queue import SimpleQueue
from threading import Thread
from typing import NamedTuple

Outcome = tuple[object, BaseException | None]
"""What a function returned, and what it raised: an exception in a tuple is only a value on its way."""


class _Job(NamedTuple):
    work: Callable[[], object]
    context: contextvars.Context
    loop: asyncio.AbstractEventLoop
    outcome: asyncio.Future[Outcome]


class Threads:
    """At most `limit` threads, started as they are needed and kept."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._started = 0
        self._busy = 0

    async def run(self, work: Callable[[], object]) -> Outcome:
        """Call `work` in a thread, with this task's context variables.

        A caller that is cancelled leaves the thread to itself; what comes of it is dropped.
        """
        loop = asyncio.get_running_loop()
        outcome: asyncio.Future[Outcome] = loop.create_future()
        if self._busy >= self._started and self._started < self._limit:
            self._grow()
        self._busy += 1
        self._jobs.put(_Job(work, contextvars.copy_context(), loop, outcome))
        return await outcome

    def _grow(self) -> None:
        """Start one more thread; where the system gives none, those that are there take it in turns."""
        try:
            Thread(target=self._serve, name=f"cairn-step-{self._started}", daemon=True).start()
        except RuntimeError:
            if self._started == 0:
                raise
        else:
            self._started += 1

    def close(self) -> None:
        """Let idle threads end; one that is still in a step ends after it."""
        for _ in range(self._started):
            self._jobs.put(None)
        self._started = 0

    def _serve(self) -> None:
        while (job := self._jobs.get()) is not None:
            try:
                outcome: Outcome = (job.context.run(job.work), None)
            except BaseException as error:  # noqa: BLE001 - sys.exit() in a step is the step's failure
                outcome = (None, error)
            try:
                job.loop.call_soon_threadsafe(self._done, job.outcome, outcome)
            except RuntimeError:
                return  # the loop is closed: nobody waits
            del job, outcome

    def _done(self, future: asyncio.Future[Outcome], outcome: Outcome) -> None:
        self._busy -= 1
        if not future.done():
            future.set_result(outcome)
