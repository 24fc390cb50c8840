"""Ids, tasks' names and the wire form of moments."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cairn_runtime.model.ids import (
    from_wire,
    new_id,
    parse_task_key,
    run_id_for,
    short_id,
    task_key,
    to_wire,
    trace_id_for,
    utc_now,
)

DAY = timedelta(days=1)
UID = "c7a1b0de-0f5e-4b5a-9a8e-2f6f3b1d0c11"


@pytest.mark.parametrize(
    ("key", "parts"), [("draft#1", ("draft", 1, None)), ("fetch-all#12[0]", ("fetch-all", 12, 0))]
)
def test_a_task_is_named_after_step_visit_and_position(key, parts):
    """The same name is written and read."""
    assert parse_task_key(key) == parts
    assert task_key(*parts) == key


@pytest.mark.parametrize(
    "text", ["draft", "draft#0", "draft#1[", "Draft#1", "draft#1[-1]", "#1", "draft#1\n"]
)
def test_no_other_text_is_a_task(text):
    """Visits count from 1, positions from 0."""
    with pytest.raises(ValueError, match="is not a task; write it as step#visit"):
        parse_task_key(text)


def test_ids_are_version_7_and_sort_by_time():
    """Newer checkpoints have larger ids."""
    ids = [new_id(now) for now in (0.0, 1.5, 1_700_000_000.0, 1_700_000_000.001)]

    assert ids == sorted(ids)
    assert {UUID(made).version for made in [*ids, new_id()]} == {7}
    assert {UUID(made).variant for made in ids} == {UUID(UID).variant}


def test_ids_of_one_moment_differ():
    """The rest of an id is random."""
    assert len({new_id(1.0) for _ in range(1000)}) == 1000


def test_a_run_id_is_derived_from_uid_and_nonce():
    """Whoever serves a nonce makes the same run of it."""
    assert run_id_for(UID) == run_id_for(UID, "")
    assert run_id_for(UID, "1") == run_id_for(UID, "1")
    assert run_id_for(UID, "1") != run_id_for(UID, "2")
    assert short_id(run_id_for(UID)) == run_id_for(UID)[-8:]


@given(
    st.datetimes(
        datetime.min + DAY,  # noqa: DTZ901 - hypothesis adds the zone
        datetime.max - DAY,  # noqa: DTZ901 - the same
        timezones=st.sampled_from([UTC, timezone(timedelta(hours=5, minutes=30))]),
    )
)
def test_a_moment_reads_back_to_itself(moment):
    """Microseconds and the instant are kept; the zone becomes UTC."""
    wire = to_wire(moment)

    assert wire.endswith("Z")
    assert from_wire(wire) == moment


def test_a_moment_without_a_zone_is_refused():
    """Nobody can know which instant it is."""
    with pytest.raises(ValueError, match="has no time zone"):
        from_wire("2024-01-01T00:00:00")


def test_the_present_is_aware():
    """Moments inside are aware UTC."""
    assert utc_now().tzinfo is UTC


@pytest.mark.parametrize("run_id", [run_id_for(UID), "", "a run\ud800 that somebody wrote into a store"])
def test_every_run_has_a_trace_whatever_it_is_called(run_id):
    """32 hex digits, also for what no writer of ours would call a run."""
    assert len(bytes.fromhex(trace_id_for(run_id))) == 16
