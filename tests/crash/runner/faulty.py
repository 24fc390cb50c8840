"""A runner process with a fault in it, started by tests in place of `python -m cairn_runtime.runner`.

CAIRN_TEST_FAULT is a JSON object: which commit (of checkpoints, or of the row alone) of which epochs, and
what happens there.

    before    killed before the store is called
    during    killed in the middle of the store's write (before SQLite's COMMIT; after half a line of a file;
              when the whole request has gone to a server, and before it has answered)
    written   killed once the store has written, before the answer is back
    acked     killed once the answer was used: what may start after it has started
    lost      the commit is carried out, and its answer is lost
    refused   the commit is not carried out, and no answer comes

Nothing of this is in the product: the process is the same but for the store that it opens.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sqlite3
import sys
from typing import Any, NoReturn

from cairn_runtime.errors import StoreUnavailable
from cairn_runtime.runner import process
from cairn_runtime.runner.__main__ import main
from cairn_runtime.store.base import Store
from cairn_runtime.store.opening import store_for

FAULT = json.loads(os.environ.get("CAIRN_TEST_FAULT", "{}"))
_armed = False


def die(*_: object) -> NoReturn:
    """End like a process that the kernel kills."""
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


class Connection(sqlite3.Connection):
    """A connection on whose COMMIT the process dies."""

    def execute(self, sql: str, *values: Any) -> sqlite3.Cursor:
        """Carry out a statement, or die."""
        if _armed and sql == "COMMIT":
            die()
        return super().execute(sql, *values)


def torn_write(fd: int, data: Any, _write: Any = os.write) -> int:
    """Write, or half of it and die."""
    if _armed:
        _write(fd, memoryview(data)[: len(data) // 2])
        die()
    return int(_write(fd, data))


def die_when_sent(scheme: str) -> None:
    """Make a commit that is armed the last thing that this process sends to its server."""
    if scheme.startswith("postgres"):
        from cairn_runtime.store.postgres import wire as postgres  # noqa: PLC0415 - only where it is used

        answered = postgres.Wire._answer

        async def answer(self: Any) -> Any:
            if _armed:
                while self._pq.flush():
                    await self._ready(writing=True)
                die()
            return await answered(self)

        vars(postgres)["Wire"]._answer = answer
    elif scheme.startswith("redis"):
        from cairn_runtime.store.redis import wires as redis  # noqa: PLC0415 - as above

        sent = redis.Wire.send

        def send(self: Any, data: bytes, count: int) -> Any:
            future = sent(self, data, count)
            if _armed:
                die()
            return future

        vars(redis)["Wire"].send = send


class Faulty:
    """A store in front of the real one that goes wrong at one commit."""

    def __init__(self, inner: Store) -> None:
        self._inner = inner
        self._commits = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def commit(self, *args: Any) -> None:
        """Commit; at the chosen one the fault happens."""
        global _armed  # noqa: PLW0603 - the drivers below have no other way to know
        epochs = FAULT.get("epochs")
        # A commit of the row alone is counted apart: the first of a process that goes on is one.
        self._commits += bool(args[4]) != FAULT.get("row_only", False)
        if self._commits != FAULT["commit"] or (epochs and int(os.environ["CAIRN_EPOCH"]) not in epochs):
            await self._inner.commit(*args)
            return
        self._commits += 1
        match FAULT["when"]:
            case "before":
                die()
            case "refused":
                raise StoreUnavailable("not carried out")
            case "during":
                _armed = True
        await self._inner.commit(*args)
        loop = asyncio.get_running_loop()
        match FAULT["when"]:
            case "during":
                raise AssertionError("the write was not noticed")
            case "written":
                die()
            case "lost":
                raise StoreUnavailable("carried out, but nobody hears of it")
            case "acked":
                # After one turn of the loop what the answer has set free has begun.
                loop.call_soon(loop.call_soon, die)


if __name__ == "__main__":
    # Programs that a step starts do not see the runner's own variables.
    os.environ["CAIRN_TEST_EPOCH"] = os.environ.get("CAIRN_EPOCH", "")
    if FAULT:
        connect = sqlite3.connect
        vars(sqlite3)["connect"] = lambda *args, **kwargs: connect(*args, factory=Connection, **kwargs)
        vars(os)["write"] = torn_write
        die_when_sent(os.environ.get("CAIRN_STORE_URL", ""))
        vars(process)["store_for"] = lambda url: Faulty(store_for(url))
    sys.exit(main())
