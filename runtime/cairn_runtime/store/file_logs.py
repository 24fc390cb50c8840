"""One run of the file store on the disk: its folder, its lock, and its log with an index of it in memory.

    runs/RUN_ID/lock        locked (flock) by whoever writes
    runs/RUN_ID/run.log     lines of `file_records`, appended and synced; a prune writes it anew
    runs/RUN_ID/heartbeat   when the holder of the fence last showed itself
    runs/RUN_ID/progress/   one file per task
    runs/RUN_ID/damaged.log damaged lines, moved here when the log is written anew

The index follows the log by (inode, size, time): only what was appended since is read, so that a commit costs
the same after ten thousand others.
Readers take no lock: what has no newline yet does not exist for them.
Whoever holds the lock cuts off a torn end before it appends.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import time
from base64 import b64decode, b64encode
from binascii import Error as NotBase64
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from cairn_runtime.errors import CheckpointCorrupted, RunNotFound, StoreUnavailable
from cairn_runtime.store.base import Checkpoint
from cairn_runtime.store.file_records import (
    Damaged,
    Line,
    keep_line,
    lost_rows,
    read_line,
    replay,
    state_line,
)
from cairn_runtime.store.ledger import Ledger
from cairn_runtime.store.places import replace_file, sync_folder, write_whole

log = logging.getLogger(__name__)
_CHUNK = 4 * 1024 * 1024
_TIP = 19
"""Bytes of a line's length and checksum: by them the last line that was read is known again."""


