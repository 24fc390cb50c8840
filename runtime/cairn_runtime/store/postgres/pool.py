"""The connections of one store: taken, given back, thrown away when they are broken.

A connection is made when it is needed and none is idle, up to a bound; whoever comes then waits, and is
handed one in the order of coming: a writer that comes back at once would else always be first.
The newest idle one is taken first; one that nobody has needed for a minute is closed.
After a connection could not be made, one caller at a time tries again, after growing pauses; the others wait
for its outcome: a server that comes up is not met by a crowd, and a server that is gone costs one attempt.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress

from cairn_runtime.errors import StoreError, StoreUnusable
from cairn_runtime.store.postgres.wire import Wire

IDLE_SECONDS = 60.0
_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 1.0


class Pool:
    """Connections of one store, for one event loop at a time."""

    def __init__(self, connect: Callable[[], Awaitable[Wire]], size: int, place: str) -> None:
        self._connect = connect
        self._size = size
        self._place = place
        self._idle: deque[tuple[Wire, float]] = deque()
        self._count = 0
        """Connections that are open or being made."""
        self._waiting: deque[asyncio.Future[Wire | None]] = deque()
        """Get a connection, or None where there is room for another one."""
        self._closed = True
        self._pause = 0.0
        self._attempt: asyncio.Future[None] | None = None

    def open(self) -> None:
        """Begin to make connections."""
        self._closed = False

    def close(self) -> None:
        """Close the idle connections now, the others when they are given back; wake who waits."""
        self._closed = True
        while self._hand_on(None):
            pass
        while self._idle:
            self._drop(self._idle.pop()[0])

    async def take(self) -> Wire:
        """Answer a connection that is idle and alive, or a new one.

        Raises:
            StoreError: none can be made.
        """
        while True:
            if self._closed:
                raise StoreUnusable(f"{self._place} is not open")
            while self._idle:
                wire = self._idle.pop()[0]
                if wire.is_alive():
                    return wire
                self._drop(wire)
            if self._count < self._size:
                return await self._make()
            handed = await self._turn()
            if handed is not None:
                return handed

    def give(self, wire: Wire) -> None:
        """Take a connection back; one in the middle of something is closed."""
        if self._closed or not wire.is_idle():
            self._drop(wire)
            return
        if self._hand_on(wire):
            return
        now = time.monotonic()
        self._idle.append((wire, now))
        if len(self._idle) > 1 and now - self._idle[0][1] > IDLE_SECONDS:
            self._drop(self._idle.popleft()[0])

    def _drop(self, wire: Wire) -> None:
        wire.close()
        self._count -= 1
        self._hand_on(None)

    async def _turn(self) -> Wire | None:
        """Wait until a connection is given back, or one that was dropped leaves room."""
        turn: asyncio.Future[Wire | None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            return await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                handed = turn.result()  # it was this caller's turn: the next one has it
                if handed is None:
                    self._hand_on(None)
                else:
                    self.give(handed)
            else:
                with suppress(ValueError):  # whoever woke others has passed it over already
                    self._waiting.remove(turn)
            raise

    def _hand_on(self, wire: Wire | None) -> bool:
        """Let the one who waits longest go on; False where nobody waits."""
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(wire)
                return True
        return False

    async def _make(self) -> Wire:
        self._count += 1
        try:
            while self._pause:
                if self._attempt is None:
                    return await self._try_again()
                await asyncio.shield(self._attempt)
            return await self._reach()
        except BaseException:
            self._count -= 1
            self._hand_on(None)
            raise

    async def _try_again(self) -> Wire:
        """Try for all who wait: they connect themselves if it succeeds, and fail with it if not."""
        attempt = self._attempt = asyncio.get_running_loop().create_future()
        try:
            await asyncio.sleep(self._pause)
            wire = await self._reach()
        except StoreError as error:
            attempt.set_exception(error)
            attempt.exception()  # nobody may be waiting
            raise
        except BaseException:
            attempt.set_result(None)  # cancelled: the next one tries
            raise
        else:
            attempt.set_result(None)
            return wire
        finally:
            self._attempt = None

    async def _reach(self) -> Wire:
        try:
            wire = await self._connect()
        except StoreError:
            self._pause = min(max(self._pause * 2, _FIRST_PAUSE), _LONGEST_PAUSE)
            raise
        self._pause = 0.0
        return wire
