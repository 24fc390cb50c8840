"""A store that did not answer is asked again, within bounds."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from cairn_runtime.errors import CairnError, StoreUnavailable, Superseded
from cairn_runtime.store.patience import insist

ANSWER = 7


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A clock that only pauses move; gives the pauses."""
    now, pauses = [1000.0], list[float]()

    async def pause(seconds: float) -> None:
        pauses.append(seconds)
        now[0] += seconds

    monkeypatch.setattr("cairn_runtime.store.patience.time.monotonic", lambda: now[0])
    monkeypatch.setattr("cairn_runtime.store.patience.asyncio.sleep", pause)
    return pauses


def answering_after(failures: int, error: CairnError | None = None) -> Callable[[], Awaitable[int]]:
    left = [failures]

    async def call() -> int:
        if left[0]:
            left[0] -= 1
            raise error or StoreUnavailable("no answer")
        return ANSWER

    return call


async def test_a_call_is_repeated_until_it_is_answered(clock: list[float]) -> None:
    """The pauses double, and none is longer than two seconds."""
    assert await insist(answering_after(8), seconds=60) == ANSWER
    assert clock == [0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 2.0, 2.0]


async def test_when_the_time_is_over_the_error_comes_through(clock: list[float]) -> None:
    """No pause is begun that would end after the time."""
    with pytest.raises(StoreUnavailable):
        await insist(answering_after(1000), seconds=5)
    assert sum(clock) <= 5 < sum(clock) + 2 * clock[-1]


async def test_the_time_begins_with_the_first_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    """A call that took longer than the patience before it failed is still asked again."""
    now = [0.0]
    monkeypatch.setattr("cairn_runtime.store.patience.time.monotonic", lambda: now[0])
    answer = answering_after(1)

    async def slow() -> int:
        now[0] += 100
        return await answer()

    assert await insist(slow, seconds=60) == ANSWER


async def test_what_cannot_be_answered_later_is_not_asked_again(clock: list[float]) -> None:
    """Another writer's success does not go away by asking."""
    with pytest.raises(Superseded):
        await insist(answering_after(1, Superseded("another writer")), seconds=60)
    assert not clock


async def test_each_failure_is_told(clock: list[float]) -> None:
    """Also the last one, which comes through."""
    told = list[int]()
    with pytest.raises(StoreUnavailable):
        await insist(answering_after(1000), seconds=1, on_failure=lambda: told.append(1))
    assert len(told) == len(clock) + 1
