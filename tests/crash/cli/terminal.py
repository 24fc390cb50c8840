"""Real `cairn` processes: called to their end, left running, or on a terminal of their own."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

CAIRN = [sys.executable, "-m", "cairn_runtime.cli"]
PATIENCE_SECONDS = 60.0
_MOVES = re.compile(r"\r|\x1b\[[0-9;?]*[A-KSTsuhl]")
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
_TAKE_TERMINAL = """\
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""
"""Makes the terminal the one whose Ctrl-C reaches the program, and becomes the program."""


class Said(NamedTuple):
    """What a process left behind."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """Standard output as the one document that it is."""
        return json.loads(self.out)


def environment(**more: str) -> dict[str, str]:
    """No settings of Cairn or of CI."""
    own = {
        name: value for name, value in os.environ.items() if not name.startswith("CAIRN_") and name != "CI"
    }
    return own | {"COLUMNS": "80", "TERM": "xterm-256color"} | more


def cairn(*args: str, cwd: Path, **more: str) -> Said:
    """Call `cairn` and wait for its end."""
    done = subprocess.run(
        [*CAIRN, *args],
        cwd=cwd,
        env=environment(**more),
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    return Said(done.returncode, done.stdout, done.stderr)


@contextmanager
def running(*args: str, cwd: Path, stdin: int | None = None) -> Iterator[subprocess.Popen[str]]:
    """Start `cairn` and let it run; it is gone afterwards, whatever happened."""
    with subprocess.Popen(
        [*CAIRN, *args],
        cwd=cwd,
        env=environment(),
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()
            process.wait()


def rest(process: subprocess.Popen[str]) -> str:
    """Read what is left of its standard output, until it ends."""
    assert process.stdout is not None
    # Not communicate: it would miss what a line read before has taken along.
    out = process.stdout.read()
    process.wait()
    return out


def until(true: Callable[[], object]) -> None:
    """Wait until something is true; a test that waits in vain fails."""
    give_up = time.monotonic() + PATIENCE_SECONDS
    while not true():
        assert time.monotonic() < give_up, "waited in vain"
        time.sleep(0.02)


class Terminal:
    """A `cairn` on a terminal of its own; what it writes is read as it comes."""

    def __init__(self, *args: str, cwd: Path, size: tuple[int, int] = (24, 80), **more: str) -> None:
        self.raw = ""
        env = environment(**more)
        env.pop("COLUMNS")
        self._fd, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", *size, 0, 0))
        # No code of this process runs in the child before it is a program of its own: threads may hold locks.
        self._process = subprocess.Popen(
            [sys.executable, "-c", _TAKE_TERMINAL, *CAIRN, *args],
            stdin=theirs, stdout=theirs, stderr=theirs, cwd=cwd, env=env, start_new_session=True,
        )  # fmt: skip
        os.close(theirs)

    @property
    def text(self) -> str:
        """All that was written so far, without colours; whatever moves the cursor begins a new line."""
        return _COLOURS.sub("", _MOVES.sub("\n", self.raw))

    def read_until(self, wanted: str) -> None:
        """Read until a text was written."""

        def seen() -> bool:
            self._read()
            return wanted in self.text

        until(seen)

    def send(self, text: str) -> None:
        """Type something."""
        os.write(self._fd, text.encode())

    def wait(self) -> int:
        """Read to the end, and answer the exit code."""

        def ended() -> bool:
            self._read()
            return self._process.poll() is not None

        try:
            until(ended)
            while self._read():
                pass
        finally:
            self._process.kill()
            self._process.wait()
            os.close(self._fd)
        return self._process.returncode

    def _read(self) -> bool:
        """Read what is there; whether there was anything."""
        readable, _, _ = select.select([self._fd], [], [], 0.02)
        if not readable:
            return False
        try:
            data = os.read(self._fd, 65536)
        except OSError:  # Linux says so when the other end is closed
            return False
        self.raw += data.decode("utf-8", "replace")
        return bool(data)
