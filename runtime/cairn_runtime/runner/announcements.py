"""What a runner tells its supervisor while it runs, and how it notices that nobody is there any more.

One socket between the two, lines of JSON from the runner, nothing back; its end is the news that the other
one is gone.
Announcements are for eyes and for `--kill-at`: what happened stands in the store alone, so a line too many or
too few changes nothing, and a supervisor that does not read never holds up a run.

    {"event": "started", "task": "draft#1", "attempt": 1}
    {"event": "ended",   "task": "draft#1", "attempt": 1, "outcome": "done"}    or failed, parked, cancelled
    {"event": "saved",   "seq": 17}
    {"event": "last",    "code": 0, "word": {...}}
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple

import orjson

from cairn_runtime.engine.context import Call, Park
from cairn_runtime.engine.execute import Action, Executor, Returned
from cairn_runtime.errors import StepError
from cairn_runtime.model.values import JSONObject, JSONValue

BACKLOG_BYTES = 256 * 1024
"""Above this the supervisor does not read, and announcements are dropped."""
HELD_SECONDS = 30.0
"""How long a task's outcome is kept back for a kill that does not come."""
MAX_LINE = 64 * 1024


class Notice(NamedTuple):
    """One announcement, from a runner or from whoever watches over it."""

    event: str
    """started, ended, saved, last; from the supervisor also: attempt, crashed, killed, sleeping."""
    task: str = ""
    attempt: int = 0
    """Which call of the task; of `attempt`, `crashed`, `killed`: the epoch."""
    outcome: str = ""
    """Of `ended`: done, failed, parked, cancelled; of `crashed`, `sleeping`: why, in words."""
    seq: int = 0
    """Of `saved`: the newest durable checkpoint."""
    seconds: float = 0.0
    """Of `crashed`, `sleeping`: until the next attempt."""
    body: JSONValue = None
    """Of `last`: exit code and last word."""


Say = Callable[[Notice], None]


class Line(asyncio.Protocol):
    """One end of the socket between runner and supervisor."""

    def __init__(
        self, end: socket.socket, on_notice: Say | None = None, on_lost: Callable[[], None] | None = None
    ) -> None:
        self._end = end
        self._on_notice, self._on_lost = on_notice, on_lost
        self._transport: asyncio.Transport | None = None
        self._partial = b""
        self._closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @classmethod
    async def over(
        cls, end: socket.socket, *, on_notice: Say | None = None, on_lost: Callable[[], None] | None = None
    ) -> Line:
        """Take over one end of the socket."""
        end.setblocking(False)
        loop = asyncio.get_running_loop()
        _, line = await loop.create_connection(lambda: cls(end, on_notice, on_lost), sock=end)
        return line

    def say(self, notice: Notice) -> None:
        """Tell the other end; dropped where it does not read, or is gone."""
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        if transport.get_write_buffer_size() < BACKLOG_BYTES or notice.event == "last":
            transport.write(orjson.dumps(_packed(notice)) + b"\n")

    def shout(self, notice: Notice) -> None:
        """Tell the other end past the event loop, which may be held, because this process ends now."""
        with suppress(OSError):
            self._end.send(b"\n" + orjson.dumps(_packed(notice)) + b"\n")

    async def heard_all(self) -> None:
        """Wait until the other end is closed and all that it said was heard; giving up changes nothing."""
        await asyncio.shield(self._closed)

    async def close(self) -> None:
        """Close this end after what was said has gone out."""
        self._on_lost = None
        if self._transport is not None:
            self._transport.close()
            await self._closed

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Part of asyncio's protocol."""
        self._transport = transport  # type: ignore[assignment] # a socket's transport reads and writes

    def data_received(self, data: bytes) -> None:
        """Part of asyncio's protocol: split into lines."""
        *lines, self._partial = (self._partial + data).split(b"\n")
        if len(self._partial) > MAX_LINE:
            self._partial = b""
        for text in lines:
            notice = _unpacked(text)
            if notice is not None and self._on_notice is not None:
                self._on_notice(notice)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """Part of asyncio's protocol: the other end is gone."""
        if not self._closed.done():
            self._closed.set_result(None)
        if self._on_lost is not None:
            self._on_lost()


def inherited(fd: int) -> socket.socket:
    """The runner's end, which no program that it starts may inherit.

    Raises:
        OSError: there is no such socket.
    """
    os.set_inheritable(fd, False)
    return socket.socket(fileno=fd)


def names(wanted: str, task: str) -> bool:
    """Tell whether `draft`, `draft#2` or `fetch#1[5]` means a task: a step's name means any of its tasks."""
    return bool(wanted) and (
        task == wanted or task.partition("#")[0] == wanted or task.partition("[")[0] == wanted
    )


class AnnouncedExecutor(Executor):
    """An Executor that says when attempts start and end, and can keep one outcome back.

    Keeping back is what makes `--kill-at` true: the outcome of the named task is not handed to the run until
    the supervisor has killed this process, so that the kill falls between the task's start and its commit,
    however short the task is.
    """

    def announce(self, say: Say, hold_at: str = "") -> None:
        """Begin to announce."""
        self._say = say
        self._hold_at = hold_at

    async def execute(self, action: Action, call: Call) -> Returned:
        """Run one attempt; see `Executor.execute`."""
        self._say(Notice("started", call.task, call.attempt))
        outcome = "cancelled"
        try:
            returned = await super().execute(action, call)
            outcome = "done"
        except Park:
            outcome = "parked"
            raise
        except StepError:
            outcome = "failed"
            raise
        finally:
            if names(self._hold_at, call.task) and outcome != "cancelled":
                await asyncio.sleep(HELD_SECONDS)
            self._say(Notice("ended", call.task, call.attempt, outcome))
        return returned


def _packed(notice: Notice) -> JSONObject:
    return {name: value for name, value in notice._asdict().items() if value}


def _unpacked(text: bytes) -> Notice | None:
    """Read a line; one that is no announcement is passed over, it may come from a newer release."""
    try:
        return Notice(**orjson.loads(text))
    except (orjson.JSONDecodeError, TypeError):
        return None
