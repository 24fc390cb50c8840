"""A kept server: the side of the test that commands a server's keeper, and waits until it answers.

The base of every server here. What a server is (its command, its files, when it is ready) is told by the
class; that it dies with its owner is seen to by `keeper.py`.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, cast

from tests.servers.sessions import Account, Session

KEEPER = Path(__file__).with_name("keeper.py")
PATIENCE_SECONDS = 30.0
LOG_BYTES = 3_000


class ServerFailed(AssertionError):
    """A server of the tests did not do what it was told; the end of its log is in the text."""


class Kept:
    """One server under a keeper, in a folder of its own."""

    kind = "server"
    stop_signal = signal.SIGTERM
    end_signal = signal.SIGKILL
    """How it is ended for ever: nobody will want its data, so not slower than needed."""

    def __init__(self, session: Session, *, account: Account | None = None, detached: bool = False) -> None:
        """Make the folder; `detached` servers live as long as the session, not as long as this process."""
        self.session = session
        self.folder = session.new_folder(self.kind)
        self.port = session.new_port()
        self.host = "127.0.0.1"
        self._account = account
        self._detached = detached
        self._keeper: subprocess.Popen[bytes] | None = None
        if account is not None:
            account.own(self.folder)

    # What a class of servers says of itself.

    def command(self) -> list[str]:
        """The server's command line; never with a password in it."""
        raise NotImplementedError

    def ready(self) -> bool:
        """Whether it answers."""
        raise NotImplementedError

    def environment(self) -> Mapping[str, str]:
        """The server's environment: nothing of ours by chance."""
        kept = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH") if name in os.environ}
        return {**kept, "LC_ALL": "C.UTF-8", "TZ": "UTC"}

    @property
    def url(self) -> str:
        """The server's address."""
        raise NotImplementedError

    # What a test does with it.

    def start(self) -> None:
        """Start the server, on the data and the port that it had; return when it answers."""
        if self._keeper is None:
            self._begin()
        else:
            self._tell("start")
        self.wait_ready()

    def kill(self) -> None:
        """SIGKILL all of it; return when the last process is gone."""
        self._tell("kill")

    def stop(self) -> None:
        """Stop it cleanly; it can be started again."""
        self._tell("stop")

    def pause(self) -> None:
        """Freeze it (SIGSTOP): its sockets accept and nothing answers."""
        self._tell("pause")

    def resume(self) -> None:
        """Let it go on after `pause`."""
        self._tell("resume")

    def end(self) -> None:
        """End the server and remove its folder."""
        keeper, self._keeper = self._keeper, None
        if keeper is not None:
            keeper.terminate()
            _hang_up(keeper)
            keeper.wait(PATIENCE_SECONDS)

    @property
    def keeper_pid(self) -> int:
        """The process beside the server."""
        assert self._keeper is not None
        return self._keeper.pid

    def detach(self) -> list[int]:
        """Let a detached server live on without this process; return its keeper, which SIGTERM ends."""
        keeper, self._keeper = self._keeper, None
        assert keeper is not None
        assert self._detached
        _hang_up(keeper)
        keeper.returncode = 0  # it is not ours to wait for
        return [keeper.pid]

    @property
    def log(self) -> str:
        """What the server said."""
        return self._log_file.read_text(errors="replace") if self._log_file.exists() else ""

    def wait_ready(self, ready: Callable[[], bool] | None = None) -> None:
        """Wait until the server answers.

        Raises:
            ServerFailed: it ended, or took too long.
        """
        end = time.monotonic() + PATIENCE_SECONDS
        while not (ready or self.ready)():
            self._tell("alive")
            if time.monotonic() > end:
                raise self._failed(f"not ready after {PATIENCE_SECONDS:g} s")
            time.sleep(0.01)

    @property
    def _log_file(self) -> Path:
        return self.folder / "log"

    def _begin(self) -> None:
        """Start the keeper, which starts the server."""
        spec = {
            "argv": self.command(),
            "env": dict(self.environment()),
            "folder": str(self.folder),
            "session": str(self.session.folder),
            "log": str(self._log_file),
            "owner": self.session.owner if self._detached else os.getpid(),
            "session_owner": self.session.owner,
            "detached": self._detached,
            "account": {} if self._account is None else self._account.arguments,
            "stop_signal": int(self.stop_signal),
            "end_signal": int(self.end_signal),
        }
        with self._log_file.open("ab") as log:
            self._keeper = subprocess.Popen(
                [sys.executable, "-I", "-S", str(KEEPER), json.dumps(spec)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                bufsize=0,
            )
        self._heed()

    def _tell(self, word: str) -> None:
        """Give the keeper a command and wait until it is carried out."""
        if self._keeper is None:
            raise self._failed(f'"{word}", but it was never started or has been ended')
        try:
            cast("IO[bytes]", self._keeper.stdin).write(f"{word}\n".encode())
        except BrokenPipeError:
            raise self._failed("its keeper is gone") from None
        self._heed()

    def _heed(self) -> None:
        """Read the keeper's answer."""
        out = cast("IO[bytes]", cast("subprocess.Popen[bytes]", self._keeper).stdout)
        ready, _, _ = select.select([out], [], [], PATIENCE_SECONDS)
        answer = out.readline().decode().strip() if ready else "its keeper says nothing"
        if answer != "ok":
            raise self._failed(answer or "its keeper is gone")

    def _failed(self, why: str) -> ServerFailed:
        return ServerFailed(f"{self.kind} on port {self.port}: {why}\n{self.log[-LOG_BYTES:]}")


def _hang_up(keeper: subprocess.Popen[bytes]) -> None:
    cast("IO[bytes]", keeper.stdin).close()
    cast("IO[bytes]", keeper.stdout).close()
