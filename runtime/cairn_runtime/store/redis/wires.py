"""One connection to one server: commands go out as they come, replies are given to their callers in order.

redis-py connects, speaks TLS, logs in and chooses the database; then its streams are taken away and the wire
reads the socket itself.
Many callers share a wire. A caller that is cancelled leaves its place in the queue, and the reply that
comes for it is dropped: nobody ever reads the reply of another.
Where nothing else needs the event loop, a caller waits a moment on the socket itself: the reply of a commit
then costs no turn of the loop.
A wire that is broken, late or out of step is ended, and everybody who waits on it hears `Lost`; it is never
used again. Nothing is sent twice here.
"""

from __future__ import annotations

import asyncio
import os
import select
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from redis.asyncio.connection import Connection, SSLConnection

from cairn_runtime.store.owned import never
from cairn_runtime.store.redis.addresses import Address
from cairn_runtime.store.redis.faults import Lost
from cairn_runtime.store.redis.replies import Reply, ReplyReader

CLIENT_NAME = "cairn"
_HELD_UP_MILLIS = 5
"""How long the loop is held up at most: the word to drain, a poke and the supervisor wait behind it."""
_SOON_SECONDS = 0.00015
_SLEEPS_AFTER_LATE = 4
_READ_BYTES = 64 * 1024
_TLS_VERIFY = {"full": "required", "ca": "required", "none": "none"}


class _HandedOver:
    """What both kinds of redis-py's connections have in common once they are made."""

    _reader: asyncio.StreamReader | None
    _writer: asyncio.StreamWriter | None

    def hand_over(self) -> asyncio.StreamWriter:
        """Give the streams away; the connection forgets them."""
        writer, self._reader, self._writer = self._writer, None, None
        if writer is None:
            raise Lost("the connection ended while it was made")
        return writer


class _PlainConnection(_HandedOver, Connection):
    pass


class _SecureConnection(_HandedOver, SSLConnection):
    pass


class _Waiting:
    """A call whose replies have not all come."""

    __slots__ = ("count", "future", "replies", "since")

    def __init__(self, future: asyncio.Future[list[Reply]], count: int, since: float) -> None:
        self.future = future
        self.count = count
        self.since = since
        self.replies: list[Reply] = []


