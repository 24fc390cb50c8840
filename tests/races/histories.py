"""Rules on the history: one chain, made of what was sent, each write whole and once.

Pure; imports nothing of Cairn.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from tests.races.evidence import Evidence, Row, Violation, Write

GENESIS = "0" * 64
"""Parent hash of the first checkpoint."""


def broken_chain(evidence: Evidence) -> Iterator[Violation]:
    """Seqs count from 1 without a hole, each parent hash is the hash before, epochs never fall."""
    first = evidence.history[:1]
    for row in first:
        if row.seq != 1 or row.parent != GENESIS:
            yield _at(evidence, "broken chain", row, "the history does not begin with checkpoint 1")
    for before, row in pairwise(evidence.history):
        if row.seq != before.seq + 1:
            yield _at(evidence, "broken chain", row, f"stands behind checkpoint {before.seq}")
        if row.parent != before.hash:
            yield _at(evidence, "broken chain", row, "its parent is not the checkpoint before it")
        if row.epoch < before.epoch:
            text = f"epoch {row.epoch} was written behind epoch {before.epoch}"
            yield _at(evidence, "stale accepted", row, text)


def foreign_rows(evidence: Evidence) -> Iterator[Violation]:
    """What is in the history was sent, is there once, and is what was sent to the last byte."""
    sent = {row.id: row for write in evidence.writes.values() for row in write.rows}
    seen: set[str] = set()
    for row in evidence.history:
        if row.id not in sent:
            yield _at(evidence, "never sent", row, "nobody has sent it")
        elif row != sent[row.id]:
            yield _at(evidence, "altered", row, f"it is not what was sent: {row} instead of {sent[row.id]}")
        if row.id in seen:
            yield _at(evidence, "written twice", row, "it is there twice")
        seen.add(row.id)


def torn_writes(evidence: Evidence) -> Iterator[Violation]:
    """Of a commit all checkpoints are there or none."""
    for write in evidence.writes.values():
        there = sum(row.id in evidence.ids for row in write.rows)
        if 0 < there < len(write.rows):
            yield Violation(
                "torn", _race(write), f"{there} of {len(write.rows)} checkpoints are there: {write.id}"
            )


def changed_histories(evidence: Evidence) -> Iterator[Violation]:
    """Whoever read the history, at whatever time, read a beginning of it that ends where a commit ends."""
    for call, rows in evidence.loads:
        for row, final in zip(rows, evidence.history, strict=False):
            if row != final:
                text = f"{call} read {row.id} as checkpoint {row.seq}; later it is {final.id}"
                yield Violation("fork", call.race, text)
                break
        if len(rows) not in evidence.ends:
            text = f"{call} read {len(rows)} checkpoints, where no commit ends"
            yield Violation("torn", call.race, text)


def differing_answers(evidence: Evidence) -> Iterator[Violation]:
    """The listing of headers and a checkpoint read by its id say what the history says."""
    by_header = {row[:7] for row in evidence.history}
    for call in evidence.of("list", "one"):
        if not call.done or call.answered >= evidence.deletion_sent:
            continue
        rows = [Row(*row) for row in call.got["rows"]]
        if any(before.seq != row.seq + 1 for before, row in pairwise(rows)):
            yield Violation("fork", call.race, f"{call}: {[row.seq for row in rows]} is no descending order")
        for row in rows:
            # Who lists while others write may be ahead of the newest load.
            known = row.seq <= len(evidence.history)
            if known and (row[:7] not in by_header or (call.kind == "one" and row != evidence.ids[row.id])):
                yield Violation("fork", call.race, f"{call} shows checkpoint {row.seq} as {row}")


def _race(write: Write) -> int:
    return write.calls[0].race


def _at(evidence: Evidence, rule: str, row: Row, text: str) -> Violation:
    own = (write for write in evidence.writes.values() if row.id in {sent.id for sent in write.rows})
    write = next(own, None)
    return Violation(rule, _race(write) if write else 0, f"checkpoint {row.seq} ({row.id}): {text}")
