"""Judge a spec in a bounded time, whatever stands in it.

One loop serves all Workflows, and who may write one may write one of half a megabyte of names that look like
each other, on whose hints the judge would spend a minute. Meanwhile nobody else would be served and the Lease
would be lost, here and then in the operator that takes it.
So the judge is interrupted after some seconds of this process's own time, which a busy node does not shorten;
what cannot be interrupted, a schema in a library, is asked for its price before (`schema_costs`).
Source for the timer: setitimer(2), ITIMER_VIRTUAL. For the main thread, where Python handles signals.
"""

from __future__ import annotations

import gc
import signal
from collections.abc import Hashable

from cairn_runtime.errors import Fault
from cairn_runtime.model.validation import Report, validate
from cairn_runtime.model.values import JSONObject

LONGEST_SECONDS = 3.0
"""Ten times what a Workflow of 500 steps takes."""
KEPT_BYTES = 2 << 20
"""So much text of specs is kept judged: some thirty of 500 steps, some thousand of the usual size."""
_AGAIN_SECONDS = 0.5
"""How soon it is interrupted again, should somebody in between have swallowed that."""
TOO_LONG = (
    "takes too long to be judged here, so nothing of it is run; `cairn validate FILE` says without a limit"
    " what is wrong with it, such as thousands of names that do not exist"
)


class Reports:
    """The last judgements, of no more text together than a bound: what is judged is thirty times as large."""

    def __init__(self, most_bytes: int = KEPT_BYTES) -> None:
        self._most = most_bytes
        self._bytes = 0
        self._kept: dict[Hashable, tuple[Report, int]] = {}
        """By age of the last use, the oldest first."""

    def get(self, key: Hashable) -> Report | None:
        """What was judged under this key, if it is still known."""
        if (found := self._kept.pop(key, None)) is None:
            return None
        self._kept[key] = found
        return found[0]

    def put(self, key: Hashable, report: Report, size: int) -> None:
        """Keep a report of a spec of so many bytes; the oldest ones go."""
        self._bytes += size - self._kept.pop(key, (report, 0))[1]
        self._kept[key] = report, size
        while self._bytes > self._most and len(self._kept) > 1:
            self._bytes -= self._kept.pop(next(iter(self._kept)))[1]


class _TooLong(BaseException):
    """Not an Exception: nobody on the way may take it for one of theirs."""


def judged(document: JSONObject, *, limited: bool = True, seconds: float = LONGEST_SECONDS) -> Report:
    """Judge a manifest; one that takes too long has that as its fault."""
    alarm = _Alarm()
    try:
        try:
            alarm.set(seconds)
            return validate(document, limited=limited, bounded=True)
        finally:
            alarm.stop()
    except _TooLong:
        alarm.stop()  # it may have come in the midst of stopping
        return Report(None, (Fault("spec", TOO_LONG),), ())


class _Alarm:
    """Raises `_TooLong` in the main thread from some moment on, until it is stopped."""

    def __init__(self) -> None:
        self._armed = False
        self._collects = gc.isenabled()

    def set(self, seconds: float) -> None:
        # Raised in what a collection calls, it would be swallowed there, and spoil what C was about to make.
        gc.disable()
        # The handler stays: a signal that comes late would end the process without one.
        signal.signal(signal.SIGVTALRM, self._ring)
        self._armed = True
        signal.setitimer(signal.ITIMER_VIRTUAL, seconds, _AGAIN_SECONDS)

    def stop(self) -> None:
        self._armed = False
        signal.setitimer(signal.ITIMER_VIRTUAL, 0.0)
        if self._collects:
            gc.enable()

    def _ring(self, _number: int, _frame: object) -> None:
        if self._armed:
            raise _TooLong
