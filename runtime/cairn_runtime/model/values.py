"""JSON values as Cairn holds them, and the check that a Python object is one.

Channel values, items, results and signals are plain JSON: `None`, `bool`, `int` of 64 bits, finite
`float`, `str`, `list`, and `dict` with `str` keys.
`jsonify` is the one door by which user objects become channel values: it copies, so that nothing a step
does to its own object afterwards can reach the run's state.
No I/O, no user code.
"""

from __future__ import annotations

import sys
from dataclasses import fields, is_dataclass
from math import isfinite
from typing import Any, TypeAlias

JSONValue: TypeAlias = "bool | int | float | str | list[JSONValue] | dict[str, JSONValue] | None"
JSONObject: TypeAlias = dict[str, JSONValue]

MAX_DEPTH = 200
_INT_MIN, _INT_MAX = -(2**63), 2**64 - 1
_PLAIN = frozenset({str, bool, type(None)})
_SUBCLASSED: tuple[type[Any], ...] = (bool, int, float, list)


class NotJSON(ValueError):
    """A value is not JSON; `path` says where it is, e.g. `pages[3].when`."""

    def __init__(self, path: str, problem: str) -> None:
        self.path = path
        self.problem = problem
        super().__init__(f"{path}: {problem}")


def jsonify(value: Any, path: str = "value", depth: int = 0) -> JSONValue:  # noqa: ANN401, PLR0911 - the door for user objects
    """Return a private JSON copy of `value`; dump pydantic models and dataclasses on the way.

    Raises:
        NotJSON: naming the path of the first value that is not JSON.
    """
    kind = type(value)
    if kind is str:
        return value if value.isascii() else _text(value, path)
    if kind in _PLAIN:
        return value  # type: ignore[no-any-return]
    if kind is int:
        if _INT_MIN <= value <= _INT_MAX:
            return value  # type: ignore[no-any-return]
        raise NotJSON(path, "an integer beyond 64 bits; write it as a string")
    if kind is float:
        if isfinite(value):
            return value  # type: ignore[no-any-return]
        raise NotJSON(path, f"{value} is not a JSON number")
    if depth > MAX_DEPTH:
        raise NotJSON(path, f"nested deeper than {MAX_DEPTH} levels")
    if kind is list or kind is tuple:
        # Paths are text that is nearly always thrown away, so plain items are passed without.
        return [
            item if _is_plain(item) else jsonify(item, f"{path}[{n}]", depth + 1)
            for n, item in enumerate(value)
        ]
    if kind is dict:
        return _object(value, path, depth)
    return _foreign(value, path, depth)


def _object(value: dict[Any, Any], path: str, depth: int) -> JSONObject:
    out: JSONObject = {}
    for key, item in value.items():
        if type(key) is not str:
            raise NotJSON(path, f"the key {key!r} is not a string")
        if not key.isascii():
            _text(key, path)
        out[key] = item if _is_plain(item) else jsonify(item, f"{path}.{key}", depth + 1)
    return out


def _is_plain(value: object) -> bool:
    """Whether a value is JSON as it stands, without looking further; False only means to look."""
    kind = type(value)
    if kind is str:
        return value.isascii()  # type: ignore[attr-defined, no-any-return]
    if kind is int:
        return _INT_MIN <= value <= _INT_MAX  # type: ignore[operator]
    return kind in _PLAIN


def _text(value: str, path: str) -> str:
    """Refuse text that no encoding can carry: half of a surrogate pair."""
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise NotJSON(path, f"character {error.start} of the text is half a surrogate pair") from None
    return value


def _foreign(value: Any, path: str, depth: int) -> JSONValue:  # noqa: ANN401 - any user object
    if _is_model(value):
        return jsonify(value.model_dump(mode="json"), path, depth + 1)
    if is_dataclass(value) and not isinstance(value, type):
        dumped = {f.name: getattr(value, f.name) for f in fields(value)}
        return _object(dumped, path, depth + 1)
    if isinstance(value, dict):
        return _object(value, path, depth)
    if hasattr(value, "keys") and hasattr(value, "__getitem__"):
        return _object({key: value[key] for key in value.keys()}, path, depth)  # noqa: SIM118 - a foreign Mapping
    if isinstance(value, str):
        # Not str(value): of an enum's member that is its name.
        return jsonify(str.__str__(value), path, depth + 1)
    for plain in _SUBCLASSED:
        if isinstance(value, plain):
            return jsonify(plain(value), path, depth + 1)
    raise NotJSON(path, kind_name(value))


def _is_model(value: object) -> bool:
    """Whether it is a pydantic model. Nothing is where pydantic was never imported, which costs 0.1 s."""
    pydantic = sys.modules.get("pydantic")
    return pydantic is not None and isinstance(value, pydantic.BaseModel)


def kind_name(value: object) -> str:
    """Name a Python type as the error text shows it, e.g. `datetime is not JSON`."""
    return f"{type(value).__name__} is not JSON"


def copy_json(value: JSONValue) -> JSONValue:
    """Return a deep copy of a value that is known to be JSON; scalars are shared."""
    kind = type(value)
    if kind is list:
        return [item if type(item) in _PLAIN else copy_json(item) for item in value]  # type: ignore[union-attr]
    if kind is dict:
        return {k: v if type(v) in _PLAIN else copy_json(v) for k, v in value.items()}  # type: ignore[union-attr]
    return value
