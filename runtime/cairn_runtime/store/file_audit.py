"""The audit of a file store: one file of JSON lines, appended under a lock and synced.

A torn last line was never acknowledged: whoever appends cuts it off.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from cairn_runtime.errors import StoreUnusable
from cairn_runtime.store.audits import check_entry, entry_in, entry_out, following
from cairn_runtime.store.base import Entry, NewEntry
from cairn_runtime.store.file_logs import lock_within
from cairn_runtime.store.places import sync_folder, write_whole


class FileAudit:
    """The file `audit.log` of a store; for one thread."""

    def __init__(self, root: Path, *, timeout_seconds: float) -> None:
        self._path = root / "audit.log"
        self._timeout_seconds = timeout_seconds

    def append(self, new: NewEntry, clock: Callable[[], datetime]) -> Entry:
        """Append a line, or answer the one that has its id."""
        check_entry(new)
        with self._locked() as fd:
            entries, end = self._read()
            known = next((entry for entry in entries if entry.id == new.id), None)
            if known is None:
                last = (entries[-1].number, entries[-1].hash) if entries else None
                known = following(last, new, clock())
                os.ftruncate(fd, end)
                write_whole(fd, entry_out(known) + b"\n")
            os.fsync(fd)
            return known

    def entries(self, *, after: int, limit: int) -> list[Entry]:
        """Lines behind a number, ascending."""
        entries, _ = self._read() if self._path.exists() else ([], 0)
        return [entry for entry in entries if entry.number > after][:limit]

    def _read(self) -> tuple[list[Entry], int]:
        """Every whole line, and where they end. Raises `StoreUnusable`."""
        *lines, torn = self._path.read_bytes().split(b"\n")
        try:
            entries = [entry_in(line) for line in lines]
        except (ValueError, TypeError) as error:
            text = f"{self._path} is damaged: {error}; move it away, and a new one is begun"
            raise StoreUnusable(text) from error
        return entries, self._path.stat().st_size - len(torn)

    @contextmanager
    def _locked(self) -> Iterator[int]:
        made = not self._path.exists()
        fd = os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            lock_within(fd, self._path, self._timeout_seconds)
            yield fd
            if made:
                sync_folder(self._path.parent)
        finally:
            fcntl.flock(fd, fcntl.LOCK_UN)
            os.close(fd)
