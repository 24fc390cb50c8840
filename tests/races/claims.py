"""Rules on claims: an epoch is given out once, to one claim, and none is left out.

Pure; imports nothing of Cairn.
"""

from __future__ import annotations

from collections.abc import Iterator

from tests.races.evidence import Call, Evidence, Violation


def two_holders(evidence: Evidence) -> Iterator[Violation]:
    """An epoch belongs to one claim, a claim has one epoch, and it is the one after the expected."""
    holders: dict[int, str] = {}
    for call in evidence.of("claim"):
        if not call.done:
            continue
        epoch, claim = call.got["epoch"], call.told["claim"]
        if epoch != call.told["expected"] + 1:
            text = f"{call} expected epoch {call.told['expected']} and was given {epoch}"
            yield Violation("two holders", call.race, text)
        if holders.setdefault(epoch, claim) != claim:
            text = f"epoch {epoch} was given to {holders[epoch]} and, by {call}, to {claim}"
            yield Violation("two holders", call.race, text)


def wrong_holders(evidence: Evidence) -> Iterator[Violation]:
    """The row shows the claim to which its epoch was given; a refused claim is never seen."""
    claims: dict[str, list[Call]] = {}
    for call in evidence.of("claim"):
        claims.setdefault(call.told["claim"], []).append(call)
    holders = {call.got["epoch"]: call.told["claim"] for call in evidence.of("claim") if call.done}
    for call in evidence.of("look"):
        if not call.done or not call.got["epoch"]:
            continue
        epoch, claim = call.got["epoch"], call.got["claim"]
        asked = claims.get(claim, [])
        possible = any(not a.refused and a.told["expected"] == epoch - 1 for a in asked)
        if holders.get(epoch, claim) != claim or not possible:
            text = f"{call} shows epoch {epoch} with claim {claim}, which was not given it"
            yield Violation("two holders", call.race, text)


def skipped_epochs(evidence: Evidence) -> Iterator[Violation]:
    """Every epoch up to the newest was claimed by somebody, and the next one not before it was."""
    asked: dict[int, list[Call]] = {}
    for call in evidence.of("claim"):
        if not call.refused:
            asked.setdefault(call.told["expected"] + 1, []).append(call)
    given = [call for call in evidence.of("claim") if call.done]
    for epoch in range(1, max((call.got["epoch"] for call in given), default=0) + 1):
        if epoch not in asked:
            yield Violation("claim lost", 0, f"epoch {epoch} was skipped: nobody can have claimed it")
    for call in given:
        before = asked.get(call.got["epoch"] - 1)
        if before and all(call.answered < other.sent for other in before):
            text = f"{call} was given epoch {call.got['epoch']} before anybody had asked for the one before"
            yield Violation("claim lost", call.race, text)
