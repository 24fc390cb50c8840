"""Durations and sizes as people write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from cairn_runtime.model.durations import (
    Duration,
    PositiveDuration,
    format_duration,
    parse_duration,
    parse_size,
)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("100ms", 0.1),
        ("30s", 30.0),
        ("5m", 300.0),
        ("1h30m", 5400.0),
        ("7d", 604800.0),
        ("1.5s", 1.5),
        ("0s", 0.0),
    ],
)
def test_a_duration_is_numbers_with_units(text, seconds):
    """Units may follow each other."""
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("soon", '"soon" is not a duration; write 100ms, 30s, 5m, 1h30m or 7d'),
        ("", '"" is not a duration; write 100ms, 30s, 5m, 1h30m or 7d'),
        ("-3s", '"-3s" is not a duration; write 100ms, 30s, 5m, 1h30m or 7d'),
        ("3", '"3" is not a duration; write 100ms, 30s, 5m, 1h30m or 7d'),
        ("٣s", '"٣s" is not a duration; write 100ms, 30s, 5m, 1h30m or 7d'),
        ("1s" * 5000, f'"{"1s" * 16}" is not a duration; write 100ms, 30s, 5m, 1h30m or 7d'),
        ("4000d", '"4000d" is longer than ten years'),
        (30, "a duration is text with a unit, such as 100ms, 30s, 5m or 7d; write 30s for 30 seconds"),
        (True, "a duration is text with a unit, such as 100ms, 30s, 5m or 7d; this is a bool"),
        (None, "a duration is text with a unit, such as 100ms, 30s, 5m or 7d; this is null"),
    ],
)
def test_anything_else_is_refused_with_advice(text, problem):
    """The message says what to write instead."""
    with pytest.raises(ValueError, match=r"duration|ten years") as refused:
        parse_duration(text)

    assert str(refused.value) == problem


@given(st.integers(0, 3650 * 86_400_000))
def test_what_is_written_reads_back(millis):
    """Every whole number of milliseconds has a text that means it."""
    assert round(parse_duration(format_duration(millis / 1000)) * 1000) == millis


def test_seconds_are_taken_from_python_and_not_from_a_manifest():
    """In a manifest a number has no unit; in code the unit is in the field's name."""
    adapter = TypeAdapter(Duration)

    assert adapter.validate_python(1.5) == 1.5
    assert adapter.dump_json(1.5) == b'"1s500ms"'
    with pytest.raises(ValidationError, match=r"write 1\.5s for 1\.5 seconds"):
        adapter.validate_python(1.5, context={"manifest": True})


def test_a_positive_duration_is_longer_than_nothing():
    """A timeout of 0s would end every attempt."""
    with pytest.raises(ValidationError, match="greater than 0"):
        TypeAdapter(PositiveDuration).validate_python("0s")


@pytest.mark.parametrize(
    ("text", "size"),
    [("65536", 65536), (7, 7), ("64Ki", 65536), ("1Mi", 2**20), ("2Gi", 2**31), ("1Ti", 2**40)],
)
def test_a_size_is_a_number_with_a_binary_unit(text, size):
    """As Kubernetes writes them."""
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["1MB", "-1", "1.5Ki", "", True, None, "9" * 30])
def test_no_other_size_is_read(text):
    """No decimal units, no fractions, no guesses."""
    with pytest.raises(ValueError, match="is not a size"):
        parse_size(text)
