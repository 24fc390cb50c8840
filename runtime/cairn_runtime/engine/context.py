"""What a step is given: its private view of the state, and the Context through which it speaks to its run.

`State` shows the channels as they were when the task started; what a step does to it, or to a value taken
from it, never reaches the run.
`Context` belongs to async steps, `SyncContext` to sync ones: the same names, with calls that block.
`TaskPort` is what stands behind them: the engine in the runner's process, a pipe to it in a worker process.
`Park` is raised by a step that must wait; it is control flow, no error.

User code sees this module, so nothing here changes without a note in `docs/news/`.
It is also imported by worker processes: no pydantic, no event loop.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping, MutableMapping
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from math import isfinite
from typing import Any, Protocol
from uuid import uuid5

from cairn_runtime.errors import WriteRefused
from cairn_runtime.model.ids import NAMESPACE, TaskKey, utc_now
from cairn_runtime.model.values import JSONObject, JSONValue, NotJSON, copy_json, jsonify

_MAX_SECONDS = 3650 * 86400.0
"""As in `model.durations`, which a worker does not load."""
_SIGNAL = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,62}")
_log = logging.getLogger("cairn.step")


class Park(Exception):
    """Wait without holding a pod: until a moment, until a signal comes, or until whichever is first.

    `until` is an aware datetime, or seconds from now.
    The step is called again when the wait is over; `ctx.signal` is then the value of the signal that came.
    """

    def __init__(
        self, until: datetime | float | None = None, *, signal: str | None = None, message: str = ""
    ) -> None:
        if until is None and signal is None:
            raise ValueError("Park needs until=, signal= or both; else nothing could wake the step")
        if signal is not None and not _SIGNAL.fullmatch(signal):
            raise ValueError(f"{signal!r} is not a signal's name: letters, digits, _ . and -, at most 63")
        self.until = None if until is None else _moment(until)
        self.signal = signal
        self.message = message
        super().__init__(message or (f"waits for signal {signal}" if signal else f"waits until {self.until}"))


def _moment(until: datetime | float) -> datetime:
    """Read the moment at which a parked step is due."""
    if isinstance(until, datetime):
        if until.tzinfo is None:
            raise ValueError("Park(until=...) needs a datetime with a time zone, e.g. datetime.now(UTC)")
        return until.astimezone(UTC)
    if not isfinite(until) or until > _MAX_SECONDS:
        raise ValueError(f"Park(until={until}) is not a number of seconds within ten years")
    return utc_now() + timedelta(seconds=max(0.0, float(until)))


class _Gone:
    """Stands in a view for a channel that the step deleted from it."""


_GONE: Any = _Gone()


class State(MutableMapping[str, Any]):
    """A private view of the channels: read like a dict, change it as you like.

    A value is copied when it is first asked for, so a step pays only for the channels that it names.
    `channels` must not change while a step holds the view: the engine hands in what nobody writes to.
    """

    __slots__ = ("_channels", "_own")

    def __init__(self, channels: Mapping[str, JSONValue]) -> None:
        self._channels = channels
        self._own: dict[str, JSONValue] = {}

    def __getitem__(self, name: str) -> Any:  # noqa: ANN401 - the step knows what its channels hold
        own = self._own
        if name in own:
            value = own[name]
            if value is _GONE:
                raise KeyError(name)
            return value
        value = self._channels[name]
        kind = type(value)
        if kind is list or kind is dict:
            value = own[name] = copy_json(value)
        return value

    def __setitem__(self, name: str, value: JSONValue) -> None:
        self._own[name] = value

    def __delitem__(self, name: str) -> None:
        if name not in self:
            raise KeyError(name)
        self._own[name] = _GONE

    def __contains__(self, name: object) -> bool:
        if name in self._own:
            return self._own[name] is not _GONE
        return name in self._channels

    def __iter__(self) -> Iterator[str]:
        own = self._own
        yield from [name for name in self._channels if own.get(name) is not _GONE]
        yield from [name for name in own if name not in self._channels and own[name] is not _GONE]

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __repr__(self) -> str:
        return f"State({self.to_dict()!r})"

    def to_dict(self) -> JSONObject:
        """All channels as a plain dict that belongs to the step."""
        return dict(self.items())


def shared_channels(state: State) -> Mapping[str, JSONValue]:
    """The channels behind a view, uncopied: for executors that only encode them."""
    return state._channels  # noqa: SLF001 - the other half of State, kept out of its users' sight


class TaskPort(Protocol):
    """What a running task may ask of its run; every method is called on the engine's event loop."""

    @property
    def draining(self) -> bool:
        """Whether SIGTERM came; a plain flag that any thread may read."""
        ...

    async def checkpoint(self, writes: Mapping[str, object], key: str | None) -> None:
        """Commit writes in the middle of the task, once per key."""
        ...

    async def save_progress(self, value: object) -> None:
        """Keep a value that the task finds again when it runs again."""
        ...