class RunLog:
    """The log of one run and what it says; for one thread."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.run_id = folder.name
        self.path = folder / "run.log"
        self._log_fd = self._lock_fd = -1
        self._forget()

    def _forget(self) -> None:
        """Begin the index anew."""
        self._ledger: Ledger | None = None
        self.ids: dict[str, int] = {}
        self._places: dict[int, tuple[int, int]] = {}
        self._damaged: list[tuple[int, int]] = []
        self._seen: tuple[int, int, int] | None = None
        self._end = self._tip_at = 0
        self._tip = b""

    def release(self) -> None:
        """Close the files; the index stays."""
        for fd in (self._log_fd, self._lock_fd):
            if fd >= 0:
                os.close(fd)
        self._log_fd = self._lock_fd = -1

    @property
    def seen(self) -> object:
        """What the log was when it was read last: equal as long as it has not changed."""
        return self._seen

    @property
    def ledger(self) -> Ledger | None:
        """What the log says; None for a run that was never created, or deleted.

        Raises:
            CheckpointCorrupted: its beginning cannot be read.
        """
        if self._ledger is None:
            if self._damaged:
                raise CheckpointCorrupted(f"the beginning of {self.path} is damaged; the run cannot be read")
            return None
        return self._ledger

    @property
    def there(self) -> Ledger:
        """The ledger of a run that is there. Raises `RunNotFound`, `CheckpointCorrupted`."""
        ledger = self.ledger
        if ledger is None:
            raise RunNotFound(self.run_id)
        return ledger.there()

    def refresh(self) -> bool:
        """Read what was appended since; tell whether there was anything.

        Afterwards the file that the index belongs to is open, until `release`.
        """
        try:
            stat = self.path.stat()
        except (FileNotFoundError, NotADirectoryError):
            if self._seen is not None:
                # Taken away under us: what is appended to the open file would be gone with it.
                self._close_log()
                self._forget()
            return False
        if self._log_fd >= 0 and (stat.st_ino, stat.st_size, stat.st_mtime_ns) == self._seen:
            return False
        # What counts is the file that is open: the one of this name may be another by now.
        fd = self._opened(stat.st_ino)
        stat = os.fstat(fd)
        seen = (stat.st_ino, stat.st_size, stat.st_mtime_ns)
        if seen == self._seen:
            return False
        if self._seen is not None and (stat.st_ino != self._seen[0] or not self._follows(fd, stat.st_size)):
            self._forget()
        self._read_on(fd, stat.st_size)
        self._seen = seen
        return True

    def payload(self, seq: int) -> bytes:
        """Read a payload's bytes; where they are damaged, what is there."""
        if seq not in self._places:
            return b""
        offset, length = self._places[seq]
        text = os.pread(self._log_fd, length, offset)
        try:
            return b64decode(text, validate=True)
        except NotBase64:
            return text

    def whole(self, row: Checkpoint) -> Checkpoint:
        """Return a checkpoint with its payload."""
        return Checkpoint(*row[:-1], self.payload(row.seq))

    @contextmanager
    def locked(self, *, timeout_seconds: float) -> Iterator[None]:
        """Hold the run's lock, with the index as new as the log.

        Raises:
            StoreUnavailable: another process holds it all the time.
            RunNotFound: the folder was taken away.
        """
        fd = self._lock_file()
        lock_within(fd, self.folder, timeout_seconds)
        try:
            self.refresh()
            yield
        finally:
            fcntl.flock(fd, fcntl.LOCK_UN)

    def _lock_file(self) -> int:
        """The descriptor of the file that others lock: not one in a folder that was here before."""
        path = self.folder / "lock"
        try:
            if self._lock_fd >= 0 and os.fstat(self._lock_fd).st_ino != path.stat().st_ino:
                self.release()
            if self._lock_fd < 0:
                self._lock_fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except FileNotFoundError:
            self.release()
            self._forget()
            raise RunNotFound(self.run_id) from None
        return self._lock_fd

    def append(self, line: bytes) -> None:
        """Write a line to the disk, for good, and read it into the index; the lock is held.

        A line that could not be written whole and synced is taken back, so that what was refused is not found
        later by others.
        """
        fd = self._log_fd
        if self._seen is not None and self._seen[1] != self._end:
            os.ftruncate(fd, self._end)
        try:
            write_whole(fd, line)
            os.fdatasync(fd)
        except OSError:
            with suppress(OSError):
                os.ftruncate(fd, self._end)
                os.fdatasync(fd)
            self._forget()
            raise
        self._take(line[:-1], self._end)
        stat = os.fstat(fd)
        self._seen = (stat.st_ino, stat.st_size, stat.st_mtime_ns)

    def sync(self) -> None:
        """Make durable what is in the log: before a repeated commit is told that it was there already."""
        os.fdatasync(self._log_fd)

    def rewrite(self, payloads: Mapping[int, bytes] | None = None) -> None:
        """Write the log anew from the ledger, with other bytes for some payloads; the lock is held."""
        ledger = self._ledger
        if ledger is None:
            raise RunNotFound(self.run_id)
        try:
            self._save_damaged()
            replace_file(self.path, self._anew(ledger, payloads or {}), durable=True)
        finally:
            # The ledger may be ahead of the log now, if writing failed: read what is there.
            self._close_log()
            self._forget()
        self.refresh()

    def _anew(self, ledger: Ledger, payloads: Mapping[int, bytes]) -> Iterator[bytes]:
        yield state_line(ledger)
        for seq, row in ledger.rows.items():
            yield keep_line(row, b64encode(payloads[seq]) if seq in payloads else self._text(seq))

    def create(self, line: bytes) -> None:
        """Begin the log, and make durable that it is there; the lock is held."""
        self._opened(-1)
        self.append(line)
        sync_folder(self.folder)
        sync_folder(self.folder.parent)

    def _follows(self, fd: int, size: int) -> bool:
        """Tell whether the log goes on from what was read, and was not taken back or written anew."""
        return size >= self._end and os.pread(fd, _TIP, self._tip_at) == self._tip

    def _read_on(self, fd: int, size: int) -> None:
        """Read lines from the end of the index to the last newline."""
        rest = b""
        at = self._end
        while at + len(rest) < size:
            data = rest + os.pread(fd, min(_CHUNK, size - at - len(rest)), at + len(rest))
            if len(data) == len(rest):
                return
            begin = 0
            while (newline := data.find(b"\n", begin)) >= 0:
                self._take(data[begin:newline], at + begin)
                begin = newline + 1
            rest, at = data[begin:], at + begin

    def _take(self, raw: bytes, at: int) -> None:
        """Bring one line into the index."""
        self._end, self._tip_at, self._tip = at + len(raw) + 1, at, raw[:_TIP]
        try:
            line = read_line(raw)
            self._ledger = replay(self._ledger, self.run_id, line)
            self._place(line, at)
            if line.intact:
                return
            problem = "its checksum is wrong"
        except Damaged as error:
            problem = str(error)
            if self._ledger is not None and error.first == self._ledger.head_seq + 1:
                lost_rows(self._ledger, self.run_id, error.last)
        self._damaged.append((at, len(raw)))
        facts = {"run_id": self.run_id, "file": str(self.path), "offset": at, "error": problem}
        log.warning("found a damaged line", extra=facts)

    def _place(self, line: Line, at: int) -> None:
        """Remember where payloads stand and which ids there are."""
        if line.kind in ("commit", "copy"):
            headers = line.body["checkpoints"]
        elif line.kind == "keep":
            headers = [line.body]
        else:
            return
        for header, (offset, length) in zip(headers, line.payloads, strict=False):
            self._places[header["seq"]] = (at + offset, length)
        for header in headers:
            self.ids[header["id"]] = header["seq"]

    def _text(self, seq: int) -> bytes:
        """Read a payload as it stands in the log."""
        if seq not in self._places:
            return b""
        offset, length = self._places[seq]
        # Damage may have put a tab or a newline there, which would cut the new line in two.
        return os.pread(self._log_fd, length, offset).replace(b"\t", b"?").replace(b"\n", b"?")

    def _save_damaged(self) -> None:
        """Keep damaged lines as they are, for whoever wants to look at them."""
        lines = [os.pread(self._log_fd, length, at) + b"\n" for at, length in self._damaged]
        if lines:
            append_synced(self.folder / "damaged.log", lines)

    def _opened(self, inode: int) -> int:
        """Return the log's descriptor; open the file again if it is another by now, or make it."""
        if self._log_fd < 0 or os.fstat(self._log_fd).st_ino != inode:
            self._close_log()
            self._log_fd = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        return self._log_fd

    def _close_log(self) -> None:
        if self._log_fd >= 0:
            os.close(self._log_fd)
            self._log_fd = -1


def append_synced(path: Path, lines: Iterable[bytes]) -> None:
    """Append to a file and sync it."""
    fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        for line in lines:
            write_whole(fd, line)
        os.fsync(fd)
    finally:
        os.close(fd)


def lock_within(fd: int, folder: Path, timeout_seconds: float) -> None:
    """Take a lock, looking again and again: `flock` itself knows no time limit."""
    end = time.monotonic() + timeout_seconds
    pause = 0.0005
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in (errno.EWOULDBLOCK, errno.EINTR):
                raise
        else:
            return
        if time.monotonic() > end:
            raise StoreUnavailable(f"{folder}: another process holds its lock and does not finish")
        time.sleep(pause)
        pause = min(pause * 2, 0.01)
