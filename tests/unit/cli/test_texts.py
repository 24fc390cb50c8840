"""Text fits where it is shown, and cannot do anything to a terminal."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cairn_runtime.cli.views.texts import Column, cells, cut, pad, plain, short, table

TEXTS = st.text(max_size=40)


@given(TEXTS, st.integers(0, 30))
def test_a_cut_text_is_never_wider_than_asked(text, width):
    """Wide and combining characters are counted as a terminal shows them."""
    assert cells(cut(text, width)) <= width


@given(TEXTS, st.integers(40, 90))
def test_a_padded_text_is_as_wide_as_asked(text, width):
    """Columns stand under each other whatever is in them."""
    shown = cut(text, 40)

    assert cells(pad(shown, width)) == width
    assert cells(pad(shown, width, right=True)) == width


@given(st.text())
def test_plain_text_holds_no_control_character(text):
    """An escape sequence in a step's name or output shows, and does nothing."""
    assert plain(text).isprintable()


@pytest.mark.parametrize(
    ("text", "shown"),
    [("a\x1b[31mb", "a\\u001b[31mb"), ("a\nb", "a\\nb"), ("käse → 漢", "käse → 漢")],
)
def test_control_characters_become_what_json_writes(text, shown):
    """What was there can still be read."""
    assert plain(text) == shown


@pytest.mark.parametrize(("text", "width"), [("abc", 3), ("漢字", 4), ("e\u0301", 1), ("", 0)])
def test_width_is_counted_in_columns(text, width):
    """A wide character takes two columns, a combining one none."""
    assert cells(text) == width


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXTS,
    lambda v: st.lists(v, max_size=3) | st.dictionaries(TEXTS, v, max_size=3),
    max_leaves=5,
)


@given(VALUES)
def test_a_short_value_is_one_line(value):
    """Any JSON value fits into its column."""
    shown = short(value, 20)

    assert cells(shown) <= 20
    assert shown.isprintable()


def test_a_huge_value_is_cut_before_it_is_written():
    """A list of a million items costs no more than what is shown of it."""
    assert short(list(range(1_000_000)), 12) == "[0, 1, 2, 3…"
    assert short("x" * 1_000_000, 5) == '"xxx…'


COLUMNS = (Column("NAME", shrinks=True), Column("SIZE", right=True))


def test_a_table_aligns_its_columns():
    """Titles and cells stand under each other, numbers on the right."""
    assert table(COLUMNS, [("a", "1"), ("bcd", "1000")], 80) == [
        "NAME  SIZE",
        "a        1",
        "bcd   1000",
    ]


def test_a_table_cuts_only_columns_that_may_shrink():
    """Eighty columns hold ids and sizes whole; names give way."""
    lines = table(COLUMNS, [("a" * 50, "123456")], 20)

    assert lines == ["NAME            SIZE", "aaaaaaaaaaa…  123456"]


def test_a_table_that_cannot_fit_stays_readable():
    """Where even the shortest columns are too wide the lines are longer than asked."""
    assert table(COLUMNS, [("a" * 50, "123456")], 5)[1] == "aaaaa…  123456"


def test_a_table_without_rows_is_its_titles():
    """Nothing to show is no error."""
    assert table(COLUMNS, [], 80) == ["NAME  SIZE"]
