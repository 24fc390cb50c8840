"""Messages between the runner and a worker process: 4 bytes of length, then JSON.

`pack` and `Decoder` serve the runner's event loop, `Channel` the worker, which may block.
Both sides are the same release, so there is no version in it.
"""

from __future__ import annotations

import os
import socket
from struct import Struct
from threading import Lock
from typing import TYPE_CHECKING

import orjson

if TYPE_CHECKING:
    from cairn_runtime.model.values import JSONObject

MAX_BYTES = 64 * 1024**2
"""The largest message that a worker sends: a result, a write, saved progress."""
_HEADER = Struct(">I")


def pack(message: JSONObject) -> bytes:
    """Encode one message.

    Raises:
        TypeError: a value that is not JSON, such as text with half a surrogate pair.
    """
    body = orjson.dumps(message)
    return _HEADER.pack(len(body)) + body


class Decoder:
    """Cuts a stream of bytes into messages."""

    def __init__(self) -> None:
        self._data = bytearray()

    def feed(self, data: bytes) -> list[JSONObject]:
        """Take bytes in and give the messages that are complete."""
        self._data += data
        out: list[JSONObject] = []
        start = 0
        while len(self._data) - start >= _HEADER.size:
            (size,) = _HEADER.unpack_from(self._data, start)
            end = start + _HEADER.size + size
            if len(self._data) < end:
                break
            out.append(orjson.loads(self._data[start + _HEADER.size : end]))
            start = end
        del self._data[:start]
        return out


class Channel:
    """The worker's end: sends from any thread, receives in one."""

    def __init__(self, fd: int) -> None:
        os.set_inheritable(fd, False)
        self._socket = socket.socket(fileno=fd)
        self._sending = Lock()
        self._decoder = Decoder()
        self._waiting: list[JSONObject] = []

    def send(self, frame: bytes) -> None:
        """Send a packed message, whole."""
        with self._sending:
            self._socket.sendall(frame)

    def receive(self) -> JSONObject | None:
        """Wait for the next message; None when the runner has closed its end."""
        while not self._waiting:
            data = self._socket.recv(1 << 18)
            if not data:
                return None
            self._waiting = self._decoder.feed(data)
        return self._waiting.pop(0)
