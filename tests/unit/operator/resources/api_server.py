"""What an API server does with a write of ours, as far as a definition says it: drop, look, ask the rules.

Not a server: the rules' costs and the equality of what it cannot look into are its own, and the cluster tests
prove them on a real one. What is the same is which manifest is refused at which place.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

import jsonschema_rs
from cel_expr_python import cel

from cairn_operator.resources.definitions import checkpoint_definition, workflow_definition
from cairn_runtime.model.paths import join

DEFINITIONS = {"Workflow": workflow_definition(), "Checkpoint": checkpoint_definition()}
SCHEMAS = {
    kind: definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    for kind, definition in DEFINITIONS.items()
}
_CEL = cel.NewEnv(variables={"self": cel.Type.DYN, "oldSelf": cel.Type.DYN})


def refusals(document: dict[str, Any], before: dict[str, Any] | None = None) -> list[str]:
    """Write a document, over one that is there; say what is refused, each as `path: why`."""
    schema = SCHEMAS[document["kind"]]
    new = stored(document, schema)
    old = None if before is None else stored(before, schema)
    found = [
        f"{join('', error.instance_path)}: {error.message}"
        for error in _checker(document["kind"]).iter_errors(new)
    ]
    # As the server does it: a manifest of the wrong shape is not shown to the rules.
    return found or list(_broken_rules(new, old, schema, ""))


def stored(value: Any, schema: dict[str, Any]) -> Any:
    """Drop what the server drops before it looks: unknown fields, and nulls where none may stand."""
    if isinstance(value, list) and "items" in schema:
        return [stored(item, schema["items"]) for item in value]
    if not isinstance(value, dict):
        return value
    if "additionalProperties" in schema:
        inner = schema["additionalProperties"]
        kept = {key: item for key, item in value.items() if item is not None or inner.get("nullable")}
        return {key: stored(item, inner) for key, item in kept.items()}
    if "properties" not in schema or schema.get("x-kubernetes-preserve-unknown-fields"):
        return value
    known = {key: item for key, item in value.items() if key in schema["properties"] and item is not None}
    return {key: stored(item, schema["properties"][key]) for key, item in known.items()}


@cache
def _checker(kind: str) -> jsonschema_rs.Validator:
    return jsonschema_rs.validator_for(_plain(SCHEMAS[kind]))


def _plain(schema: Any) -> Any:
    """Write a schema without Kubernetes' words, for a validator of JSON Schema."""
    if isinstance(schema, list):
        return [_plain(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    out = {key: _plain(item) for key, item in schema.items() if not key.startswith("x-kubernetes-")}
    if out.pop("nullable", False) is True and "type" in out:
        out["type"] = [out["type"], "null"]
    return out


def _broken_rules(new: Any, old: Any, schema: dict[str, Any], path: str) -> Iterator[str]:
    for rule in schema.get("x-kubernetes-validations", ()):
        asks_old = "oldSelf" in rule["rule"]
        if not (asks_old and old is None) and not holds(rule["rule"], new, old):
            said = rule.get("messageExpression")
            message = _ask(said, new, old) if said else rule["message"]
            yield f"{(path + rule.get('fieldPath', '')).lstrip('.')}: {message}"
    for name, inner in schema.get("properties", {}).items():
        if isinstance(new, dict) and name in new:
            below = old.get(name) if isinstance(old, dict) else None
            yield from _broken_rules(new[name], below, inner, f"{path}.{name}")
    if isinstance(new, list) and "items" in schema:
        # The items of an atomic list have no history.
        for index, item in enumerate(new):
            yield from _broken_rules(item, None, schema["items"], f"{path}[{index}]")
    if isinstance(new, dict) and "additionalProperties" in schema:
        for key, item in new.items():
            yield from _broken_rules(item, None, schema["additionalProperties"], f"{path}[{key}]")


def holds(rule: str, new: Any, old: Any) -> bool:
    """Ask a rule."""
    answer = _ask(rule, new, old)
    assert isinstance(answer, bool), answer
    return answer


def _ask(expression: str, new: Any, old: Any) -> Any:
    return _compiled(expression).eval(data={"self": new, "oldSelf": old}).plain_value()


@cache
def _compiled(rule: str) -> Any:
    return _CEL.compile(rule)
