"""An agent: a model that thinks, tools that act for it, and a person who has the last word."""

import json
from collections.abc import Mapping
from typing import Any

import models
import tools

from cairn_runtime import SyncContext


def think(state: Mapping[str, Any], ctx: SyncContext) -> dict[str, Any]:
    """Tell the model what its tools have found, and take its next turn."""
    news = told(state) if state["messages"] else [{"role": "user", "content": state["question"]}]
    turn = models.ask([*state["messages"], *news], tools.DESCRIBED)
    calls = turn.message.get("tool_calls") or []
    ctx.log.info("turn %d: %s", ctx.visit, ", ".join(map(shown, calls)) or "answers")
    return {
        "messages": [*news, turn.message],
        "calls": calls,
        "tokens": turn.tokens,
        "answer": turn.message.get("content"),
    }


def act(_: Mapping[str, Any], ctx: SyncContext) -> dict[str, Any]:
    """Do one of the things that the model asked for; what goes wrong is told to it, and it may ask again."""
    call = ctx.item
    ctx.log.info("%s", shown(call))
    return {"id": call["id"], "found": tools.use(call["function"]["name"], call["function"]["arguments"])}


def send(state: Mapping[str, Any], ctx: SyncContext) -> dict[str, Any]:
    """Send the answer. The key lets whoever gets it see that a second one is the same."""
    ctx.log.info("sends: %s", state["answer"])
    return {"sent": {"answer": state["answer"], "key": ctx.idempotency_key}}


def told(state: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Results of tools, as messages to the model."""
    return [
        {"role": "tool", "tool_call_id": result["id"], "content": json.dumps(result["found"])}
        for result in state["results"]
    ]


def shown(call: Mapping[str, Any]) -> str:
    """A call in a few words."""
    return f"{call['function']['name']}({call['function']['arguments']})"
