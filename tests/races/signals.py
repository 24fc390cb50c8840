"""Rules on signals: one that was acknowledged is queued or used up, once, under one number.

Pure; imports nothing of Cairn.
"""

from __future__ import annotations

from collections.abc import Iterator

from tests.races.evidence import NEVER, Evidence, Violation, Write


def signal_numbers(evidence: Evidence) -> Iterator[Violation]:
    """A signal has one number, whoever sends it and however often; no two have the same."""
    numbers: dict[int, str] = {}
    clients: dict[str, int] = {}
    for call in evidence.of("send"):
        if not call.done:
            continue
        number, client = call.got["number"], call.told["client"]
        if numbers.setdefault(number, client) != client or clients.setdefault(client, number) != number:
            yield Violation("signal twice", call.race, f"{call}: {client} is number {number}, and another")
        if call.sent > evidence.finished:
            yield Violation("strange answer", call.race, f"{call} was accepted after the run had finished")


def lost_signals(evidence: Evidence) -> Iterator[Violation]:
    """A queue that is read while nobody writes holds what was acknowledged and not used up, and no more."""
    accepted = {call.told["client"]: call for call in evidence.of("send") if call.done}
    possible = {call.told["client"] for call in evidence.of("send") if not call.refused}
    for call in evidence.of("signals"):
        if not call.done or not call.told.get("quiet") or call.answered >= evidence.deletion_sent:
            continue
        queued = {client: number for number, client in call.got["signals"]}
        surely, maybe = _consumed(evidence, call.sent)
        for client, sending in accepted.items():
            number = sending.got["number"]
            if sending.answered < call.sent and client not in queued and number not in maybe:
                yield Violation("acknowledged lost", sending.race, f"signal {number} of {sending} is gone")
        for client, number in queued.items():
            if client not in possible:
                yield Violation("refused and there", call.race, f"signal {number} of {client} is queued")
            if number in surely:
                yield Violation("signal twice", call.race, f"signal {number} is queued after it was used up")


def pending_counts(evidence: Evidence) -> Iterator[Violation]:
    """While nobody writes, the row counts the signals that are queued."""
    for call in evidence.of("look"):
        if call.done and "pending" in call.got and call.told.get("quiet"):
            queues = [
                q for q in evidence.of("signals") if q.race == call.race and q.told.get("quiet") and q.done
            ]
            if queues and len(queues[0].got["signals"]) != call.got["pending"]:
                text = (
                    f"{call} counts {call.got['pending']} signals, {len(queues[0].got['signals'])} are queued"
                )
                yield Violation("wrong counters", call.race, text)


def _consumed(evidence: Evidence, until: int) -> tuple[set[int], set[int]]:
    """Numbers that were used up for sure before a moment, and those that may have been."""
    surely: set[int] = set()
    maybe: set[int] = set()
    for write in evidence.writes.values():
        numbers = set(write.told.get("consumed", ()))
        if numbers and not write.refused:
            maybe |= numbers
            if _applied(evidence, write) < until:
                surely |= numbers
    return surely, maybe


def _applied(evidence: Evidence, write: Write) -> int:
    return NEVER if evidence.deleted != NEVER else write.acknowledged
