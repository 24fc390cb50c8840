"""Lines of the file store: what they say, and what is left when they are damaged."""

from __future__ import annotations

import os
from base64 import b64encode
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cairn_runtime.model.ids import new_id
from cairn_runtime.store.base import Checkpoint, Gap, NewSignal, Origin, Outcome, Wait
from cairn_runtime.store.chain import is_sealed, sealed
from cairn_runtime.store.contract.cases import checkpoint, new_run
from cairn_runtime.store.file_records import (
    Damaged,
    claim_line,
    commit_line,
    create_line,
    hold_line,
    keep_line,
    line_of,
    pin_line,
    read_line,
    release_line,
    replay,
    send_line,
    state_line,
)
from cairn_runtime.store.ledger import Ledger

NOW = datetime(2026, 1, 2, 3, 4, 5, 6, UTC)
WAITS = (
    Wait("s#1", "approval", "s#1", "ok?", {"type": "object"}, deadline=NOW),
    Wait("n#1", "sleep", until=NOW),
)


def batch(first: int, count: int = 1) -> list[Checkpoint]:
    rows = [
        checkpoint("run", seq, epoch=1, write_id="w", parent_hash="ab" * 32)
        for seq in range(first, first + count)
    ]
    return [sealed(row) for row in rows]


def everything() -> list[bytes]:
    """Every kind of line that a run can have, in an order that makes sense."""
    origin = Origin("parent", 3, "cp", {"a": 1}, "draft", ("x",), ("y",))
    return [
        create_line(new_run(run_id="run", origin=origin, folder="/code", thread="t"), NOW),
        claim_line("claim", "0.1.0", NOW),
        commit_line("w1", batch(1, 3), Outcome("Waiting", "why", "text", WAITS, NOW), NOW),
        send_line(NewSignal("go", {"v": [1]}, "me", "s#1"), NOW),
        commit_line("w2", [], Outcome("Running", consumed=(1,)), NOW),
        commit_line("w3", batch(4), None, NOW),
        pin_line(2, pinned=True),
        pin_line(2, pinned=False),
        pin_line(3, pinned=True),
        hold_line(4, "child", NOW),
        hold_line(4, "other", NOW),
        release_line(["other"]),
    ]


def replayed(lines: list[bytes]) -> Ledger:
    ledger = None
    for line in lines:
        ledger = replay(ledger, "run", read_line(line[:-1]))
    assert ledger is not None
    return ledger


def test_a_line_can_be_read_by_eye():
    """Length, checksum, what it is, which seqs; then JSON, then payloads."""
    rows = batch(12, 2)
    line = commit_line("w", rows, None, NOW)
    head, _, rest = line.partition(b" {")
    payloads = rest.rstrip(b"\n").split(b"\t")[1:]

    assert head.split(b" ")[2:] == [b"commit", b"12-13"]
    assert int(head[:10]) == len(line) - 21
    assert payloads == [b64encode(row.payload or b"") for row in rows]
    assert line.count(b"\n") == 1


def test_what_was_written_is_replayed():
    """All lines together make the row, the checkpoints, the signals, pins and holds."""
    ledger = replayed(everything())
    row = ledger.row

    assert (row.phase, row.epoch, row.claim_id, row.runner, row.head_seq) == (
        "Running",
        1,
        "claim",
        "0.1.0",
        4,
    )
    assert row.origin == Origin("parent", 3, "cp", {"a": 1}, "draft", ("x",), ("y",))
    assert (row.folder, row.thread, row.created_at, row.updated_at) == ("/code", "t", NOW, NOW)
    assert list(ledger.rows) == [1, 2, 3, 4]
    assert all(is_sealed(row) for row in ledger.rows.values())
    assert (ledger.pending, ledger.pins, set(ledger.holds)) == ([], {3}, {(4, "child")})
    assert ledger.row_writes == {"w2"}


def test_an_outcome_is_replayed_whole():
    """Waits with schema, deadline and due time."""
    row = replayed(everything()[:3]).row

    assert (row.phase, row.reason, row.message, row.waits, row.wake_at) == (
        "Waiting",
        "why",
        "text",
        WAITS,
        NOW,
    )


def test_a_log_written_anew_says_the_same():
    """State and kept checkpoints replay to the ledger they were written from."""
    ledger = replayed(everything())
    ledger.gaps = [Gap(1, 1, "a", "b")]
    del ledger.rows[1]

    again = replayed([state_line(ledger), *(keep_line(row, b"") for row in ledger.rows.values())])

    assert again == ledger


def test_payloads_are_found_within_the_line():
    """By offset and length, without decoding the others."""
    rows = batch(1, 3)
    raw = commit_line("w", rows, None, NOW)[:-1]

    places = read_line(raw).payloads

    assert [raw[at : at + length] for at, length in places] == [b64encode(row.payload or b"") for row in rows]


