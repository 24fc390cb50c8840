"""The programs of the local cluster: started, marked, recorded, and ended.

Each carries a mark in its environment, and whatever it starts inherits it; so also a program that was
started and not yet written down is found.  Nothing without that mark is ever sent a signal from here.  All of
them live in one mount namespace of their own: what they mount is gone when the last of them is.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from tests.cluster.harness.commands import ClusterError
from tests.cluster.harness.journal import Journal

MARK = "CAIRN_CLUSTER_STATE"
"""The variable in the environment of each program; its value is the state folder."""

PATIENCE_SECONDS = 20.0


class StillThere(ClusterError):
    """A process does not end, though it was killed."""


def start(
    name: str,
    argv: Sequence[str],
    *,
    journal: Journal,
    logs: Path,
    environ: Mapping[str, str] | None = None,
) -> int:
    """Start a program that goes on by itself, in a session of its own; answer its id."""
    state = journal.file.parent
    logs.mkdir(parents=True, exist_ok=True)
    with (logs / f"{name}.log").open("ab") as log:
        process = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=state,
            start_new_session=True,
            env={**os.environ, **(environ or {}), MARK: str(state)},
        )
    # It outlives us on purpose, so nobody waits for it here.
    process.returncode = 0
    journal.note_process(name, process.pid, tick_of(process.pid) or 0)
    return process.pid


def tick_of(pid: int) -> int | None:
    """When a process was started, in ticks since boot; None if there is none, or only its remains."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] in "ZX" else int(fields[19])


def lives(journal: Journal, name: str) -> bool:
    """Whether a recorded program is there: the same process, not only the same number."""
    pid, tick = journal.processes.get(name, (0, 0))
    return pid > 0 and tick_of(pid) == tick


def marked(state: Path) -> Iterator[int]:
    """Every process that was started for the cluster of a state folder, or by one that was."""
    mark = f"{MARK}={state}".encode()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                if mark in (entry / "environ").read_bytes().split(b"\0"):
                    yield int(entry.name)


def end_all(journal: Journal) -> None:
    """Kill the cluster's programs, first those that would start others again.

    Killed, not asked: the API server takes a minute to say goodbye, and nothing of it is to be kept.
    """
    state = journal.file.parent
    first = [name for name in ("kubelet", "containerd") if lives(journal, name)]
    kill([journal.processes[name][0] for name in first])
    kill([pid for name, (pid, _) in journal.processes.items() if lives(journal, name)])
    while left := list(marked(state)):
        kill(left)


def kill(pids: Sequence[int]) -> None:
    """Kill processes and wait until they are gone.

    Raises:
        StillThere: one of them waits in the kernel for something that does not come.
    """
    for pid in pids:
        # The descriptor means this process, whatever becomes of its number meanwhile.
        try:
            descriptor = os.pidfd_open(pid)
        except ProcessLookupError:
            continue
        try:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(descriptor, signal.SIGKILL)
            if not select.select([descriptor], [], [], PATIENCE_SECONDS)[0]:
                raise StillThere(f"process {pid} was killed {PATIENCE_SECONDS:g} s ago and has not ended")
        finally:
            os.close(descriptor)
        with suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)  # our own children leave remains