class Wire(asyncio.Protocol):
    """A connection that is ready for commands."""

    def __init__(
        self,
        writer: asyncio.StreamWriter,
        host: tuple[str, int],
        timeout_seconds: float,
        alone: Callable[[], bool] = never,
    ) -> None:
        self.host = host
        self.master_until = 0.0
        """Until when (loop's clock) it need not be asked again whether the server is a master."""
        self._loop = asyncio.get_running_loop()
        # Kept, because a writer that is forgotten closes its transport.
        self._writer = writer
        self._transport: asyncio.WriteTransport = writer.transport
        self._timeout_seconds = timeout_seconds
        self._reader = ReplyReader()
        self._waiting: deque[_Waiting] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._ended: asyncio.Future[None] = self._loop.create_future()
        self._alone = alone
        self._socket = -1 if writer.get_extra_info("sslcontext") else writer.get_extra_info("socket").fileno()
        """The descriptor that replies can be read from; none where they have to be decrypted."""
        self._sleeps = 0
        """How many more waits are slept through from their beginning."""
        self._poll = select.poll()
        if self._socket >= 0:
            self._poll.register(self._socket, select.POLLIN)
        self._why = "the server closed the connection"
        self._transport.set_protocol(self)
        if self._transport.is_closing():
            self.connection_lost(None)

    @property
    def usable(self) -> bool:
        """Whether commands may still be sent."""
        return not self._ended.done() and not self._transport.is_closing()

    async def ask(self, data: bytes, count: int) -> list[Reply]:
        """Send packed commands and wait for their `count` replies. Raises `Lost`."""
        future = self.send(data, count)
        if self._socket >= 0 and self._alone() and not self._transport.get_write_buffer_size():
            self._hold_up()
        return await future

    def _hold_up(self) -> None:
        """Wait a moment on the socket itself; whatever is not there then comes by way of the loop."""
        if not (self._comes_soon() or self._poll.poll(_HELD_UP_MILLIS)):
            return
        try:
            data = os.read(self._socket, _READ_BYTES)
        except OSError:
            return  # the loop meets it too, and says what it is
        if data:
            self.data_received(data)

    def _comes_soon(self) -> bool:
        """Look for a reply that is there sooner than this process could fall asleep and be woken.

        A server further away is asked so now and then only: it would be processor time for nothing.
        """
        if self._sleeps:
            self._sleeps -= 1
            return False
        until = time.perf_counter() + _SOON_SECONDS
        while not self._poll.poll(0):
            if time.perf_counter() > until:
                self._sleeps = _SLEEPS_AFTER_LATE
                return False
            os.sched_yield()
        return True

    def send(self, data: bytes, count: int) -> asyncio.Future[list[Reply]]:
        """Send packed commands; the future gets their `count` replies.

        Raises:
            Lost: the wire has ended; nothing was sent.
        """
        if not self.usable:
            raise Lost(self._why)
        future = self._loop.create_future()
        self._waiting.append(_Waiting(future, count, self._loop.time()))
        if self._timer is None:
            self._timer = self._loop.call_later(self._timeout_seconds, self._look)
        self._transport.write(data)
        return future

    def _look(self) -> None:
        """End the wire if its oldest call has waited too long; one timer serves all calls."""
        self._timer = None
        if not self._waiting:
            return
        left = self._waiting[0].since + self._timeout_seconds - self._loop.time()
        if left <= 0:
            self.end(f"the server did not answer within {self._timeout_seconds:g} s", late=True)
        else:
            self._timer = self._loop.call_later(left, self._look)

    def data_received(self, data: bytes) -> None:
        """Give replies to those who wait."""
        try:
            replies = self._reader.feed(data)
        except ValueError as error:
            self.end(f"the server does not speak the protocol: {error}")
            return
        for reply in replies:
            if not self._waiting:
                self.end("the server sent a reply that nobody waits for")
                return
            waiting = self._waiting[0]
            waiting.replies.append(reply)
            if len(waiting.replies) == waiting.count:
                self._waiting.popleft()
                if not waiting.future.done():
                    waiting.future.set_result(waiting.replies)

    def end(self, why: str, *, late: bool = False) -> None:
        """Break off; those who wait hear why."""
        if not self._ended.done():
            self._why = why
            self._transport.abort()
            self._fail(late=late)

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell those who wait that nothing more will come."""
        if exc is not None:
            self._why = f"the connection broke: {exc}"
        if not self._ended.done():
            self._ended.set_result(None)
        self._fail()

    def _fail(self, *, late: bool = False) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self._waiting:
            future = self._waiting.popleft().future
            if not future.done():
                future.set_exception(Lost(self._why, late=late))
                # A caller that was cancelled meanwhile never looks; that is no fault of its own.
                future.exception()

    async def close(self) -> None:
        """End, and wait until the socket is closed."""
        self.end("the store was closed")
        await self._ended


async def connect(
    address: Address,
    host: tuple[str, int],
    timeout_seconds: float | None = None,
    alone: Callable[[], bool] = never,
) -> Wire:
    """Make a wire to a server.

    Raises:
        redis.RedisError, OSError, Lost: see `faults`.
    """
    connection = _connection(address, host)
    try:
        await connection.connect()  # type: ignore[no-untyped-call]
    except BaseException:
        # redis-py leaves the socket open when its caller is cancelled in the middle of the log-in.
        await connection.disconnect(nowait=True)
        raise
    return Wire(connection.hand_over(), host, timeout_seconds or address.timeout_seconds, alone)


def _connection(address: Address, host: tuple[str, int]) -> _PlainConnection | _SecureConnection:
    options: dict[str, Any] = {
        "host": host[0],
        "port": host[1],
        "db": address.database,
        "username": address.user,
        "password": address.secret(),
        "socket_timeout": address.timeout_seconds,
        "socket_connect_timeout": address.timeout_seconds,
        "socket_keepalive": True,
        "client_name": CLIENT_NAME,
        # The replies that `replies` reads are those of version 2.
        "protocol": 2,
        "retry_on_timeout": False,
        "health_check_interval": 0,
    }
    if address.tls is None:
        return _PlainConnection(**options)
    return _SecureConnection(**options, **tls_options(address))


def tls_options(address: Address) -> dict[str, Any]:
    """What redis-py is told of TLS."""
    tls = address.tls
    if tls is None:
        return {}
    return {
        "ssl_ca_certs": tls.ca,
        "ssl_certfile": tls.cert,
        "ssl_keyfile": tls.key,
        "ssl_cert_reqs": _TLS_VERIFY[tls.verify],
        "ssl_check_hostname": tls.verify == "full",
    }
