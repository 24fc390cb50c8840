"""Looking at real processes: whether they are there, who their parents are, and waiting with a bound."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from pathlib import Path

PATIENCE_SECONDS = 30.0


def until(fact: Callable[[], bool], what: str) -> None:
    """Wait for something that must happen; a machine under load may take its time."""
    end = time.monotonic() + PATIENCE_SECONDS
    while not fact():
        assert time.monotonic() < end, f"never came true: {what}"
        time.sleep(0.01)


def alive(pid: int) -> bool:
    """Whether a process runs; one that only waits to be collected does not."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] not in {"Z", "X"}


def parent(pid: int) -> int:
    """The process id of a process's parent."""
    return int(Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()[1])


def noted(folder: Path, kinds: Iterable[str]) -> dict[str, int]:
    """The process ids that were noted in files of these names, once all are there and say one."""
    files = {name: folder / name for name in kinds}
    until(lambda: all(file.exists() and file.read_text() for file in files.values()), f"{files}")
    return {name: int(file.read_text()) for name, file in files.items()}


def survivors(pids: Iterable[int]) -> list[int]:
    """Those of these processes that run."""
    return [pid for pid in pids if alive(pid)]
