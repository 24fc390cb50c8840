"""Reducers: what a write makes of a channel, and that what is stored of it gives the same value again."""

from __future__ import annotations

import copy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cairn_runtime.channels.reducers import BUILT_IN, custom, fold
from cairn_runtime.errors import WriteRefused
from cairn_runtime.model.values import jsonify

NUMBERS = st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False)
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=12,
)


@pytest.mark.parametrize(
    ("reducer", "old", "written", "stored", "value"),
    [
        ("replace", 1, 2, ("replace", 2), 2),
        ("replace", None, [1], ("replace", [1]), [1]),
        ("last", 1, 2, ("set", 2), 2),
        ("append", None, 1, ("append", 1), [1]),
        ("append", [1], [2], ("append", [2]), [1, [2]]),
        ("extend", None, [1], ("extend", [1]), [1]),
        ("extend", [1], [2, 3], ("extend", [2, 3]), [1, 2, 3]),
        ("extend", [1], None, ("extend", None), [1]),
        ("add", None, 3, ("add", 3), 3),
        ("add", 1, 2.5, ("add", 2.5), 3.5),
        ("add", "a", "b", ("add", "b"), "ab"),
        ("add", [1], [2], ("add", [2]), [1, 2]),
        ("merge", None, {"a": 1}, ("merge", {"a": 1}), {"a": 1}),
        ("merge", {"a": 1, "b": {"c": 1}}, {"b": {}}, ("merge", {"b": {}}), {"a": 1, "b": {}}),
        ("union", [1, 2], [2, 3, 3], ("extend", [3]), [1, 2, 3]),
        ("union", [1], [True], ("extend", [True]), [1, True]),
        ("union", [{"a": 1, "b": 2}], [{"b": 2, "a": 1}], ("extend", []), [{"a": 1, "b": 2}]),
        ("max", None, 3, ("set", 3), 3),
        ("max", 5, 3, ("set", 5), 5),
        ("min", "b", "a", ("set", "a"), "a"),
    ],
)
def test_a_reducer_folds_a_write(reducer, old, written, stored, value):
    """Each gives the operation to store, with no more than was added, and the channel's new value."""
    folded = BUILT_IN[reducer](old, written)

    assert (folded.op, folded.operand) == stored
    assert folded.value == value
    assert type(folded.value) is type(value)


@pytest.mark.parametrize(
    ("reducer", "old", "written", "said"),
    [
        ("append", 1, 2, "expected a list, not a number"),
        ("extend", [1], {"a": 1}, "expected a list, not an object"),
        ("union", "text", [1], "expected a list, not text"),
        ("add", 1, "a", "add cannot put text to a number"),
        ("add", 1, True, "add cannot put a boolean to a number"),
        ("add", 2**64 - 1, 1, "add would make an integer beyond 64 bits; write it as a string"),
        ("add", 1e308, 1e308, "add would make inf is not a JSON number"),
        ("merge", {"a": 1}, [1], "merge takes an object, not a list"),
        ("merge", [1], {"a": 1}, "merge takes an object, not a list"),
        ("max", 1, "a", "cannot compare text with a number"),
        ("min", 1, None, "cannot compare null with a number"),
    ],
)
def test_a_write_that_does_not_fit_its_reducer_is_refused(reducer, old, written, said):
    """The message names the kinds of values that met, and no value."""
    with pytest.raises(WriteRefused) as refused:
        BUILT_IN[reducer](old, written)

    assert refused.value.message == said


@pytest.mark.parametrize("reducer", sorted(BUILT_IN))
@given(old=VALUES, written=VALUES)
def test_what_is_stored_gives_the_same_value_again(reducer, old, written):
    """Folding the stored write needs no reducer; the value is JSON, and nothing that was given is changed."""
    before = copy.deepcopy((old, written))
    try:
        folded = BUILT_IN[reducer](old, written)
    except WriteRefused:
        return

    assert fold(folded.op, old, folded.operand) == folded.value == jsonify(folded.value)
    assert (old, written) == before


@pytest.mark.parametrize(
    ("op", "old", "operand"),
    [
        ("append", {"a": 1}, 1),
        ("merge", [1], {"a": 1}),
        ("merge", None, 1),
        ("add", 1, "a"),
        ("shrink", 1, 1),
    ],
)
def test_a_stored_write_that_is_not_ours_is_an_error(op, old, operand):
    """A history whose writes do not fit its channels was not written by Cairn."""
    with pytest.raises((ValueError, WriteRefused)):
        fold(op, old, operand)


def test_a_reducer_of_ones_own_may_do_as_it_likes_with_its_copies():
    """What the function changes or keeps is not what the channel holds."""
    kept = []

    def longest(old, new):
        kept.append(new)
        new.append("mine")
        return new if len(new) > len(old or []) else old

    old, written = ["a"], ["b", "c"]
    folded = custom(longest, "steps:longest")(old, written)
    kept[0].append("later")

    assert (folded.op, folded.value) == ("set", ["b", "c", "mine"])
    assert (old, written) == (["a"], ["b", "c"])


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (lambda old, new: old + new, "the reducer steps:mine failed: TypeError: "),
        (
            lambda _old, _new: object(),
            "the reducer steps:mine returned what is not JSON: value: object is not JSON",
        ),
    ],
    ids=["it raises", "it returns what is no JSON"],
)
def test_a_reducer_of_ones_own_that_fails_is_named(function, said):
    """The task that wrote fails, and its message says which function it was."""
    with pytest.raises(WriteRefused) as refused:
        custom(function, "steps:mine")(None, 1)

    assert refused.value.message.startswith(said)
