"""The difference between two JSON values, as a JSON patch (RFC 6902) of `add`, `remove` and `replace`.

Small rather than smallest: lists are compared position by position between their common beginning and end, so
that an append is one operation, and nothing is quadratic.
Pure.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from cairn_runtime.model.values import JSONObject, JSONValue


class Change(NamedTuple):
    """One operation, with the value that was there before for those who show it."""

    op: str
    path: str
    value: JSONValue = None
    before: JSONValue = None


def changes(old: JSONValue, new: JSONValue, path: str = "") -> Iterator[Change]:
    """List what turns one value into the other; applied in order it does."""
    if isinstance(old, dict) and isinstance(new, dict):
        yield from _object_changes(old, new, path)
    elif isinstance(old, list) and isinstance(new, list):
        yield from _list_changes(old, new, path)
    elif not _same(old, new):
        yield Change("replace", path, new, old)


def patch(old: JSONValue, new: JSONValue) -> list[JSONObject]:
    """Write the changes as a JSON patch document."""
    out: list[JSONObject] = []
    for change in changes(old, new):
        operation: JSONObject = {"op": change.op, "path": change.path}
        if change.op != "remove":
            operation["value"] = change.value
        out.append(operation)
    return out


def _object_changes(old: JSONObject, new: JSONObject, path: str) -> Iterator[Change]:
    for key, before in old.items():
        if key not in new:
            yield Change("remove", _below(path, key), before=before)
    for key, value in new.items():
        if key in old:
            yield from changes(old[key], value, _below(path, key))
        else:
            yield Change("add", _below(path, key), value)


def _list_changes(old: list[JSONValue], new: list[JSONValue], path: str) -> Iterator[Change]:
    start, shorter = 0, min(len(old), len(new))
    while start < shorter and _same(old[start], new[start]):
        start += 1
    end = 0
    while end < shorter - start and _same(old[-1 - end], new[-1 - end]):
        end += 1
    old_end, new_end = len(old) - end, len(new) - end
    common = min(old_end, new_end)
    for n in range(start, common):
        yield from changes(old[n], new[n], f"{path}/{n}")
    for n in range(common, new_end):
        yield Change("add", f"{path}/{n}" if end else f"{path}/-", new[n])
    # From the end, so that each path is right when its turn comes.
    for n in range(old_end - 1, common - 1, -1):
        yield Change("remove", f"{path}/{n}", before=old[n])


def _same(old: JSONValue, new: JSONValue) -> bool:
    """Compare as JSON does: for Python `true` equals 1."""
    if isinstance(old, bool) or isinstance(new, bool):
        return old is new
    if isinstance(old, dict) and isinstance(new, dict):
        return old.keys() == new.keys() and all(_same(value, new[key]) for key, value in old.items())
    if isinstance(old, list) and isinstance(new, list):
        return len(old) == len(new) and all(map(_same, old, new))
    return (type(old) is type(new) and old == new) or (_numbers(old, new) and old == new)


def _numbers(old: JSONValue, new: JSONValue) -> bool:
    return isinstance(old, int | float) and isinstance(new, int | float)


def _below(path: str, key: str) -> str:
    return f"{path}/{key.replace('~', '~0').replace('/', '~1')}"
