"""What runners have counted, summed over all runs, for Prometheus.

Runners are gone before they could be scraped; their numbers stand in the rows of their runs, which every pass
reads. What a row says more than this process has seen of that run before is added to the sum of its store.

    first seen by this process    what stands there counts for nothing: whoever was active before has added it
    a run made while we watch     counts from zero
    seen again                    each number counts by what it exceeds the most that was seen

So nothing counts twice, whoever was active when; what ran while no operator did is in no sum.
A row may be written by whoever has the store's URL: `read_metrics` believes nothing, no label comes from a
row, and a number that falls changes no sum. Of each Workflow only its newest run is remembered.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric

from cairn_operator.reconcile.checks import attempts_of
from cairn_operator.reconcile.workqueue import Key
from cairn_runtime.model.metrics import RESTORE_BOUNDS, RESULTS, SAVE_BOUNDS, RunMetrics, read_metrics
from cairn_runtime.store.base import FINISHED, Run

RUN_BOUNDS = (1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 14400.0, 86400.0, 604800.0)
"""Seconds: how long a run took from its creation to its end, waiting for people included."""
_COUNTERS = {
    "cairn_checkpoints_written": "Checkpoints committed.",
    "cairn_checkpoint_bytes": "Bytes of payload committed.",
    "cairn_runner_crashes": "Runners that crashed.",
    "cairn_checkpoint_failures": "Attempts to save checkpoints that the store did not take.",
    "cairn_step_retries": "Attempts of tasks that failed and were tried again.",
    "cairn_step_items": "Items of foreach steps that were done.",
}
_MOST = 2**53
"""A count beyond this is not one of ours."""


@dataclass(slots=True)
class _Seen:
    """The most that was seen of a run; no `run_id`: that there was none."""

    run_id: str = ""
    values: tuple[float, ...] = ()
    finished: bool = False


class RunSums:
    """Sums by store; they only grow as long as the process lives."""

    def __init__(self) -> None:
        self._seen: dict[Key, _Seen] = {}
        self._sums: dict[str, list[float]] = {}
        self._run_seconds: dict[str, tuple[list[int], float]] = {
            phase: ([0] * (len(RUN_BOUNDS) + 1), 0.0) for phase in sorted(FINISHED)
        }

    def see(self, key: Key, store: str, run: Run | None) -> None:
        """Take what the row of a Workflow's newest run says now; None: it has no run yet."""
        seen = self._seen.get(key)
        if run is None:
            self._seen[key] = _Seen()
            return
        if seen is None:
            self._seen[key] = _Seen(run.run_id, _values(run), run.finished)
            return
        if seen.run_id != run.run_id:
            seen = self._seen[key] = _Seen(run.run_id)
        seen.values = self._add(store, _values(run), seen.values)
        if run.finished and not seen.finished:
            seen.finished = True
            self._count_end(run.phase, run.created_at, run.updated_at)

    def forget(self, key: Key) -> None:
        """The Workflow is gone."""
        self._seen.pop(key, None)

    def forget_all(self) -> None:
        """Somebody else may be active from now on, and adds what happens."""
        self._seen.clear()

    def families(self, stores: Iterable[str]) -> Iterator[Metric]:
        """All sums as Prometheus reads them; a store that has none yet begins with zeros."""
        sums = {name: [0.0] * _WIDTH for name in stores} | self._sums
        for place, (name, text) in enumerate(_COUNTERS.items()):
            counter = CounterMetricFamily(name, text, labels=["store"])
            for store, values in sorted(sums.items()):
                counter.add_metric([store], values[place])
            yield counter
        steps = CounterMetricFamily(
            "cairn_steps", "Visits of steps by what came of them.", labels=["store", "result"]
        )
        for store, values in sorted(sums.items()):
            for place, result in enumerate(RESULTS, len(_COUNTERS)):
                steps.add_metric([store, result], values[place])
        yield steps
        saves = {store: values[_SAVES] for store, values in sums.items()}
        text = "How long commits of checkpoints took."
        yield _histogram("cairn_checkpoint_write_seconds", text, SAVE_BOUNDS, saves)
        restores = {store: values[_RESTORES] for store, values in sums.items()}
        text = "How long runners took to read what they go on from."
        yield _histogram("cairn_restore_seconds", text, RESTORE_BOUNDS, restores)
        text = "How long runs took from creation to end, by how they ended."
        ended = HistogramMetricFamily("cairn_run_seconds", text, labels=["phase"])
        for phase, (counts, seconds) in self._run_seconds.items():
            ended.add_metric([phase], _buckets(RUN_BOUNDS, counts), seconds)
        yield ended

    def _add(self, store: str, now: Sequence[float], before: Sequence[float]) -> tuple[float, ...]:
        """Add what exceeds the most seen before; answers the most that is seen now."""
        before = before or (0.0,) * _WIDTH
        sums = self._sums.setdefault(store, [0.0] * _WIDTH)
        for place, (new, old) in enumerate(zip(now, before, strict=True)):
            sums[place] += max(new - old, 0.0)
        return tuple(map(max, now, before))

    def _count_end(self, phase: str, created_at: datetime, ended_at: datetime) -> None:
        counts, total = self._run_seconds[phase]
        seconds = max((ended_at - created_at).total_seconds(), 0.0)
        counts[bisect_left(RUN_BOUNDS, seconds)] += 1
        self._run_seconds[phase] = counts, total + seconds


_SAVES = slice(len(_COUNTERS) + len(RESULTS), len(_COUNTERS) + len(RESULTS) + len(SAVE_BOUNDS) + 2)
_RESTORES = slice(_SAVES.stop, _SAVES.stop + len(RESTORE_BOUNDS) + 2)
_WIDTH = _RESTORES.stop


def _values(run: Run) -> tuple[float, ...]:
    """All numbers of a row, in one fixed order; what cannot be read is zero, which adds nothing."""
    metrics = read_metrics(run.metrics) or RunMetrics()
    own = (run.checkpoints, run.bytes, attempts_of(run).total)
    return (
        *(float(count) if 0 <= count <= _MOST else 0.0 for count in own),
        metrics.failures,
        metrics.retries,
        metrics.items,
        *(metrics.steps[result] for result in RESULTS),
        *metrics.saves.counts,
        metrics.saves.seconds,
        *metrics.restores.counts,
        metrics.restores.seconds,
    )


def _histogram(
    name: str, text: str, bounds: tuple[float, ...], sums: dict[str, list[float]]
) -> HistogramMetricFamily:
    family = HistogramMetricFamily(name, text, labels=["store"])
    for store, (*counts, seconds) in sorted(sums.items()):
        family.add_metric([store], _buckets(bounds, counts), seconds)
    return family


def _buckets(bounds: tuple[float, ...], counts: Sequence[float]) -> list[tuple[str, float]]:
    """Counts up to each bound, as Prometheus wants them."""
    found, under = [], 0.0
    for bound, count in zip((*map(str, bounds), "+Inf"), counts, strict=True):
        under += count
        found.append((bound, under))
    return found
