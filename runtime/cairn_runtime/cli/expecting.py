"""A hash that was noted outside of the store, held against a history.

Whoever may write rows can take away the newest checkpoints and write the run's row anew: what is left was
valid once, and only what was noted elsewhere tells that there was more.
A checkpoint that was pruned is told by the one behind it, which holds its hash; further back nothing does.
Pure: no I/O.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from cairn_runtime.cli.inputs import refuse
from cairn_runtime.store.base import Checkpoint
from cairn_runtime.store.chain import Finding, skips_of

_FORM = re.compile(r"^(?:([1-9]\d{0,9}):)?([0-9a-f]{64})$")


class Expected(NamedTuple):
    """A hash that a history must hold; seq 0: whichever checkpoint has it."""

    seq: int
    hash: str


def expectation(text: str) -> Expected:
    """Read what was typed. Raises `InvalidInput`."""
    found = _FORM.match(text.strip().lower())
    if found is None:
        refuse("--expect", "is HASH or SEQ:HASH, with the 64 hex digits that `cairn verify RUN` prints")
    return Expected(int(found[1] or 0), found[2])


def judge(expected: Expected, headers: Sequence[Checkpoint]) -> Finding | None:
    """Say what is wrong where a history, ascending, does not hold the hash."""
    known = _hashes(headers)
    if expected.hash in (known.values() if not expected.seq else [known.get(expected.seq)]):
        return None
    last = headers[-1].seq if headers else 0
    if not expected.seq:
        text = f"no checkpoint has the expected hash {expected.hash}, as far as they were not pruned"
        return Finding(1, max(last, 1), "Missing", text, fault=True)
    seq = expected.seq
    if seq > last:
        text = f"checkpoint {seq}: expected, and the history ends at {last}: it was rolled back"
        return Finding(seq, seq, "Missing", text, fault=True)
    if seq in known:
        text = f"checkpoint {seq}: its hash is {known[seq]}, not the expected one: it was written anew"
        return Finding(seq, seq, "Altered", text, fault=True)
    text = f"checkpoint {seq}: expected, and not there any more; pin what is to be proved later"
    return Finding(seq, seq, "Missing", text, fault=True)


def _hashes(headers: Sequence[Checkpoint]) -> dict[int, str]:
    """Hashes by seq: of those that are there, and of those that one of them hangs on."""
    hung_on = {(skips[0] if (skips := skips_of(row)) else row.seq) - 1: row.parent_hash for row in headers}
    hung_on.pop(0, None)
    return hung_on | {row.seq: row.hash for row in headers}
