"""JSON values: what is one, what becomes one, and that the copy is the run's own."""

from __future__ import annotations

import json
from collections import OrderedDict, UserDict
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum, IntEnum, StrEnum

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from cairn_runtime.model.values import MAX_DEPTH, NotJSON, copy_json, jsonify

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=15,
)


class Colour(StrEnum):
    RED = "red"


class Mixed(str, Enum):  # noqa: UP042 - the older way, whose str() is the member's name
    RED = "red"


class Level(IntEnum):
    HIGH = 3


@dataclass
class Page:
    url: str
    tags: tuple[str, ...]


class Score(BaseModel):
    value: float
    at: datetime


@given(JSON)
def test_json_is_itself_and_a_copy(value):
    """What is JSON comes out equal, and no container is shared."""
    for made in (jsonify(value), copy_json(value)):
        assert made == value
        assert json.dumps(made) == json.dumps(value)
        assert not (_containers(made) & _containers(value))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param((1, (2,)), [1, [2]], id="tuples become lists"),
        pytest.param(OrderedDict(a=1), {"a": 1}, id="other dicts become dicts"),
        pytest.param(UserDict(a=UserDict(b=1)), {"a": {"b": 1}}, id="mappings become dicts"),
        pytest.param(
            [Colour.RED, Mixed.RED, Level.HIGH], ["red", "red", 3], id="enums of plain values become these"
        ),
        pytest.param(Page("a", ("x",)), {"url": "a", "tags": ["x"]}, id="dataclasses are dumped"),
        pytest.param(
            [Score(value=1.5, at=datetime(2024, 1, 1, tzinfo=UTC))],
            [{"value": 1.5, "at": "2024-01-01T00:00:00Z"}],
            id="pydantic models are dumped, their own types as text",
        ),
    ],
)
def test_what_authors_return_becomes_json(value, expected):
    """A step may return what it works with."""
    assert jsonify(value) == expected


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        pytest.param(
            {"pages": [{}, {"when": datetime(2024, 1, 1, tzinfo=UTC)}]},
            "x.pages[1].when: datetime is not JSON",
            id="a datetime deep inside",
        ),
        pytest.param([1, {2}], "x[1]: set is not JSON", id="a set"),
        pytest.param(b"x", "x: bytes is not JSON", id="bytes"),
        pytest.param({1: 2}, "x: the key 1 is not a string", id="a key that is no text"),
        pytest.param([2**64], "x[0]: an integer beyond 64 bits; write it as a string", id="a long integer"),
        pytest.param({"a": float("inf")}, "x.a: inf is not a JSON number", id="infinity"),
        pytest.param(
            ["ok", "\udfff"],
            "x[1]: character 0 of the text is half a surrogate pair",
            id="half a surrogate pair",
        ),
        pytest.param(
            {"\ud800": 1}, "x: character 0 of the text is half a surrogate pair", id="half a pair in a key"
        ),
        pytest.param(Page, "x: type is not JSON", id="a class instead of an instance"),
    ],
)
def test_what_is_not_json_is_named_with_its_path(value, problem):
    """The path leads to the first value that cannot be kept."""
    with pytest.raises(NotJSON) as refused:
        jsonify(value, "x")

    assert str(refused.value) == problem


@pytest.mark.parametrize("make", [lambda inner: [inner], lambda inner: {"a": inner}, lambda inner: (inner,)])
def test_depth_is_bounded(make):
    """A value that holds itself, or nearly, does not end the process."""
    value = None
    for _ in range(MAX_DEPTH + 2):
        value = make(value)

    with pytest.raises(NotJSON, match=f"nested deeper than {MAX_DEPTH} levels"):
        jsonify(value)


def _containers(value):
    found = {id(value)} if isinstance(value, dict | list) else set()
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return found.union(*map(_containers, inner))
