"""The watchdog: ends the process when an async step holds the event loop beyond its timeout.

A coroutine can be cancelled only where it awaits; one that computes, or calls what blocks, holds the loop,
and with it every other task, the drain and the run's commits.
Nothing inside the process can end it, so the process ends: the run goes on from its newest checkpoint under
a new one, and a step that does it again and again becomes a CrashLoop with its name in the log.
Code in C that keeps the interpreter's lock (a regular expression gone wild) stops this thread too, and the
heartbeats; `faulthandler` has a thread that needs no lock, and ends the process later, with exit code 1.

The runner has one; a program that runs a Workflow inside itself has none, since it is not ours to end.
"""

from __future__ import annotations

import faulthandler
import logging
import os
import sys
import time
import traceback
from collections.abc import Callable
from math import inf
from threading import Condition, Thread, get_ident

EXIT_HELD = 70
"""Exit code of a process that the watchdog ended: a crash to whoever looks at it."""
GRACE_SECONDS = 5.0
DEAF_SECONDS = 30.0
"""How long no thread of Python could run: by then the heartbeat is stale and the runner counts as dead."""
_LATE_SECONDS = 1.0
_log = logging.getLogger("cairn.execute")


def leave(label: str, where: str) -> None:
    """Say why, and end the process."""
    told = Thread(target=_tell, args=(label, where), daemon=True)
    told.start()
    told.join(1.0)  # the thread that holds the loop may also hold the log's lock
    os._exit(EXIT_HELD)


def _tell(label: str, where: str) -> None:
    _log.critical("a step held the event loop beyond its timeout", extra={"task": label, "where": where})


class Watchdog:
    """A thread that knows when each watched task must have ended; started with the first.

    Args:
        grace_seconds: time beyond the timeout for a cancelled step to clean up.
        on_held: what happens then; given the task's name and the place where the loop is held.
        deaf_seconds: time beyond that for an interpreter that is itself held.
    """

    def __init__(
        self,
        grace_seconds: float = GRACE_SECONDS,
        on_held: Callable[[str, str], None] = leave,
        *,
        deaf_seconds: float = DEAF_SECONDS,
    ) -> None:
        self.grace_seconds = grace_seconds
        self._on_held = on_held
        self._deaf_seconds = deaf_seconds
        self._changed = Condition()
        self._due: dict[int, tuple[float, str, int]] = {}
        self._thread: Thread | None = None
        self._next_id = 0
        self._wakes = inf

    def watch(self, label: str, seconds: float) -> int:
        """Watch a task on this thread's loop that must have ended `seconds` plus grace from now."""
        due = time.monotonic() + seconds + self.grace_seconds
        with self._changed:
            self._next_id += 1
            self._due[self._next_id] = (due, label, get_ident())
            if self._thread is None:
                self._thread = Thread(target=self._run, name="cairn-watchdog", daemon=True)
                self._thread.start()
            if due < self._wakes:
                self._plan(due)
                self._changed.notify()
            return self._next_id

    def release(self, guard: int) -> None:
        """The task has ended."""
        with self._changed:
            self._due.pop(guard, None)

    def _run(self) -> None:
        with self._changed:
            while True:
                now = time.monotonic()
                self._plan(min((due for due, _, _ in self._due.values()), default=inf))
                if self._wakes <= now:
                    self._bite(now)
                    continue
                self._changed.wait(None if self._wakes == inf else self._wakes - now)
                self._forgive(time.monotonic() - self._wakes)

    def _plan(self, due: float) -> None:
        """Set when to wake up, and when the process ends from outside the interpreter if that is impossible.

        The second is set by whoever brings an earlier moment, since this thread may get no chance any more.
        """
        if due == self._wakes:
            return
        self._wakes = due
        if self._on_held is not leave or sys.__stderr__ is None:
            return
        faulthandler.cancel_dump_traceback_later()
        if due != inf:
            seconds = max(0.0, due - time.monotonic()) + self._deaf_seconds
            faulthandler.dump_traceback_later(seconds, exit=True, file=sys.__stderr__)

    def _forgive(self, late_seconds: float) -> None:
        """After the whole process slept (stopped, suspended), its loop gets its grace again."""
        if late_seconds > _LATE_SECONDS:
            extra = late_seconds + self.grace_seconds
            self._due = {guard: (due + extra, *rest) for guard, (due, *rest) in self._due.items()}  # type: ignore[misc]

    def _bite(self, now: float) -> None:
        for guard, (due, label, thread) in list(self._due.items()):
            if due <= now:
                del self._due[guard]
                self._on_held(label, _place(thread))


def _place(thread: int) -> str:
    """Where a thread is now: the innermost frames, by file and line."""
    frame = sys._current_frames().get(thread)  # noqa: SLF001 - the only way to look at another thread
    if frame is None:
        return "unknown"
    stack = traceback.extract_stack(frame)[-3:]
    return " < ".join(f"{f.filename}:{f.lineno} in {f.name}" for f in reversed(stack))