class SyncPort(Protocol):
    """The same for code that may block: a thread's way to the event loop, or a worker's to its runner."""

    @property
    def draining(self) -> bool:
        """Whether SIGTERM came."""
        ...

    def checkpoint(self, writes: Mapping[str, object], key: str | None) -> None:
        """Commit writes in the middle of the task, once per key."""
        ...

    def save_progress(self, value: object) -> None:
        """Keep a value that the task finds again when it runs again."""
        ...


@dataclass(slots=True)
class Call:
    """One attempt of a task, as the engine asks for it."""

    run_id: str
    task: str
    step: str
    visit: int
    index: int | None
    item: JSONValue
    attempt: int
    key_base: str
    """Base of the run's idempotency keys."""
    state: State
    progress: JSONValue
    """Saved progress, None if there is none."""
    signal: JSONValue
    """Value of the signal that ended a Park(signal=...), else None."""
    timeout_seconds: float | None
    port: TaskPort


def idempotency_key(key_base: str, task: str) -> str:
    """The key of a task's effects outside: the same in every attempt and after every restart."""
    return str(uuid5(NAMESPACE, f"{key_base}/{TaskKey(task)}"))


traceparent: ContextVar[str] = ContextVar("cairn_traceparent", default="")
"""The span of the attempt that runs here, as W3C Trace Context writes it; empty where nothing is traced."""


def step_fields(call: Call) -> dict[str, object]:
    """The keys that every log line of a step carries."""
    fields: dict[str, object] = {"run_id": call.run_id, "task": call.task, "attempt": call.attempt}
    if span := traceparent.get():
        fields["span_id"] = span.split("-")[2]
    return fields


class StepLog(logging.LoggerAdapter[logging.Logger]):
    """The logger `cairn.step` with the task's keys; a step's own `extra` is added to them."""

    def process(
        self, msg: object, kwargs: MutableMapping[str, Any]
    ) -> tuple[object, MutableMapping[str, Any]]:
        """Join the step's own `extra` with the task's keys; the task's win."""
        kwargs["extra"] = {**(kwargs.get("extra") or {}), **(self.extra or {})}
        return msg, kwargs


class _View:
    """What both Contexts share: who the task is, its item, its log, where it goes next."""

    __slots__ = ("_call", "_copies", "_log", "deadline", "next_step")

    def __init__(self, call: Call, deadline: datetime | None = None) -> None:
        self._call = call
        self._copies: dict[str, JSONValue] | None = None
        self._log: StepLog | None = None
        self.deadline = deadline
        """When the attempt is ended (aware, UTC); None without a timeout."""
        self.next_step: str | None = None
        """What `goto` recorded last."""

    @property
    def run_id(self) -> str:
        """Id of the run."""
        return self._call.run_id

    @property
    def step(self) -> str:
        """Name of the step."""
        return self._call.step

    @property
    def visit(self) -> int:
        """How often the step was entered in this run, from 1."""
        return self._call.visit

    @property
    def index(self) -> int | None:
        """Position of the item in a foreach, from 0; else None."""
        return self._call.index

    @property
    def attempt(self) -> int:
        """Number of this attempt, from 1."""
        return self._call.attempt

    @property
    def item(self) -> Any:  # noqa: ANN401 - the step knows what its list holds
        """The item of a foreach, as a private copy; else None."""
        return self._copy("item", self._call.item)

    @property
    def signal(self) -> Any:  # noqa: ANN401 - the step knows what it waits for
        """Value of the signal that ended `Park(signal=...)`, as a private copy; else None."""
        return self._copy("signal", self._call.signal)

    @property
    def idempotency_key(self) -> str:
        """A key for effects outside: the same in every attempt of this task and after every restart."""
        return idempotency_key(self._call.key_base, self._call.task)

    @property
    def log(self) -> StepLog:
        """A logger whose lines carry run, task and attempt."""
        if self._log is None:
            self._log = StepLog(_log, step_fields(self._call))
        return self._log

    def goto(self, step: str) -> None:
        """Go to this step next, in place of `next:`; it must be declared in `goto:`. The last call wins."""
        if not isinstance(step, str):
            raise TypeError(f"ctx.goto takes a step's name, not {type(step).__name__}")
        self.next_step = step

    def _copy(self, name: str, value: JSONValue) -> JSONValue:
        if not isinstance(value, list | dict):
            return value
        if self._copies is None:
            self._copies = {}
        if name not in self._copies:
            self._copies[name] = copy_json(value)
        return self._copies[name]


