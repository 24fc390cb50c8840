"""Copies of this process that a step forked and that come back out of its function.

A copy has the engine's memory, its fence and its connections: if it went on, two would run one run, under one
fence that no store can tell apart. It ends as a child of its own program would, and only its parent answers.
Only there it can be told: one that awaits in an async step runs the engine's event loop, which it must not.
"""

from __future__ import annotations

import os


def end_copy(pid: int, error: BaseException | None = None) -> None:
    """End this process where it is not `pid`; the exit code is the one that `error` would have given."""
    if os.getpid() == pid:
        return
    code = error.code if isinstance(error, SystemExit) else int(error is not None)
    os._exit(code & 0xFF if isinstance(code, int) else int(code is not None))
