"""What both sides measure with: a stopwatch for wall and processor time, bytes written, bytes on disk.

A measure is an async function `(folder, **parameters) -> quantities`; it has the folder for itself, makes its
own store in it, and raises where what was computed is wrong.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from types import TracebackType
from typing import Self, TypeAlias

Quantities: TypeAlias = dict[str, float]
Measure: TypeAlias = Callable[..., Coroutine[object, object, Quantities]]


class Stopwatch:
    """Times a block: wall clock, processor time of all threads, bytes handed to `write` by the process."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.cpu_seconds = 0.0
        self.written_bytes = 0

    def __enter__(self) -> Self:
        gc.collect()
        self._begin = (time.perf_counter(), time.process_time(), written_bytes())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        seconds, cpu_seconds, written = self._begin
        self.seconds = time.perf_counter() - seconds
        self.cpu_seconds = time.process_time() - cpu_seconds
        self.written_bytes = written_bytes() - written

    def per(self, count: int) -> Quantities:
        """Milliseconds for each of `count` steps or items."""
        return {"ms": self.seconds / count * 1e3, "cpu_ms": self.cpu_seconds / count * 1e3}


def written_bytes() -> int:
    """Bytes that this process has handed to `write` and its like so far; 0 where /proc does not say."""
    try:
        lines = Path("/proc/self/io").read_text().splitlines()
    except OSError:
        return 0
    return next(int(line.split()[1]) for line in lines if line.startswith("wchar"))


def disk_bytes(folder: Path) -> int:
    """Bytes of all files in a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def growth(
    watch: Stopwatch, folder: Path, *, count: int, payload_bytes: int, read_seconds: float
) -> Quantities:
    """What a run that appended `count` texts of 1 KiB cost; bytes as multiples of what was appended."""
    appended = count * 1024
    return {
        **watch.per(count),
        "stored": payload_bytes / appended,
        "written": watch.written_bytes / appended,
        "disk": disk_bytes(folder) / appended,
        "read_ms": read_seconds * 1e3,
    }


def need(value: object, wanted: object) -> None:
    """Stop a benchmark that computed the wrong thing."""
    if value != wanted:
        raise AssertionError(f"computed {str(value)[:200]}, not {str(wanted)[:200]}")