class Context(_View):
    """The way of an async step to its run."""

    __slots__ = ("_progress",)

    def __init__(self, call: Call, deadline: datetime | None = None) -> None:
        super().__init__(call, deadline)
        self._progress: Progress | None = None

    @property
    def draining(self) -> bool:
        """Whether SIGTERM came: finish soon, or save progress and return."""
        return self._call.port.draining

    @property
    def progress(self) -> Progress:
        """What this task saved, also before a crash."""
        if self._progress is None:
            self._progress = Progress(self._call.port, self._call.progress)
        return self._progress

    async def checkpoint(self, writes: Mapping[str, object], *, key: str | None = None) -> None:
        """Commit writes now; a key that this task has committed before is skipped.

        Without a key it is the number of the call in the task: name one where the order may change.

        Raises:
            WriteRefused: a write that cannot be stored.
        """
        await self._call.port.checkpoint(writes, key)


class Progress:
    """A value of a long task that survives its process: `value`, `await save(value)`."""

    __slots__ = ("_port", "_value")

    def __init__(self, port: TaskPort, value: JSONValue) -> None:
        self._port = port
        self._value = copy_json(value)

    @property
    def value(self) -> Any:  # noqa: ANN401 - the step knows what it saved
        """What was saved last, as a private copy; None before the first time."""
        return self._value

    async def save(self, value: object) -> None:
        """Keep a value; what the task stands on is committed first.

        Raises:
            WriteRefused: the value is not JSON.
        """
        clean = _clean(value)
        await self._port.save_progress(clean)
        self._value = copy_json(clean)


class SyncContext(_View):
    """The way of a sync step to its run: the names of Context, with calls that block."""

    __slots__ = ("_port", "_progress")

    def __init__(self, call: Call, port: SyncPort, deadline: datetime | None = None) -> None:
        super().__init__(call, deadline)
        self._port = port
        self._progress: SyncProgress | None = None

    @property
    def draining(self) -> bool:
        """Whether SIGTERM came: finish soon, or save progress and return."""
        return self._port.draining

    @property
    def progress(self) -> SyncProgress:
        """What this task saved, also before a crash."""
        if self._progress is None:
            self._progress = SyncProgress(self._port, self._call.progress)
        return self._progress

    def checkpoint(self, writes: Mapping[str, object], *, key: str | None = None) -> None:
        """Commit writes now; a key that this task has committed before is skipped.

        Raises:
            WriteRefused: a write that cannot be stored.
        """
        self._port.checkpoint(writes, key)


class SyncProgress:
    """A value of a long task that survives its process: `value`, `save(value)`."""

    __slots__ = ("_port", "_value")

    def __init__(self, port: SyncPort, value: JSONValue) -> None:
        self._port = port
        self._value = copy_json(value)

    @property
    def value(self) -> Any:  # noqa: ANN401 - the step knows what it saved
        """What was saved last, as a private copy; None before the first time."""
        return self._value

    def save(self, value: object) -> None:
        """Keep a value; what the task stands on is committed first.

        Raises:
            WriteRefused: the value is not JSON.
        """
        clean = _clean(value)
        self._port.save_progress(clean)
        self._value = copy_json(clean)


def _clean(value: object) -> JSONValue:
    try:
        return jsonify(value, "progress")
    except NotJSON as error:
        raise WriteRefused(str(error)) from None
