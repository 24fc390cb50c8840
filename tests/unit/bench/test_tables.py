"""From rounds to lines: medians, ranges, ratios, verdicts."""

from __future__ import annotations

from typing import Any

import pytest
from bench.rounds import Series, cases_of
from bench.rows import FULL, Bar, Case, Row, table
from bench.tables import line_of, markdown, number, to_json

OURS = Case("cairn", "chain", {"steps": 1})
THEIRS = Case("langgraph", "chain", {"saver": "aiosqlite"})
OTHERS = Case("langgraph", "chain", {"saver": "sqlite"})


def line(
    ours: list[float], theirs: list[float], others: list[float] | None = None, bar: Bar | None = None
) -> Any:
    """A line of these rounds."""
    series = {OURS.key: _series(ours), THEIRS.key: _series(theirs), OTHERS.key: _series(others or [])}
    return line_of(Row("a row", "ms/step", "ms", OURS, (THEIRS, OTHERS), bar, "cpu_ms"), series)


def _series(values: list[float]) -> Series:
    return Series([{"ms": value, "cpu_ms": value / 2} for value in values])


def test_a_side_is_shown_with_median_and_range():
    """One slow round moves the range and not the median."""
    text = markdown([line([1.0, 9.0, 2.0], [])], judged=True).splitlines()[-1]

    assert "| 2 (1 - 9) " in text
    assert "| a row | ms/step |" in text


def test_the_ratio_is_taken_round_by_round():
    """Where the machine was slow in one round, it was slow for both."""
    assert line([1.0, 10.0, 1.0], [4.0, 40.0, 5.0]).ratio == 4.0


def test_the_faster_of_two_savers_is_shown_by_name():
    """The comparison is with the best that there is."""
    found = line([1.0], [8.0], [6.0])

    assert found.rival.median == 6.0
    assert "6 (once) SqliteSaver" in markdown([found], judged=True)


@pytest.mark.parametrize(
    ("bar", "met"),
    [
        pytest.param(Bar("at most", 2.0), True, id="the median is at the bar"),
        pytest.param(Bar("at most", 1.9), False, id="the median is above the bar"),
        pytest.param(Bar("times faster", 3.0), True, id="three times as fast"),
        pytest.param(Bar("times faster", 3.1), False, id="not as many times as fast"),
    ],
)
def test_a_bar_is_met_or_not(bar, met):
    """The verdict stands in the table; it is no failure of the benchmark."""
    found = line([2.0], [6.0], bar=bar)

    assert found.met is met
    assert ("NOT MET" in markdown([found], judged=True)) is not met


def test_small_sizes_are_not_judged():
    """The bars are for the full sizes."""
    text = markdown([line([9.0], [], bar=Bar("at most", 1.0))], judged=False)

    assert "at most 1" in text
    assert "MET" not in text


def test_without_the_other_side_there_is_no_ratio_and_no_verdict():
    """A bar of so many times as fast needs both."""
    found = line([2.0], [], bar=Bar("times faster", 4.0))

    assert found.ratio is None
    assert found.met is None


def test_a_case_that_failed_is_named_in_its_row():
    """The other rows still have their numbers."""
    series = {OURS.key: Series(problem="AssertionError: computed 1, not 2")}

    found = line_of(Row("a row", "ms", "ms", OURS), series)

    assert "computed 1, not 2" in markdown([found], judged=True)
    assert to_json([found])[0]["problem"] == "AssertionError: computed 1, not 2"


def test_json_holds_every_round():
    """Whoever wants another statistic can compute it."""
    [row] = to_json([line([1.0, 2.0], [4.0, 5.0])])

    assert row["cairn"]["rounds"] == [1.0, 2.0]
    assert row["langgraph"]["cpu"] == [2.0, 2.5]


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0"), (0.0512, "0.051"), (0.123, "0.123"), (1.234, "1.23"), (45.67, "45.7"), (1234.5, "1234")],
)
def test_a_number_shows_the_digits_that_count(value, text):
    """More digits than the noise leaves would be a lie."""
    assert number(value) == text


def test_cairn_and_langgraph_take_turns():
    """In each round Cairn's case of a row comes right before LangGraph's."""
    sides = [case.side for case in cases_of(table(FULL, "x.yaml"))][1:7]

    assert sides == ["cairn", "langgraph"] * 3
