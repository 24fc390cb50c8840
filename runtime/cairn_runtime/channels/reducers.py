"""Reducers: how a write folds into a channel, and what of it is stored.

A reducer turns (old value, written value) into a stored write: an operation and its operand, from which
`fold` makes the new value again without knowing the reducer.
So history stays readable when a later manifest changes a reducer, and an append stores only what was added.
Pure; values are never changed in place, because a task may still look at the old one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple, TypeAlias

from cairn_runtime.errors import WriteRefused
from cairn_runtime.model.values import JSONValue, NotJSON, copy_json, jsonify

Op: TypeAlias = Literal["replace", "set", "append", "extend", "add", "merge"]
"""`replace` is the one operation that can conflict; `set` sets as it does, and never conflicts."""


class Folded(NamedTuple):
    """What a write comes to: the operation and operand to store, and the channel's new value."""

    op: Op
    operand: JSONValue
    value: JSONValue


Reducer: TypeAlias = Callable[[JSONValue, JSONValue], Folded]


def fold(op: str, old: JSONValue, operand: JSONValue) -> JSONValue:
    """Apply a stored write to a channel's value.

    Raises:
        ValueError: the operation is unknown or does not fit the value, so the checkpoint is not ours.
    """
    match op:
        case "replace" | "set":
            return operand
        case "append":
            return [*_list(old), operand]
        case "extend":
            return [*_list(old), *_list(operand)]
        case "add":
            return _sum(old, operand)
        case "merge" if isinstance(operand, dict) and (old is None or isinstance(old, dict)):
            return {**(old or {}), **operand}
    msg = f"the stored write {op} does not fit its channel"
    raise ValueError(msg)


def replace(_old: JSONValue, new: JSONValue) -> Folded:
    """Take the new value; two tasks that replace without seeing each other conflict."""
    return Folded("replace", new, new)


def last(_old: JSONValue, new: JSONValue) -> Folded:
    """Take the new value, whoever wrote before."""
    return Folded("set", new, new)


def append(old: JSONValue, new: JSONValue) -> Folded:
    """Add one item at the end of the list."""
    return Folded("append", new, [*_list(old), new])


def extend(old: JSONValue, new: JSONValue) -> Folded:
    """Add a list's items at the end of the list."""
    return Folded("extend", new, [*_list(old), *_list(new)])


def add(old: JSONValue, new: JSONValue) -> Folded:
    """Add numbers; join text to text and list to list."""
    value = _sum(old, new)
    if _number(value):
        # Two numbers that JSON can hold may have a sum that it cannot.
        try:
            jsonify(value)
        except NotJSON as error:
            raise WriteRefused(f"add would make {error.problem}") from None
    return Folded("add", new, value)


def merge(old: JSONValue, new: JSONValue) -> Folded:
    """Put an object's keys into the object, one level deep."""
    if not isinstance(new, dict) or not (old is None or isinstance(old, dict)):
        raise WriteRefused(f"merge takes an object, not {_name(new if not isinstance(new, dict) else old)}")
    return Folded("merge", new, {**(old or {}), **new})


def union(old: JSONValue, new: JSONValue) -> Folded:
    """Add what the list does not hold yet, first seen first."""
    known = _list(old)
    seen = {_identity(item) for item in known}
    added: list[JSONValue] = []
    for item in _list(new):
        mark = _identity(item)
        if mark not in seen:
            seen.add(mark)
            added.append(item)
    return Folded("extend", added, [*known, *added])


def maximum(old: JSONValue, new: JSONValue) -> Folded:
    """Keep the larger of numbers or texts."""
    return _pick(old, new, larger=True)


def minimum(old: JSONValue, new: JSONValue) -> Folded:
    """Keep the smaller of numbers or texts."""
    return _pick(old, new, larger=False)


def custom(function: Callable[[JSONValue, JSONValue], object], name: str) -> Reducer:
    """Make a reducer of a user's function (old, new) -> new; it works on copies."""

    def reduce(old: JSONValue, new: JSONValue) -> Folded:
        try:
            value = jsonify(function(copy_json(old), copy_json(new)))
        except NotJSON as error:
            raise WriteRefused(f"the reducer {name} returned what is not JSON: {error}") from error
        except Exception as error:
            raise WriteRefused(f"the reducer {name} failed: {type(error).__name__}: {error}") from error
        return Folded("set", value, value)

    return reduce


BUILT_IN: dict[str, Reducer] = {
    "replace": replace,
    "append": append,
    "extend": extend,
    "add": add,
    "merge": merge,
    "union": union,
    "max": maximum,
    "min": minimum,
    "last": last,
}


def _list(value: JSONValue) -> list[JSONValue]:
    if value is None:
        return []
    if isinstance(value, list):
        return value
    raise WriteRefused(f"expected a list, not {_name(value)}")


def _sum(old: JSONValue, new: JSONValue) -> JSONValue:
    if old is None:
        return new
    if _number(old) and _number(new):
        return old + new  # type: ignore[operator]
    if (isinstance(old, str) and isinstance(new, str)) or (isinstance(old, list) and isinstance(new, list)):
        return old + new  # type: ignore[operator]
    raise WriteRefused(f"add cannot put {_name(new)} to {_name(old)}")


def _pick(old: JSONValue, new: JSONValue, *, larger: bool) -> Folded:
    if old is None:
        return Folded("set", new, new)
    if not (_number(old) and _number(new)) and not (isinstance(old, str) and isinstance(new, str)):
        raise WriteRefused(f"cannot compare {_name(new)} with {_name(old)}")
    value = max(old, new) if larger else min(old, new)  # type: ignore[type-var]
    return Folded("set", value, value)


def _identity(value: JSONValue) -> object:
    """A hashable that is equal exactly where two JSON values are: true is not 1, key order does not
    matter.
    """
    match value:
        case bool() | None:
            return (type(value), value)
        case list():
            return ("list", tuple(map(_identity, value)))
        case dict():
            return ("dict", frozenset((key, _identity(item)) for key, item in value.items()))
    return value


def _number(value: JSONValue) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _name(value: JSONValue) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case int() | float():
            return "a number"
        case str():
            return "text"
        case list():
            return "a list"
    return "an object"
