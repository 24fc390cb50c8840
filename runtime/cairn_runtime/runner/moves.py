"""What comes next after an attempt ended: decided from facts, without I/O.

    facts (row, how the process ended, what was counted) ── next_move ──> Start | Sleep | Fail | End

The same rules hold for runner processes and for attempts inside a program; the operator's are their sister.
What happened is read from the row; how the process ended only tells whether another start makes sense.

A crash counts where no checkpoint came since the crash before; a store that did not answer is counted apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import NamedTuple, TypeAlias

from cairn_runtime.engine.frontier import Task
from cairn_runtime.engine.waits import judge
from cairn_runtime.errors import (
    EXIT_CONFIG,
    EXIT_DONE,
    EXIT_FAILED,
    EXIT_INTERRUPTED,
    EXIT_PARKED,
    EXIT_STORE_UNAVAILABLE,
    EXIT_SUPERSEDED,
)
from cairn_runtime.model.ids import parse_task_key
from cairn_runtime.model.workflow import Restart
from cairn_runtime.store.base import Run, Signal

CRASH_LOOP = "CrashLoop"


class Exit(NamedTuple):
    """How an attempt ended: its exit code (negative: the signal that killed it) and its last word, if any."""

    code: int
    reason: str = ""
    message: str = ""
    spoke: bool = True
    """Whether there was a last word. Exit code 0 without one is a crash: a step may call `os._exit(0)`."""


@dataclass(frozen=True, slots=True)
class Tally:
    """What is remembered from attempt to attempt."""

    crashes: int = 0
    """Crashes in a row with no checkpoint between them."""
    unanswered: int = 0
    """Attempts in a row that the store did not answer."""
    head_seq: int = 0
    """Head when one of them was counted last."""


@dataclass(frozen=True, slots=True)
class Facts:
    """All that a move is decided from, read once."""

    run: Run
    now: datetime
    tally: Tally = Tally()
    exit: Exit | None = None
    """How the last attempt ended; None before the first."""
    due: bool = False
    """Whether a parked run has a wait that is over, or an answer to look at."""
    interrupted: bool = False
    """Whether whoever started us asked to stop."""
    on_purpose: bool = False
    """Whether the process was killed by ourselves, as asked."""


@dataclass(frozen=True, slots=True)
class Start:
    """Start an attempt, after a pause."""

    after_seconds: float
    tally: Tally


@dataclass(frozen=True, slots=True)
class Sleep:
    """Wait until the run is due by itself; look for signals meanwhile."""

    until: datetime


@dataclass(frozen=True, slots=True)
class Fail:
    """Write into the row that the run is given up."""

    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class End:
    """Nothing more is to be done here."""

    exit_code: int
    reason: str = ""
    message: str = ""


Move: TypeAlias = Start | Sleep | Fail | End


def next_move(facts: Facts, restart: Restart) -> Move:
    """Decide what comes next; the first rule that fits wins."""
    run, exit_ = facts.run, facts.exit
    if exit_ is not None and exit_.code == EXIT_SUPERSEDED:
        return End(
            EXIT_SUPERSEDED,
            exit_.reason or "Superseded",
            exit_.message or f"run {run.run_id} has another runner",
        )
    if run.finished:
        return End(_finished_code(run, exit_), run.reason, run.message)
    if exit_ is not None and exit_.code == EXIT_CONFIG:
        return End(EXIT_CONFIG, exit_.reason, exit_.message)
    if facts.interrupted:
        return End(EXIT_INTERRUPTED, "Interrupted", "stopped on request; the run can go on")
    if exit_ is None or (exit_.code == EXIT_DONE and exit_.spoke) or facts.on_purpose:
        return _go_on(facts, restart)
    return _again(facts, exit_, restart)


def is_due(run: Run, signals: Sequence[Signal], now: datetime) -> bool:
    """Tell whether a parked run has anything to do: a wait that is over, or an answer to be looked at."""
    parked = []
    for wait in run.waits:
        step, visit, item = parse_task_key(wait.task)
        parked.append(Task(step, visit, item, 0, wait=wait))
    over, refused = judge(parked, signals, now)
    return bool(over or refused) or (run.wake_at is not None and run.wake_at <= now)


def _finished_code(run: Run, exit_: Exit | None) -> int:
    if run.phase == "Succeeded":
        return EXIT_DONE
    return EXIT_CONFIG if exit_ is not None and exit_.code == EXIT_CONFIG else EXIT_FAILED


def _go_on(facts: Facts, restart: Restart) -> Move:
    """Nothing went wrong: the run was drained, waits, or has not begun."""
    run = facts.run
    if run.phase == "Waiting" and not facts.due:
        # Only a due time lets a run go on by itself; at a deadline somebody was waited for in vain.
        if run.wake_at is not None and any(wait.until is not None for wait in run.waits):
            return Sleep(run.wake_at)
        return End(EXIT_PARKED, run.reason, run.message)
    drained = facts.exit is not None and run.phase != "Waiting" and not facts.on_purpose
    return Start(restart.base_delay if drained else 0.0, facts.tally)


def _again(facts: Facts, exit_: Exit, restart: Restart) -> Move:
    """The attempt ended badly: try again within the limits."""
    tally = facts.tally
    if facts.run.head_seq > tally.head_seq:
        tally = Tally(head_seq=facts.run.head_seq)
    if exit_.code == EXIT_STORE_UNAVAILABLE:
        tally = replace(tally, unanswered=tally.unanswered + 1)
        if tally.unanswered > restart.limit:
            return End(EXIT_STORE_UNAVAILABLE, exit_.reason or "StoreUnavailable", exit_.message)
        return Start(_pause(restart, tally.unanswered), tally)
    tally = replace(tally, crashes=tally.crashes + 1)
    if tally.crashes > restart.limit:
        return Fail(CRASH_LOOP, _crash_loop(exit_, tally))
    return Start(_pause(restart, tally.crashes), tally)


def _pause(restart: Restart, times: int) -> float:
    # Beyond 60 doublings every delay is over the limit, and a float would overflow at 1,024.
    return min(restart.base_delay * 2.0 ** min(times - 1, 60), restart.max_delay)


def _crash_loop(exit_: Exit, tally: Tally) -> str:
    how = f"was killed by signal {-exit_.code}" if exit_.code < 0 else f"ended with exit code {exit_.code}"
    said = f" ({exit_.message})" if exit_.message else ""
    times = "time" if tally.crashes == 1 else "times in a row"
    return f"the runner crashed {tally.crashes} {times} with no new checkpoint; the last one {how}{said}"
