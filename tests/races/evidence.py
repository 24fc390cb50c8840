"""What is known about a run after its races: every call with its answer, put in order for the rules.

Nothing here or in the rules imports anything of Cairn: a fault that the stores and the engine share must not
be shared by who judges them.
Times tell what came before what only where one call had been answered before another one was sent; calls that
overlap may have taken effect in any order.
Pure: no I/O, no clock.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

NEVER = 2**63
"""The time of an answer that did not come."""
FENCED = ("commit", "beat", "progress")
"""Calls that carry a fence."""


@dataclass(slots=True)
class Call:
    """One call: what was sent and when, and what was answered and when."""

    who: str
    race: int
    kind: str
    sent: int
    told: dict[str, Any] = field(default_factory=dict)
    answered: int = NEVER
    answer: str = ""
    """`done`, the name of an error, or empty: none came."""
    got: dict[str, Any] = field(default_factory=dict)

    @property
    def done(self) -> bool:
        """Whether success was answered."""
        return self.answer == "done"

    @property
    def refused(self) -> bool:
        """Whether the store said that it wrote nothing."""
        return self.answer not in ("done", "", "StoreUnavailable")

    def __str__(self) -> str:
        """Read as `commit by w1 in race 7`."""
        return f"{self.kind} by {self.who} in race {self.race}"


class Violation(NamedTuple):
    """A rule that does not hold, and where."""

    rule: str
    race: int
    text: str


class Row(NamedTuple):
    """What is written down of a checkpoint; `print` is a fingerprint over all of it, its payload too."""

    seq: int
    id: str
    parent: str
    hash: str
    epoch: int
    write: str
    size: int
    print: str


@dataclass(slots=True)
class Write:
    """A commit, and every time that it was sent."""

    id: str
    told: dict[str, Any]
    rows: tuple[Row, ...]
    calls: list[Call] = field(default_factory=list)

    @property
    def epoch(self) -> int:
        """The epoch of its fence."""
        return int(self.told["epoch"])

    @property
    def first_sent(self) -> int:
        """Before this it cannot have been applied."""
        return min(call.sent for call in self.calls)

    @property
    def acknowledged(self) -> int:
        """From this on it must have been applied; `NEVER` if nobody was told so."""
        return min((call.answered for call in self.calls if call.done), default=NEVER)

    @property
    def refused(self) -> bool:
        """Whether the store said that it is not there and will not be."""
        return self.acknowledged == NEVER and any(call.refused for call in self.calls)

    @property
    def last(self) -> int:
        """The head that it leaves behind."""
        return self.rows[-1].seq if self.rows else int(self.told["head"])


class Tide:
    """The highest of some numbers that had been reached before a moment."""

    def __init__(self, marks: Iterable[tuple[int, int]]) -> None:
        ordered = sorted(marks)
        self._times = [time for time, _ in ordered]
        self._highs: list[int] = []
        for _, number in ordered:
            self._highs.append(max(number, self._highs[-1] if self._highs else 0))

    def before(self, time: int) -> int:
        """The highest number of a mark before the time, or 0."""
        at = bisect_left(self._times, time)
        return self._highs[at - 1] if at else 0


class Evidence:
    """All calls about one run, by what they are evidence of."""

    def __init__(self, calls: Iterable[Call]) -> None:
        self.calls = sorted(calls, key=lambda call: call.sent)
        self.writes: dict[str, Write] = {}
        for call in self.of("commit"):
            rows = tuple(Row(*row) for row in call.told["rows"])
            write = self.writes.setdefault(call.told["write"], Write(call.told["write"], call.told, rows))
            write.calls.append(call)
        self.loads = [(call, _rows(call)) for call in self.of("load") if call.done]
        self.history: list[Row] = max((rows for _, rows in self.loads), key=len, default=[])
        """The longest that anybody has read."""
        self.ids = {row.id: row for row in self.history}
        self.ends = {0} | {w.last for w in self.writes.values() if w.rows and self.placed(w)}
        """Heads that some commit leaves behind."""
        deletions = self.of("delete")
        self.deletion_sent = min((call.sent for call in deletions), default=NEVER)
        self.deleted = min((call.answered for call in deletions if call.done), default=NEVER)
        self.finished = min((w.acknowledged for w in self.finishing()), default=NEVER)
        self.claimed = Tide((call.answered, call.got["epoch"]) for call in self.of("claim") if call.done)
        """The epochs that had been given out."""

    def of(self, *kinds: str) -> list[Call]:
        """The calls of some kinds, in the order in which they were sent."""
        return [call for call in self.calls if call.kind in kinds]

    def placed(self, write: Write) -> bool:
        """Tell whether a write is in the history, whole."""
        return bool(write.rows) and all(row.id in self.ids for row in write.rows)

    def finishing(self) -> list[Write]:
        """The writes that end the run."""
        return [write for write in self.writes.values() if write.told.get("phase") == "Succeeded"]


def _rows(call: Call) -> list[Row]:
    return [Row(*row) for row in call.got["rows"]]
