"""What events add to the numbers of a run.

Events are counted when they are cut into a checkpoint: each is cut by the runner that saves it, and what a
dead one had not saved it had, as a rule, not told either.
Pure: no I/O.
"""

from __future__ import annotations

from collections.abc import Iterable

from cairn_runtime.engine.apply import Event
from cairn_runtime.model.metrics import RunMetrics

_RESULTS = {"done": "done", "parked": "parked", "skip": "skipped"}
_COUNTED = frozenset((*_RESULTS, "item", "tried", "failed"))


def count_events(metrics: RunMetrics, events: Iterable[Event]) -> None:
    """Add what these events tell: visits of steps by what came of them, items, and tries to come."""
    for event in events:
        if event[0] in _COUNTED:  # most events are not, and every step waits for this
            _count(metrics, event)


def _count(metrics: RunMetrics, event: Event) -> None:
    kind = event[0]
    if kind in _RESULTS:
        metrics.steps[_RESULTS[kind]] += 1
    elif kind == "item":
        metrics.items += 1
    elif kind == "tried":
        metrics.retries += 1
    elif event[3] is None and event[1]:
        # An item's failure is its step's to tell; a run that took too long names no step.
        metrics.steps["failed"] += 1
