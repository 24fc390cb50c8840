"""A pipe of text, passed on line by line: what programs and workers print goes to the runner's log.

Reads a little at a time, so that a program that prints without end slows itself down and not the event loop.
"""

from __future__ import annotations

import os
from asyncio import AbstractEventLoop, Future
from collections.abc import Callable

MAX_LINE = 8192
"""Longer lines are passed on in pieces of this many bytes."""
_CHUNK = 8192
_DRAIN_CHUNKS = 128


class Lines:
    """The reading end of one pipe; `emit` gets each line, `eof` is done when the last writer has closed."""

    def __init__(self, loop: AbstractEventLoop, fd: int, emit: Callable[[str], None]) -> None:
        self.eof: Future[None] = loop.create_future()
        self.last = ""
        """The last line that was not blank."""
        self._loop = loop
        self._fd = fd
        self._emit = emit
        self._rest = b""
        os.set_blocking(fd, False)
        loop.add_reader(fd, self._read)

    def drain(self) -> None:
        """Take what is in the pipe now, up to a bound, and pass on a line that has no end yet."""
        for _ in range(_DRAIN_CHUNKS):
            if self.eof.done() or not self._read():
                break
        self._flush()

    def close(self) -> None:
        """Stop reading, whoever still writes."""
        if self.eof.done():
            return
        self._loop.remove_reader(self._fd)
        os.close(self._fd)
        self._flush()
        self.eof.set_result(None)

    def _read(self) -> bool:
        """Read once; whether there was something."""
        try:
            data = os.read(self._fd, _CHUNK)
        except BlockingIOError:
            return False
        if not data:
            self.close()
            return False
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._pass_on(line)
        if len(self._rest) >= MAX_LINE:
            self._flush()
        return True

    def _flush(self) -> None:
        self._pass_on(self._rest)
        self._rest = b""

    def _pass_on(self, line: bytes) -> None:
        for start in range(0, len(line), MAX_LINE):
            text = line[start : start + MAX_LINE].decode("utf-8", "replace").rstrip("\r")
            if text.strip():
                self.last = text
                self._emit(text)
