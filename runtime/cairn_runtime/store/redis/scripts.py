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
from cairn_runtime.store.redis.replies import Argument, packed

Command: TypeAlias = tuple[bytes, bytes]
"""What to send, and what to send where the server does not know the script."""


class Script:
    """One Lua script, packed as far as it can be."""

    def __init__(self, name: str) -> None:
        source = _source(name)
        if "settle(" in source:
            source = _source("settle") + source
        digest = sha1(source.encode(), usedforsecurity=False).hexdigest()
        count = b"$%d\r\n%d\r\n" % (len(str(len(PARTS))), len(PARTS))
        self._by_digest = packed(["EVALSHA", digest]) + count
        self._whole = packed(["EVAL", source]) + count
        self._alone_by_digest = packed(["EVALSHA", digest, 1])
        self._alone_whole = packed(["EVAL", source, 1])

    def on(self, run: RunKeys, *arguments: Argument) -> Command:
        """The call on a run's keys."""
        rest = run.all_packed + packed(arguments)
        size = b"*%d\r\n" % (3 + len(PARTS) + len(arguments))
        return size + self._by_digest + rest, size + self._whole + rest

    def at(self, key: bytes, *arguments: Argument) -> Command:
        """The call on one key."""
        rest = packed([key, *arguments])
        size = b"*%d\r\n" % (4 + len(arguments))
        return size + self._alone_by_digest + rest, size + self._alone_whole + rest


@cache
def script(name: str) -> Script:
    """Read a script."""
    return Script(name)


def _source(name: str) -> str:
    return (resources.files("cairn_runtime.store") / "lua" / f"{name}.lua").read_text("utf-8")
