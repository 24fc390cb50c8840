"""The protocol of Redis (RESP2) without a network: commands as bytes, bytes as replies.

redis-py makes the connections; what then goes over them is packed and parsed here, because its own way
through a command takes longer than the commit itself (docs/design/0045-speaking-with-redis.md).
Pure: no I/O.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable
from typing import Any, NamedTuple, TypeAlias

Argument: TypeAlias = bytes | str | int
Reply: TypeAlias = Any
"""bytes, int, None, a list of replies, or a Refusal."""
_KEPT_BYTES = 64 * 1024
_ONE = b":1\r\n"
_WIDTHS = tuple(b"$%d\r\n" % n for n in range(1024))


class Refusal(NamedTuple):
    """A reply that is an error: its first word, and all of it."""

    code: str
    text: str


def pieces(arguments: Iterable[Argument]) -> list[bytes]:
    """Write arguments as bulk strings, not joined yet: a large one is copied once, on its way out."""
    out: list[bytes] = []
    for argument in arguments:
        if isinstance(argument, bytes):
            data = argument
        elif isinstance(argument, str):
            data = argument.encode()
        else:
            data = b"%d" % argument
        length = len(data)
        out += (_WIDTHS[length] if length < 1024 else b"$%d\r\n" % length, data, b"\r\n")
    return out


def packed(arguments: Iterable[Argument]) -> bytes:
    """Write arguments as bulk strings."""
    return b"".join(pieces(arguments))


def command(*arguments: Argument) -> bytes:
    """Write a whole command."""
    return b"*%d\r\n" % len(arguments) + packed(arguments)


class ReplyReader:
    """Bytes in, as they come; whole replies out."""

    def __init__(self) -> None:
        self._data = bytearray()
        self._at = 0
        self._out: list[Reply] = []
        self._between = True
        """Whether the next byte begins a reply."""
        self._parser = self._replies()
        next(self._parser)

    def feed(self, data: bytes) -> list[Reply]:
        """Take what has come, and answer the replies that are whole now.

        Raises:
            ValueError: this is not RESP2.
        """
        if data == _ONE and self._between:
            # What a commit is answered.
            return [1]
        self._data += data
        self._parser.send(None)
        if self._at == len(self._data):
            self._data.clear()
            self._at = 0
        elif self._at > _KEPT_BYTES:
            del self._data[: self._at]
            self._at = 0
        out, self._out = self._out, []
        return out

    def _replies(self) -> Generator[None, None, None]:
        while True:
            self._between = len(self._data) == self._at
            yield from self._wait(1)
            self._between = False
            # In two steps: the list is another one when the reply has come.
            reply = yield from self._reply()
            self._out.append(reply)

    def _wait(self, count: int) -> Generator[None, None, None]:
        while len(self._data) < self._at + count:
            yield

    def _reply(self) -> Generator[None, None, Reply]:
        data = self._data
        while (end := data.find(b"\r\n", self._at)) < 0:
            yield
        kind, line = data[self._at], bytes(data[self._at + 1 : end])
        self._at = end + 2
        match kind:
            case 36:  # $ bulk string
                length = int(line)
                if length < 0:
                    return None
                yield from self._wait(length + 2)
                start = self._at
                self._at = start + length + 2
                return bytes(data[start : start + length])
            case 42:  # * array
                found = []
                for _ in range(int(line)):
                    found.append((yield from self._reply()))  # noqa: PERF401 - a comprehension cannot yield
                return None if line == b"-1" else found
            case 58:  # : integer
                return int(line)
            case 43:  # + simple string
                return line
            case 45:  # - error
                text = line.decode(errors="replace")
                return Refusal(text.split(" ", maxsplit=1)[0], text)
        raise ValueError(f"not a reply: {bytes(data[:40])!r}")
