"""The numbers of a run: what runners write can be read, and nothing else can."""

from __future__ import annotations

import copy
import math

import orjson
import pytest

from cairn_runtime.model.metrics import RESTORE_BOUNDS, SAVE_BOUNDS, RunMetrics, read_metrics
from cairn_runtime.store.base import MAX_METRICS_BYTES


def counted() -> RunMetrics:
    """Numbers of a run in which something of everything has happened."""
    metrics = RunMetrics(failures=2, retries=3, items=4)
    metrics.steps |= {"done": 5, "failed": 1, "skipped": 2}
    metrics.saves.observe(0.004)
    metrics.restores.observe(31.0)
    return metrics


@pytest.mark.parametrize("bounds", [SAVE_BOUNDS, RESTORE_BOUNDS])
def test_bounds_ascend(bounds):
    """Else no bucket could be found, and Prometheus would refuse them."""
    assert list(bounds) == sorted(set(bounds))


def test_what_a_runner_writes_is_read_again():
    """Through JSON, which is how it stands in a row."""
    metrics = counted()

    assert read_metrics(orjson.loads(orjson.dumps(metrics.to_json()))) == metrics


def test_a_duration_falls_under_its_bound():
    """A bound includes itself, as in Prometheus; what is over all of them counts too."""
    metrics = RunMetrics()
    for seconds in (0.0, 0.001, 0.0011, 21.0):
        metrics.saves.observe(seconds)

    assert metrics.saves.counts == [2, 1, *[0] * 11, 1]
    assert metrics.saves.seconds == pytest.approx(21.0021)


def test_numbers_stay_small_however_much_is_counted():
    """They are read with every row of a run."""
    metrics = counted()
    metrics.saves.counts = [2**53] * len(metrics.saves.counts)
    metrics.restores.counts = [2**53] * len(metrics.restores.counts)

    assert len(orjson.dumps(metrics.to_json())) < MAX_METRICS_BYTES / 4


def test_what_a_newer_runner_adds_is_passed_over():
    """Names that are not known here do not spoil those that are."""
    steps = counted().to_json()["steps"]
    assert isinstance(steps, dict)
    raw = counted().to_json() | {"colour": "red", "steps": steps | {"postponed": 3}}

    assert read_metrics(raw) == counted()


def _spoiled(change):
    raw = copy.deepcopy(counted().to_json())
    change(raw)
    return raw


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param({}, id="a run that never said anything"),
        pytest.param(None, id="null"),
        pytest.param([1, 2], id="a list"),
        pytest.param(_spoiled(lambda raw: raw.update(version=2)), id="another version"),
        pytest.param(_spoiled(lambda raw: raw.update(version=True)), id="a version that is no number"),
        pytest.param(_spoiled(lambda raw: raw.pop("failures")), id="a name is missing"),
        pytest.param(_spoiled(lambda raw: raw.update(failures=-1)), id="fewer than none"),
        pytest.param(_spoiled(lambda raw: raw.update(failures=2**53 + 1)), id="more than can be"),
        pytest.param(_spoiled(lambda raw: raw.update(retries=1.5)), id="a part of one"),
        pytest.param(_spoiled(lambda raw: raw.update(retries=True)), id="true"),
        pytest.param(_spoiled(lambda raw: raw.update(items="9")), id="text"),
        pytest.param(_spoiled(lambda raw: raw.update(steps=[1, 2, 3, 4])), id="steps as a list"),
        pytest.param(_spoiled(lambda raw: raw["steps"].pop("done")), id="a result is missing"),
        pytest.param(_spoiled(lambda raw: raw.update(saves=7)), id="durations as a number"),
        pytest.param(_spoiled(lambda raw: raw["saves"].pop("counts")), id="no counts"),
        pytest.param(_spoiled(lambda raw: raw["saves"]["counts"].append(0)), id="a bucket too many"),
        pytest.param(_spoiled(lambda raw: raw["saves"].update(counts={"0.1": 1})), id="other buckets"),
        pytest.param(_spoiled(lambda raw: raw["saves"].update(seconds=math.inf)), id="endless"),
        pytest.param(_spoiled(lambda raw: raw["saves"].update(seconds=math.nan)), id="no number"),
        pytest.param(_spoiled(lambda raw: raw["saves"].update(seconds=-0.1)), id="back in time"),
        pytest.param(_spoiled(lambda raw: raw["saves"].update(seconds=10**400)), id="beyond a float"),
    ],
)
def test_numbers_that_are_not_ours_are_none(raw):
    """Whoever has the store's URL can write a row: all of it counts, or nothing."""
    assert read_metrics(raw) is None
