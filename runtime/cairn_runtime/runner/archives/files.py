"""Archives on a disk: written whole or not at all, read within bounds.

A file gets its name when everything is in it and synced: a dump that was broken off never looks like one.
"""

from __future__ import annotations

import io
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from fcntl import LOCK_EX, LOCK_NB, flock
from pathlib import Path
from typing import BinaryIO

import zstandard

from cairn_runtime.errors import Fault, InvalidInput
from cairn_runtime.model.ids import to_wire
from cairn_runtime.store.codec import DEFAULT_LIMITS

SUFFIX = ".cairn.zst"
MAX_LINE_BYTES = DEFAULT_LIMITS.payload_bytes * 4 // 3 + 16 * 1024**2
"""A checkpoint's payload as base64, or a run's row, or all of its progress."""
_CHUNK = 1024 * 1024
_MAX_WINDOW = 2**27
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
_NOT_IN_A_NAME = re.compile(r"[^A-Za-z0-9._-]+")
STANDARD = "-"


def dated_name(what: str, now: datetime) -> str:
    """The default name of a file: what is in it, and when; names sort by time."""
    moment = to_wire(now.replace(microsecond=0)).partition(".")[0].replace(":", "")
    return f"cairn-{_NOT_IN_A_NAME.sub('-', what).strip('-')}-{moment}Z{SUFFIX}"


@contextmanager
def written(path: str) -> Iterator[BinaryIO]:
    """A file to write an archive into, compressed; `-` is standard output.

    Raises:
        OSError: it cannot be written; a file that was there is as it was.
    """
    if path == STANDARD:
        with _compressed(sys.stdout.buffer) as stream:
            yield stream
        sys.stdout.buffer.flush()
        return
    target = Path(path)
    # Beside its name: only there a file can be put in its place in one step.
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        fd = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(fd, "wb") as file:
            with suppress(OSError):  # a file system without locks takes a dump all the same
                flock(fd, LOCK_EX)
            with _compressed(file) as stream:
                yield stream
            file.flush()
            os.fsync(file.fileno())
        part.replace(target)
    finally:
        with suppress(FileNotFoundError):
            part.unlink()


def remove_broken_off(folder: Path) -> None:
    """Remove what exports that were killed have left in a folder; one that is under way is let be."""
    for part in folder.glob(f".*{SUFFIX}.*.part"):
        with suppress(OSError), part.open("rb") as file:
            flock(file.fileno(), LOCK_EX | LOCK_NB)
            part.unlink()


def _compressed(file: BinaryIO) -> zstandard.ZstdCompressionWriter:
    return zstandard.ZstdCompressor(level=1, write_checksum=True).stream_writer(file, closefd=False)


@contextmanager
def opened(path: str) -> Iterator[Iterator[bytes]]:
    """The lines of an archive; `-` is standard input.

    Raises:
        OSError: it cannot be read.
        InvalidInput: while reading: it is damaged, or no archive.
    """
    if path == STANDARD:
        # Not `sys.stdin`, whose lock the end of the process waits for: a thread may still be reading.
        yield _lines(open(sys.stdin.fileno(), "rb", closefd=False))  # noqa: SIM115 - see above
        return
    with Path(path).open("rb") as file:
        yield _lines(file)


def _lines(file: io.BufferedReader) -> Iterator[bytes]:
    """Cut a stream into lines, each with its newline, none longer than a line can be."""
    rest = bytearray()
    searched = 0
    for chunk in _chunks(file):
        rest += chunk
        begin = 0
        while (newline := rest.find(b"\n", max(begin, searched))) >= 0:
            yield bytes(memoryview(rest)[begin : newline + 1])
            begin = newline + 1
        del rest[:begin]
        searched = len(rest)
        if searched > MAX_LINE_BYTES:
            raise InvalidInput(
                [Fault("", f"a line is longer than {MAX_LINE_BYTES} bytes: this is no export")]
            )
    if rest:
        raise InvalidInput([Fault("", "the file was cut short amid a line; import it again, whole")])


def _chunks(file: io.BufferedReader) -> Iterator[bytes]:
    """Unpack a stream piece by piece: what a small file unpacks to may have no end."""
    source: BinaryIO = file
    if file.peek(4)[:4] == _ZSTD_MAGIC:
        decompressor = zstandard.ZstdDecompressor(max_window_size=_MAX_WINDOW)
        source = decompressor.stream_reader(file, _CHUNK, read_across_frames=True)
    try:
        while chunk := source.read(_CHUNK):
            yield chunk
    except zstandard.ZstdError as error:
        raise InvalidInput([Fault("", f"the file is damaged: {error}")]) from None
