"""Reading ahead: an iterator works on a thread of its own, a little before whoever takes from it.

What it gives is handed over in pieces, so that a million small items cost no million wakings.
The thread ends with its iterator, with what that raises, or when the block is left: at once where it waits
for room, after the piece that it is at where it works. One that waits for an input which may never come is
not waited for longer than a moment: it is a daemon, and what it still reads is nobody's.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from typing import Generic, TypeVar

T = TypeVar("T")
AHEAD_BYTES = 4 * 1024**2
"""While so much is there that nobody has taken, nothing more is read."""
_PIECE_BYTES = 256 * 1024
_PARTING_SECONDS = 1.0


@asynccontextmanager
async def ahead(items: Iterator[tuple[T, int]]) -> AsyncIterator[AsyncIterator[T]]:
    """Take from an iterator of items and their sizes while it works on the next ones.

    What it raises is raised where the last item before that was taken.
    """
    reader = _Reader(items)
    reader.start()
    try:
        yield reader.taken()
    finally:
        await reader.stop()


class _Reader(Generic[T]):
    """The thread, and the pieces between it and the one loop that takes them."""

    def __init__(self, items: Iterator[tuple[T, int]]) -> None:
        self._items = items
        self._loop = asyncio.get_running_loop()
        self._news = asyncio.Event()
        """Set where a piece came, or the end."""
        self._room = threading.Condition()
        """Guards what stands below; the thread waits for it."""
        self._pieces: deque[tuple[list[T], int]] = deque()
        self._bytes = 0
        self._stopped = False
        self._ended = False
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._work, name="cairn-ahead", daemon=True)

    def start(self) -> None:
        """Begin to read."""
        self._thread.start()

    async def stop(self) -> None:
        """Let the thread end, and wait for it a moment."""
        with self._room:
            self._stopped = True
            self._room.notify()
        if self._thread.is_alive():
            await asyncio.to_thread(self._thread.join, _PARTING_SECONDS)

    async def taken(self) -> AsyncIterator[T]:
        """Give the items in their order."""
        while True:
            self._news.clear()
            with self._room:
                piece, size = self._pieces.popleft() if self._pieces else ([], 0)
                over = self._ended and not piece
            if over:
                break
            for item in piece:
                yield item
            self._make_room(size)
            if not piece:
                await self._news.wait()
        if self._error is not None:
            raise self._error

    def _make_room(self, size: int) -> None:
        with self._room:
            self._bytes -= size
            self._room.notify()

    def _work(self) -> None:
        piece: list[T] = []
        size = 0
        try:
            for item, weight in self._items:
                piece.append(item)
                size += weight
                if size >= _PIECE_BYTES:
                    if not self._hand_over(piece, size):
                        return
                    piece, size = [], 0
        except BaseException as error:  # noqa: BLE001 - whatever it is belongs to whoever takes
            self._error = error
        self._hand_over(piece, size, last=True)

    def _hand_over(self, piece: list[T], size: int, *, last: bool = False) -> bool:
        """Put a piece where it is taken from, and wait for room; False where nobody takes any more."""
        with self._room:
            if piece:
                self._pieces.append((piece, size))
                self._bytes += size
            self._ended = last
        with suppress(RuntimeError):  # the loop is gone, and with it who would take
            self._loop.call_soon_threadsafe(self._news.set)
        with self._room:
            self._room.wait_for(lambda: last or self._stopped or self._bytes < AHEAD_BYTES)
            return not self._stopped
