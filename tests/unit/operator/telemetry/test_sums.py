"""Sums over runs: each number of a row counts once, whoever is active when, and whatever a row says."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.operator.reconcile.builders import run, started

from cairn_operator.reconcile.workqueue import Key
from cairn_operator.telemetry.sums import RUN_BOUNDS, RunSums
from cairn_runtime.model.metrics import RunMetrics

KEY, OTHER = Key("team", "digest"), Key("team", "other")
WRITTEN = ("cairn_checkpoints_written_total", "")


def told(sums, *stores):
    """Every sample by its name and the value of its last label."""
    return {
        (
            sample.name,
            next((v for k, v in sample.labels.items() if k not in ("store", "le")), ""),
        ): sample.value
        for family in sums.families(stores or ("default",))
        for sample in family.samples
        if not sample.name.endswith("_bucket")
    }


def buckets(sums, name):
    """The buckets of a histogram of the default store."""
    return {
        sample.labels["le"]: sample.value
        for family in sums.families(("default",))
        for sample in family.samples
        if sample.name == f"{name}_bucket" and sample.labels.get("store", "default") == "default"
    }


def counted(**changes):
    """A row with numbers."""
    metrics = RunMetrics(failures=1, retries=2, items=3)
    metrics.steps |= {"done": 4, "failed": 1, "parked": 2, "skipped": 1}
    metrics.saves.observe(0.003)
    metrics.restores.observe(45.0)
    return started(checkpoints=5, bytes=1000, metrics=metrics.to_json(), **changes)


def watching():
    """Sums of a process that has seen the Workflow before it had a run."""
    sums = RunSums()
    sums.see(KEY, "default", None)
    return sums


def test_a_run_made_while_we_watch_counts_from_zero():
    """Every number of its row, under its name."""
    sums = watching()
    sums.see(KEY, "default", counted())

    found = told(sums)
    assert found[WRITTEN] == 5
    assert found["cairn_checkpoint_bytes_total", ""] == 1000
    assert found["cairn_checkpoint_failures_total", ""] == 1
    assert found["cairn_step_retries_total", ""] == 2
    assert found["cairn_step_items_total", ""] == 3
    assert [found["cairn_steps_total", r] for r in ("done", "failed", "parked", "skipped")] == [4, 1, 2, 1]
    assert found["cairn_checkpoint_write_seconds_count", ""] == 1
    assert found["cairn_checkpoint_write_seconds_sum", ""] == 0.003
    assert found["cairn_restore_seconds_count", ""] == 1
    assert buckets(sums, "cairn_restore_seconds")["30.0"] == 0
    assert buckets(sums, "cairn_restore_seconds")["60.0"] == 1


def test_a_run_that_was_there_before_us_counts_from_first_sight():
    """Whoever was active before has added what stands there: an operator's restart counts nothing twice."""
    sums = RunSums()
    sums.see(KEY, "default", started(checkpoints=5))
    first = told(sums)[WRITTEN]
    sums.see(KEY, "default", started(checkpoints=7))

    assert (first, told(sums)[WRITTEN]) == (0, 2)


def test_a_new_run_of_a_workflow_counts_from_zero():
    """A fork or a resume is made while we watch, whatever we have seen of the run before."""
    sums = RunSums()
    sums.see(KEY, "default", started(checkpoints=5))
    sums.see(KEY, "default", started(run_id="another", checkpoints=3))

    assert told(sums)[WRITTEN] == 3


def test_a_pass_that_sees_nothing_new_adds_nothing():
    """Passes are many, and a counter counts work, not looks."""
    sums = watching()
    for _ in range(3):
        sums.see(KEY, "default", counted())

    assert told(sums)[WRITTEN] == 5


@given(st.lists(st.integers(0, 50), max_size=20))
def test_a_number_that_falls_changes_nothing(seen):
    """A store that lost its last second, or was put back from a copy: the sum is the most that was seen."""
    sums = watching()
    for checkpoints in seen:
        sums.see(KEY, "default", started(checkpoints=checkpoints))

    assert told(sums)[WRITTEN] == max(seen, default=0)


