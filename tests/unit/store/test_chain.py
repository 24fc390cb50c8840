"""The hash chain: what it covers, and what a walk over a history finds."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest

from cairn_runtime.errors import CheckpointCorrupted
from cairn_runtime.store.base import GENESIS_HASH, Checkpoint, Gap
from cairn_runtime.store.chain import (
    explain,
    is_sealed,
    seal_checkpoint,
    sealed,
    skips_of,
    verify_checkpoint,
    verify_history,
    verify_payloads,
)
from cairn_runtime.store.codec import Codec
from cairn_runtime.store.contract.cases import checkpoint

FIXED = Checkpoint(
    run_id="run-1",
    seq=7,
    id="01890a5d-ac96-774b-bcce-b302099a8057",
    parent_hash="ab" * 32,
    hash="",
    epoch=2,
    write_id="write-1",
    kind="delta",
    step="draft",
    visit=3,
    item=None,
    next=("check", "send"),
    metadata={"b": 1, "a": {"y": None, "x": [1.5]}},
    created_at=datetime(2026, 1, 2, 3, 4, 5, 678900, UTC),
    format_version=1,
    graph_hash="cd" * 32,
    digest="ef" * 32,
    size=3,
    payload=b"abc",
)


def history(count: int = 6) -> list[Checkpoint]:
    """Build a sound history."""
    rows: list[Checkpoint] = []
    parent = GENESIS_HASH
    for seq in range(1, count + 1):
        rows.append(sealed(checkpoint("run", seq, epoch=1, write_id=f"w{seq}", parent_hash=parent)))
        parent = rows[-1].hash
    return rows


def found(rows, gaps=()):
    """What a walk finds, without the texts."""
    return [(f.reason, f.first_seq, f.last_seq, f.fault) for f in verify_history(rows, gaps)]


def test_the_hash_is_fixed():
    """Histories that were written once must verify for ever."""
    assert seal_checkpoint(FIXED) == "3103c727354757495abaeb057cc7cdafd2095a277fa6303aba2941d54509fde0"


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("run_id", "run-2"),
        ("seq", 8),
        ("id", "other"),
        ("parent_hash", "00" * 32),
        ("epoch", 3),
        ("write_id", "write-2"),
        ("kind", "snapshot"),
        ("step", "check"),
        ("visit", 4),
        ("item", 0),
        ("next", ("send", "check")),
        ("metadata", {}),
        ("created_at", FIXED.created_at + timedelta(microseconds=1)),
        ("format_version", 2),
        ("graph_hash", "00" * 32),
        ("digest", "00" * 32),
    ],
)
def test_every_column_is_under_the_hash(column, value):
    """A change of any of them is seen."""
    good = sealed(FIXED)

    assert is_sealed(good)
    assert not is_sealed(good._replace(**{column: value}))


def test_what_a_new_encryption_changes_is_not_under_the_hash():
    """Payload and size may change; the digest of the plain content holds them."""
    good = sealed(FIXED)

    assert is_sealed(good._replace(payload=None, size=99))


@pytest.mark.parametrize(
    "same",
    [
        pytest.param({"metadata": {"a": {"x": [1.5], "y": None}, "b": 1}}, id="the order of keys"),
        pytest.param(
            {"created_at": FIXED.created_at.astimezone(timezone(timedelta(hours=5, minutes=30)))},
            id="the zone",
        ),
    ],
)
def test_the_header_is_canonical(same):
    """What a store may change on the way changes no hash."""
    assert seal_checkpoint(FIXED._replace(**same)) == seal_checkpoint(FIXED)


def test_sealing_sets_the_hash_only():
    """All other columns are as they were."""
    assert sealed(FIXED) == FIXED._replace(hash=seal_checkpoint(FIXED))


def test_verifying_names_the_checkpoint():
    """The error says which one of which run."""
    verify_checkpoint(sealed(FIXED))

    with pytest.raises(CheckpointCorrupted, match="checkpoint 7 of run run-1"):
        verify_checkpoint(FIXED)


def test_a_sound_history_has_no_finding():
    """In whatever order its checkpoints come."""
    rows = history()

    assert found(rows) == found(rows[::-1]) == []
    assert found([]) == []


def test_an_altered_header_is_found():
    """It breaks its own hash, not those of others."""
    rows = history()
    rows[2] = rows[2]._replace(step="other")

    assert found(rows) == [("Altered", 3, 3, True)]


def test_a_forged_checkpoint_breaks_the_chain():
    """A hash that was computed anew no longer is what the next one stands on."""
    rows = history()
    rows[2] = sealed(rows[2]._replace(step="other"))

    assert found(rows) == [("ChainBroken", 4, 4, True)]


def test_a_lost_checkpoint_is_found():
    """What is not there and was not pruned is missing."""
    rows = history()

    assert found(rows[:2] + rows[4:]) == [("Missing", 3, 4, True)]
    assert found(rows[2:]) == [("Missing", 1, 2, True)]


def test_a_first_checkpoint_stands_on_genesis():
    """A run has no parent before its first checkpoint."""
    rows = history(1)

    assert found([sealed(rows[0]._replace(parent_hash="ab" * 32))]) == [("ChainBroken", 1, 1, True)]


def test_a_prune_explains_a_gap():
    """With the hashes on both sides; at the beginning it is the genesis hash."""
    rows = history()
    gaps = [Gap(1, 1, GENESIS_HASH, rows[1].hash), Gap(3, 4, rows[1].hash, rows[4].hash)]

    assert found([rows[1], *rows[4:]], gaps) == [("Pruned", 1, 1, False), ("Pruned", 3, 4, False)]


@pytest.mark.parametrize(
    ("gap", "reason"),
    [
        pytest.param((3, 3), "Missing", id="the gap is shorter than the hole"),
        pytest.param((3, 5), "Missing", id="the gap is longer than the hole"),
        pytest.param((2, 4), "Missing", id="the gap begins elsewhere"),
    ],
)
def test_a_gap_that_does_not_fit_explains_nothing(gap, reason):
    """More was lost than was pruned."""
    rows = history()
    left = rows[:2] + rows[4:]

    assert found(left, [Gap(gap[0], gap[1], rows[1].hash, rows[4].hash)]) == [(reason, 3, 4, True)]


@pytest.mark.parametrize("side", ["hash_before", "hash_after"])
def test_a_checkpoint_put_beside_a_gap_is_found(side):
    """The gap knows what stood beside it."""
    rows = history()
    gap = Gap(3, 4, rows[1].hash, rows[4].hash)

    forged = replace(gap, **{side: "00" * 32})

    assert found(rows[:2] + rows[4:], [forged]) == [("ChainBroken", 3, 4, True)]


def gone_on(rows: list[Checkpoint], first: int, last: int, **changes) -> Checkpoint:
    """Build the snapshot of a runner that found checkpoints `first` to `last` corrupted."""
    parent = rows[first - 2].hash if first > 1 else GENESIS_HASH
    made = checkpoint("run", last + 1, epoch=2, write_id="on", parent_hash=parent, kind="snapshot")
    return sealed(made._replace(**({"metadata": {"skips": [first, last]}} | changes)))


def test_damage_that_a_snapshot_left_behind_is_no_fault():
    """It is named, and the history is sound from the snapshot on."""
    rows = history()
    snapshot = gone_on(rows, 5, 6)
    rows[4] = rows[4]._replace(step="other")

    assert found([*rows, snapshot]) == [("Altered", 5, 5, False), ("Skipped", 5, 6, False)]


def test_damage_before_what_a_snapshot_left_behind_is_a_fault():
    """Only what is named is explained."""
    rows = history()
    snapshot = gone_on(rows, 5, 6)
    rows[2] = rows[2]._replace(step="other")

    assert ("Altered", 3, 3, True) in found([*rows, snapshot])


def test_lost_rows_that_a_snapshot_left_behind_are_no_fault():
    """A damaged row may be gone altogether."""
    rows = history()
    snapshot = gone_on(rows, 5, 6)

    assert found([*rows[:4], snapshot]) == [("Missing", 5, 6, False), ("Skipped", 5, 6, False)]


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"parent_hash": "00" * 32}, id="it stands on something else"),
        pytest.param({"kind": "delta"}, id="a delta cannot skip"),
        pytest.param({"metadata": {"skips": [5, 5]}}, id="it names less than it leaves out"),
        pytest.param({"metadata": {"skips": [0, 6]}}, id="it names what cannot be"),
        pytest.param({"metadata": {"skips": "yes"}}, id="a tag of a user with this name"),
        pytest.param({"metadata": {}}, id="it names nothing"),
    ],
)
def test_a_snapshot_that_does_not_fit_explains_nothing(changes):
    """It is found to hang on the wrong checkpoint."""
    rows = history()

    assert ("ChainBroken", 7, 7, True) in found([*rows, gone_on(rows, 5, 6, **changes)])


def test_an_altered_snapshot_explains_nothing():
    """Who forges the snapshot must not excuse the damage."""
    rows = history()
    snapshot = gone_on(rows, 5, 6)._replace(step="forged")
    rows[4] = rows[4]._replace(step="other")

    assert ("Altered", 5, 5, True) in found([*rows, snapshot])


def test_skips_are_read_from_snapshots_only():
    """A delta with that tag is an ordinary delta."""
    rows = history()

    assert skips_of(gone_on(rows, 3, 6)) == (3, 6)
    assert skips_of(gone_on(rows, 3, 6, kind="delta")) is None


def test_broken_payloads_are_named():
    """And explained like headers, where a snapshot left them behind."""
    rows = history()
    rows[4] = rows[4]._replace(payload=b"\1\0broken")
    broken = list(verify_payloads(rows, Codec()))

    assert [(f.reason, f.first_seq, f.fault) for f in broken] == [("PayloadUnusable", 5, True)]
    assert [f.fault for f in explain(broken, [*rows, gone_on(rows, 5, 6)])] == [False]
