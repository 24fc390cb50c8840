"""From rounds to lines: medians, ranges, ratios, verdicts; and from lines to a page."""

from __future__ import annotations

from typing import Any

import pytest
from bench.cases import FULL, Bar, Case, Row
from bench.pages import BEGIN, END, page, put_into, terminal
from bench.rounds import Series, cases_of
from bench.rows import local_rows
from bench.server_rows import server_rows
from bench.tables import line_of, markdown, number, to_json

OURS = Case("cairn", "chain", {"steps": 1})
THEIRS = Case("langgraph", "chain", {"saver": "aiosqlite"})
OTHERS = Case("langgraph", "chain", {"saver": "sqlite"})
DBOS = Case("dbos", "chain", {"flow": "async"})
FLOOR = Case("floor", "chain")


def line(
    ours: list[float],
    theirs: list[float],
    others: list[float] | None = None,
    *bars: Bar,
    unit: str = "ms/step",
    **more: list[float],
) -> Any:
    """A line of these rounds; `dbos` and `floor` among the words."""
    series = {
        OURS.key: _series(ours),
        THEIRS.key: _series(theirs),
        OTHERS.key: _series(others or []),
        DBOS.key: _series(more.get("dbos", [])),
        FLOOR.key: _series(more.get("floor", [])),
    }
    part = "servers" if more else "local"
    row = Row("a row", unit, "ms", OURS, (THEIRS, OTHERS, DBOS, FLOOR), bars, "cpu_ms", part)
    return line_of(row, series)


def shown(found: Any, *, judged: bool = True) -> str:
    """A line as its part of the table shows it."""
    return markdown([found], found.row.part, judged=judged).splitlines()[-1]


def _series(values: list[float]) -> Series:
    return Series([{"ms": value, "cpu_ms": value / 2} for value in values])


def test_a_side_is_shown_with_median_and_range():
    """One slow round moves the range and not the median."""
    text = shown(line([1.0, 9.0, 2.0], []))

    assert "| 2 (1 - 9) " in text
    assert "| a row | ms/step |" in text


def test_the_ratio_is_taken_round_by_round():
    """Where the machine was slow in one round, it was slow for both."""
    assert line([1.0, 10.0, 1.0], [4.0, 40.0, 5.0]).ratio("langgraph") == 4.0


def test_the_ratio_of_two_speeds_is_how_many_times_ours_is_theirs():
    """Steps a second: more is better."""
    assert line([400.0], [100.0], unit="steps/s").ratio("langgraph") == 4.0


def test_the_faster_of_two_savers_is_shown_by_name():
    """The comparison is with the best that there is."""
    found = line([1.0], [8.0], [6.0])

    assert found.rivals["langgraph"].median == 6.0
    assert "6 (once) SqliteSaver" in shown(found)


def test_of_two_speeds_the_greater_is_the_best():
    """The best of a rival's ways is the one that does more in a second."""
    found = line([100.0], [80.0], [60.0], unit="steps/s")

    assert found.rivals["langgraph"].median == 80.0


def test_every_rival_has_a_column_of_its_own_beside_servers():
    """The floor's column tells how many times its number is ours, not how many times faster we are."""
    text = shown(line([1.5], [6.0], dbos=[9.0], floor=[1.0]))

    assert [cell.strip() for cell in text.split("|")][3:-1] == [
        *("1.5 (once)", "0.75"),
        *("6 (once) AsyncSqliteSaver", "3", "4"),
        *("9 (once) async", "4.5", "6"),
        *("1 (once)", "1.5"),
        "-",
    ]


@pytest.mark.parametrize(
    ("bar", "met"),
    [
        pytest.param(Bar("at most", 2.0), True, id="the median is at the bar"),
        pytest.param(Bar("at most", 1.9), False, id="the median is above the bar"),
        pytest.param(Bar("times faster", 3.0), True, id="three times as fast"),
        pytest.param(Bar("times faster", 3.1), False, id="not as many times as fast"),
        pytest.param(Bar("times faster", 5.0, "dbos"), True, id="five times as fast as the other"),
        pytest.param(Bar("times faster", 5.1, "dbos"), False, id="not as many times as fast as the other"),
        pytest.param(Bar("of the floor", 2.0, "floor"), True, id="twice the floor"),
        pytest.param(Bar("of the floor", 1.9, "floor"), False, id="more of the floor than allowed"),
    ],
)
def test_a_bar_is_met_or_not(bar, met):
    """The verdict stands in the table; it is no failure of the benchmark."""
    found = line([2.0], [6.0], None, bar, dbos=[10.0], floor=[1.0])

    assert found.met(bar) is met
    assert ("NOT MET" in shown(found)) is not met


