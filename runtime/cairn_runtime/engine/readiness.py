"""What may start now: tasks and items that are ready and that this process has not started.

Fed with the planner's events, so that nothing is searched for; a foreach of 10,000 items costs a step, not a
scan. Which items run is known to this process only: after a crash they are ready again.
No I/O.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from cairn_runtime.engine.apply import Event
from cairn_runtime.engine.compiled import CompiledStep, CompiledWorkflow
from cairn_runtime.engine.frontier import Group, RunState, Task


class Start(NamedTuple):
    """One task to be started; `task` is None for an item about which nothing is known but that it is not
    done.
    """

    step: CompiledStep
    visit: int
    item: int | None
    task: Task | None


@dataclass(slots=True)
class _Items:
    """The items of a foreach that were not started, those to be started again, and how many run."""

    group: Group
    pending: Iterator[int]
    again: deque[int] = field(default_factory=deque)
    running: int = 0

    def ready(self) -> bool:
        """Whether an item could start if there was room; moves it to the front of `again`."""
        if self.group.failure is not None:
            return False
        if not self.again:
            item = next(self.pending, None)
            if item is None:
                return False
            self.again.append(item)
        return True


class Readiness:
    """The queue of one run's loop."""

    __slots__ = ("_items", "_state", "_tasks", "_workflow")

    def __init__(self, workflow: CompiledWorkflow, state: RunState) -> None:
        self._workflow = workflow
        self._state = state
        self._tasks: deque[Task] = deque(task for task in state.tasks.values() if task.wait is None)
        self._items: dict[str, _Items] = {}
        for name, group in state.groups.items():
            waiting = {n for n, task in group.open.items() if task.wait is not None}
            self._items[name] = _Items(group, (n for n in group.pending() if n not in waiting))

    def see(self, events: list[Event], start: int) -> None:
        """Take in what the events from position `start` on made ready, or ended."""
        for n in range(start, len(events)):
            event = events[n]
            match event[0]:
                case "ready":
                    task = self._state.tasks.get(event[1])
                    if task is not None and not self._workflow.steps[task.step].waits:
                        self._tasks.append(task)
                case "enter":
                    group = self._state.groups.get(event[1])
                    if group is not None:
                        self._items[event[1]] = _Items(group, group.pending())
                case "woke":
                    self.again(event[1], event[3])
                case "done" | "failed":
                    if event[1] not in self._state.groups:
                        self._items.pop(event[1], None)

    def again(self, step: str, item: int | None) -> None:
        """Let a task start once more: its wait or the pause after a failure is over."""
        if item is None:
            self._tasks.append(self._state.tasks[step])
        elif step in self._items:
            self._items[step].again.append(item)

    def any(self) -> bool:
        """Whether anything could start if there was room."""
        return bool(self._tasks) or any(items.ready() for items in self._items.values())

    def take(self) -> Iterator[Start]:
        """Give out what may start now; no foreach has more items under way than its parallelism."""
        steps = self._workflow.steps
        while self._tasks:
            task = self._tasks.popleft()
            yield Start(steps[task.step], task.visit, None, task)
        for name, items in self._items.items():
            step, group = steps[name], items.group
            while items.running < step.parallelism and items.ready():
                item = items.again.popleft()
                items.running += 1
                yield Start(step, group.visit, item, group.open.get(item))

    def ended(self, step: str) -> int:
        """Count an item of a foreach as no longer running; answers how many still run."""
        items = self._items.get(step)
        if items is None:
            return 0
        items.running -= 1
        return items.running
