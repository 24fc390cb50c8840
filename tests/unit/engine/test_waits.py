"""Which waits are over, to the microsecond."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from cairn_runtime.engine.frontier import Task
from cairn_runtime.engine.waits import judge
from cairn_runtime.store.base import Signal, Wait

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
TICK = timedelta(microseconds=1)


def parked(**moments: datetime) -> Task:
    return Task("a", 1, None, 0, wait=Wait("a#1", "signal", "go", **moments))


def sent(at: datetime) -> Signal:
    return Signal("run", 1, "go", "value", "client", "", at)


@pytest.mark.parametrize(("until", "over"), [(NOW - TICK, True), (NOW, True), (NOW + TICK, False)])
def test_a_time_has_come_when_it_is_that_time(until, over):
    """The row says when a run is due, and whoever wakes it then finds it due."""
    found, _ = judge([parked(until=until)], [], NOW)

    assert [one.overdue for one in found] == ([False] if over else [])


@pytest.mark.parametrize(("deadline", "over"), [(NOW - TICK, True), (NOW, True), (NOW + TICK, False)])
def test_a_deadline_has_passed_when_it_is_that_time(deadline, over):
    """As for a sleep."""
    found, _ = judge([parked(deadline=deadline)], [], NOW)

    assert [one.overdue for one in found] == ([True] if over else [])


@pytest.mark.parametrize(("at", "answer"), [(NOW - TICK, "value"), (NOW, "value"), (NOW + TICK, None)])
def test_a_signal_of_that_very_time_is_in_time(at, answer):
    """It was stored before the deadline was over."""
    ((found,), _) = judge([parked(deadline=NOW)], [sent(at)], NOW + TICK)

    assert (found.answer, found.overdue) == (answer, answer is None)
