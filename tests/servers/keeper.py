"""The keeper: the process beside one server that starts it, kills it on command, and outlives nobody.

It ends the server and removes its folder when its owner (the process that wanted the server) is gone, however
that died, on SIGTERM, or when its line of commands is closed; a detached one only has nobody to obey then.
As *subreaper* it inherits what the server started, whatever session that chose, so "killed" is said only when
the kernel knows no child any more: all backends of a Postgres are gone, not only its first process.

Commands on standard input, one word a line, each answered by one line that is `ok` or says what is wrong:
`start`, `kill` (SIGKILL, all of it), `stop` (as the server likes to be stopped), `pause`, `resume`, `alive`.

Law: a program by itself, run by path with `-I -S`: standard library only, no threads, no imports of tests.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
IPC_RMID = 0
PATIENCE_SECONDS = 10.0
LIBC = ctypes.CDLL(None, use_errno=True)


class Server:
    """One server's processes: those that this process started, or inherited from one that it started."""

    def __init__(self, spec: dict[str, Any]) -> None:
        self._spec = spec
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the server; its output is added to its log."""
        if self._process is not None and self._process.poll() is None:
            raise RuntimeError("it runs already")
        with Path(self._spec["log"]).open("ab") as log:
            self._process = subprocess.Popen(
                self._spec["argv"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self._spec["folder"],
                env=self._spec["env"],
                start_new_session=True,
                preexec_fn=_die_with_keeper,  # noqa: PLW1509 - this process has one thread
                **self._spec["account"],
            )

    def kill(self) -> None:
        """Send SIGKILL to everything, until the kernel knows nothing any more."""
        end = time.monotonic() + PATIENCE_SECONDS
        while family := _children(os.getpid()):
            # The oldest first: what it would have started is not started, what it leaves becomes ours.
            for pid in family:
                _send(pid, signal.SIGKILL)
            self._collect()
            if time.monotonic() > end:
                raise RuntimeError(f"processes {family} do not die")
            time.sleep(0.002)

    def stop(self) -> None:
        """Send the signal that the server calls a clean stop, wait, and kill what is left."""
        self._stop(self._spec["stop_signal"])

    def end(self) -> None:
        """Stop for ever, as fast as leaves nothing behind in the kernel, also while paused."""
        self.signal_all(signal.SIGCONT)
        self._stop(self._spec["end_signal"])
        _remove_shared_memory(Path(self._spec["folder"]) / "data" / "postmaster.pid")

    def signal_all(self, number: int) -> None:
        """Send a signal to every process of the server, parents first."""
        known = _children(os.getpid())
        for pid in known:
            _send(pid, number)
            known += _children(pid)

    def alive(self) -> None:
        """Raise if the server has ended."""
        if self._process is None or self._process.poll() is not None:
            code = None if self._process is None else self._process.returncode
            raise RuntimeError(f"it has ended with {code}")

    def _stop(self, number: int) -> None:
        if self._process is not None and self._process.poll() is None:
            _send(self._process.pid, number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(PATIENCE_SECONDS)
        self.kill()

    def _collect(self) -> None:
        """Collect the dead: the server itself by its handle, what it left by the kernel's list."""
        if self._process is not None:
            self._process.poll()
        for pid in _children(os.getpid()):
            if self._process is None or pid != self._process.pid:
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(pid, os.WNOHANG)


def _die_with_keeper() -> None:
    """Set after the change of user, which would have cleared it: should the keeper be killed."""
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def _send(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def _children(pid: int) -> list[int]:
    """List a process's children, the dead ones that wait to be collected too."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(OSError):
                stat = (folder / "stat").read_text(errors="replace")
                if int(stat.rpartition(")")[2].split()[1]) == pid:
                    found.append(int(folder.name))
    return sorted(found)


def _remove_shared_memory(pid_file: Path) -> None:
    """Remove the System V segment that a killed Postgres left; its last line but one holds key and id."""
    with contextlib.suppress(OSError, IndexError, ValueError):
        LIBC.shmctl(int(pid_file.read_text().splitlines()[6].split()[1]), IPC_RMID, None)


def _answer(server: Server, word: str) -> str:
    actions = {
        "start": server.start,
        "kill": server.kill,
        "stop": server.stop,
        "pause": lambda: server.signal_all(signal.SIGSTOP),
        "resume": lambda: server.signal_all(signal.SIGCONT),
        "alive": server.alive,
    }
    try:
        actions[word]()
    except Exception as error:  # noqa: BLE001 - it is told to whoever commanded
        return f"{type(error).__name__}: {error}".replace("\n", " ")
    return "ok"


def _serve(server: Server, spec: dict[str, Any], wake: int) -> None:
    """Carry out commands until there is nobody left to give any."""
    owner = os.pidfd_open(spec["owner"])
    watched = [owner, wake, 0]
    rest = b""
    while True:
        ready, _, _ = select.select(watched, [], [])
        if owner in ready or wake in ready:
            return
        data = os.read(0, 4096)
        if not data:
            if not spec["detached"]:
                return
            watched.remove(0)
            continue
        *words, rest = (rest + data).split(b"\n")
        for word in words:
            os.write(1, _answer(server, word.decode()).encode() + b"\n")


def _leave(spec: dict[str, Any], lock: int) -> None:
    """Remove the server's folder; after the session's owner the last one out removes that of the session."""
    shutil.rmtree(spec["folder"], ignore_errors=True)
    with contextlib.suppress(ProcessLookupError):
        session = os.pidfd_open(spec["session_owner"])
        if not select.select([session], [], [], 0)[0]:
            return
    with contextlib.suppress(BlockingIOError):
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(spec["session"], ignore_errors=True)


def main() -> None:
    """Start the server, say that it is started, and keep it."""
    spec = json.loads(sys.argv[1])
    LIBC.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    os.setsid()  # a Ctrl-C at the terminal is for the tests; they end us
    wake, bell = os.pipe()
    os.set_blocking(bell, False)
    signal.set_wakeup_fd(bell)
    signal.signal(signal.SIGTERM, lambda *_: None)
    lock = os.open(Path(spec["session"]) / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(lock, fcntl.LOCK_SH)
    server = Server(spec)
    try:
        os.write(1, _answer(server, "start").encode() + b"\n")
        _serve(server, spec, wake)
    finally:
        server.end()
        _leave(spec, lock)


if __name__ == "__main__":
    main()
