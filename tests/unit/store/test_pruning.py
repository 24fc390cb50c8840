"""What a prune may take, for any history."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from cairn_runtime.store.base import GENESIS_HASH, HOLD_GRACE_SECONDS, Gap
from cairn_runtime.store.pruning import droppable, gaps_with, hold_counts

histories = st.lists(st.sampled_from(["delta", "delta", "snapshot"]), min_size=1, max_size=15).map(
    lambda kinds: dict(enumerate(kinds, start=1))
)
seqs = st.sets(st.integers(min_value=0, max_value=17))


def chain(kinds: dict[int, str], seq: int) -> set[int]:
    """What a checkpoint is folded from, by the definition."""
    snapshots = [s for s in kinds if s <= seq and kinds[s] == "snapshot"]
    return {s for s in kinds if max(snapshots, default=min(kinds)) <= s <= seq}


@given(kinds=histories, drop=seqs, keep=seqs)
def test_what_stays_can_be_folded(kinds, drop, keep):
    """Only what was asked for goes, never the head, the kept, or what anything that stays needs."""
    gone = droppable(kinds, drop, keep)
    stay = set(kinds) - gone

    assert gone <= drop
    assert max(kinds) in stay
    assert not gone & keep
    for seq in stay:
        assert chain(kinds, seq) <= stay


@given(kinds=histories, drop=seqs, keep=seqs)
def test_nothing_stays_without_a_reason(kinds, drop, keep):
    """What was asked for and stays is needed by something that was not, or that is kept."""
    stay = set(kinds) - droppable(kinds, drop, keep)
    anchors = {seq for seq in kinds if seq not in drop or seq in keep or seq == max(kinds)}

    assert stay == {seq for anchor in anchors for seq in chain(kinds, anchor)}


@given(first=seqs, second=seqs)
def test_gaps_are_the_holes(first, second):
    """Prune after prune: ascending, apart from each other, and exactly what went."""
    hashes = {seq: f"h{seq}" for seq in range(1, 20)}
    one = {seq for seq in first if seq > 0}
    both = one | {seq for seq in second if seq > 0}
    after_one = gaps_with([], one, {s: h for s, h in hashes.items() if s not in one})

    gaps = gaps_with(after_one, both - one, {s: h for s, h in hashes.items() if s not in both})

    assert {seq for gap in gaps for seq in range(gap.first_seq, gap.last_seq + 1)} == both
    for gap in gaps:
        assert gap.hash_before == (GENESIS_HASH if gap.first_seq == 1 else f"h{gap.first_seq - 1}")
        assert gap.hash_after == f"h{gap.last_seq + 1}"


def test_a_hole_that_no_prune_made_stays_unexplained():
    """A row that was lost beside a prune must not be taken for pruned: the gap has no hash on that side."""
    gaps = gaps_with([], {3}, {1: "h1", 4: "h4"})

    assert gaps == [Gap(3, 3, "", "h4")]


def test_a_hold_counts_while_its_child_has_nothing_of_its_own():
    """From before the child is created, for an hour, until its first checkpoint or its end."""
    fresh, old = HOLD_GRACE_SECONDS - 1, HOLD_GRACE_SECONDS

    assert hold_counts(child_head=None, child_deleted=False, age_seconds=fresh)
    assert not hold_counts(child_head=None, child_deleted=False, age_seconds=old)
    assert hold_counts(child_head=0, child_deleted=False, age_seconds=old * 100)
    assert not hold_counts(child_head=1, child_deleted=False, age_seconds=0)
    assert not hold_counts(child_head=0, child_deleted=True, age_seconds=0)
