"""Values on the wire: what Postgres reads is what was meant."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from cairn_runtime.errors import InvalidInput
from cairn_runtime.store.postgres.values import encode_all


def encoded(value: object) -> bytes | None:
    return encode_all(["value"], {"value": value})[0]


@pytest.mark.parametrize(
    ("value", "data"),
    [
        pytest.param("t\u00e4g\0", b"t\xc3\xa4g\0", id="text, whatever is in it"),
        pytest.param(-2, b"\xff" * 7 + b"\xfe", id="a number"),
        pytest.param(b"\0\1", b"\0\1", id="bytes"),
        pytest.param(None, None, id="null"),
        pytest.param(datetime(2000, 1, 1, 0, 0, 1, 5, UTC), (1_000_005).to_bytes(8, "big"), id="a time"),
        pytest.param(
            datetime(2000, 1, 1, 2, tzinfo=timezone(timedelta(hours=2))),
            bytes(8),
            id="a time in another zone",
        ),
        pytest.param(
            datetime(1999, 12, 31, 23, 59, 59, tzinfo=UTC),
            (-1_000_000).to_bytes(8, "big", signed=True),
            id="a time before the year 2000",
        ),
        pytest.param([], None, id="an empty list"),
        pytest.param(
            ["a", ""],
            bytes.fromhex("00000001 00000000 00000019 00000002 00000001 00000001 61 00000000"),
            id="a list of text",
        ),
        pytest.param(
            [None, 1],
            bytes.fromhex("00000001 00000001 00000014 00000002 00000001 ffffffff 00000008 0000000000000001"),
            id="a list with null in it",
        ),
        pytest.param(
            [None],
            bytes.fromhex("00000001 00000001 00000014 00000001 00000001 ffffffff"),
            id="a list of nothing but null",
        ),
    ],
)
def test_a_value_is_written_in_binary_form(value, data):
    """As the server's own receiving functions take it."""
    assert encoded(value) == data


@pytest.mark.parametrize("value", ["\ud800", ["a", "\udfff"], 2**63, [-(2**63) - 1]], ids=ascii)
def test_what_cannot_be_written_is_refused(value):
    """Half of a surrogate pair, a number beyond 64 bits: an error of the caller, no traceback."""
    with pytest.raises(InvalidInput):
        encoded(value)


def test_values_come_in_the_order_of_the_statement():
    """Whatever order they were given in."""
    assert encode_all(["b", "a"], {"a": "1", "b": "2", "c": "3"}) == [b"2", b"1"]
