"""Which waits are over: answers, due times and deadlines against the parked tasks of a run.

Pure; the time is the store's, because a signal that was stored before the deadline wins over it.
Signals are used in the order of their numbers, each at most once.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache

import orjson

from cairn_runtime.engine.frontier import Task
from cairn_runtime.model.schemas import SchemaCheck, compile_schema
from cairn_runtime.model.values import JSONValue
from cairn_runtime.store.base import Signal, Wait


@dataclass(frozen=True, slots=True)
class Over:
    """A wait that is over: by a signal (its value is the answer), by its time, or by its deadline."""

    task: Task
    answer: JSONValue = None
    number: int | None = None
    """The signal used up."""
    overdue: bool = False


@dataclass(frozen=True, slots=True)
class Refused:
    """A signal that was sent for a wait and does not fit its schema; it is used up, and the wait goes on."""

    number: int
    task: str
    problem: str


def judge(
    parked: Iterable[Task], signals: Sequence[Signal], now: datetime
) -> tuple[list[Over], list[Refused]]:
    """Match waits with signals and the time."""
    over: list[Over] = []
    refused: list[Refused] = []
    left = sorted(signals, key=lambda signal: signal.number)
    for task in parked:
        wait = task.wait
        if wait is None:
            continue
        signal = _matching(wait, left, refused)
        if signal is not None:
            left.remove(signal)
            over.append(Over(task, signal.value, signal.number))
        elif wait.until is not None and wait.until <= now:
            over.append(Over(task))
        elif wait.deadline is not None and wait.deadline <= now:
            over.append(Over(task, overdue=True))
    return over, refused


def wake_at(parked: Iterable[Task]) -> datetime | None:
    """When a run is due by itself: the earliest due time or deadline of its waits."""
    moments = [
        moment for task in parked if task.wait for moment in (task.wait.until, task.wait.deadline) if moment
    ]
    return min(moments, default=None)


def answer_problem(wait: Wait, value: JSONValue) -> str:
    """Say what is wrong with an answer; empty where it fits."""
    if wait.kind == "approval":
        if not isinstance(value, dict) or not isinstance(value.get("approved"), bool):
            return "an approval is an object with approved: true or false"
        if not value["approved"] and value.get("value") is None:
            return ""  # a no needs no value; a yes without one would fail in the step that reads it
        value = value.get("value")
    if wait.schema is None:
        return ""
    return "; ".join(map(str, _schema(orjson.dumps(wait.schema)).check(value)[:3]))


@lru_cache(maxsize=64)
def _schema(text: bytes) -> SchemaCheck:
    return compile_schema(orjson.loads(text), "schema")


def _matching(wait: Wait, left: list[Signal], refused: list[Refused]) -> Signal | None:
    """The first signal for this wait that came in time and fits; the others for it are refused."""
    for signal in list(left):
        if not wait.name or wait.name != (signal.wait or signal.name):
            continue
        if wait.deadline is not None and signal.created_at > wait.deadline:
            continue
        problem = answer_problem(wait, signal.value)
        if not problem:
            return signal
        left.remove(signal)
        refused.append(Refused(signal.number, wait.task, problem))
    return None
