"""The session: one test run's folder of servers, its free ports, and the process that owns it.

All processes of a test run know the same folder and the same owner, the process that was started by hand.
The folder is made by the first that needs it, lies where the servers' own user can reach it, and is removed
by the last one out: every process that uses it holds a shared lock on it.
"""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import os
import pwd
import random
import shutil
import socket
import stat
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FIRST_PORT = 20_000


@dataclass(frozen=True, slots=True)
class Account:
    """The user that servers run as."""

    uid: int
    gid: int

    @property
    def arguments(self) -> dict[str, Any]:
        """What `subprocess` has to be told to become this user; nothing if we are it."""
        other = os.geteuid() == 0
        return {"user": self.uid, "group": self.gid, "extra_groups": []} if other else {}

    def own(self, path: Path) -> None:
        """Give a file or a folder to this user; only root can, and only root has to."""
        if os.geteuid() == 0:
            os.chown(path, self.uid, self.gid)


@dataclass(frozen=True, slots=True)
class Session:
    """Where the servers of one test run live, and for how long."""

    folder: Path
    owner: int
    """The process whose end is the end of all servers."""

    @classmethod
    def new(cls) -> Session:
        """Choose a folder that nobody has; nothing is made yet."""
        name = f"cairn-srv-{os.getpid()}-{random.randrange(16**6):06x}"
        session = cls(_reachable_folder() / name, os.getpid())
        atexit.register(session.end)
        return session

    @classmethod
    def shared(cls, words: Mapping[str, str]) -> Session:
        """Read what `words` said."""
        return cls(Path(words["folder"]), int(words["owner"]))

    @property
    def words(self) -> dict[str, str]:
        """What another process of the same test run has to know."""
        return {"folder": str(self.folder), "owner": str(self.owner)}

    @contextlib.contextmanager
    def locked(self, name: str) -> Iterator[None]:
        """Hold a lock among all processes of the session."""
        self._make()
        with (self.folder / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def new_folder(self, kind: str) -> Path:
        """Make a folder for one server, with a short name: it may hold a socket."""
        self._make()
        folder = Path(tempfile.mkdtemp(prefix=f"{kind}-", dir=self.folder))
        folder.chmod(0o711)
        return folder

    def new_port(self) -> int:
        """Reserve a port for a server's whole life.

        Below the range from which the kernel gives ports to clients: while a server is down, nobody is given
        its port by chance, and no client connects to itself.
        """
        self._make()
        while True:
            port = random.randrange(FIRST_PORT, _first_port_of_clients())
            with contextlib.suppress(OSError), socket.socket() as probe:
                # As servers do, or a port whose old connections linger would look taken.
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(("127.0.0.1", port))
                (self.folder / f"port-{port}").touch(exist_ok=False)
                return port

    def end(self) -> None:
        """Remove the folder if no keeper is left in it; otherwise the last of them does."""
        if os.getpid() != self.owner:
            return
        with (
            contextlib.suppress(FileNotFoundError, BlockingIOError),
            (self.folder / "lock").open("r+") as lock,
        ):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(self.folder, ignore_errors=True)

    def _make(self) -> None:
        self.folder.mkdir(mode=0o711, exist_ok=True)
        (self.folder / "lock").touch()


def server_account() -> Account:
    """The user for servers that refuse to run as root: ourselves, or if that is root, one without rights."""
    if os.geteuid() != 0:
        return Account(os.geteuid(), os.getegid())
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            entry = pwd.getpwnam(name)
            return Account(entry.pw_uid, entry.pw_gid)
    raise RuntimeError("Postgres refuses to run as root, and there is no user postgres or nobody")


def _reachable_folder() -> Path:
    """A temporary folder into which the servers' user can go."""
    for place in (tempfile.gettempdir(), "/tmp", "/var/tmp"):  # noqa: S108 - a private folder is made inside
        path = Path(place).resolve()
        if os.geteuid() != 0 or all(folder.stat().st_mode & stat.S_IXOTH for folder in (path, *path.parents)):
            return path
    raise RuntimeError("no temporary folder can be reached by other users; set TMPDIR to one that can")


def _first_port_of_clients() -> int:
    """Where the range begins from which the kernel chooses; a strange setting leaves us the usual one."""
    try:
        first = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    except OSError:
        first = 32_768
    return first if first > FIRST_PORT + 1_000 else 32_768
