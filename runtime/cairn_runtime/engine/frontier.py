"""The state of a run in memory: channels, frontier, visits; and its JSON form inside a snapshot.

Changed only by `apply`, one event at a time, so that a live run and a folded one are the same.
The frontier is `tasks` (ready or parked), `groups` (a foreach under way) and `tokens`; what is running right
now is not part of it, because after a crash what was running is ready again.
Pure: no I/O, no clock.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice

from cairn_runtime.model.ids import TaskKey, from_wire, task_key, to_wire
from cairn_runtime.model.values import JSONObject, JSONValue
from cairn_runtime.store.base import Wait

MAX_NEXT = 32
"""So many step names at most stand in a checkpoint's `next`; a fan-out of thousands would bloat every row."""


@dataclass(slots=True)
class Task:
    """One step to be run once, from the moment it is ready until it is done."""

    step: str
    visit: int
    item: int | None
    since: int
    """Position in the event log at which it became ready; a later change of a channel is one it has not
    seen.
    """
    failures: int = 0
    wait: Wait | None = None
    answer: JSONValue = None
    """Value of the signal that ended its last wait."""
    keys: list[str] = field(default_factory=list)
    """Keys of the mid-step checkpoints that it has committed."""
    key: TaskKey = field(init=False)
    """The task's name."""

    def __post_init__(self) -> None:
        self.key = task_key(self.step, self.visit, self.item)


@dataclass(slots=True)
class Group:
    """A foreach step under way: its list, what is done, and the results in item order.

    Only items about which there is more to say than "not done" have a Task in `open`.
    """

    step: str
    visit: int
    since: int
    items: list[JSONValue]
    results: dict[int, JSONValue] = field(default_factory=dict)
    """Positions that are done; the value is the result where the step collects."""
    skipped: list[int] = field(default_factory=list)
    open: dict[int, Task] = field(default_factory=dict)
    failure: JSONObject | None = None

    @property
    def left(self) -> int:
        """How many items are not done."""
        return len(self.items) - len(self.results) - len(self.skipped)

    def task(self, item: int) -> Task:
        """The task of an item, made at first need."""
        task = self.open.get(item)
        if task is None:
            task = self.open[item] = Task(self.step, self.visit, item, self.since)
        return task

    def pending(self) -> Iterator[int]:
        """Positions that are neither done nor skipped, ascending."""
        skipped = set(self.skipped)
        return (n for n in range(len(self.items)) if n not in self.results and n not in skipped)


@dataclass(slots=True)
class RunState:
    """All that a run is, between two events."""

    channels: JSONObject = field(default_factory=dict)
    changed: dict[str, tuple[int, str]] = field(default_factory=dict)
    """Last `replace` of a channel: position in the log, and the task that wrote."""
    position: int = 0
    """Events applied so far."""
    tokens: dict[str, list[str]] = field(default_factory=dict)
    """Tokens by the step that holds them: where each came from, in the order in which they came."""
    visits: dict[str, int] = field(default_factory=dict)
    tasks: dict[str, Task] = field(default_factory=dict)
    """Open task by step, for steps that are not under way as a foreach."""
    groups: dict[str, Group] = field(default_factory=dict)
    waiting: dict[TaskKey, Task] = field(default_factory=dict)
    """Those of the open tasks that wait."""
    ended: dict[str, int] = field(default_factory=dict)
    """How often each step was done or skipped."""
    failure: JSONObject | None = None
    """`{step, task, error, message, attempts}` of the task that failed the run."""
    skip_once: list[str] = field(default_factory=list)
    """Steps that a fork asked to count as done at their next visit."""

    @property
    def idle(self) -> bool:
        """Whether the frontier is empty: the run is over."""
        return not (self.tasks or self.groups or self.tokens)

    def has_task(self, step: str) -> bool:
        """Whether a step has a ready, running or parked task."""
        return step in self.tasks or step in self.groups

    def task(self, step: str, item: int | None) -> Task:
        """The open task of a step, or of one item."""
        return self.tasks[step] if item is None else self.groups[step].task(item)

    def close(self, step: str) -> None:
        """Take a step's task, or its foreach with all that is open in it, off the frontier."""
        task = self.tasks.pop(step, None)
        left = [task] if task is not None else self.groups.pop(step).open.values()
        for gone in left:
            if gone.wait is not None:
                del self.waiting[gone.key]

    def parked(self) -> list[Task]:
        """All tasks that wait."""
        return list(self.waiting.values())

    def next_steps(self) -> tuple[str, ...]:
        """Names of what the run would do next: steps with tasks, then steps that hold a token."""
        if not self.tokens and len(self.tasks) + len(self.groups) <= MAX_NEXT:
            return (*self.tasks, *self.groups)
        names = dict.fromkeys(islice(self.tasks, MAX_NEXT))
        for more in (self.groups, self.tokens):
            if len(names) < MAX_NEXT:
                names.update(dict.fromkeys(islice(more, MAX_NEXT)))
        return tuple(islice(names, MAX_NEXT))

    def to_json(self) -> JSONObject:
        """The full state, as a snapshot holds it."""
        return {
            "channels": dict(self.channels),
            "changed": {name: list(where) for name, where in self.changed.items()},
            "position": self.position,
            "tokens": {step: list(sources) for step, sources in self.tokens.items()},
            "visits": dict(self.visits),
            "tasks": [_task_to_json(task) for task in self.tasks.values()],
            "groups": [_group_to_json(group) for group in self.groups.values()],
            "ended": dict(self.ended),
            "failure": self.failure,
            "skipOnce": list(self.skip_once),
        }

    @classmethod
    def from_json(cls, data: JSONObject) -> RunState:
        """Read a snapshot's state.

        Raises:
            KeyError, TypeError, ValueError: it is not one; the caller says which checkpoint is corrupt.
        """
        tasks = [_task_from_json(row) for row in data["tasks"]]  # type: ignore[union-attr,arg-type]
        groups = [_group_from_json(row) for row in data["groups"]]  # type: ignore[union-attr,arg-type]
        opened = [task for group in groups for task in group.open.values()]
        return cls(
            channels=dict(data["channels"]),  # type: ignore[arg-type]
            changed={name: (where[0], where[1]) for name, where in data["changed"].items()},  # type: ignore[union-attr,index,misc]
            position=data["position"],  # type: ignore[arg-type]
            tokens={step: list(sources) for step, sources in data["tokens"].items()},  # type: ignore[union-attr,arg-type]
            visits=dict(data["visits"]),  # type: ignore[arg-type]
            tasks={task.step: task for task in tasks},
            groups={group.step: group for group in groups},
            waiting={task.key: task for task in (*tasks, *opened) if task.wait is not None},
            ended=dict(data["ended"]),  # type: ignore[arg-type]
            failure=data["failure"],  # type: ignore[arg-type]
            skip_once=list(data["skipOnce"]),  # type: ignore[arg-type]
        )


