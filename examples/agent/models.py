"""Asking a model for its next turn: one that speaks the chat completions protocol, or a few rules.

MODEL_URL     such as https://models.example/v1 or http://localhost:11434/v1; without it, rules.py answers
MODEL_NAME    which of its models
MODEL_KEY     sent as a bearer token; kept out of the state, so it is in no checkpoint
"""

import json
import os
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Any

import rules

Message = dict[str, Any]
TRY_AGAIN = {408, 409, 429, 500, 502, 503, 504}
"""What a server answers that may have an answer later."""


@dataclass(frozen=True)
class Turn:
    """What the model said, and what it cost."""

    message: Message
    tokens: int


def ask(messages: list[Message], tools: list[dict[str, Any]]) -> Turn:
    """Ask for the next message of a conversation.

    Raises:
        ConnectionError: no answer now; the same question later may have one.
        ValueError: the model does not take the question.
    """
    url = os.environ.get("MODEL_URL")
    if not url:
        return Turn(rules.answer(messages), tokens=sum(len(str(message)) // 4 for message in messages))
    question = {"model": os.environ.get("MODEL_NAME", ""), "messages": messages, "tools": tools}
    answer = post(url.rstrip("/") + "/chat/completions", question)
    # A turn is a dict with the fields of the protocol; what else a server adds is not kept.
    said = answer["choices"][0]["message"]
    message = {name: said[name] for name in ("role", "content", "tool_calls") if said.get(name) is not None}
    return Turn(message, answer.get("usage", {}).get("total_tokens", 0))


def post(url: str, question: dict[str, Any]) -> dict[str, Any]:
    """Send JSON, get JSON; errors say nothing of the key."""
    headers = {
        "Content-Type": "application/json",
        "Authorization": f"Bearer {os.environ.get('MODEL_KEY', '')}",
    }
    if not url.startswith(("http://", "https://")):
        raise ValueError("MODEL_URL is no http or https address")
    request = urllib.request.Request(url, json.dumps(question).encode(), headers)  # noqa: S310 - see above
    try:
        with urllib.request.urlopen(request, timeout=100) as answer:  # noqa: S310 - see above
            found: dict[str, Any] = json.load(answer)
            return found
    except urllib.error.HTTPError as error:
        if error.code in TRY_AGAIN:
            raise ConnectionError(f"the model's server answered {error.code}") from None
        raise ValueError(f"the model's server answered {error.code}: {error.read(500).decode()}") from None
    except (urllib.error.URLError, TimeoutError) as error:
        raise ConnectionError(f"the model's server cannot be reached: {error}") from None
