"""JSON Schemas of channels, approvals and signals: compiled once, checked at every write.

2020-12, or the draft that `$schema` names. Nothing is ever fetched: a `$ref` must stay inside the schema.
Patterns run with a bounded number of backtracks, and messages do not repeat the value, because they end up in
logs and conditions.
Called by validation, by the channels and by whoever accepts an answer. The library is loaded with the first
schema. No I/O.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from itertools import islice
from typing import Any

from cairn_runtime.errors import Fault, ManifestInvalid
from cairn_runtime.model.paths import at_index, at_key, join
from cairn_runtime.model.values import JSONValue

MAX_MESSAGES = 10
"""A long list of wrong items is not made clearer by naming each."""

_BACKTRACKS = 100_000
_REFERENCES = ("$ref", "$dynamicRef", "$recursiveRef")
_DATA = frozenset({"enum", "const", "default", "examples"})
_NAMED = (["properties"], ["$defs"], ["definitions"], ["patternProperties"])
"""Below these stand names that users give, which may be those of keywords."""
_TYPES = "array, boolean, integer, null, number, object, string"
_METASCHEMA = {"$ref": "https://json-schema.org/draft/2020-12/schema"}


class SchemaCheck:
    """A compiled schema."""

    __slots__ = ("_validator",)

    def __init__(self, validator: Any) -> None:  # noqa: ANN401 - the library is loaded late
        self._validator = validator

    def check(self, value: JSONValue) -> list[Fault]:
        """List what is wrong with a value, at most ten faults; paths lead into it, empty at its root."""
        if self._validator.is_valid(value):
            return []
        errors = islice(self._validator.iter_errors(value), MAX_MESSAGES)
        return [Fault(join("", error.instance_path), error.message) for error in errors]


def compile_schema(schema: JSONValue, path: str) -> SchemaCheck:
    """Compile the schema found at `path`.

    Raises:
        ManifestInvalid: not a schema, a reference to somewhere else, a broken pattern; all that is wrong.
    """
    if not isinstance(schema, dict | bool):
        raise ManifestInvalid([Fault(path, "a JSON Schema is an object such as {type: string}")])
    faults = [*_foreign_references(schema, path)]
    if faults:
        raise ManifestInvalid(faults)
    library = _library()
    patterns = library.FancyRegexOptions(backtrack_limit=_BACKTRACKS)
    try:
        validator = library.validator_for(schema, offline=True, mask="the value", pattern_options=patterns)
    except library.ValidationError as error:
        raise ManifestInvalid(_faults(schema, path, error)) from None
    except ValueError as error:
        raise ManifestInvalid([Fault(path, f"not a usable JSON Schema: {error}")]) from None
    return SchemaCheck(validator)


def _foreign_references(schema: JSONValue, path: str) -> Iterator[Fault]:
    if isinstance(schema, list):
        for index, item in enumerate(schema):
            yield from _foreign_references(item, at_index(path, index))
    elif isinstance(schema, dict):
        for key, value in schema.items():
            if key in _REFERENCES and isinstance(value, str) and not value.startswith("#"):
                yield Fault(at_key(path, key), f'"{value}" leads out of the schema; only "#/..." is followed')
            elif key not in _DATA:
                yield from _foreign_references(value, at_key(path, key))


def _faults(schema: JSONValue, path: str, error: Any) -> list[Fault]:  # noqa: ANN401 - the library is loaded late
    """Name everything that the metaschema finds; else what kept the schema from being compiled."""
    against = _library().validator_for(_METASCHEMA, offline=True)
    found = list(islice(against.iter_errors(schema), MAX_MESSAGES)) or [error]
    return list(dict.fromkeys(Fault(join(path, each.instance_path), _words(each)) for each in found))


def _words(error: Any) -> str:  # noqa: ANN401 - the library is loaded late
    *before, keyword = ["", "", *error.instance_path][-2:]
    if keyword == "type" and before not in _NAMED:
        return f"not a JSON type; use one of {_TYPES}, or a list of them"
    if keyword == "pattern" and before not in _NAMED:
        return "not a regular expression"
    text: str = error.message
    return text


@cache
def _library() -> Any:  # noqa: ANN401 - the module itself
    import jsonschema_rs  # noqa: PLC0415 - half of a manifest's start-up time, and most have no schema

    return jsonschema_rs