def test_a_row_may_have_several_bars():
    """Each is judged by itself."""
    bars = (Bar("of the floor", 3.0, "floor"), Bar("times faster", 4.0), Bar("times faster", 5.0, "dbos"))

    text = shown(line([2.0], [6.0], None, *bars, dbos=[10.0], floor=[1.0]))

    assert "at most 3 x INSERT: met; 4 x LangGraph at least: NOT MET; 5 x DBOS at least: met" in text


def test_small_sizes_are_not_judged():
    """The bars are for the full sizes."""
    text = shown(line([9.0], [], None, Bar("at most", 1.0)), judged=False)

    assert "at most 1" in text
    assert "MET" not in text


def test_without_the_other_side_there_is_no_ratio_and_no_verdict():
    """A bar of so many times as fast needs both."""
    bar = Bar("times faster", 4.0)
    found = line([2.0], [], None, bar)

    assert found.ratio("langgraph") is None
    assert found.met(bar) is None


def test_a_case_that_failed_is_named_in_its_row():
    """The other rows still have their numbers; the text of the error is told beside the table."""
    series = {OURS.key: Series(problem="AssertionError: computed 1, not 2")}

    found = line_of(Row("a row", "ms", "ms", OURS), series)

    assert "| failed " in shown(found)
    assert found.problem == "cairn chain 1: AssertionError: computed 1, not 2"
    assert to_json([found])[0]["problem"] == found.problem


def test_json_holds_every_round():
    """Whoever wants another statistic can compute it."""
    [row] = to_json([line([1.0, 2.0], [4.0, 5.0])])

    assert row["cairn"]["rounds"] == [1.0, 2.0]
    assert row["langgraph"]["cpu"] == [2.0, 2.5]
    assert row["dbos"] is None


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0"), (0.0512, "0.051"), (0.123, "0.123"), (1.234, "1.23"), (45.67, "45.7"), (1234.5, "1234")],
)
def test_a_number_shows_the_digits_that_count(value, text):
    """More digits than the noise leaves would be a lie."""
    assert number(value) == text


def test_cairn_and_its_rivals_take_turns():
    """In each round Cairn's case of a row comes right before those that it is compared with."""
    local = [case.side for case in cases_of(local_rows(FULL, "x.yaml"))][1:7]
    servers = [case.side for case in cases_of(server_rows(FULL))][:9]

    assert local == ["cairn", "langgraph"] * 3
    assert servers == ["cairn", *["langgraph"] * 4, *["dbos"] * 3, "floor"]


def test_every_row_of_a_server_is_in_the_servers_part():
    """A part is one table: a row in the wrong one would lack its columns."""
    assert {row.part for row in local_rows(FULL, "x.yaml")} == {"local"}
    assert {row.part for row in server_rows(FULL)} == {"servers"}


def test_both_parts_are_told_with_the_machine():
    """Numbers without the machine that they belong to mean nothing."""
    lines = [line([1.0], [2.0]), line([1.5], [6.0], dbos=[9.0], floor=[1.0])]

    text = terminal(lines, {"processor": "an abacus"}, judged=True)

    assert text.count("| a row | ms/step |") == 2
    assert "processor: an abacus" in text


def test_a_page_shows_no_processor_times_and_no_alignment():
    """A page's table changes only where a number has changed, not where a column grew wider."""
    text = page([line([1.5], [6.0], dbos=[9.0], floor=[1.0])], {}, judged=True)

    assert "| what | unit | Cairn | LangGraph | ratio | DBOS | ratio | INSERT | x INSERT | bar |" in text
    assert "| a row | ms/step | 1.5 (once) | 6 (once) AsyncSqliteSaver | 4 | 9 (once) async | 6 " in text


def test_a_page_is_written_between_its_marks(tmp_path):
    """What a person has written around the numbers stays; writing twice changes nothing more."""
    path = tmp_path / "page.md"
    path.write_text(f"# Speed\n{BEGIN}\n123 s\n{END}\nHow to read it.\n")
    text = page([line([1.0], [2.0])], {"processor": "an abacus"}, judged=True)

    put_into(path, text)
    put_into(path, text)

    written = path.read_text()
    assert written.startswith(f"# Speed\n{BEGIN}\n\nMedian")
    assert written.endswith(f"- processor: an abacus\n\n{END}\nHow to read it.\n")
    assert "123 s" not in written


def test_a_page_without_marks_is_left_alone(tmp_path):
    """The run does not guess where its numbers belong."""
    path = tmp_path / "page.md"
    path.write_text("# Speed\n")

    with pytest.raises(ValueError, match="has no line"):
        put_into(path, "numbers")

    assert path.read_text() == "# Speed\n"
