"""Where the harness keeps what it makes, and the versions of what it is made of.

Two folders, both outside the checkout: a *cache* of what is costly to make and the same for everybody
(programs, images), and the *state* of the one cluster that runs on this machine for this user.  What lies in
the cache has a key of all that it was made from, so a change makes a new one and never a wrong one.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import platform
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.harness.commands import say

CHECKOUT = Path(__file__).parents[3]
GO = Path(__file__).parent / "go"
"""The Go module of the programs: its go.mod says all versions."""


@dataclass(frozen=True, slots=True)
class Places:
    """The folders of one user."""

    cache: Path
    state: Path

    @property
    def programs(self) -> Path:
        """Programs built from Go modules, of these versions."""
        return self.cache / f"programs-{kubernetes_version()}-{digest_of(*go_sources())}"

    @property
    def kubeconfig(self) -> Path:
        """How to reach the cluster that the harness started, as its administrator."""
        return self.state / "kubeconfig"

    @property
    def journal(self) -> Path:
        """What the local cluster changed on this machine."""
        return self.state / "journal.json"

    @property
    def logs(self) -> Path:
        """One file for each program of the local cluster."""
        return self.state / "logs"

    @contextmanager
    def locked(self, folder: Path, what: str) -> Iterator[None]:
        """Hold a folder for oneself; a second process waits and is told for what."""
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        # Beside the folder: whoever removes the folder must not remove the lock that others wait on.
        with folder.with_name(f"{folder.name}.lock").open("a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                say(f"waiting for another process that is {what}")
                fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def places() -> Places:
    """The folders of this user, where the environment says that such folders lie."""
    home = Path.home()
    cache = Path(os.environ.get("XDG_CACHE_HOME") or home / ".cache")
    state = Path(os.environ.get("XDG_STATE_HOME") or home / ".local" / "state")
    return Places(cache / "cairn-cluster", state / "cairn-cluster")


def go_sources() -> list[Path]:
    """Every file that a program is built from."""
    return sorted(path for path in GO.rglob("*") if path.suffix in {".go", ".mod", ".sum"})


def kubernetes_version() -> str:
    """The version of Kubernetes in go.mod, as 1.34.4."""
    return module_version("k8s.io/kubernetes")


def module_version(module: str) -> str:
    """The version of a module in go.mod, without its v."""
    found = re.search(rf"^\s*{re.escape(module)} v(\S+)", (GO / "go.mod").read_text(), re.MULTILINE)
    if found is None:
        raise LookupError(f"go.mod requires no {module}")
    return found[1]


def digest_of(*parts: Path | str) -> str:
    """A short key of texts and of files, by what is in them; the kind of processor is part of it."""
    whole = hashlib.sha256(platform.machine().encode())
    for part in parts:
        content = part.read_bytes() if isinstance(part, Path) else part.encode()
        whole.update(f"\0{len(content)}\0".encode() + content)
    return whole.hexdigest()[:12]


@contextmanager
def made_whole(target: Path) -> Iterator[Path]:
    """Give a name to make a file under; only when it is whole it gets its own."""
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = target.with_name(f".{target.name}.{os.getpid()}")
    for left in target.parent.glob(f".{target.name}.*"):
        if not Path("/proc", left.suffix[1:]).exists():  # by somebody who was killed
            left.unlink(missing_ok=True)
    try:
        yield draft
        draft.rename(target)
    finally:
        draft.unlink(missing_ok=True)


@contextmanager
def emptied(folder: Path) -> Iterator[Path]:
    """Give an empty folder to make something in; also what somebody left there who was killed goes."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)
