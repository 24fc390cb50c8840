"""The machine that the numbers belong to: without it they mean nothing."""

from __future__ import annotations

import os
import platform
import sqlite3
import statistics
import time
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGES = (
    "cairn-workflows",
    "langgraph",
    "langgraph-checkpoint",
    "langgraph-checkpoint-sqlite",
    "langgraph-checkpoint-postgres",
    "dbos",
    "psycopg",
    "redis",
)


def machine(folder: Path) -> dict[str, str]:
    """What is known about this machine, as lines of text by name; `folder` is where the stores are made."""
    disk = f"{file_system(folder)}; a page written and synced in {fsync_ms(folder):.2f} ms (median of 200)"
    load = ", ".join(f"{part:.1f}" for part in os.getloadavg())
    return {
        "processor": f"{_processor()}, {os.cpu_count()} cores",
        "load": f"{load} when it began (1, 5, 15 minutes): what others ran on the same cores at the time",
        "system": f"{_system()}, Python {platform.python_version()}",
        "SQLite": sqlite3.sqlite_version,
        "disk": disk,
        "packages": ", ".join(f"{name} {found}" for name in PACKAGES if (found := _version(name))),
    }


def _system() -> str:
    """Kernel and version; who built it says nothing about speed."""
    return f"{platform.system()} {platform.release().partition('-')[0]}"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def file_system(folder: Path) -> str:
    """Type of the file system that a folder is on."""
    try:
        mounts = [line.split()[1:3] for line in Path("/proc/mounts").read_text().splitlines()]
    except OSError:
        return "unknown file system"
    path = folder.resolve()
    above = [(where, kind) for where, kind in mounts if path.is_relative_to(where)]
    return max(above, key=lambda found: len(found[0]))[1] if above else "unknown file system"


def fsync_ms(
    folder: Path, *, page_bytes: int = 4096, sync: Callable[[int], None] = os.fsync, count: int = 200
) -> float:
    """Median time of a write of one page, over the one before it, and a sync."""
    path = folder / "fsync"
    page, taken = os.urandom(page_bytes), []
    with path.open("wb", buffering=0) as file:
        file.write(page)
        for _ in range(count):
            begin = time.perf_counter()
            file.seek(0)
            file.write(page)
            sync(file.fileno())
            taken.append(time.perf_counter() - begin)
    path.unlink()
    return statistics.median(taken) * 1e3


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
