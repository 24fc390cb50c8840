"""Which Workflow is looked at next: a queue of keys, each once, each by one worker at a time.

    ring(key) ──> due ──> taken ──> done(again) ──┐
       ^            rung meanwhile: due again      │
       └───────────────────────────────────────────┘

Whoever rings may ring as often as it likes: rings of a key that waits are one, a ring during its pass makes
one more pass. A pass that failed is repeated after a pause of its own key, doubling; no other waits for it.
Times are seconds of a monotonic clock, passed in.
"""

from __future__ import annotations

import asyncio
import heapq
import time
from collections.abc import Callable
from typing import NamedTuple

FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 120.0


class Key(NamedTuple):
    """One Workflow."""

    namespace: str
    name: str


class Queue:
    """Keys that are to be looked at, by when; for one event loop."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._due: dict[Key, float] = {}
        self._heap: list[tuple[float, Key]] = []
        self._taken: set[Key] = set()
        self._rung: set[Key] = set()
        self._failures: dict[Key, int] = {}
        self._news = asyncio.Event()

    def __len__(self) -> int:
        """Keys that are due now."""
        now = self._clock()
        return sum(due <= now for due in self._due.values())

    def ring(self, key: Key) -> None:
        """Ask for a pass as soon as possible."""
        if key in self._taken:
            self._rung.add(key)
        elif self._failures.get(key, 0) == 0 or key not in self._due:
            self._put(key, self._clock())

    async def take(self) -> Key:
        """Wait for a key that is due; until `done` nobody else gets it."""
        while True:
            wait = self._until_due()
            if wait is not None and wait <= 0:
                _, key = heapq.heappop(self._heap)
                del self._due[key]
                self._taken.add(key)
                return key
            self._news.clear()
            try:
                # wait_for would lose a cancellation that comes in the moment of a ring (Python 3.11).
                async with asyncio.timeout(wait):
                    await self._news.wait()
            except TimeoutError:
                continue

    def done(self, key: Key, again_seconds: float | None = None, *, failed: bool = False) -> None:
        """Give a key back: look at it again after so long, or when somebody rings (None)."""
        self._taken.discard(key)
        rung = key in self._rung
        self._rung.discard(key)
        if failed:
            count = self._failures[key] = self._failures.get(key, 0) + 1
            again_seconds = min(FIRST_PAUSE_SECONDS * 2.0 ** min(count - 1, 30), LONGEST_PAUSE_SECONDS)
        else:
            self._failures.pop(key, None)
            again_seconds = 0.0 if rung else again_seconds
        if again_seconds is not None:
            self._put(key, self._clock() + again_seconds)

    def forget(self, key: Key) -> None:
        """The Workflow is gone; a ring that came meanwhile counts."""
        self._failures.pop(key, None)
        self.done(key)

    def _put(self, key: Key, due: float) -> None:
        if self._due.get(key, due + 1) > due:
            self._due[key] = due
            heapq.heappush(self._heap, (due, key))
            self._news.set()

    def _until_due(self) -> float | None:
        """Seconds until the first key is due; None: there is none. Drops entries that were overtaken."""
        while self._heap and self._due.get(self._heap[0][1]) != self._heap[0][0]:
            heapq.heappop(self._heap)
        return self._heap[0][0] - self._clock() if self._heap else None
