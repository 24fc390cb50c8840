"""The live board: the store says what is done, announcements say what runs."""

from __future__ import annotations

import pytest
from tests.unit.cli.builders import NOW, workflow

from cairn_runtime.cli.views.boards import Board, Row, fitting
from cairn_runtime.engine.compiled import compile_workflow
from cairn_runtime.engine.frontier import RunState
from cairn_runtime.engine.plan import Planner
from cairn_runtime.errors import StepFailed
from cairn_runtime.runner.announcements import Notice


def board() -> tuple[Board, Planner]:
    """A board of `digest`, and a planner that moves its state."""
    shown = workflow()
    compiled = compile_workflow(shown, lambda path: lambda old, new: new)
    planner = Planner(compiled, RunState(), [])
    planner.begin(compiled.input)
    planner.advance(NOW)
    found = Board(shown)
    found.see(planner.state, (), {})
    return found, planner


def row(found: Board, name: str, now: float = 0.0) -> Row:
    """One row."""
    return next(row for row in found.rows(now) if row.name == name)


def test_a_step_runs_while_the_runner_says_so():
    """Ready is not running: only the announcement makes it so, and its end takes it back."""
    found, _ = board()
    assert row(found, "fetch").standing == "ready"

    found.hear(Notice("started", "fetch#1[0]", 1), 10.0)
    running = row(found, "fetch", 12.5)
    found.hear(Notice("ended", "fetch#1[0]", 1, "done"), 13.0)

    assert (running.standing, running.seconds) == ("running", 2.5)
    assert (row(found, "fetch", 99.0).standing, row(found, "fetch", 99.0).seconds) == ("ready", 3.0)


def test_a_foreach_counts_what_the_store_has():
    """An item that ended and is not committed does not count; the total stays when the step is done."""
    found, planner = board()
    found.hear(Notice("ended", "fetch#1[0]", 1, "done"), 1.0)
    assert (row(found, "fetch").done, row(found, "fetch").total) == (0, 2)

    planner.finish_item("fetch", 0, "a")
    assert row(found, "fetch").done == 1
    planner.finish_item("fetch", 1, "b")
    planner.advance(NOW)
    assert (row(found, "fetch").done, row(found, "fetch").total) == (2, 2)
    assert row(found, "fetch").standing == "done"


def test_a_dead_runner_runs_nothing():
    """After a crash nothing is shown as running until the next runner says so."""
    found, _ = board()
    found.hear(Notice("started", "fetch#1[0]", 1), 0.0)

    found.hear(Notice("crashed", attempt=1, outcome="killed by signal 9"), 2.0)
    assert (row(found, "fetch", 50.0).standing, row(found, "fetch", 50.0).seconds) == ("ready", 2.0)


def test_a_second_try_says_so():
    """The first attempt is nothing to talk about."""
    found, _ = board()
    found.hear(Notice("started", "fetch#1[0]", 1), 0.0)
    assert row(found, "fetch").attempt == 0

    found.hear(Notice("started", "fetch#1[0]", 3), 0.0)
    assert row(found, "fetch").attempt == 3


def test_a_new_visit_begins_its_own_time():
    """The clock of a loop starts again at each visit."""
    found, _ = board()
    found.hear(Notice("started", "draft#1", 1), 0.0)
    found.hear(Notice("ended", "draft#1", 1, "done"), 5.0)

    found.hear(Notice("started", "draft#2", 1), 20.0)
    assert row(found, "draft", 21.0).seconds == 1.0


def test_a_failed_step_says_why():
    """The message stands beside the step."""
    found, planner = board()
    planner.finish_item("fetch", 0, None)
    planner.finish_item("fetch", 1, None)
    planner.advance(NOW)
    planner.fail("draft", None, StepFailed("no words", error="ValueError"))

    assert (row(found, "draft").standing, row(found, "draft").note) == ("failed", "ValueError: no words")


def test_a_waiting_step_says_what_it_asks():
    """The question of an approval stands beside the step."""
    found, planner = board()
    planner.finish_item("fetch", 0, None)
    planner.finish_item("fetch", 1, None)
    planner.advance(NOW)
    planner.finish("draft", {"text": "x"})
    planner.advance(NOW)
    planner.finish("check", {"score": 9})
    planner.advance(NOW)

    assert (row(found, "sign").standing, row(found, "sign").note) == ("waiting", "Publish?")


ROWS = (
    [Row(f"s{n}", "done") for n in range(10)]
    + [Row("now", "running")]
    + [Row(f"t{n}", "todo") for n in range(10)]
)


@pytest.mark.parametrize(
    ("most", "names"),
    [
        (1, ["now"]),
        (3, ["s9", "now", "t0"]),
        (5, ["s8", "s9", "now", "t0", "t1"]),
        (21, [row.name for row in ROWS]),
    ],
)
def test_a_small_screen_shows_what_is_under_way(most, names):
    """What runs is always there, then its neighbours; the rest is counted."""
    shown, left_out = fitting(ROWS, most)

    assert [row.name for row in shown] == names
    assert left_out == len(ROWS) - len(names)


def test_a_small_screen_shows_where_the_run_came_to():
    """At the end the last steps are worth more than the first."""
    done = [Row(f"s{n}", "done") for n in range(9)] + [Row("never", "todo")]

    assert [row.name for row in fitting(done, 3)[0]] == ["s7", "s8", "never"]
    assert [row.name for row in fitting([Row("a", "todo"), Row("b", "todo")], 1)[0]] == ["a"]


def test_neighbours_of_everything_that_runs_are_shown():
    """Two places at work: the rows around both, not those between."""
    rows = [Row(f"s{n}", "running" if n in (2, 17) else "todo") for n in range(20)]

    assert [row.name for row in fitting(rows, 6)[0]] == ["s1", "s2", "s3", "s16", "s17", "s18"]
