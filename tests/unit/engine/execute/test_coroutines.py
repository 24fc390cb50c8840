from __future__ import annotations

import asyncio
import threading
from contextlib import suppress
from typing import Any

import pytest

from cairn_runtime.engine.execute.coroutines import within
from cairn_runtime.engine.execute.watchdog import Watchdog
from cairn_runtime.errors import StepTimeout

AT_ONCE = 0.01
LONG = 3600.0


def watchdog() -> Watchdog:
    """One that ends nothing."""
    return Watchdog(0.1, lambda *_: None)


class Step:
    """User code with a way of answering cancellation; `log` is what it went through."""

    def __init__(self) -> None:
        self.log: list[str] = []

    async def polite(self) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            self.log.append("cleaned up")

    async def swallows_once(self) -> str:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.log.append("swallowed")
        await asyncio.Event().wait()
        return "never"

    async def swallows_for_ever(self) -> None:
        while True:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                self.log.append("swallowed")

    async def swallows_and_returns(self) -> str:
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        return "late"

    async def raises_when_cancelled(self) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise ValueError("in the cleanup") from None


async def test_a_result_in_time_is_the_result() -> None:
    """And so is an exception, as a value."""

    async def quick(value: object) -> object:
        await asyncio.sleep(0)
        if isinstance(value, BaseException):
            raise value
        return value

    errors = [ValueError("x"), SystemExit(3), TimeoutError("its own")]

    assert await within(LONG, quick(7), "t", None) == (7, None)
    assert [await within(LONG, quick(error), "t", None) for error in errors] == [(None, e) for e in errors]


@pytest.mark.parametrize(
    ("way", "log"),
    [
        pytest.param("polite", ["cleaned up"], id="it cleans up and goes"),
        pytest.param("swallows_once", ["swallowed"], id="it swallows the first cancellation"),
        pytest.param("swallows_for_ever", ["swallowed", "swallowed"], id="it swallows all: it is closed"),
        pytest.param("swallows_and_returns", [], id="it returns after all"),
        pytest.param("raises_when_cancelled", [], id="it raises while it is cancelled"),
    ],
)
async def test_what_overruns_is_ended_whatever_it_does(way: str, log: list[str]) -> None:
    """StepTimeout says so, and no task is left on the loop."""
    step = Step()
    before = asyncio.all_tasks()

    with pytest.raises(StepTimeout, match=r"overran its timeout of 10ms and was ended"):
        await within(AT_ONCE, getattr(step, way)(), "draft#1", watchdog())

    assert step.log == log
    assert asyncio.all_tasks() == before


async def test_a_timeout_matches_pythons_name_for_it() -> None:
    """`errors: [TimeoutError]` in the manifest means this too."""
    with pytest.raises(StepTimeout) as caught:
        await within(AT_ONCE, Step().polite(), "t", None)

    assert {"StepTimeout", "TimeoutError", "StepError"} <= set(caught.value.error_names)
    assert caught.value.error == "StepTimeout"


async def test_a_cancelled_caller_ends_the_step_first() -> None:
    """The engine's drain gets its CancelledError when the step has cleaned up."""
    step = Step()
    task = asyncio.create_task(within(LONG, step.polite(), "t", watchdog()))
    await asyncio.sleep(0)
    await asyncio.sleep(0)

    task.cancel()
    await asyncio.wait([task])

    assert task.cancelled()
    assert step.log == ["cleaned up"]


async def test_a_step_that_cancels_itself_has_failed() -> None:
    """Nobody asked for it: the engine must not take it for its own drain."""

    async def odd() -> None:
        raise asyncio.CancelledError

    value, error = await within(LONG, odd(), "t", None)

    assert value is None
    assert isinstance(error, asyncio.CancelledError)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
async def test_not_even_what_refuses_to_be_closed_lives_on() -> None:
    """Python says that it ignored GeneratorExit, and takes its frame away all the same."""
    turns: list[str] = []

    async def immortal() -> None:
        while True:
            try:
                await asyncio.Event().wait()
            except BaseException as error:  # noqa: BLE001 - that is the point
                turns.append(type(error).__name__)

    before = asyncio.all_tasks()
    with pytest.raises(StepTimeout):
        await within(AT_ONCE, immortal(), "draft#1", watchdog())

    assert turns[:3] == ["CancelledError", "CancelledError", "GeneratorExit"]
    assert asyncio.all_tasks() == before


async def test_a_step_that_ends_is_watched_no_more() -> None:
    """Whether it returned, overran or was cancelled."""
    dog = watchdog()

    async def quick() -> None: ...

    await within(LONG, quick(), "t", dog)
    with pytest.raises(StepTimeout):
        await within(AT_ONCE, Step().polite(), "t", dog)

    assert dog._due == {}


def test_a_held_loop_is_found_from_outside() -> None:
    """The watchdog's thread sees it where no timer of the loop could; it names the task and the place.

    Here nothing is ended, so the step may go on and its late result counts.
    """
    seen: list[tuple[str, str]] = []
    bitten = threading.Event()

    def bite(*told: Any) -> None:
        seen.append(told)
        bitten.set()

    async def hold() -> None:
        bitten.wait(60)

    # Long enough for a busy machine to reach `hold`: before that there is nothing to be found.
    asyncio.run(within(0.0, hold(), "draft#1", Watchdog(0.5, bite)))

    ((label, where),) = seen
    assert label == "draft#1"
    assert "in hold" in where
