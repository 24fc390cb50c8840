"""A difference is a JSON patch that makes the one value from the other."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cairn_runtime.cli.patches import patch

SCALARS = st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from(["", "a", "b", "/", "~"])
KEYS = st.sampled_from(["a", "b", "a/b", "m~n", ""])
VALUES = st.recursive(
    SCALARS, lambda v: st.lists(v, max_size=4) | st.dictionaries(KEYS, v, max_size=4), max_leaves=12
)


def applied(document: Any, operations: list[dict[str, Any]]) -> Any:
    """Apply a patch as RFC 6902 says, by a reading of its own."""
    for operation in operations:
        names = [n.replace("~1", "/").replace("~0", "~") for n in operation["path"].split("/")[1:]]
        if not names:
            assert operation["op"] == "replace"
            document = operation["value"]
            continue
        place = document
        for name in names[:-1]:
            place = place[int(name) if isinstance(place, list) else name]
        last = names[-1]
        if isinstance(place, list):
            at = len(place) if last == "-" else int(last)
            assert operation["op"] == "add" or at < len(place)
            if operation["op"] == "add":
                place.insert(at, operation["value"])
            elif operation["op"] == "replace":
                place[at] = operation["value"]
            else:
                del place[at]
        else:
            assert (last in place) == (operation["op"] != "add")
            if operation["op"] == "remove":
                del place[last]
            else:
                place[last] = operation["value"]
    return document


def same(a: Any) -> str:
    """A text that tells `1` from `true`."""
    return json.dumps(a, sort_keys=True)


@given(VALUES, VALUES)
def test_a_patch_makes_the_new_value_from_the_old(old, new):
    """Applied in order, by any reader of RFC 6902, it ends where it should."""
    copy = json.loads(json.dumps(old))

    assert same(applied(copy, patch(old, new))) == same(new)


@given(VALUES)
def test_equal_values_have_no_difference(value):
    """Nothing changed, nothing is said."""
    assert patch(value, json.loads(json.dumps(value))) == []


@pytest.mark.parametrize(
    ("old", "new", "operations"),
    [
        ({"a": 1}, {"a": 2}, [{"op": "replace", "path": "/a", "value": 2}]),
        ({"a": 1}, {}, [{"op": "remove", "path": "/a"}]),
        ({}, {"a/b": None}, [{"op": "add", "path": "/a~1b", "value": None}]),
        ({}, {"m~n": 1}, [{"op": "add", "path": "/m~0n", "value": 1}]),
        ([1, 2], [1, 2, 3], [{"op": "add", "path": "/-", "value": 3}]),
        ([1, 3], [1, 2, 3], [{"op": "add", "path": "/1", "value": 2}]),
        ([1, 2, 3], [3], [{"op": "remove", "path": "/1"}, {"op": "remove", "path": "/0"}]),
        ([{"a": 1}], [{"a": 2}], [{"op": "replace", "path": "/0/a", "value": 2}]),
        ({"a": 1}, {"a": True}, [{"op": "replace", "path": "/a", "value": True}]),
        ({"a": 0}, {"a": False}, [{"op": "replace", "path": "/a", "value": False}]),
        (1, 1.0, []),
        ([1], {"a": 1}, [{"op": "replace", "path": "", "value": {"a": 1}}]),
    ],
)
def test_a_patch_is_as_small_as_it_can_simply_be(old, new, operations):
    """An append is one operation, `true` is not 1, and names are escaped."""
    assert patch(old, new) == operations


def test_a_long_append_is_only_what_was_added():
    """A channel of ten thousand items that grew by two is a patch of two operations."""
    old = list(range(10_000))

    assert len(patch({"pages": old}, {"pages": [*old, "x", "y"]})) == 2
