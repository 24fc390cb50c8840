"""A program that starts children of every kind, notes all their process ids, and then does as it is told.

    python tree.py FOLDER hold|leave

Kinds: a plain child, one with a session of its own, and a daemon: forked twice, orphaned, in its own session,
with an empty environment.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

KINDS = ("main", "child", "session", "daemon")


def note(folder: str, kind: str) -> None:
    """Say that this process is there, in one step."""
    place = Path(folder, f".{kind}")
    place.write_text(str(os.getpid()))
    place.rename(Path(folder, kind))


def stay(folder: str, kind: str) -> None:
    """Be a process of this kind."""
    note(folder, kind)
    time.sleep(600)


def start(folder: str) -> None:
    """Start the children, and wait until they are there."""
    command = [sys.executable, __file__, folder]
    subprocess.Popen([*command, "child"])
    subprocess.Popen([*command, "session"], start_new_session=True)
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            os.execve(sys.executable, [*command, "daemon"], {})  # noqa: S606 - its environment is the point
        os._exit(0)
    while not all(Path(folder, kind).exists() for kind in KINDS[1:]):
        time.sleep(0.01)
    note(folder, "main")


if __name__ == "__main__":
    if sys.argv[2] in KINDS:
        stay(sys.argv[1], sys.argv[2])
    else:
        start(sys.argv[1])
        if sys.argv[2] == "hold":
            time.sleep(600)
        os._exit(0)
