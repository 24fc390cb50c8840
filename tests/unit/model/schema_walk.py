"""Every field of the manifest, by walking the JSON Schema that the models give."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from cairn_runtime.model.workflow import Workflow

SCHEMA = Workflow.model_json_schema(by_alias=True)


def fields(schema: dict[str, Any] = SCHEMA, path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Iterate the fields with their paths, `spec.steps[].name`, outer before inner."""
    for name, field in schema.get("properties", {}).items():
        below = f"{path}.{name}" if path else name
        yield below, field
        for suffix, inner in parts(field):
            yield from fields(inner, below + suffix)


def parts(field: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Iterate what a value of the field is made of: itself, its alternatives, items and values."""
    if "$ref" in field:
        field = {**SCHEMA["$defs"][field["$ref"].rpartition("/")[2]], **field}
    yield "", field
    for alternative in field.get("anyOf", []):
        yield from parts(alternative)
    if "items" in field:
        yield from ((f"[]{suffix}", inner) for suffix, inner in parts(field["items"]))
    for values in [field.get("additionalProperties"), *field.get("patternProperties", {}).values()]:
        if isinstance(values, dict):
            yield from ((f"{{}}{suffix}", inner) for suffix, inner in parts(values))
