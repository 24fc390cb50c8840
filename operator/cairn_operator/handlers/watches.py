"""The watches under supervision: kopf on a thread and an event loop of its own.

kopf.operator() believes that the process is its own: it takes the signal handlers of the main thread, and
when it ends it cancels every task of its loop that was made after its start, its caller's included. On a
thread of its own it finds neither. It ends when a watch says something it does not know, or when it is asked
to; unless we asked, it begins again after a pause.
Nothing but rings leaves this thread, each by `call_soon_threadsafe`.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
import time
import warnings
from dataclasses import dataclass, field
from typing import Any, cast

import kopf

from cairn_operator.handlers.doorbells import Bell, Ring, doorbells, kopf_settings

log = logging.getLogger("cairn.watches")

FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 1.0, 60.0
GOOD_SECONDS = 120.0
"""Watches that lasted so long were well: the next pause is the first again."""
STOP_SECONDS = 5.0
_LEVELS = 50_000
"""Frames for kopf, which reads and copies objects by recursion: the API server lets one have 10,000 levels,
and one such object would end the watches of all the others, again and again."""
_STACK_BYTES = 256 << 20
"""For so many; what is not used is not there."""


class Watches:
    """Watches that begin again whenever they end."""

    def __init__(self, bell: Bell, loop: asyncio.AbstractEventLoop, namespaces: tuple[str, ...]) -> None:
        self._bell = bell
        self._loop = loop
        self._namespaces = namespaces
        self._life = _Life()
        self.restarts = 0
        """How often they began again without being asked to end."""

    def start(self) -> None:
        """Begin to watch."""
        life = self._life = _Life()
        life.thread = threading.Thread(target=self._run, args=(life,), name="watches", daemon=True)
        sys.setrecursionlimit(max(sys.getrecursionlimit(), _LEVELS))
        before = threading.stack_size(_STACK_BYTES)
        try:
            life.thread.start()
        finally:
            threading.stack_size(before)

    def restart(self, why: str) -> None:
        """End the watches that there are; others begin."""
        log.warning("watches are started again", extra={"why": why})
        self._life.end.set()

    def end(self) -> None:
        """Ask them to end, and do not wait: what they still ring harms nobody."""
        self._life.stopping.set()
        self._life.end.set()

    async def stop(self) -> None:
        """End them and wait for that, but not for long: nothing that they do must be finished."""
        self.end()
        if self._life.thread is not None:
            await asyncio.to_thread(self._life.thread.join, STOP_SECONDS)

    def _run(self, life: _Life) -> None:
        pause = FIRST_PAUSE_SECONDS
        while not life.stopping.is_set():
            begin = time.monotonic()
            try:
                asyncio.run(self._watch(life))
                log.info("watches ended")
            except Exception:
                log.exception("watches ended")
            if life.stopping.is_set():
                return
            self.restarts += 1
            if time.monotonic() - begin > GOOD_SECONDS:
                pause = FIRST_PAUSE_SECONDS
            life.stopping.wait(pause)
            pause = min(pause * 2, LONGEST_PAUSE_SECONDS)
            life.end.clear()
            if life.stopping.is_set():
                return

    async def _watch(self, life: _Life) -> None:
        with warnings.catch_warnings():
            # That it does not get the signals is what the thread is for.
            warnings.simplefilter("ignore")
            await kopf.operator(
                registry=doorbells(self._across),
                settings=kopf_settings(),
                standalone=True,
                clusterwide=not self._namespaces,
                namespaces=self._namespaces,
                stop_flag=life.end,
                # It would look for the name of its user, and a numeric one in a pod has none.
                identity=cast("Any", "cairn"),
            )

    def _across(self, ring: Ring) -> None:
        """Ring on the thread of the passes."""
        try:
            self._loop.call_soon_threadsafe(self._bell, ring)
        except RuntimeError:
            # The process is about to end: its loop is closed.
            self.end()


@dataclass(slots=True)
class _Life:
    """One thread of watches, from its start until it is told to stop; the next one has flags of its own."""

    stopping: threading.Event = field(default_factory=threading.Event)
    end: threading.Event = field(default_factory=threading.Event)
    thread: threading.Thread | None = None
