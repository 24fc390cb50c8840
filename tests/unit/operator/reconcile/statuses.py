"""The judge of a status: the definition's own schema, and how much room it takes."""

from __future__ import annotations

import json
from typing import Any

import jsonschema_rs
from tests.unit.operator.resources.api_server import SCHEMAS

from cairn_operator.reconcile import status as room
from cairn_operator.reconcile.state import World

MAX_BYTES = 64 * 1024
_CHECKER = jsonschema_rs.validator_for(
    {
        **SCHEMAS["Workflow"]["properties"]["status"],
        "$schema": "https://json-schema.org/draft/2020-12/schema",
    },
    validate_formats=True,
)


def status_of(seen: World) -> dict[str, Any]:
    """The status of a world."""
    return room.status_of(seen)


def assert_fits(status: dict[str, Any]) -> None:
    """The API server takes this status whole, drops nothing of it, and it is small."""
    faults = [f"{'.'.join(map(str, e.instance_path))}: {e.message}" for e in _CHECKER.iter_errors(status)]

    assert faults == []
    assert _unknown(status, SCHEMAS["Workflow"]["properties"]["status"]) == []
    assert len(json.dumps(status, ensure_ascii=False).encode()) <= MAX_BYTES
    assert_coherent({item["type"]: item["status"] for item in status["conditions"]}, status["phase"])


def assert_coherent(holds: dict[str, str], phase: str) -> None:
    """The conditions tell one story, and the phase is that story's title."""
    assert not (holds["Reconciling"] == "True" and holds["Stalled"] == "True")
    for name in ("Running", "Waiting", "Suspended", "Succeeded", "Failed"):
        assert (holds[name] == "True") == (phase == name), name


def conditions(status: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The conditions by type."""
    return {item["type"]: item for item in status["conditions"]}


def _unknown(value: Any, schema: dict[str, Any], path: str = "") -> list[str]:
    if isinstance(value, list):
        return [fault for item in value for fault in _unknown(item, schema["items"], f"{path}[]")]
    if not isinstance(value, dict):
        return []
    known = schema.get("properties", {})
    below = [
        fault
        for key, item in value.items()
        if key in known
        for fault in _unknown(item, known[key], f"{path}.{key}")
    ]
    return [f"{path}.{key}" for key in value if key not in known] + below
