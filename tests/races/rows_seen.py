"""Rules on the run's row, at every moment at which somebody read it.

It shows the head of a commit with its counters, the newest claim, and the newest change of the row; it never
goes back behind what had been acknowledged or what somebody had read before.
Pure; imports nothing of Cairn.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import accumulate

from tests.races.evidence import NEVER, Call, Evidence, Tide, Violation, Write


def wrong_heads(evidence: Evidence) -> Iterator[Violation]:
    """Head, hash and counters in the row are those of the history at that length."""
    sizes = [0, *accumulate(row.size for row in evidence.history)]
    for call in _seen(evidence):
        head = call.got["seq"]
        if head >= len(sizes):
            # Only what was read after the newest load can be ahead of it.
            if any(call.answered < load.sent for load, _ in evidence.loads):
                text = f"{call} shows head {head}, but the history ends at {len(sizes) - 1}"
                yield Violation("acknowledged lost", call.race, text)
            continue
        if head not in evidence.ends:
            yield Violation("torn", call.race, f"{call} shows head {head}, where no commit ends")
        last = evidence.history[head - 1] if head else None
        if last is not None and (call.got["id"], call.got["hash"]) != (last.id, last.hash):
            yield Violation("fork", call.race, f"{call} shows {call.got['id']} as head {head}, not {last.id}")
        counted = (call.got.get("checkpoints", head), call.got.get("bytes", sizes[head]))
        if counted != (head, sizes[head]):
            text = f"{call} counts {counted} checkpoints and bytes, not {(head, sizes[head])}"
            yield Violation("wrong counters", call.race, text)


def rows_gone_back(evidence: Evidence) -> Iterator[Violation]:
    """Head and epoch are at least those that were acknowledged, or read by anybody, before."""
    acknowledged = Tide((w.acknowledged, w.last) for w in evidence.writes.values() if w.rows)
    looks = _seen(evidence)
    heads = Tide((call.answered, call.got["seq"]) for call in looks)
    epochs = Tide((call.answered, call.got["epoch"]) for call in looks)
    for call in looks:
        head, epoch = call.got["seq"], call.got["epoch"]
        if head < acknowledged.before(call.sent):
            text = f"{call} shows head {head}, after {acknowledged.before(call.sent)} was acknowledged"
            yield Violation("acknowledged lost", call.race, text)
        if head < heads.before(call.sent) or epoch < epochs.before(call.sent):
            yield Violation(
                "gone back", call.race, f"{call} shows head {head} and epoch {epoch}, once higher"
            )
        if epoch < evidence.claimed.before(call.sent):
            text = f"{call} shows epoch {epoch}, after {evidence.claimed.before(call.sent)} was given out"
            yield Violation("claim lost", call.race, text)


def wrong_changes(evidence: Evidence) -> Iterator[Violation]:
    """The row shows the newest change: none that was refused, none that another one has replaced."""
    changing = [write for write in evidence.writes.values() if write.told.get("phase")]
    newest = [0] * (len(evidence.history) + 1)
    """By head: the first seq of the newest commit up to it that changed the row."""
    for change in changing:
        if evidence.placed(change):
            newest[change.last] = change.rows[0].seq
    newest = list(accumulate(newest, max))
    replaced = Tide((change.acknowledged, change.first_sent) for change in changing)
    for call in _seen(evidence):
        if "reason" not in call.got or call.got["seq"] >= len(newest):
            continue
        reason, head = call.got["reason"], call.got["seq"]
        write: Write | None = evidence.writes.get(reason)
        if reason and (write is None or write.refused or call.got["phase"] != write.told.get("phase")):
            yield Violation("refused and there", call.race, f"{call} shows the row of write {reason}")
            continue
        stands, known = (0, 0) if write is None else (write.last, write.acknowledged)
        if write is not None and write.rows and stands > head:
            yield Violation(
                "torn", call.race, f"{call} shows the row of write {reason} without its checkpoints"
            )
        if newest[head] > stands or (known != NEVER and replaced.before(call.sent) > known):
            yield Violation("change undone", call.race, f"{call} shows the row of write {reason or 'none'}")


def _seen(evidence: Evidence) -> list[Call]:
    return [call for call in evidence.of("look", "head") if call.done and "seq" in call.got]
