"""How a runner process is asked to stop, and how it ends for certain.

The first SIGTERM, SIGINT or SIGHUP drains; the second ends the process at once. That is as safe as any crash:
what was acknowledged is durable, and the warden ends every program that a step started.
Python's own handlers are used, not the event loop's: they are called between two instructions of whatever
user code holds the loop.

Imported first, before anything heavy, so that a stop during the start is heard as well.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from queue import Empty, SimpleQueue
from threading import Thread
from typing import NamedTuple

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class Stopping:
    """Hears the signals, and tells whoever is there to be told."""

    def __init__(self) -> None:
        self.asked = False
        """Whether anybody asked to stop."""
        self.on_asked: Callable[[], None] | None = None
        """Called once, inside the signal handler; set it, then look at `asked`."""
        self.on_insisted: Callable[[], None] | None = None
        """Called inside the signal handler at the second signal, before the process ends."""

    def listen(self) -> None:
        """Take over the signals."""
        for number in SIGNALS:
            signal.signal(number, self._hear)

    def ask(self) -> None:
        """Ask to stop, like a first signal."""
        if not self.asked:
            self.asked = True
            if self.on_asked is not None:
                self.on_asked()

    def _hear(self, number: int, frame: object) -> None:  # noqa: ARG002 - the signature of a handler
        if not self.asked:
            self.ask()
            return
        if self.on_insisted is not None:
            self.on_insisted()
        os._exit(0)


class _Order(NamedTuple):
    due: float
    exit_code: int
    last: Callable[[], None]


class Guard:
    """A thread that ends the process at the latest when it was told to, whatever holds the other threads.

    It is told through a SimpleQueue because its `put` may be called inside a signal handler.
    """

    def __init__(self, leave: Callable[[int], None] = os._exit) -> None:
        self._orders: SimpleQueue[_Order] = SimpleQueue()
        self._leave = leave
        self._thread = Thread(target=self._run, name="cairn-guard", daemon=True)

    def start(self) -> None:
        """Begin to listen."""
        self._thread.start()

    def leave_within(self, seconds: float, exit_code: int, last: Callable[[], None] | None = None) -> None:
        """End the process so many seconds from now if it still runs; `last` is called before.

        Of several orders the earliest counts.
        """
        self._orders.put(_Order(time.monotonic() + seconds, exit_code, last or _nothing))

    def _run(self) -> None:
        order = self._orders.get()
        while (left := order.due - time.monotonic()) > 0:
            try:
                order = min(order, self._orders.get(timeout=left), key=lambda one: one.due)
            except Empty:
                continue
        order.last()
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except (OSError, ValueError):
                continue
        self._leave(order.exit_code)


def _nothing() -> None:
    """Say nothing more."""
