"""Programs that are run and waited for, and what a person is told meanwhile.

A failing program raises with the end of what it said; nobody has to look for a log.  What takes minutes
says so before it begins, and every half minute that it is still there.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

SIGN_OF_LIFE_SECONDS = 30.0
SHOWN_LINES = 40
QUIETLY = ("nice", "-n", "19", "ionice", "-c3")
"""Before whatever computes for minutes, so that others on the machine do not feel it."""


class ClusterError(Exception):
    """The harness cannot do what it was asked; the text says why, for a person."""


class CommandFailed(ClusterError):
    """A program that the harness needs ended with an error; what it said is in the text."""

    def __init__(self, argv: Sequence[str], code: int, said: str) -> None:
        tail = "\n".join(said.strip().splitlines()[-SHOWN_LINES:])
        super().__init__(f"exit code {code} of: {' '.join(argv)}\n{tail}")
        self.code = code
        self.said = said


def say(text: str) -> None:
    """Tell whoever is watching."""
    sys.stderr.write(f"cluster: {text}\n")
    sys.stderr.flush()


def output(
    *argv: str,
    stdin: str | None = None,
    environ: Mapping[str, str] | None = None,
    folder: Path | None = None,
    timeout_seconds: float = 60,
) -> str:
    """Run a program; answer what it printed.

    Raises:
        CommandFailed: it ended with another code than 0, or not in time.
    """
    try:
        done = subprocess.run(
            argv,
            input=stdin,
            env=environ,
            cwd=folder,
            timeout=timeout_seconds,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        said = error.stderr.decode(errors="replace") if isinstance(error.stderr, bytes) else ""
        raise CommandFailed(argv, 124, f"{said}\nnot done after {timeout_seconds:g} s") from None
    if done.returncode:
        raise CommandFailed(argv, done.returncode, done.stderr or done.stdout)
    return done.stdout


def succeeds(*argv: str, timeout_seconds: float = 20) -> bool:
    """Run a program only to see whether it works."""
    try:
        output(*argv, timeout_seconds=timeout_seconds)
    except (CommandFailed, OSError):
        return False
    return True


def watched(
    argv: Sequence[str],
    what: str,
    *,
    log: Path,
    environ: Mapping[str, str] | None = None,
    folder: Path | None = None,
    timeout_seconds: float = 3600,
) -> float:
    """Run a program that takes long, its output in a log; answer how many seconds it took."""
    started = time.monotonic()
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as stream:
        process = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=stream, stderr=stream, env=environ, cwd=folder
        )
        try:
            _accompany(process, what, started, timeout_seconds)
        except BaseException:
            process.kill()
            process.wait()
            raise
    taken = time.monotonic() - started
    if process.returncode:
        raise CommandFailed(argv, process.returncode, log.read_text(errors="replace"))
    return taken


def _accompany(process: subprocess.Popen[bytes], what: str, started: float, timeout_seconds: float) -> None:
    """Wait for a process and say now and then that it is still there."""
    while process.poll() is None:
        taken = time.monotonic() - started
        if taken > timeout_seconds:
            raise CommandFailed([what], 124, f"not done after {timeout_seconds:g} s")
        try:
            process.wait(SIGN_OF_LIFE_SECONDS)
        except subprocess.TimeoutExpired:
            say(f"  ... {what}: {round(time.monotonic() - started)} s so far")


def until(holds: Callable[[], bool], what: str, *, seconds: float = 150, every: float = 0.1) -> None:
    """Wait until a question is answered with yes.

    Raises:
        TimeoutError: it was not, in this time.
    """
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {seconds:g} s")
        time.sleep(every)
