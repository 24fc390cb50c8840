"""Whether the watches tell what happens: measured against the full lists, not guessed from silence.

A watch may be silent because nothing happens or because it is broken, and nobody can tell by looking at it.
So each full list is held against it: the newest version in the list must have been told by the watch, at the
latest some seconds later. Any event shows that its watch lived at that moment.
Source for comparing versions as numbers: KEP-5504, and every API server so far.
Pure but for what it remembers; the clock is passed in.
"""

from __future__ import annotations

from collections.abc import Callable

GRACE_SECONDS = 30.0
"""How long a watch may take to tell what a list has shown."""


class Freshness:
    """What the watches of each kind have told, and when."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._told: dict[str, int] = {}
        self._listed: dict[str, tuple[int, float]] = {}
        self._proved_at: dict[str, float] = {}

    def expect(self, kind: str) -> None:
        """A watch of this kind begins: its age counts from now."""
        self._told[kind], self._proved_at[kind] = 0, self._clock()

    def again(self, kind: str) -> None:
        """Its watch is started again: it has told nothing yet, and its age goes on until it does."""
        newest, _ = self._listed.get(kind, (0, 0.0))
        self._told[kind], self._listed[kind] = 0, (newest, self._clock())

    def told(self, kind: str, version: object) -> None:
        """Its watch told an object."""
        self._told[kind] = max(self._told.get(kind, 0), number_of(version))
        self._proved_at[kind] = self._clock()

    def listed(self, kind: str, newest: int) -> None:
        """A full list has shown objects up to this version, 0: none at all."""
        self._listed[kind] = newest, self._clock()
        if self._told.get(kind, 0) >= newest:
            self._proved_at[kind] = self._clock()

    def behind(self, kind: str) -> bool:
        """Whether its watch has not told for too long what a list has shown."""
        newest, at = self._listed.get(kind, (0, 0.0))
        return self._told.get(kind, 0) < newest and self._clock() - at > GRACE_SECONDS

    def ages(self) -> dict[str, float]:
        """Seconds since each watch was last known to live, by kind."""
        now = self._clock()
        return {kind: now - at for kind, at in self._proved_at.items()}


def number_of(version: object) -> int:
    """A resourceVersion as a number; 0 where it is none."""
    text = str(version)
    return int(text) if text.isascii() and text.isdigit() else 0
