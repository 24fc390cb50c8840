"""A letter that gets better by rules until it may be signed and sent."""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cairn_runtime import Context, SyncContext

FILLERS = re.compile(r"\b(?:very|really|basically|quite|simply) ", re.IGNORECASE)
DOUBLED = re.compile(r"\b(\w+) \1\b", re.IGNORECASE)
LONG = 20
"""Words from which a sentence is long."""


async def draft(state: Mapping[str, Any], ctx: Context) -> dict[str, Any]:
    """Mend the first thing that the check found; the first draft is the text as it came."""
    findings = state["findings"] or []
    ctx.log.info("writes draft %d; to mend: %s", ctx.visit, findings[0] if findings else "nothing yet")
    text = " ".join(state["text"].split())
    return {"text": mend(text, findings[0]) if findings else text}


async def check(state: Mapping[str, Any]) -> dict[str, Any]:
    """Score the text: 10, and 2 less for each kind of flaw in it."""
    findings = flaws(state["text"])
    score = 10 - 2 * len(findings)
    return {"score": score, "scores": score, "findings": findings}


def send(state: Mapping[str, Any], ctx: SyncContext) -> dict[str, Any]:
    """Send the letter, once, although the first call ends in an error.

    The key is the same in every attempt, also after a crash, so that whoever gets it can tell a repeated
    letter from a second one.
    """
    remark = state["sign"]["value"]
    letter = state["text"] + (f"\n\nP.S. {remark}" if remark else "")
    deliver(Path(state["outbox"]), ctx.idempotency_key, letter)
    if ctx.attempt == 1:
        # The worst kind of failure: the letter is out, but nobody tells us so.
        raise ConnectionError("the post office took the letter and hung up before it said so")
    return {"outcome": f"sent at attempt {ctx.attempt}"}


def shelve(state: Mapping[str, Any]) -> dict[str, Any]:
    """Keep the letter, with the reason why it was not sent."""
    return {"outcome": f"not sent: {state['sign']['value'] or 'no reason was given'}"}


def flaws(text: str) -> list[str]:
    """Name the kinds of flaws in a text, in the order in which they are mended."""
    sentences = re.split(r"(?<=[.!?]) ", text)
    found = {
        "a word is doubled": DOUBLED.search(text) is not None,
        "there are words that say nothing": FILLERS.search(text) is not None,
        "a sentence is too long": any(len(sentence.split()) > LONG for sentence in sentences),
    }
    return [flaw for flaw, is_there in found.items() if is_there]


def mend(text: str, flaw: str) -> str:
    """Take one kind of flaw out of a text."""
    if flaw == "a word is doubled":
        return DOUBLED.sub(r"\1", text)
    if flaw == "there are words that say nothing":
        return FILLERS.sub("", text)
    return " ".join(halved(sentence) for sentence in re.split(r"(?<=[.!?]) ", text))


def halved(sentence: str) -> str:
    """Make two sentences of a long one, at the "and" that is nearest to its middle."""
    words = sentence.split()
    joints = [n for n, word in enumerate(words) if word == "and"]
    if len(words) <= LONG or not joints:
        return sentence
    middle = min(joints, key=lambda n: abs(2 * n - len(words)))
    first, second = " ".join(words[:middle]), " ".join(words[middle + 1 :])
    return f"{first}. {second[:1].upper()}{second[1:]}"


def deliver(outbox: Path, key: str, letter: str) -> None:
    """Put a letter into the outbox, unless one with this key is there: twice does the same as once."""
    outbox.mkdir(parents=True, exist_ok=True)
    target = outbox / f"{key}.txt"
    if target.exists():
        return
    part = target.with_suffix(".part")
    part.write_text(letter + "\n", encoding="utf-8")
    os.replace(part, target)  # noqa: PTH105 - by the name under which everybody looks for it
