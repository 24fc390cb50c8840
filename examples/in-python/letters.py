"""A Workflow written in Python: count the letters of some words, name the longest.

python letters.py          runs it, or goes on with it
python letters.py yaml     prints its manifest
"""

import asyncio
import sys
from typing import Any

from cairn_runtime import Context, Workflow, run

letters = Workflow("letters", input={"words": ["cairn", "stone", "way", "waymark"]})


def longer(old: str | None, new: str) -> str:
    """The longer of two words; a channel's own reducer."""
    return max(old or "", new, key=len)


letters.channel("sizes", reducer="extend", schema={"type": ["array", "null"]})
letters.channel("longest", reducer=longer)
letters.channel("total", initial=0)


@letters.step(foreach={"in": "state.words", "parallelism": 2, "collect": "sizes"})
async def measure(_state: dict[str, Any], ctx: Context) -> int:
    """One task for each word."""
    return len(ctx.item)


@letters.step(needs=[measure], retry={"limit": 2, "baseDelay": "50ms"})
def add_up(state: dict[str, Any]) -> dict[str, Any]:
    """Needs all of them."""
    return {"total": sum(state["sizes"]), "longest": max(state["words"], key=len)}


letters.add("show", run='cat "$CAIRN_STATE"', needs=[add_up])

if __name__ == "__main__":
    if sys.argv[1:] == ["yaml"]:
        print(letters.to_yaml(), end="")
    else:
        result = asyncio.run(run(letters))
        print(result.phase, result.state["total"], result.state["longest"])