@pytest.mark.parametrize("metrics", [{"version": 1, "failures": -5}, {"version": 7}, {"x": "\x00" * 9}])
def test_numbers_that_are_not_ours_add_nothing(metrics):
    """Whoever has the store's URL writes rows; what the row itself says of checkpoints still counts."""
    sums = watching()
    sums.see(KEY, "default", counted())
    sums.see(KEY, "default", started(checkpoints=6, bytes=1000, metrics=metrics))

    assert told(sums)[WRITTEN] == 6
    assert told(sums)["cairn_step_retries_total", ""] == 2


@pytest.mark.parametrize("checkpoints", [-1, 2**60])
def test_a_count_that_cannot_be_adds_nothing(checkpoints):
    """Damaged or made up: a sum that jumped could never be set right."""
    sums = watching()
    sums.see(KEY, "default", started(checkpoints=checkpoints))

    assert told(sums)[WRITTEN] == 0


def test_nothing_of_a_row_becomes_a_label():
    """Stores are named at the installation, results and phases here."""
    sums = watching()
    raw = counted().metrics | {"colour": "red"}
    raw["steps"]["postponed"] = 1
    sums.see(KEY, "default", started(metrics=raw))

    values = {
        value
        for family in sums.families(("default",))
        for sample in family.samples
        for label, value in sample.labels.items()
        if label != "le"
    }
    assert values == {"default", "done", "failed", "parked", "skipped", "Succeeded", "Failed", "Cancelled"}


@pytest.mark.parametrize("phase", ["Succeeded", "Failed", "Cancelled"])
def test_an_end_counts_once_by_how_it_was(phase):
    """From creation to the row's last change, however often it is looked at afterwards."""
    sums = watching()
    made = run()
    ended = {"phase": phase, "updated_at": made.created_at + timedelta(seconds=90)}
    sums.see(KEY, "default", started(created_at=made.created_at))
    for _ in range(2):
        sums.see(KEY, "default", started(created_at=made.created_at, **ended))

    assert told(sums)["cairn_run_seconds_count", phase] == 1
    assert told(sums)["cairn_run_seconds_sum", phase] == 90


def test_an_end_before_us_is_somebody_elses():
    """A run that was finished at first sight has no end that we saw."""
    sums = RunSums()
    sums.see(KEY, "default", started(phase="Succeeded"))

    assert told(sums)["cairn_run_seconds_count", "Succeeded"] == 0


def test_numbers_of_stores_are_kept_apart():
    """A slow store is seen as that store; one without any run tells zeros, so that rates begin at once."""
    sums = watching()
    sums.see(KEY, "default", started(checkpoints=2))
    sums.see(OTHER, "second", None)
    sums.see(OTHER, "second", started(checkpoints=3))

    found = {
        sample.labels["store"]: sample.value
        for family in sums.families(("default", "third"))
        for sample in family.samples
        if sample.name == WRITTEN[0]
    }
    assert found == {"default": 2, "second": 3, "third": 0}


def test_a_workflow_that_is_gone_is_forgotten():
    """One of the same name is another one, and what is there at first sight counts for nothing."""
    sums = watching()
    sums.see(KEY, "default", started(checkpoints=2))
    sums.forget(KEY)
    sums.see(KEY, "default", started(run_id="another", checkpoints=4))

    assert told(sums)[WRITTEN] == 2


def test_crashes_are_those_of_the_operators_note():
    """What people see as RESTARTS, summed."""
    sums = watching()
    note = {"epoch": 3, "headSeq": 1, "restarts": 2, "total": 4, "disruptions": 0, "cause": "OOMKilled"}
    sums.see(KEY, "default", started(annotations={"attempts": {**note, "message": "", "at": None}}))

    assert told(sums)["cairn_runner_crashes_total", ""] == 4


def test_bounds_ascend():
    """Else Prometheus would refuse them."""
    assert list(RUN_BOUNDS) == sorted(set(RUN_BOUNDS))
