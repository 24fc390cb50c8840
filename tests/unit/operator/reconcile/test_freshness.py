"""Whether the watches tell what happens, held against what the lists have shown."""

from __future__ import annotations

import pytest

from cairn_operator.reconcile.freshness import GRACE_SECONDS, Freshness, number_of


class Clock:
    at = 0.0

    def __call__(self):
        return self.at


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def freshness(clock):
    found = Freshness(clock)
    found.expect("Workflow")
    return found


def test_a_watch_that_told_what_is_there_is_fresh_however_silent(freshness, clock):
    """Nothing happens for hours; each list finds nothing that was not told."""
    freshness.told("Workflow", "41")
    for _ in range(5):
        clock.at += 3600
        freshness.listed("Workflow", 41)

        assert freshness.ages() == {"Workflow": 0.0}
        assert not freshness.behind("Workflow")


def test_an_empty_cluster_proves_its_watch(freshness, clock):
    """There is nothing to tell, and nothing was missed."""
    clock.at += 3600
    freshness.listed("Workflow", 0)

    assert freshness.ages() == {"Workflow": 0.0}


def test_a_watch_that_missed_something_is_behind_after_a_while(freshness, clock):
    """A list has shown what the watch does not tell, and it had time to."""
    freshness.told("Workflow", "41")
    freshness.listed("Workflow", 42)
    clock.at += GRACE_SECONDS

    assert not freshness.behind("Workflow")
    clock.at += 0.1
    assert freshness.behind("Workflow")
    assert freshness.ages() == {"Workflow": GRACE_SECONDS + 0.1}


def test_a_late_word_makes_it_fresh_again(freshness, clock):
    """The event was only on its way."""
    freshness.listed("Workflow", 42)
    clock.at += 2 * GRACE_SECONDS
    freshness.told("Workflow", "42")

    assert not freshness.behind("Workflow")
    assert freshness.ages() == {"Workflow": 0.0}


def test_a_watch_that_never_tells_grows_old_however_often_it_is_started(freshness, clock):
    """Starting it again is no sign of its life: at last the process is given up."""
    freshness.listed("Workflow", 42)
    for _ in range(10):
        clock.at += GRACE_SECONDS + 1
        assert freshness.behind("Workflow")
        freshness.again("Workflow")
        assert not freshness.behind("Workflow")

    assert freshness.ages() == {"Workflow": 10 * (GRACE_SECONDS + 1)}


def test_a_watch_that_begins_again_has_told_nothing_yet(freshness, clock):
    """What the one before told says nothing about this one."""
    freshness.told("Workflow", "42")
    freshness.expect("Workflow")
    freshness.listed("Workflow", 42)
    clock.at += 2 * GRACE_SECONDS

    assert freshness.behind("Workflow")


@pytest.mark.parametrize(
    ("version", "number"), [("17", 17), ("", 0), (None, 0), ("x1", 0), ("-1", 0), ("٣", 0)]
)
def test_a_version_that_is_no_number_counts_as_none(version, number):
    """A version that cannot be compared proves nothing and breaks nothing."""
    assert number_of(version) == number
