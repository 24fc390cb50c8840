"""The checker: all rules, and what is counted of a race.

Give it every call about one run; no violation means that the run kept what a store promises.
Pure; imports nothing of Cairn.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator

from tests.races import answers, claims, histories, rows_seen, signals
from tests.races.evidence import Call, Evidence, Violation

RULES: tuple[Callable[[Evidence], Iterator[Violation]], ...] = (
    histories.broken_chain,
    histories.foreign_rows,
    histories.torn_writes,
    histories.changed_histories,
    histories.differing_answers,
    answers.strange_answers,
    answers.lost_writes,
    answers.refused_writes,
    answers.stale_writes,
    answers.overtaken_writes,
    answers.revived,
    rows_seen.wrong_heads,
    rows_seen.rows_gone_back,
    rows_seen.wrong_changes,
    claims.two_holders,
    claims.wrong_holders,
    claims.skipped_epochs,
    signals.signal_numbers,
    signals.lost_signals,
    signals.pending_counts,
)
WRITES = ("create", "claim", "commit", "beat", "progress", "send", "delete")
"""Calls that contend with each other."""


def check(calls: Iterable[Call]) -> list[Violation]:
    """Hold everything that is known about a run against all rules."""
    evidence = Evidence(calls)
    return [violation for rule in RULES for violation in rule(evidence)]


def contested(calls: Iterable[Call]) -> set[int]:
    """The races in which writes of two processes were under way at the same moment."""
    found: set[int] = set()
    busy: dict[int, dict[str, int]] = {}
    """By race: until when each process had a write under way."""
    for call in sorted(calls, key=lambda call: call.sent):
        if call.kind in WRITES:
            others = busy.setdefault(call.race, {})
            if any(who != call.who and end > call.sent for who, end in others.items()):
                found.add(call.race)
            others[call.who] = max(call.answered, others.get(call.who, 0))
    return found


def counted(calls: Iterable[Call], kinds: dict[int, str]) -> dict[str, Counter[str]]:
    """Count by kind of race; `kinds` names each race of the run."""
    evidence = Evidence(calls)
    out: dict[str, Counter[str]] = {}
    for kind in kinds.values():
        out.setdefault(kind, Counter())["races"] += 1
    for race in contested(evidence.calls):
        if race in kinds:
            out[kinds[race]]["contested"] += 1
    for call in evidence.calls:
        if call.race in kinds and call.kind in WRITES:
            answer = "acknowledged" if call.done else "refused" if call.refused else "unanswered"
            out[kinds[call.race]][answer] += 1
        elif call.race in kinds:
            out[kinds[call.race]]["read"] += 1
    for call in answers.stale_calls(evidence):
        if call.race in kinds:
            out[kinds[call.race]]["stale"] += 1
    return out
