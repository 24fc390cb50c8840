"""Telling requests and replies apart on the wire, as far as a proxy needs: pure, bytes in, pieces out.

A *request* is what a client sends and then waits for: for Postgres the messages up to a Sync or a
simple query, for Redis one command, for `lines` a line.
A *reply* may come in several pieces, of which the last one ends it.
An encrypted connection is not understood: its bytes pass as they come.

Source: https://www.postgresql.org/docs/current/protocol-message-formats.html,
https://redis.io/docs/latest/develop/reference/protocol-spec/
"""

from __future__ import annotations

import struct
from typing import NamedTuple, Protocol

SSL_REQUEST = 80_877_103
GSS_REQUEST = 80_877_104
CANCEL_REQUEST = 80_877_102


class Request(NamedTuple):
    """What a client asked."""

    data: bytes
    text: bytes
    """The bytes, and the text of each prepared statement that they name."""
    answered: bool
    """Whether the server ends its reply to it in a way that can be seen."""


class Piece(NamedTuple):
    """A piece of a reply."""

    data: bytes
    ends: bool
    """Whether it is the last one of the reply to a request."""


class Wire(Protocol):
    """One connection's two directions."""

    def requests(self, data: bytes) -> list[Request]:
        """Take what the client sent; return the requests that are whole by now."""
        ...

    def replies(self, data: bytes) -> list[Piece]:
        """Take what the server sent; return the pieces that are whole by now."""
        ...


class LinesWire:
    """A line asks, a line answers."""

    def __init__(self) -> None:
        self._asked = b""
        self._answered = b""

    def requests(self, data: bytes) -> list[Request]:
        """Cut at the ends of lines."""
        *lines, self._asked = (self._asked + data).split(b"\n")
        return [Request(line + b"\n", line, answered=True) for line in lines]

    def replies(self, data: bytes) -> list[Piece]:
        """Cut at the ends of lines."""
        *lines, self._answered = (self._answered + data).split(b"\n")
        return [Piece(line + b"\n", ends=True) for line in lines]


class PostgresWire:
    """Postgres, protocol 3."""

    def __init__(self) -> None:
        self._asked = bytearray()
        self._answered = bytearray()
        self._started = False
        self._asked_for_tls = False
        self._opaque = False
        self._messages = bytearray()
        self._texts: list[bytes] = []
        self._statements: dict[bytes, bytes] = {}

    def requests(self, data: bytes) -> list[Request]:
        """Cut after each message that makes the server flush."""
        if self._opaque:
            return [Request(data, b"", answered=False)]
        self._asked += data
        found = []
        while (request := self._next_request()) is not None:
            found.append(request)
        return found

    def replies(self, data: bytes) -> list[Piece]:
        """Cut between messages; ReadyForQuery ends a reply."""
        self._answered += data
        found = []
        if self._asked_for_tls and self._answered:
            self._asked_for_tls = False
            self._opaque = self._answered[:1] != b"N"
            found.append(Piece(_take(self._answered, 1), ends=True))
        if self._opaque:
            return [*found, Piece(_take(self._answered, len(self._answered)), ends=False)]
        while len(self._answered) >= 5 and len(self._answered) > (size := _size(self._answered, 1)):
            ends = self._answered[:1] == b"Z"
            found.append(Piece(_take(self._answered, size + 1), ends))
        return found

    def _next_request(self) -> Request | None:
        if not self._started:
            return self._next_greeting()
        while len(self._asked) >= 5 and len(self._asked) > (size := _size(self._asked, 1)):
            message = _take(self._asked, size + 1)
            self._note(message)
            self._messages += message
            if message[:1] in b"SQFpXcfH":
                text = b"\n".join([bytes(self._messages), *self._texts])
                request = Request(bytes(self._messages), text, answered=message[:1] in b"SQF")
                self._messages.clear()
                self._texts.clear()
                return request
        return None

    def _next_greeting(self) -> Request | None:
        """The messages before a connection is started have no type."""
        if len(self._asked) < 8 or len(self._asked) < (size := _size(self._asked, 0)):
            return None
        message = _take(self._asked, size)
        code = _size(message, 4)
        self._asked_for_tls = code in {SSL_REQUEST, GSS_REQUEST}
        self._started = not self._asked_for_tls
        return Request(message, message, answered=code != CANCEL_REQUEST)

    def _note(self, message: bytes) -> None:
        """Remember what a statement says by its name, and add it where it is used by its name alone."""
        if message[:1] == b"P":
            name, query, _ = message[5:].split(b"\0", 2)
            self._statements[name] = query
        elif message[:1] == b"B":
            _, name, _ = message[5:].split(b"\0", 2)
            self._texts.append(self._statements.get(name, b""))


class RedisWire:
    """Redis, RESP 2 and 3."""

    def __init__(self) -> None:
        self._asked = bytearray()
        self._answered = bytearray()

    def requests(self, data: bytes) -> list[Request]:
        """Cut between commands."""
        self._asked += data
        return [Request(value, value, answered=True) for value in _values(self._asked)]

    def replies(self, data: bytes) -> list[Piece]:
        """Cut between replies; what is pushed answers nothing."""
        self._answered += data
        return [Piece(value, ends=not value.startswith(b">")) for value in _values(self._answered)]


WIRES = {"postgres": PostgresWire, "redis": RedisWire, "lines": LinesWire}


def _take(buffer: bytearray, count: int) -> bytes:
    taken = bytes(buffer[:count])
    del buffer[:count]
    return taken


def _size(buffer: bytes | bytearray, at: int) -> int:
    value: int = struct.unpack_from(">I", buffer, at)[0]
    return value


def _values(buffer: bytearray) -> list[bytes]:
    """Take the whole RESP values that a buffer begins with."""
    found = []
    while (end := _end_of_value(buffer, 0)) is not None:
        found.append(_take(buffer, end))
    return found


def _end_of_value(data: bytearray, at: int) -> int | None:
    """Find where the value that begins at a place ends; None if it has not all come yet."""
    missing = 1
    while missing:
        line_end = data.find(b"\r\n", at)
        if line_end < 0:
            return None
        kind, count = data[at : at + 1], data[at + 1 : line_end]
        at = line_end + 2
        missing -= 1
        if kind in b"$=!" and int(count) >= 0:
            at += int(count) + 2
        elif kind in b"*~>" and int(count) > 0:
            missing += int(count)
        elif kind == b"%":
            missing += 2 * int(count)
        elif kind == b"|":
            # Attributes stand before the value that they describe.
            missing += 2 * int(count) + 1
        if at > len(data):
            return None
    return at
