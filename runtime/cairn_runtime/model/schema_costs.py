"""What judging a value by a JSON Schema may cost, told without doing it.

The library that judges has no bound: a schema of a kilobyte whose references fan out takes longer than
anybody waits, and nothing ends it. Whoever judges the manifests of others asks here first and passes over
what is too dear; the run's own pod judges it at the latest.
The price is how many parts a schema unfolds into, its references written out, times the parts of the value.
What speaks of itself has no such number: it is as dear as can be.
Pure.
"""

from __future__ import annotations

import math

from cairn_runtime.model.values import JSONObject, JSONValue

MOST = 200_000.0
"""What all schemas of a manifest may cost together: some tenths of a second."""
_PATTERN = 2_000.0
"""A pattern is compiled, and may backtrack."""
_UNBOUNDED = frozenset({"$dynamicRef", "$recursiveRef", "unevaluatedItems", "unevaluatedProperties"})
_DATA = frozenset({"const", "default", "enum", "examples"})
_NAMED = frozenset(
    {"$defs", "definitions", "dependencies", "dependentSchemas", "patternProperties", "properties"}
)
"""Below these stand names that users give, which may be those of keywords."""
_LONGEST_WAY = 50
"""References that lead to references."""


class Allowance:
    """What may be spent on the schemas of one manifest."""

    def __init__(self, left: float = MOST) -> None:
        self._left = left

    def covers(self, schema: JSONValue, value: JSONValue = None) -> bool:
        """Whether judging this value, or compiling the schema alone, is within what is left; it is spent."""
        price = unfolded(schema) * parts(value)
        if price > self._left:
            return False
        self._left -= price
        return True


def unfolded(schema: JSONValue) -> float:
    """How many parts a schema has with its references written out; infinite where that has no end."""
    return _Unfolding(schema).weight(schema, 0)


def parts(value: JSONValue) -> int:
    """How many values a value is made of, itself included."""
    inner: list[JSONValue] = []
    if isinstance(value, dict):
        inner = list(value.values())
    elif isinstance(value, list):
        inner = value
    return 1 + sum(parts(one) for one in inner)


class _Unfolding:
    def __init__(self, root: JSONValue) -> None:
        self._root = root
        self._known: dict[str, float] = {}
        """By reference; one that is still being followed is infinite."""

    def weight(self, part: JSONValue, way: int) -> float:
        if isinstance(part, list):
            return 1.0 + sum(self.weight(one, way) for one in part)
        if not isinstance(part, dict):
            return 1.0
        return 1.0 + sum(self._keyword(key, value, way) for key, value in part.items())

    def _keyword(self, key: str, value: JSONValue, way: int) -> float:
        if key in _UNBOUNDED:
            return math.inf
        if key in _DATA:
            return float(parts(value))
        if key == "$ref" and isinstance(value, str):
            return self._reference(value, way + 1)
        if key in _NAMED and isinstance(value, dict):
            patterns = len(value) if key == "patternProperties" else 0
            return patterns * _PATTERN + sum(self.weight(one, way) for one in value.values())
        return (_PATTERN if key == "pattern" else 0.0) + self.weight(value, way)

    def _reference(self, reference: str, way: int) -> float:
        if reference not in self._known:
            self._known[reference] = math.inf
            target = _target(self._root, reference) if way <= _LONGEST_WAY else None
            if target is not None:
                self._known[reference] = self.weight(target, way)
        return self._known[reference]


def _target(root: JSONValue, reference: str) -> JSONObject | bool | None:
    """Find what `#/$defs/a` leads to; None where it is not found this way, an anchor or an escape, say."""
    part = root
    if not reference.startswith("#/") or "%" in reference:
        return None
    for name in reference[2:].split("/"):
        name = name.replace("~1", "/").replace("~0", "~")  # noqa: PLW2901 - the same name, written out
        part = part.get(name) if isinstance(part, dict) else None
    return part if isinstance(part, dict | bool) else None