def failure_text(failure: JSONObject) -> str:
    """What failed a run, in one sentence: which task, after how many attempts, by which error."""
    message = str(failure["message"])
    if not failure["task"]:
        return message  # the run as a whole
    tries = failure["attempts"]
    after = f" after {tries} attempts" if isinstance(tries, int) and tries > 1 else ""
    return f"{failure['task']} failed{after}: {failure['error']}: {message}"


def wait_to_json(wait: Wait) -> JSONObject:
    """Write a wait; empty fields are left out."""
    out: JSONObject = {"task": wait.task, "kind": wait.kind}
    if wait.name:
        out["name"] = wait.name
    if wait.message:
        out["message"] = wait.message
    if wait.schema is not None:
        out["schema"] = wait.schema
    if wait.deadline:
        out["deadline"] = to_wire(wait.deadline)
    if wait.until:
        out["until"] = to_wire(wait.until)
    return out


def wait_from_json(data: JSONObject) -> Wait:
    """Read a wait. Raises KeyError, TypeError or ValueError where it is not one."""
    return Wait(
        task=str(data["task"]),
        kind=data["kind"],  # type: ignore[arg-type]
        name=str(data.get("name", "")),
        message=str(data.get("message", "")),
        schema=data.get("schema"),
        deadline=_moment(data.get("deadline")),
        until=_moment(data.get("until")),
    )


def _moment(value: JSONValue) -> datetime | None:
    return from_wire(value) if isinstance(value, str) else None


def _task_to_json(task: Task) -> JSONObject:
    out: JSONObject = {"step": task.step, "visit": task.visit, "item": task.item, "since": task.since}
    if task.failures:
        out["failures"] = task.failures
    if task.wait:
        out["wait"] = wait_to_json(task.wait)
    if task.answer is not None:
        out["answer"] = task.answer
    if task.keys:
        out["keys"] = list(task.keys)
    return out


def _task_from_json(data: JSONObject) -> Task:
    wait = data.get("wait")
    return Task(
        step=data["step"],  # type: ignore[arg-type]
        visit=data["visit"],  # type: ignore[arg-type]
        item=data["item"],  # type: ignore[arg-type]
        since=data["since"],  # type: ignore[arg-type]
        failures=data.get("failures", 0),  # type: ignore[arg-type]
        wait=wait_from_json(wait) if isinstance(wait, dict) else None,
        answer=data.get("answer"),
        keys=list(data.get("keys", [])),  # type: ignore[arg-type]
    )


def _group_to_json(group: Group) -> JSONObject:
    return {
        "step": group.step,
        "visit": group.visit,
        "since": group.since,
        "items": group.items,
        "done": list(group.results),
        "results": list(group.results.values()),
        "skipped": list(group.skipped),
        "open": [_task_to_json(task) for task in group.open.values()],
        "failure": group.failure,
    }


def _group_from_json(data: JSONObject) -> Group:
    open_tasks = [_task_from_json(row) for row in data["open"]]  # type: ignore[union-attr,arg-type]
    return Group(
        step=data["step"],  # type: ignore[arg-type]
        visit=data["visit"],  # type: ignore[arg-type]
        since=data["since"],  # type: ignore[arg-type]
        items=data["items"],  # type: ignore[arg-type]
        results=dict(zip(data["done"], data["results"], strict=True)),  # type: ignore[arg-type]
        skipped=list(data["skipped"]),  # type: ignore[arg-type]
        open={task.item: task for task in open_tasks if task.item is not None},
        failure=data["failure"],  # type: ignore[arg-type]
    )
