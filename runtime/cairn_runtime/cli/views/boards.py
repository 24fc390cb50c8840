"""The board of a run under way: a row for each step, from what the store says and what the runner announces.

The store tells what is done; announcements tell what runs this very moment and since when.
Where they disagree the store is right, because an announcement may be lost.
No I/O; the time is passed in, so that a board can be tested line by line.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from cairn_runtime.cli.views.pictures import Standing, boxes_of
from cairn_runtime.engine.frontier import RunState
from cairn_runtime.model.workflow import Workflow
from cairn_runtime.runner.announcements import Notice


@dataclass(frozen=True, slots=True)
class Row:
    """A step as it stands: `done` of `total` items in a foreach, `seconds` of its present or last visit."""

    name: str
    standing: Standing
    visits: int = 0
    done: int = 0
    total: int = 0
    attempt: int = 0
    seconds: float | None = None
    note: str = ""


@dataclass(slots=True)
class _Timing:
    """Since when a step's visit runs here, and until when it did."""

    visit: str
    started: float
    ended: float | None = None


@dataclass(slots=True)
class Board:
    """What is known about a run under way."""

    workflow: Workflow
    state: RunState = field(default_factory=RunState)
    skipped: Collection[str] = ()
    attempts: dict[str, int] = field(default_factory=dict)
    """The tasks that run now, and which call of each it is."""
    totals: dict[str, int] = field(default_factory=dict)
    """Items of the last foreach of each step."""
    _timings: dict[str, _Timing] = field(default_factory=dict)

    def hear(self, notice: Notice, now: float) -> None:
        """Take an announcement; `now` is any clock that only goes forward."""
        step = notice.task.partition("#")[0]
        match notice.event:
            case "started":
                self.attempts[notice.task] = notice.attempt
                visit = notice.task.partition("[")[0]
                timing = self._timings.get(step)
                if timing is None or timing.visit != visit:
                    self._timings[step] = _Timing(visit, now)
                else:
                    timing.ended = None
            case "ended":
                self.attempts.pop(notice.task, None)
                if step in self._timings:
                    self._timings[step].ended = now
            case "attempt" | "crashed" | "killed" | "sleeping":
                # The runner is gone, and with it all that it ran.
                for task in self.attempts:
                    self._timings[task.partition("#")[0]].ended = now
                self.attempts.clear()

    def see(self, state: RunState, skipped: Collection[str], totals: Mapping[str, int]) -> None:
        """Take the newest state of the store; `totals` are the items of each step's last foreach."""
        self.state, self.skipped = state, skipped
        self.totals.update(totals)
        for name, group in state.groups.items():
            self.totals[name] = len(group.items)

    def rows(self, now: float) -> list[Row]:
        """A row for each step, in file order."""
        running: dict[str, int] = {}
        for task, attempt in self.attempts.items():
            step = task.partition("#")[0]
            running[step] = max(running.get(step, 0), attempt)
        boxes = boxes_of(self.workflow, self.state, running=False, skipped=self.skipped)
        return [
            self._row(step.name, boxes[step.name].standing, running, now) for step in self.workflow.spec.steps
        ]

    def _row(self, name: str, standing: Standing, running: Mapping[str, int], now: float) -> Row:
        if name in running:
            standing = "running"
        group, total = self.state.groups.get(name), self.totals.get(name, 0)
        done = len(group.items) - group.left if group else total if standing in ("done", "skipped") else 0
        timing = self._timings.get(name)
        seconds = None if timing is None else (timing.ended or now) - timing.started
        attempt = running.get(name, 0)
        return Row(
            name,
            standing,
            self.state.visits.get(name, 0),
            done,
            total,
            attempt if attempt > 1 else 0,
            seconds,
            self._note(name, standing),
        )

    def _note(self, name: str, standing: Standing) -> str:
        """What a person would ask about the step: why it waits, why it failed."""
        if standing == "failed" and self.state.failure is not None:
            return f"{self.state.failure.get('error')}: {self.state.failure.get('message')}"
        if standing == "waiting":
            waits = [task.wait for task in self.state.parked() if task.step == name and task.wait]
            return waits[0].message or waits[0].kind if waits else ""
        return ""


def fitting(rows: Iterable[Row], most: int) -> tuple[list[Row], int]:
    """Choose the rows that a small screen should show, in file order, and say how many are left out.

    What is under way, waits or failed comes first, then what comes next, then what is near to these.
    """
    every = list(rows)
    if len(every) <= most:
        return every, 0
    rank = {"running": 0, "waiting": 0, "failed": 0, "ready": 1}
    active = [n for n, row in enumerate(every) if row.standing in rank]
    # Where nothing is under way the place to be is where the run came to.
    near = active or [max((n for n, row in enumerate(every) if row.standing != "todo"), default=0)]
    order = sorted(
        range(len(every)),
        key=lambda n: (rank.get(every[n].standing, 2), min(abs(n - at) for at in near), n),
    )
    kept = sorted(order[: max(most, 1)])
    return [every[n] for n in kept], len(every) - len(kept)
