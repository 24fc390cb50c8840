"""What all sides measure with: a stopwatch for wall and processor time, bytes written, bytes on disk.

A measure is an async function `(folder, **parameters) -> quantities`; it makes its own store, in the folder
that it has for itself or on a server, and raises where what was computed is wrong.
"""

from __future__ import annotations

import gc
import math
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self, TypeAlias

Quantities: TypeAlias = dict[str, float]
Measure: TypeAlias = Callable[..., Coroutine[object, object, Quantities]]
MOMENTS: list[tuple[float, float]] = []
"""When each call of a step began and ended, where a step writes that down; emptied by the measure."""


class Stopwatch:
    """Times a block: wall clock, and processor time of all threads of the process."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.cpu_seconds = 0.0

    def __enter__(self) -> Self:
        gc.collect()
        self._begin = (time.perf_counter(), time.process_time())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        seconds, cpu_seconds = self._begin
        self.seconds = time.perf_counter() - seconds
        self.cpu_seconds = time.process_time() - cpu_seconds

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


@dataclass(frozen=True, slots=True)
class Growth:
    """What a run has left behind, in bytes, and how long reading its state took."""

    payload_bytes: int
    left_bytes: int
    written_bytes: int
    read_seconds: float

    def of(self, watch: Stopwatch, count: int) -> Quantities:
        """Quantities of a run that appended `count` texts of 1 KiB; bytes as multiples of those."""
        appended = count * 1024
        return {
            **watch.per(count),
            "stored": self.payload_bytes / appended,
            "written": self.written_bytes / appended,
            "disk": self.left_bytes / appended,
            "read_ms": self.read_seconds * 1e3,
        }


def spread(seconds: Sequence[float]) -> Quantities:
    """Milliseconds that half of the writes did not exceed, and 99 of 100."""
    ordered = sorted(seconds)
    return {f"p{part}_ms": ordered[math.ceil(len(ordered) * part / 100) - 1] * 1e3 for part in (50, 99)}


def need(value: object, wanted: object) -> None:
    """Stop a benchmark that computed the wrong thing."""
    if value != wanted:
        raise AssertionError(f"computed {str(value)[:200]}, not {str(wanted)[:200]}")
