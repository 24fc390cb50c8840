"""What a prune may take, and the gaps that it leaves: the one rule for every store.

Pure: rows in, sets out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet

from cairn_runtime.store.base import GENESIS_HASH, HOLD_GRACE_SECONDS, Gap


def droppable(kinds: Mapping[int, str], drop: Iterable[int], keep: AbstractSet[int]) -> set[int]:
    """Choose from `drop` the seqs that nothing needs.

    `kinds` maps each seq that is there to its kind; `keep` are the pinned and the held.
    A checkpoint that stays needs all from its snapshot (or the first) up to itself, so one walk from the head
    backwards is enough: below a staying delta everything is needed until its snapshot was met.

    `kinds` need not be of the whole run: from the first of `drop` to the first snapshot after the last, or to
    the head where there is none, is enough. Nothing above that snapshot needs anything below it.
    """
    wanted = set(drop)
    order = sorted(kinds, reverse=True)
    head = order[0] if order else 0
    needed = False
    out: set[int] = set()
    for seq in order:
        needed = needed or seq == head or seq in keep or seq not in wanted
        if not needed:
            out.add(seq)
        elif kinds[seq] == "snapshot":
            needed = False
    return out


def gaps_with(gaps: Iterable[Gap], dropped: Iterable[int], hashes: Mapping[int, str]) -> list[Gap]:
    """Write down the gaps after a prune, adjacent ones as one.

    `hashes` are those of the seqs that stay beside what was dropped; beside the gaps that were there before,
    these themselves tell.
    """
    gaps = list(gaps)
    known = {gap.first_seq - 1: gap.hash_before for gap in gaps}
    known |= {gap.last_seq + 1: gap.hash_after for gap in gaps} | dict(hashes)
    spans = sorted([(gap.first_seq, gap.last_seq) for gap in gaps] + [(seq, seq) for seq in dropped])
    merged: list[tuple[int, int]] = []
    for first, last in spans:
        if merged and first <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(last, merged[-1][1]))
        else:
            merged.append((first, last))
    return [
        Gap(first, last, GENESIS_HASH if first == 1 else known.get(first - 1, ""), known.get(last + 1, ""))
        for first, last in merged
    ]


def hold_counts(*, child_head: int | None, child_deleted: bool, age_seconds: float) -> bool:
    """Tell whether a hold still keeps its checkpoint; `child_head` is None for a child never created."""
    if child_deleted:
        return False
    if child_head is None:
        return age_seconds < HOLD_GRACE_SECONDS
    return child_head == 0
