"""`cairn doctor`: what is wrong with a store or a run, and what mends it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from tests.unit.cli.builders import waiting_run

from cairn_runtime.cli import doctoring, mends
from cairn_runtime.cli.findings import Level
from cairn_runtime.errors import StoreUnavailable
from cairn_runtime.model.ids import new_id, utc_now
from cairn_runtime.store.base import Concern, Fence, Health, Outcome
from cairn_runtime.store.contract.cases import begun, new_run

HEALTHY = Health("tiny", "synced", 0.001, 1, 10, 90)


def levels(findings):
    """The findings that are not well, as (level, mend)."""
    return [(found.level, found.mend) for found in findings if found.level is not Level.OK]


def test_a_store_that_is_well_has_nothing_wrong(cairn, url, write):
    """Exit code 0, and a last line that says so."""
    write(waiting_run)

    said = cairn("doctor", "--store", url)

    assert (said.code, said.out.splitlines()[-1]) == (0, "nothing is wrong")
    assert "a round trip takes" in said.out


def test_a_store_that_is_not_there_is_told(cairn, url):
    """Nothing is made to look at it."""
    said = cairn("doctor", "--store", url, "-o", "json")

    assert said.code == 1
    assert not said.document["healthy"]
    assert "no runs yet" in said.document["findings"][0]["what"]


@pytest.mark.parametrize(
    ("words", "mend"),
    [
        ("could not translate host name", "name server"),
        ("Connection refused", "nothing listens there"),
        ("Error 111 connecting to 127.0.0.1:1. Connect call failed", "nothing listens there"),
        ("password authentication failed", "user and password"),
        ("certificate verify failed", "certificate"),
        ("permission denied for table runs", "rights"),
        ("connection timed out", "firewall"),
    ],
)
def test_what_a_store_says_when_it_cannot_be_opened_has_a_mend(words, mend):
    """By the words that drivers and servers use."""
    assert mend in mends.mend_of(StoreUnavailable(f"somewhere: {words}"))


@pytest.mark.parametrize(
    ("changes", "level"),
    [
        ({}, None),
        ({"latency_seconds": 0.2}, Level.WARNING),
        ({"now": timedelta(seconds=-20)}, Level.WARNING),
        ({"now": timedelta(hours=1)}, Level.FAULT),
        ({"used_bytes": 85, "free_bytes": 15}, Level.WARNING),
        ({"used_bytes": 95, "free_bytes": 5}, Level.FAULT),
        ({"concerns": (Concern(True, "fsync is off", "turn it on"),)}, Level.FAULT),
        ({"concerns": (Concern(False, "no limit", "set one"),)}, Level.WARNING),
    ],
    ids=["well", "slow", "a clock behind", "a clock far ahead", "filling", "full", "grave", "not grave"],
)
def test_each_number_is_judged(changes, level):
    """A warning hurts one day, a fault does now; each has a mend."""
    if "now" in changes:
        changes = {"now": utc_now() + changes["now"]}

    found = levels(doctoring._health_findings(replace(HEALTHY, **changes)))

    assert [one for one, _ in found] == ([] if level is None else [level])
    assert all(mend for _, mend in found)


def test_what_lies_in_a_store_is_looked_at(cairn, url, write):
    """A runner that is gone, a broken import, a fork that never came, a newer runner, a damaged head."""

    async def spoil(store):
        writer = await begun(store, workflow="default/gone/1")
        (row,) = await writer.commit(outcome=Outcome("Running"))
        await store.hold(row.id, new_id())
        await store.claim(writer.run_id, 1, new_id(), "9.0.0")
        await store.import_run(new_run(workflow="default/half/1"), Fence(1, new_id()))
        damaged = await begun(store, workflow="default/damaged/1")
        await damaged.commit(payload=b"\x01\x00nonsense", size=10)
        db = store._inner._db.connection
        for table, column in (("heads", "alive_at"), ("heartbeats", "at")):
            db.execute(f"UPDATE {table} SET {column} = '2026-01-01T00:00:00.000000Z'")

    write(spoil)

    said = cairn("doctor", "--store", url)

    assert said.code == 1
    for text in (
        "gone, run",
        "its runner was last seen",
        "imported up to checkpoint 0 only",
        "1 checkpoint for forks that were never made",
        "release 9.0.0",
        "FAULT    damaged, run",
        "import the same file again",
    ):
        assert text in said.out


def test_a_run_is_told_with_what_it_waits_for(cairn, url, write):
    """And the command that answers."""
    run = write(waiting_run)

    said = cairn("doctor", run.run_id, "--store", url)

    assert said.code == 0
    assert "is Waiting" in said.out
    assert f"cairn approve {run.run_id} --step" in said.out or f"cairn signal {run.run_id}" in said.out


def test_a_failed_run_is_a_fault_with_its_reason(cairn, url, write):
    """And how to go on."""

    async def fail(store):
        writer = await begun(store)
        await writer.commit(outcome=Outcome("Failed", "StepFailed", "draft: ValueError"))
        return writer.run_id

    run_id = write(fail)

    said = cairn("doctor", run_id, "--store", url)

    assert said.code == 1
    assert "StepFailed: draft: ValueError" in said.out
    assert f"cairn resume {run_id} --from head" in said.out