@given(data=st.data())
def test_any_damage_is_seen_or_says_the_same(data):
    """A changed line is never taken for an intact one, and reading it fails with `Damaged` or not at all."""
    lines = everything()
    which = data.draw(st.integers(min_value=0, max_value=len(lines) - 1))
    raw = bytearray(lines[which][:-1])
    for _ in range(data.draw(st.integers(min_value=1, max_value=3))):
        raw[data.draw(st.integers(min_value=0, max_value=len(raw) - 1))] ^= data.draw(st.integers(1, 255))
    before = replayed(lines[:which]) if which else None

    try:
        line = read_line(bytes(raw))
        replay(before, "run", line)
    except Damaged:
        return
    assert not line.intact or bytes(raw) == lines[which][:-1]


@given(raw=st.binary(max_size=300))
def test_garbage_is_damaged(raw):
    """Whatever stands in a log."""
    with pytest.raises(Damaged):
        replay(None, "run", read_line(raw))


@pytest.mark.parametrize("cut", [1, 10, 21, 40, 100])
def test_a_cut_line_is_damaged(cut):
    """From either end."""
    line = everything()[2][:-1]

    for raw in (line[:cut], line[cut:]):
        with pytest.raises(Damaged):
            replay(replayed(everything()[:2]), "run", read_line(raw))


def test_damage_inside_a_payload_leaves_the_rest():
    """Header and row are as they were; the codec will find the payload."""
    lines = everything()
    raw = bytearray(lines[2][:-1])
    raw[-5] ^= 1
    line = read_line(bytes(raw))

    ledger = replay(replayed(lines[:2]), "run", line)

    assert not line.intact
    assert ledger == replayed(lines[:3])


def test_damage_inside_a_header_is_under_the_hash():
    """A checkpoint that can still be read no longer fits its hash."""
    lines = everything()
    raw = lines[2][:-1].replace(b'"step":"draft"', b'"step":"drafu"', 1)

    ledger = replay(replayed(lines[:2]), "run", read_line(raw))

    assert [is_sealed(row) for row in ledger.rows.values()] == [False, True, True]


def test_lines_that_were_lost_leave_damaged_checkpoints():
    """The next commit shows that they are missing; nothing moves up."""
    lines = everything()

    ledger = replayed([*lines[:2], lines[5]])

    assert list(ledger.rows) == [1, 2, 3, 4]
    assert [is_sealed(row) for row in ledger.rows.values()] == [False, False, False, True]
    assert ledger.head_seq == 4


@pytest.mark.parametrize(
    ("line", "text"),
    [
        pytest.param(line_of("commit", {}), "makes no sense", id="a commit of nothing"),
        pytest.param(line_of("keep", {"seq": "1"}), "makes no sense", id="half a header"),
        pytest.param(line_of("pin", {"seq": 1}), "makes no sense", id="half a pin"),
        pytest.param(line_of("unknown", {}), 'no lines "unknown"', id="a kind that does not exist"),
        pytest.param(commit_line("w", batch(1), None, NOW), "do not follow", id="a commit on another head"),
        pytest.param(commit_line("w", batch(90_000), None, NOW), "do not follow", id="a commit far away"),
        pytest.param(
            commit_line("w", [], Outcome("Nowhere"), NOW),
            "no phase",
            id="a phase that does not exist",
        ),
    ],
)
def test_an_intact_line_that_makes_no_sense_is_damaged(line, text):
    """It is not applied by halves."""
    ledger = replayed(everything())
    before = state_line(ledger)

    with pytest.raises(Damaged, match=text):
        replay(ledger, "run", read_line(line[:-1]))

    assert state_line(ledger) == before


def test_nothing_can_happen_before_a_run_is_created():
    """A log without its first line says nothing."""
    with pytest.raises(Damaged, match="nothing was created"):
        replay(None, "run", read_line(claim_line("c", "", NOW)[:-1]))


@pytest.mark.parametrize(
    ("raw", "span"),
    [
        pytest.param(b"0000000412 5f3a90c1 commit 12-13 {garbage", (12, 13), id="the seqs can be read"),
        pytest.param(
            b"00000\xff0412 5f3a90c1 commit 12-13 {garbage", (12, 13), id="a damaged length does not matter"
        ),
        pytest.param(b"0000000412 5f3a90c1 commit 0-0 {garbage", (0, 0), id="a change of the row alone"),
        pytest.param(b"0000000412 5f3a90c1 commit 13-12 {garbage", (0, 0), id="seqs that cannot be"),
        pytest.param(b"0000000412 5f3a90c1 commit 1-99999999 {garbage", (0, 0), id="more than can be"),
        pytest.param(b"0000000412 5f3a90c1 claim 0-0 {garbage", (0, 0), id="something else"),
        pytest.param(b"", (0, 0), id="nothing"),
    ],
)
def test_a_line_that_cannot_be_read_may_still_say_which_checkpoints_it_held(raw, span):
    """So that they stand as damaged ones instead of never having been."""
    with pytest.raises(Damaged) as caught:
        read_line(raw)

    assert (caught.value.first, caught.value.last) == span


def test_large_payloads_are_one_line():
    """Whatever bytes they hold."""
    payload = os.urandom(1_000_000) + b"\n\t\n"
    row = sealed(checkpoint("run", 1, epoch=1, write_id="w", parent_hash=""))._replace(payload=payload)
    line = commit_line(new_id(), [row], None, NOW + timedelta(days=1))

    assert line.count(b"\n") == 1
    assert read_line(line[:-1]).intact
