"""From a pydantic model to a structural OpenAPI v3 schema, as a custom resource definition holds it.

What the API server refuses in a schema is left out or said in its own words: references are written out,
alternatives with null become the other one (the server drops a null before it looks), unknown fields need no
word (the server drops them too), defaults stay out and are told in the description instead.
Names of a map's keys cannot be checked there at all; the operator does it, as it checks everything again.
The schema must accept whatever the models accept: it is the first sieve, not the last.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, TypeAlias

from pydantic import BaseModel

from cairn_runtime.model.durations import format_duration

Schema: TypeAlias = dict[str, Any]

PRESERVED: Schema = {"x-kubernetes-preserve-unknown-fields": True}
"""Any JSON. A rule cannot look into it."""

_KEPT = (
    "type", "format", "enum", "pattern", "minLength", "maxLength", "minimum", "maximum", "minItems",
    "maxItems", "maxProperties", "x-kubernetes-list-type", "x-kubernetes-list-map-keys",
)  # fmt: skip
_DURATION = "(ms|s|m|h|d)"
_MOMENT_MAX = 64


def structural_schema(model: type[BaseModel], changes: Mapping[str, Schema] | None = None) -> Schema:
    """Make the structural schema of a model.

    Args:
        model: every field of it and of the models inside carries a description.
        changes: what Kubernetes needs and the model does not say, by path (`steps`, `steps[].retry`, `code{}`
            for the values of a map): keys that replace those of the schema, or take one away by None.
    """
    source = model.model_json_schema(by_alias=True)
    return _Translation(source, changes or {}).schema(source, "")


class _Translation:
    """One model on its way; `path` is where in it a schema stands."""

    def __init__(self, root: Schema, changes: Mapping[str, Schema]) -> None:
        self._root = root
        self._changes = changes

    def schema(self, source: Schema, path: str) -> Schema:
        source = self._resolved(source)
        out: Schema = {"description": _description(source)} if _description(source) else {}
        out |= {key: source[key] for key in _KEPT if key in source}
        if "const" in source:
            out["enum"] = [source["const"]]
        if source.get("format") == "date-time":
            out["maxLength"] = _MOMENT_MAX
        match source.get("type"):
            case "array":
                out.setdefault("x-kubernetes-list-type", "atomic")
                out["items"] = self.schema(source["items"], f"{path}[]")
            case "object":
                out |= self._object(source, path)
            case None:
                out |= PRESERVED
        out |= self._changes.get(path, {})
        return {key: value for key, value in out.items() if value is not None}

    def _object(self, source: Schema, path: str) -> Schema:
        if "properties" in source:
            below = f"{path}." if path else ""
            fields = {
                name: self.schema(field, f"{below}{name}") for name, field in source["properties"].items()
            }
            needed = {"required": source["required"]} if source.get("required") else {}
            return {**needed, "properties": fields}
        values: Any = next(
            iter(source.get("patternProperties", {}).values()), source.get("additionalProperties")
        )
        if values is True:
            return PRESERVED
        inner = self.schema(values, f"{path}{{}}")
        # In a map of any JSON a null is a value, which the server would drop otherwise.
        return {"additionalProperties": {**inner, "nullable": True} if "type" not in inner else inner}

    def _resolved(self, source: Schema) -> Schema:
        """Follow a reference, take the alternative that is not null, and keep what both say of it."""
        found = source
        if "$ref" in found:
            found = self._root["$defs"][found["$ref"].rpartition("/")[2]]
        for alternative in source.get("anyOf", ()):
            if alternative.get("type") != "null":
                found = self._resolved(alternative)
        if found is source:
            return source
        said = [part["description"] for part in (source, found) if "description" in part]
        rest = {key: value for key, value in source.items() if key not in ("$ref", "anyOf")}
        return {**found, **rest, **({"description": "\n\n".join(said)} if said else {})}


def _description(source: Schema) -> str:
    """Unwrap the lines of each paragraph, and say what the default is: the schema sets none."""
    paragraphs = source.get("description", "").split("\n\n")
    text = "\n\n".join(re.sub(r"\s+", " ", paragraph).strip() for paragraph in paragraphs)
    default = source.get("default")
    if default is None or default in ("", [], {}):
        return text
    return f"{text} Default: {_written(default, source)}."


def _written(default: object, source: Schema) -> str:
    if isinstance(default, bool):
        return str(default).lower()
    if isinstance(default, float) and _DURATION in source.get("pattern", ""):
        return format_duration(default)
    return str(default)
