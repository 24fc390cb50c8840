"""When a status may be written, and what goes first."""

from __future__ import annotations

import pytest

from cairn_operator.reconcile.workqueue import Key
from cairn_operator.reconcile.writing import A_SECOND, BURST, WriteBudget, urgent

A, B = Key("team", "a"), Key("team", "b")


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def budget(clock):
    return WriteBudget(clock)


def write(budget, key, *, took=0.0, urgent=False):
    """Write if it may be; answers how long it must wait."""
    wait = budget.wait_seconds(key, urgent=urgent)
    if wait == 0.0:
        budget.written(key, took)
    return wait


@pytest.mark.parametrize(("took", "pause"), [(0.0, 1.0), (0.01, 1.0), (0.2, 4.0), (3.0, 10.0)])
def test_an_object_is_written_once_in_a_while(budget, clock, took, pause):
    """A second, or twenty times what the last write took, up to ten: a slow server is written to less."""
    assert write(budget, A, took=took) == 0.0
    assert write(budget, A) == pause
    assert write(budget, B) == 0.0
    clock.now += pause
    assert write(budget, A) == 0.0


def test_what_people_wait_for_does_not_wait(budget, clock):
    """A run that is made, begins and ends within a second is shown at once; others of it wait for that."""
    assert write(budget, A, urgent=True) == 0.0
    assert write(budget, A, urgent=True) == 0.0
    assert write(budget, A, urgent=True) == 0.0
    assert write(budget, A) == 3.0
    clock.now = 2.9
    assert write(budget, A) == pytest.approx(0.1)


@pytest.mark.parametrize(("took", "most"), [(0.0, 63), (0.2, 18)])
def test_an_object_that_changes_all_the_time_is_written_no_more_often(budget, clock, took, most):
    """A run that parks and wakes ten times a second: over a minute, once a second and a few ahead."""
    written = 0
    for step in range(600):
        clock.now = step / 10
        written += write(budget, A, took=took, urgent=True) == 0.0

    assert most - 3 <= written <= most


def test_all_objects_together_have_a_rate(budget, clock):
    """Over ten seconds no more than twenty a second and the burst; who must wait is told how long."""
    written = 0
    for step in range(1000):
        clock.now = step / 100
        for n in range(3):
            wait = write(budget, Key("team", f"{step}-{n}"), urgent=True)
            written += wait == 0.0
            assert wait <= 1 / A_SECOND

    assert A_SECOND * 10 - 1 <= written <= A_SECOND * 10 + BURST


def test_some_writes_are_kept_for_what_people_wait_for(budget, clock):
    """However many other objects have news."""
    keys = [Key("team", str(n)) for n in range(100)]
    others = sum(write(budget, key) == 0.0 for key in keys)
    firsts = sum(write(budget, key, urgent=True) == 0.0 for key in keys)

    assert (others, firsts) == (10, 10)
    clock.now += 1000.0
    assert sum(write(budget, key, urgent=True) == 0.0 for key in keys) == BURST


def test_a_write_that_must_wait_costs_nothing(budget):
    """Asking again does not put it off further."""
    write(budget, A)

    assert [write(budget, A) for _ in range(50)] == [1.0] * 50
    assert write(budget, B) == 0.0


def test_a_workflow_that_is_gone_leaves_nothing(budget):
    """One of the same name begins anew."""
    write(budget, A, took=100.0)
    budget.forget(A)

    assert write(budget, A) == 0.0


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ({}, {"phase": "Pending"}, True),
        ({"phase": "Running"}, {"phase": "Waiting"}, True),
        ({"waits": []}, {"waits": [{"task": "sign#1"}]}, True),
        ({"run": "1"}, {"run": "2"}, True),
        ({"observedGeneration": 1}, {"observedGeneration": 2}, True),
        ({"phase": "Running", "progress": "1/2"}, {"phase": "Running", "progress": "2/2"}, False),
        ({"head": {"seq": 1}}, {"head": {"seq": 2}}, False),
    ],
    ids=["the first status", "a phase", "waits", "a run", "a changed spec", "progress", "a head"],
)
def test_what_people_wait_for(before, after, expected):
    """They wait for phases, questions, and for what became of their patch."""
    assert urgent(before, after) is expected
