"""Times and sizes are said in the words that people use."""

from __future__ import annotations

from datetime import timedelta

import pytest
from tests.unit.cli.builders import NOW

from cairn_runtime.cli.views.units import age, moment, size, span


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-5, "0s"),
        (0.9, "0s"),
        (119, "119s"),
        (120, "2m"),
        (7199, "119m"),
        (7200, "2h"),
        (2 * 86400, "2d"),
        (400 * 86400, "400d"),
    ],
)
def test_an_age_is_one_unit_of_which_there_are_two_at_least(seconds, text):
    """`119s` says more than `1m`; what lies in the future has no age."""
    assert age(NOW - timedelta(seconds=seconds), NOW) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-1, "0.0s"),
        (0.44, "0.4s"),
        (9.94, "9.9s"),
        (9.96, "10s"),
        (59.4, "59s"),
        (59.6, "1m00s"),
        (192, "3m12s"),
        (3600, "1h00m"),
        (90061, "1d01h"),
    ],
)
def test_a_span_has_two_units_at_most(seconds, text):
    """How long something took is said as exactly as matters."""
    assert span(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 KiB"),
        (1434, "1.4 KiB"),
        (10 * 1024, "10 KiB"),
        (1024**2, "1.0 MiB"),
        (5 * 1024**5, "5120 TiB"),
    ],
)
def test_a_size_has_four_digits_at_most(count, text):
    """A column of sizes stays narrow, up to the largest unit."""
    assert size(count) == text


def test_a_moment_of_another_day_has_its_date():
    """Today the time is enough, earlier it is not."""
    assert len(moment(NOW, NOW)) == len("03:04:05")
    assert moment(NOW - timedelta(days=3), NOW).count("-") == 2
