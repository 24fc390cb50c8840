"""Rules on answers: what was acknowledged is there, what was refused is not, no stale fence gets through.

A write is *stale* if a claim of a newer epoch had been answered before the write was first sent, if it
carries a claim that is not the one to which its epoch was given, or if it stands in the history behind what
somebody had read under a newer epoch.
Pure; imports nothing of Cairn.
"""

from __future__ import annotations

from collections.abc import Iterator

from tests.races.evidence import FENCED, NEVER, Call, Evidence, Violation, Write

_EXPECTED = {
    "create": {"done", "HistoryConflict"},
    "claim": {"done", "Superseded", "RunNotFound"},
    "commit": {"done", "Superseded", "RunNotFound"},
    "beat": {"done", "Superseded", "RunNotFound"},
    "progress": {"done", "Superseded", "RunNotFound"},
    "send": {"done", "WaitClosed", "RunNotFound"},
    "delete": {"done"},
    "look": {"done", "RunNotFound"},
    "load": {"done", "RunNotFound"},
    "one": {"done", "CheckpointNotFound"},
}
_NOTHING = {"", "StoreUnavailable"}


def strange_answers(evidence: Evidence) -> Iterator[Violation]:
    """A call is answered as the contract says, and a run that nobody deletes is there."""
    ending = min((write.first_sent for write in evidence.finishing()), default=NEVER)
    created = min((call.answered for call in evidence.of("create") if call.done), default=NEVER)
    for call in evidence.calls:
        if call.answer not in _EXPECTED.get(call.kind, {"done"}) | _NOTHING:
            yield Violation("strange answer", call.race, f"{call} was answered {call.answer}")
        if call.answer == "WaitClosed" and call.answered < ending:
            yield Violation("strange answer", call.race, f"{call} was refused, though the run goes on")
        gone = call.answer in ("RunNotFound", "HistoryConflict", "CheckpointNotFound")
        if gone and created < call.sent and call.answered < evidence.deletion_sent:
            yield Violation("lost", call.race, f"{call}: {call.answer}, though nobody had deleted the run")


def lost_writes(evidence: Evidence) -> Iterator[Violation]:
    """What was acknowledged before a history was read is in it."""
    last_read = max((call.sent for call, _ in evidence.loads), default=0)
    for write in evidence.writes.values():
        if write.rows and write.acknowledged < last_read and not evidence.placed(write):
            yield _of(write, "acknowledged lost", "was acknowledged and is not in the history")
    for call, rows in evidence.loads:
        missing = [
            write
            for write in evidence.writes.values()
            if write.rows and write.acknowledged < call.sent and write.last > len(rows)
        ]
        if missing and call.answered < evidence.deletion_sent:
            text = f"{call} read {len(rows)} checkpoints, after {missing[0].last} had been acknowledged"
            yield Violation("acknowledged lost", call.race, text)


def refused_writes(evidence: Evidence) -> Iterator[Violation]:
    """What was refused is not there; and a write is not refused to one and acknowledged to another."""
    for write in evidence.writes.values():
        if write.refused and evidence.placed(write):
            yield _of(write, "refused and there", "was refused and is in the history")
        superseded = any(call.answer == "Superseded" for call in write.calls)
        if superseded and write.acknowledged != NEVER:
            yield _of(write, "two answers", "was acknowledged to one and refused to another")


def stale_writes(evidence: Evidence) -> Iterator[Violation]:
    """Nothing is accepted that was first sent after a newer epoch had been given out."""
    holders = {call.got["epoch"]: call.told["claim"] for call in evidence.of("claim") if call.done}
    for write in evidence.writes.values():
        if write.acknowledged == NEVER and not evidence.placed(write):
            continue
        newest = evidence.claimed.before(write.first_sent)
        if newest > write.epoch:
            yield _of(
                write, "stale accepted", f"epoch {write.epoch}, sent after epoch {newest} was given out"
            )
        if holders.get(write.epoch, write.told["claim"]) != write.told["claim"]:
            yield _of(write, "stale accepted", f"epoch {write.epoch} belongs to another claim")
    for call in evidence.of("beat", "progress"):
        newest = evidence.claimed.before(call.sent)
        if call.done and newest > call.told["epoch"]:
            text = f"{call}: epoch {call.told['epoch']}, sent after epoch {newest} was given out"
            yield Violation("stale accepted", call.race, text)


def overtaken_writes(evidence: Evidence) -> Iterator[Violation]:
    """Behind the head that somebody read under an epoch, nothing older is written."""
    lowest: list[int] = [NEVER]
    for row in reversed(evidence.history):
        lowest.append(min(row.epoch, lowest[-1]))
    lowest.reverse()
    views = [(call, call.got["seq"], call.got["epoch"]) for call in evidence.of("look") if call.done]
    views += [(call, len(rows), 0) for call, rows in evidence.loads]
    for call, head, shown in views:
        epoch = max(shown, evidence.claimed.before(call.sent))
        if head < len(evidence.history) and lowest[head] < epoch:
            text = f"{call} read head {head} under epoch {epoch}; epoch {lowest[head]} was written behind it"
            yield Violation("stale accepted", call.race, text)


def revived(evidence: Evidence) -> Iterator[Violation]:
    """After a deletion was acknowledged nothing is written and nothing is read."""
    for call in evidence.calls:
        if not call.done or call.sent < evidence.deleted:
            continue
        if call.kind in (*FENCED, "create", "claim", "send", "look", "load", "one"):
            yield Violation("revived", call.race, f"{call} found the run after it was deleted")
        elif call.got.get("rows") or call.got.get("signals"):
            yield Violation("revived", call.race, f"{call} read rows after the run was deleted")


def stale_calls(evidence: Evidence) -> list[Call]:
    """The calls that were sent under a fence which was known to be old: what must be refused."""
    return [
        call
        for call in evidence.of(*FENCED)
        if call.told["epoch"] < evidence.claimed.before(call.sent)
        and (call.kind != "commit" or evidence.writes[call.told["write"]].first_sent == call.sent)
    ]


def _of(write: Write, rule: str, text: str) -> Violation:
    call = write.calls[0]
    return Violation(rule, call.race, f"write {write.id} ({call}) {text}")
