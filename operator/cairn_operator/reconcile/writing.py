"""When a status is written: only on change, and never so often that the API server feels it.

An object's status is written at most once in a second or in twenty times of what the last write took, and
all together at most twenty times a second; a change of phase or of waits goes first. What is put off is
written by a later pass, from what is true then.
Pure but for what it remembers; the clock is passed in.
"""

from __future__ import annotations

from collections.abc import Callable

from cairn_operator.reconcile.workqueue import Key
from cairn_runtime.model.values import JSONObject

PAUSE_SECONDS = 1.0
LATENCIES = 20.0
A_SECOND = 20.0
BURST = 20.0
_URGENT = ("phase", "waits", "run", "observedGeneration")
_URGENT_RESERVE = 10.0
"""Writes of the burst that only urgent changes may take."""


class WriteBudget:
    """What may be written when."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._next: dict[Key, float] = {}
        self._tokens = BURST
        self._at = clock()

    def wait_seconds(self, key: Key, *, urgent: bool) -> float:
        """How long a status must wait; 0.0: it may be written now, and is counted."""
        now = self._clock()
        self._tokens = min(BURST, self._tokens + (now - self._at) * A_SECOND)
        self._at = now
        own = 0.0 if urgent else self._next.get(key, 0.0) - now
        floor = 1.0 if urgent else 1.0 + _URGENT_RESERVE
        wait = max(own, (floor - self._tokens) / A_SECOND, 0.0)
        if wait == 0.0:
            self._tokens -= 1.0
        return wait

    def written(self, key: Key, took_seconds: float) -> None:
        """Remember what a write took."""
        self._next[key] = self._clock() + max(PAUSE_SECONDS, LATENCIES * took_seconds)

    def forget(self, key: Key) -> None:
        """The Workflow is gone."""
        self._next.pop(key, None)


def urgent(before: JSONObject, after: JSONObject) -> bool:
    """Whether people wait for this change: another phase, other waits, another run."""
    return any(before.get(name) != after.get(name) for name in _URGENT)
