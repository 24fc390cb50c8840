"""Plain YAML scalars: each means what kubectl makes of it."""

from __future__ import annotations

import pytest

from cairn_runtime.model.scalars import ScalarRefused, resolve


@pytest.mark.parametrize("text", ["y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"])
def test_these_words_are_true(text):
    """goyaml.v2 reads YAML 1.1, where y and on are booleans."""
    assert resolve(text) is True


@pytest.mark.parametrize("text", ["n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"])
def test_these_words_are_false(text):
    """The same for n, no and off."""
    assert resolve(text) is False


@pytest.mark.parametrize("text", ["", "~", "null", "Null", "NULL"])
def test_these_words_are_null(text):
    """Nothing at all is null as well."""
    assert resolve(text) is None


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("0", 0),
        ("-0", 0),
        ("+1", 1),
        ("-17", -17),
        ("1_000", 1000),
        ("0x1F", 31),
        ("0o17", 15),
        ("017", 15),
        ("0b101", 5),
        ("-0b1", -1),
        ("08", 8),
        ("18446744073709551615", 2**64 - 1),
        ("-9223372036854775808", -(2**63)),
        ("1.5", 1.5),
        (".5", 0.5),
        ("-.5", -0.5),
        ("1e3", 1000),
        ("1.e2", 100),
        ("2.0", 2),
        ("1e-2", 0.01),
        ("1e19", 1e19),
    ],
)
def test_these_are_numbers(text, number):
    """A float without a fraction is an integer, because that is what reaches the API server."""
    found = resolve(text)

    assert found == number
    assert type(found) is type(number)


@pytest.mark.parametrize(
    "text",
    [
        "1:30",
        "190:20:30",
        "2024-01-31",
        "2024-1-3T10:00:00Z",
        "2024-01-31 10:00:00",
        "1e999",
        "0x",
        "0o8",
        ".",
        "-",
        "+",
        "...",
        "1-2",
        "10s",
        "5m",
        "1.2.3",
        "_1",
        "None",
        "tRue",
        "yEs",
        "=",
    ],
)
def test_these_stay_text(text):
    """No base 60, no dates, no guesses."""
    assert resolve(text) == text


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (".nan", ".nan is not a JSON number"),
        (".Inf", ".Inf is not a JSON number"),
        ("-.INF", "-.INF is not a JSON number"),
        ("18446744073709551616", "an integer beyond 64 bits; write it in quotes"),
        ("-9223372036854775809", "an integer beyond 64 bits; write it in quotes"),
        ("0x" + "f" * 5000, "an integer beyond 64 bits; write it in quotes"),
    ],
)
def test_what_json_cannot_hold_is_refused(text, problem):
    """YAML knows more numbers than JSON."""
    with pytest.raises(ScalarRefused) as refused:
        resolve(text)

    assert str(refused.value) == problem
