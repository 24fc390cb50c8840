"""What the agent can do: each tool is a function, described so that a model can ask for it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

WAYS: dict[str, Any] = json.loads(Path(__file__).with_name("ways.json").read_text())


def way(start: str, end: str) -> dict[str, Any]:
    """Look up how far a way is and how much it climbs."""
    found: dict[str, Any] | None = WAYS.get(f"{start} to {end}")
    return found or {"error": f"no way from {start} to {end}; there are: {', '.join(WAYS)}"}


def add(numbers: list[float]) -> dict[str, Any]:
    """Add numbers: models are bad at it."""
    return {"sum": round(sum(numbers), 3)}


TOOLS: dict[str, Callable[..., dict[str, Any]]] = {"way": way, "add": add}

DESCRIBED = [
    {
        "type": "function",
        "function": {
            "name": "way",
            "description": "How many km a way between two places is, and how many metres it climbs.",
            "parameters": {
                "type": "object",
                "properties": {"start": {"type": "string"}, "end": {"type": "string"}},
                "required": ["start", "end"],
            },
        },
    },
    {
        "type": "function",
        "function": {
            "name": "add",
            "description": "The sum of numbers.",
            "parameters": {
                "type": "object",
                "properties": {"numbers": {"type": "array", "items": {"type": "number"}}},
                "required": ["numbers"],
            },
        },
    },
]


def use(name: str, arguments: str) -> dict[str, Any]:
    """Call a tool as a model asked for it, which may be wrong in every way."""
    tool = TOOLS.get(name)
    if tool is None:
        return {"error": f"there is no tool {name}; there are: {', '.join(TOOLS)}"}
    try:
        return tool(**json.loads(arguments))
    except (TypeError, ValueError) as error:
        return {"error": f"{name} cannot be called like this: {error}"}
