"""The Lua files: each is sent by its digest, and whole where the server does not have it (any more).

A file's head comment says what it does, its arguments and its answers; every run's script gets the run's
keys in the order of `keys.PARTS`.
`settle.lua` is put before the scripts that call it.
"""

from __future__ import annotations

from functools import cache
from hashlib import sha1
from importlib import resources
from typing import TypeAlias

from cairn_runtime.store.redis.keys import PARTS, RunKeys
from cairn_runtime.store.redis.replies import Argument, packed, pieces


class Call:
    """One call of a script: by its digest, or whole where the server does not know it."""

    __slots__ = ("_rest", "_size", "_ways")

    def __init__(self, size: int, ways: tuple[bytes, bytes], rest: list[bytes]) -> None:
        self._size = b"*%d\r\n" % size
        self._ways = ways
        self._rest = rest

    def by_digest(self) -> bytes:
        """What is sent first."""
        return b"".join((self._size, self._ways[0], *self._rest))

    def whole(self) -> bytes:
        """What is sent to a server that does not have the script."""
        return b"".join((self._size, self._ways[1], *self._rest))


Command: TypeAlias = Call | bytes
"""A call of a script, or a command that is packed already."""


class Script:
    """One Lua script, packed as far as it can be."""

    def __init__(self, name: str) -> None:
        text = source(name)
        if "settle(" in text:
            text = source("settle") + text
        digest = sha1(text.encode(), usedforsecurity=False).hexdigest()
        count = packed([len(PARTS)])
        self._on_run = packed(["EVALSHA", digest]) + count, packed(["EVAL", text]) + count
        self._on_key = packed(["EVALSHA", digest, 1]), packed(["EVAL", text, 1])

    def on(self, run: RunKeys, *arguments: Argument) -> Call:
        """The call on a run's keys."""
        rest = [run.all_packed, *pieces(arguments)]
        return Call(3 + len(PARTS) + len(arguments), self._on_run, rest)

    def at(self, key: bytes, *arguments: Argument) -> Call:
        """The call on one key."""
        return Call(4 + len(arguments), self._on_key, pieces((key, *arguments)))


@cache
def script(name: str) -> Script:
    """Read a script."""
    return Script(name)


def source(name: str) -> str:
    """The text of a Lua file."""
    return (resources.files("cairn_runtime.store") / "lua" / f"{name}.lua").read_text("utf-8")
