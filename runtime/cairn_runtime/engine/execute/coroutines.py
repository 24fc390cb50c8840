"""Async steps with a timeout: a task of their own, ended by degrees.

    timeout ── cancel ── half of the grace ── cancel again ── a quarter ── close the coroutine

The first cancellation leaves time to clean up; the second is for code that swallowed it (an `except
BaseException` in a loop); closing throws GeneratorExit at the place where it waits, and takes its frame away
whatever it does about that.
What never waits at all is the watchdog's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from contextlib import suppress

from cairn_runtime.engine.execute.watchdog import GRACE_SECONDS, Watchdog
from cairn_runtime.errors import StepTimeout
from cairn_runtime.model.durations import format_duration

_Outcome = tuple[object, BaseException | None]


def overrun(seconds: float) -> StepTimeout:
    """The failure of a step that took too long. Python's own name for it matches in `retry.errors` too."""
    names = ("StepTimeout", "TimeoutError", "StepError", "CairnError", "Exception", "BaseException")
    return StepTimeout(f"overran its timeout of {format_duration(seconds)} and was ended", mro=names)


async def within(seconds: float, work: Awaitable[object], label: str, watchdog: Watchdog | None) -> _Outcome:
    """Await user code for at most so long; return what it returned and what it raised.

    Raises:
        StepTimeout: it was ended.
        asyncio.CancelledError: the caller was cancelled; the work was ended first.
    """
    task = asyncio.create_task(_kept(work))
    guard = None if watchdog is None else watchdog.watch(label, seconds)
    grace = GRACE_SECONDS if watchdog is None else watchdog.grace_seconds
    try:
        await asyncio.wait([task], timeout=seconds)
        if not task.done():
            await _end(task, grace)
            raise overrun(seconds)
        # Cancelled by its own hand, if this task was not cancelled: a failure like any other.
        return (None, asyncio.CancelledError()) if task.cancelled() else task.result()
    except asyncio.CancelledError:
        await _end(task, grace)
        raise
    finally:
        if watchdog is not None and guard is not None and task.done():
            watchdog.release(guard)


async def _kept(work: Awaitable[object]) -> _Outcome:
    """Keep what user code raises as a value: a Task would let SystemExit end the event loop."""
    try:
        return await work, None
    except (asyncio.CancelledError, GeneratorExit):
        raise
    except BaseException as error:  # noqa: BLE001 - user code
        return None, error


async def _end(task: asyncio.Task[_Outcome], grace: float) -> None:
    """End a task by degrees."""
    for share in (0.5, 0.25, 0.2):
        if task.done():
            break
        if share == 0.2:
            with suppress(BaseException):  # user code in an `except` or `finally`
                task.get_coro().close()
        task.cancel()
        await asyncio.wait([task], timeout=grace * share)
    if task.done() and not task.cancelled():
        task.exception()  # taken, so that asyncio does not report it as lost
