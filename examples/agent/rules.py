"""A few rules where a model would be: they ask for the same tools, so that the example needs no account."""

import json
import re
from itertools import pairwise
from typing import Any

Message = dict[str, Any]
PLACES = ("Valley", "Larch", "Raven", "Col")


def answer(messages: list[Message]) -> Message:
    """Look up the ways between the places of a question, add them up, say what came out."""
    found = [json.loads(message["content"]) for message in messages if message["role"] == "tool"]
    ways = [one for one in found if "km" in one]
    sums = [one["sum"] for one in found if "sum" in one]
    places = re.findall("|".join(PLACES), messages[0]["content"])
    if not found:
        return asking("way", [{"start": start, "end": end} for start, end in pairwise(places)])
    if not sums:
        return asking("add", [{"numbers": [one[what] for one in ways]} for what in ("km", "climb")])
    km, climb = sums
    return {"role": "assistant", "content": f"It is {km:g} km, and you climb {climb:g} m."}


def asking(tool: str, arguments: list[dict[str, Any]]) -> Message:
    """A turn that asks for a tool, perhaps several times at once."""
    calls = [
        {"id": f"{tool}-{n}", "type": "function", "function": {"name": tool, "arguments": json.dumps(one)}}
        for n, one in enumerate(arguments)
    ]
    return {"role": "assistant", "tool_calls": calls}
