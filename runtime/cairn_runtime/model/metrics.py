"""The numbers that a run keeps of its own work, in its row: what runners count and the operator adds up.

A runner is gone before anybody could scrape it: it counts in memory and leaves the numbers in the row, over
all runners of the run: a new one goes on from what it finds there.
How many checkpoints there are, and their bytes, is not counted here: the row says it, exactly.

In the row they are a JSON object of `VERSION`, always the same few names, under a kilobyte:

    {"version": 1, "failures": 2, "steps": {"done": 9, ...}, "items": 0, "retries": 1,
     "saves": {"seconds": 0.31, "counts": [...]}, "restores": {"seconds": 0.02, "counts": [...]}}

Whoever has the store's URL can write a row, so reading believes nothing: numbers that are not wholly of this
form are no numbers.
Pure: no I/O, no clock.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field
from typing import Any

from cairn_runtime.model.values import JSONObject, JSONValue

VERSION = 1
SAVE_BOUNDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 20.0)
"""Seconds: how long a commit took until it was durable, waiting for a store that did not answer included."""
RESTORE_BOUNDS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0)
"""Seconds: how long a runner took to read and fold what it goes on from."""
RESULTS = ("done", "failed", "parked", "skipped")
"""What may come of a visit of a step."""
_MOST = 2**53
"""Beyond this a count is not exact in everybody's JSON, and not one of ours."""
_MOST_SECONDS = 1e12


@dataclass(slots=True)
class Durations:
    """Observed durations: how many fell under each bound, the last one over all bounds, and their sum."""

    bounds: tuple[float, ...]
    counts: list[int] = field(default_factory=list)
    seconds: float = 0.0

    def __post_init__(self) -> None:
        self.counts = self.counts or [0] * (len(self.bounds) + 1)

    def observe(self, seconds: float) -> None:
        """Count one."""
        self.counts[bisect_left(self.bounds, seconds)] += 1
        self.seconds += seconds

    def to_json(self) -> JSONObject:
        """Write them."""
        return {"seconds": round(self.seconds, 6), "counts": list(self.counts)}


@dataclass(slots=True)
class RunMetrics:
    """What the runners of one run have counted so far."""

    failures: int = 0
    """Attempts to save checkpoints that the store did not take, and that were to be tried again."""
    retries: int = 0
    """Attempts of tasks that failed and were to be tried again."""
    items: int = 0
    """Items of foreach steps that were done."""
    steps: dict[str, int] = field(default_factory=lambda: dict.fromkeys(RESULTS, 0))
    """Visits of steps by what came of them; one that parked and then was done counts under both."""
    saves: Durations = field(default_factory=lambda: Durations(SAVE_BOUNDS))
    restores: Durations = field(default_factory=lambda: Durations(RESTORE_BOUNDS))

    def to_json(self) -> JSONObject:
        """Write them as they stand in a row."""
        steps: JSONObject = {name: self.steps[name] for name in RESULTS}
        return {
            "version": VERSION,
            "failures": self.failures,
            "retries": self.retries,
            "items": self.items,
            "steps": steps,
            "saves": self.saves.to_json(),
            "restores": self.restores.to_json(),
        }


def read_metrics(raw: JSONValue) -> RunMetrics | None:
    """Read the numbers of a row; None where there are none, or what stands there is not of our making.

    Names that this release does not know are passed over: a newer runner of the same version counts more.
    """
    if not isinstance(raw, dict) or type(raw.get("version")) is not int or raw["version"] != VERSION:
        return None
    try:
        return RunMetrics(
            failures=_count(raw["failures"]),
            retries=_count(raw["retries"]),
            items=_count(raw["items"]),
            steps={name: _count(_object(raw["steps"])[name]) for name in RESULTS},
            saves=_durations(SAVE_BOUNDS, raw["saves"]),
            restores=_durations(RESTORE_BOUNDS, raw["restores"]),
        )
    except (KeyError, ValueError):
        return None


def _object(raw: JSONValue) -> JSONObject:
    if not isinstance(raw, dict):
        raise ValueError("not an object")  # noqa: TRY004 - one way out for every damage
    return raw


def _count(raw: Any) -> int:  # noqa: ANN401 - JSON
    if type(raw) is not int or not 0 <= raw <= _MOST:
        raise ValueError("not a count")
    return raw


def _durations(bounds: tuple[float, ...], raw: JSONValue) -> Durations:
    seconds, counts = _object(raw)["seconds"], _object(raw)["counts"]
    if type(seconds) not in (int, float) or not 0 <= seconds <= _MOST_SECONDS:  # type: ignore[operator]
        raise ValueError("not a sum of seconds")  # neither is what is no number, or endless
    if not isinstance(counts, list) or len(counts) != len(bounds) + 1:
        raise ValueError("not a list of counts")
    return Durations(bounds, [_count(count) for count in counts], float(seconds))  # type: ignore[arg-type]
