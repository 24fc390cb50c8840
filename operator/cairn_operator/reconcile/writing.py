"""When a status is written: only on change, and never so often that the API server feels it.

An object's status is written at most once in a second or in twenty times of what the last write took, ten
seconds at most, and all together at most twenty times a second. A change of phase or of waits goes first: in
all by a part of the budget that is kept for it, and of its own object by going ahead of time, a few writes at
most, which later ones wait for. So a run that begins and ends within a second is shown at once, and one that
parks and wakes all the time is not written more often than another. What is put off is written by a later
pass, from what is true then.
Pure but for what it remembers; the clock is passed in.
"""

from __future__ import annotations

from collections.abc import Callable

from cairn_operator.reconcile.workqueue import Key
from cairn_runtime.model.values import JSONObject

PAUSE_SECONDS = 1.0
LATENCIES = 20.0
LONGEST_PAUSE_SECONDS = 10.0
"""One write that took long must not leave a status behind for minutes: people wait for it."""
A_SECOND = 20.0
BURST = 20.0
AHEAD = 2
"""Pauses that urgent changes of an object may be ahead of its time."""
_URGENT = ("phase", "waits", "run", "observedGeneration")
_URGENT_RESERVE = 10.0
"""Writes of the burst that only urgent changes may take."""


class WriteBudget:
    """What may be written when."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._next: dict[Key, tuple[float, float]] = {}
        """When each object may be written again, and the pause that it keeps."""
        self._tokens = BURST
        self._at = clock()

    def wait_seconds(self, key: Key, *, urgent: bool) -> float:
        """How long a status must wait; 0.0: it may be written now, and is counted."""
        now = self._clock()
        self._tokens = min(BURST, self._tokens + (now - self._at) * A_SECOND)
        self._at = now
        due, pause = self._next.get(key, (0.0, 0.0))
        own = due - now - (AHEAD * pause if urgent else 0.0)
        floor = 1.0 if urgent else 1.0 + _URGENT_RESERVE
        wait = max(own, (floor - self._tokens) / A_SECOND, 0.0)
        if wait == 0.0:
            self._tokens -= 1.0
        return wait

    def written(self, key: Key, took_seconds: float) -> None:
        """Remember what a write took."""
        due, _ = self._next.get(key, (0.0, 0.0))
        pause = min(max(PAUSE_SECONDS, LATENCIES * took_seconds), LONGEST_PAUSE_SECONDS)
        self._next[key] = max(due, self._clock()) + pause, pause

    def forget(self, key: Key) -> None:
        """The Workflow is gone."""
        self._next.pop(key, None)


def urgent(before: JSONObject, after: JSONObject) -> bool:
    """Whether people wait for this change: another phase, other waits, another run."""
    return any(before.get(name) != after.get(name) for name in _URGENT)
