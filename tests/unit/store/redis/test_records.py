"""Rows as fields of Redis and back, whole or damaged."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest

from cairn_runtime.errors import CheckpointCorrupted
from cairn_runtime.store.base import Checkpoint, Outcome, Wait
from cairn_runtime.store.chain import is_sealed, sealed
from cairn_runtime.store.contract.cases import checkpoint
from cairn_runtime.store.redis.records import (
    checkpoint_arguments,
    checkpoint_of,
    head_of,
    microseconds_of,
    moment_of,
    outcome_arguments,
    run_of,
    signal_of,
    usage_of,
)

ROW = {
    b"workflow": b"ns/w/1",
    b"thread": b"ns/w/1",
    b"created": b"1767323045000006",
    b"at": b"1767323045000007",
    b"new": orjson.dumps(
        {
            "manifest": {},
            "graph": "g",
            "key": "k",
            "folder": None,
            "origin": None,
            "trace": "",
            "spec": 1,
        }
    ),
    **dict.fromkeys((b"claim", b"tip_id", b"tip_hash", b"outcome", b"wake", b"runner"), b""),
    **dict.fromkeys((b"epoch", b"head", b"checkpoints", b"bytes", b"pending"), b"0"),
    b"phase": b"Pending",
}


def sample(**changes: Any) -> Checkpoint:
    row = checkpoint("run", 3, epoch=1, write_id="w", parent_hash="0" * 64)
    return sealed(row._replace(**changes))


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"item": None, "next": (), "metadata": {}},
        {"item": 0, "metadata": {"a": [1.5, None, {"b": "\u20ac"}]}},
        {"created_at": datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)},
        {"kind": "snapshot", "payload": b"", "size": 0},
    ],
    ids=["as it comes", "empty parts", "deep metadata", "a whole second", "an empty payload"],
)
def test_a_checkpoint_comes_back_as_it_was(changes):
    """Every column, so that its hash still fits."""
    row = sample(**changes)
    id_, kind, header, payload = checkpoint_arguments(row)

    assert checkpoint_of("run", 3, header, payload) == row
    assert (id_, kind) == (row.id, b"s" if row.kind == "snapshot" else b"d")


@pytest.mark.parametrize(
    "header",
    [
        b"",
        b"\xff\xfe",
        b"null",
        b"[]",
        b'{"seq": 3}',
        b"[3, 4]",
        orjson.dumps([9, *orjson.loads(checkpoint_arguments(sample())[2])[1:]]),
        orjson.dumps(["3", *orjson.loads(checkpoint_arguments(sample())[2])[1:]]),
        checkpoint_arguments(sample())[2].replace(b"draft", b"\xffraft"),
        checkpoint_arguments(sample())[2][:-20],
    ],
    ids=[
        "nothing",
        "no text",
        "null",
        "an empty list",
        "an object",
        "a short list",
        "another format",
        "a text for a number",
        "a step that is no text",
        "cut short",
    ],
)
def test_a_damaged_header_comes_out_with_what_can_be_read(header):
    """It stands in its place with a hash that does not fit, and makes no other row unreadable."""
    row = checkpoint_of("run", 3, header, b"payload")

    assert (row.run_id, row.seq, row.payload) == ("run", 3, b"payload")
    assert not is_sealed(row)
    assert usage_of([4, b"20", b"", header, b""], 10)[:2] == (4, 30)


@pytest.mark.parametrize("field", sorted(ROW))
def test_a_row_with_a_missing_field_is_named(field):
    """Whoever reads it learns which run is damaged."""
    fields = {name: value for name, value in ROW.items() if name != field}

    with pytest.raises(CheckpointCorrupted, match="the row of run r is damaged"):
        run_of("r", fields)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        (b"head", b"x"),
        (b"at", b""),
        (b"new", b"{"),
        (b"new", b"[]"),
        (b"outcome", b"[1]"),
        (b"claim", b"\xff"),
    ],
    ids=str,
)
def test_a_row_with_a_damaged_field_is_named(field, value):
    """Not a traceback of a number that is none."""
    with pytest.raises(CheckpointCorrupted, match="the row of run r is damaged"):
        run_of("r", {**ROW, field: value})


def test_a_whole_row_is_read():
    """The table above is a row that a store would write."""
    run = run_of("r", {**ROW, b"alive": b"1767323045000009", b"note:a": b"[1]"})

    assert (run.workflow, run.created_at) == ("ns/w/1", datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC))
    assert run.heartbeat_at == run.updated_at + timedelta(microseconds=2)
    assert run.annotations == {"a": [1]}


def test_a_damaged_head_is_named():
    """A field that is missing, or is no number."""
    whole = [b"3", b"id", b"hash", b"1", b"Running", b"7", None, None, b"0", None]

    assert head_of("r", whole) is not None
    assert head_of("r", [None] * 10) is None
    assert head_of("r", [*whole[:-1], b"1"]) is None
    for place, value in ((0, b"x"), (1, None), (5, None)):
        damaged = [*whole]
        damaged[place] = value
        with pytest.raises(CheckpointCorrupted, match="run r"):
            head_of("r", damaged)


@pytest.mark.parametrize("record", [None, b"", b"7", b"7 [1]", b'x ["a",1,"b",""]'], ids=repr)
def test_a_damaged_signal_is_named(record):
    """By its number and run."""
    with pytest.raises(CheckpointCorrupted, match="signal 4 of run r"):
        signal_of("r", 4, record)


@pytest.mark.parametrize(
    ("waits", "open_waits"),
    [
        ((), b""),
        ((Wait("a#1", "signal", "a#1"), Wait("b#1", "sleep")), b""),
        ((Wait("a#1", "approval", "a#1"),), b'{"a#1":0}'),
        ((Wait("a#1", "approval", "a#1", deadline=moment_of(7)),), b'{"a#1":7}'),
        (
            (
                Wait("a#1", "approval", "a", deadline=moment_of(9)),
                Wait("a#2", "approval", "a", deadline=moment_of(7)),
            ),
            b'{"a":9}',
        ),
        ((Wait("a#1", "approval", "a", deadline=moment_of(9)), Wait("a#2", "approval", "a")), b'{"a":0}'),
        ((Wait("a#2", "approval", "a"), Wait("a#1", "approval", "a", deadline=moment_of(9))), b'{"a":0}'),
    ],
    ids=["none", "no approvals", "without end", "a deadline", "the later", "one without", "without first"],
)
def test_open_waits_are_written_for_the_script(waits, open_waits):
    """Names of approvals with the last moment of each; 0 is for ever."""
    assert outcome_arguments(Outcome("Waiting", waits=waits))[2] == open_waits


@pytest.mark.parametrize(
    "moment", [datetime(1970, 1, 1, tzinfo=UTC), datetime(2199, 12, 31, 23, 59, 59, 999_999, UTC)]
)
def test_times_are_whole_microseconds(moment):
    """No float on the way."""
    assert moment_of(microseconds_of(moment)) == moment
