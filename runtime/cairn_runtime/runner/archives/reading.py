"""Lines as an archive: what the file as a whole must be, whoever takes its lines.

A file whose end is missing or wrong is no export, however much of it was read before that was seen.
One bad line is answered as what is wrong with it: whoever takes it decides what is lost by that.
Pure: no I/O but that of the iterator it is given; runs on whichever thread reads ahead.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from hashlib import sha256

from cairn_runtime.errors import Fault, FormatUnknown, InvalidInput
from cairn_runtime.runner.archives.lines import VERSION, Header, Line, Trailer, read_line


def whole(lines: Iterable[bytes]) -> Iterator[tuple[Line | InvalidInput, int]]:
    """Read what stands between header and trailer, each with its length in bytes.

    Raises:
        InvalidInput: it is no archive, or its end is missing or wrong.
        FormatUnknown: a newer release wrote it.
    """
    rest = iter(lines)
    first = next(rest, b"")
    _check_header(first)
    digest = sha256(first)
    for number, raw in enumerate(rest, 2):
        line = _read(raw, number)
        if isinstance(line, Trailer):
            _check_end(line, digest.hexdigest(), rest)
            return
        digest.update(raw)
        yield line, len(raw)
    raise InvalidInput([Fault("", "the file was cut short: its trailer is missing; import it again, whole")])


def _check_header(raw: bytes) -> None:
    if not raw:
        raise InvalidInput([Fault("", "the file is empty, or was cut short at its beginning")])
    header = read_line(raw, 1)
    if not isinstance(header, Header):
        raise InvalidInput([Fault("line 1", "is no header of an export")])
    if header.version > VERSION:
        raise FormatUnknown(f"the export has version {header.version}; this release reads up to {VERSION}")


def _read(raw: bytes, number: int) -> Line | InvalidInput:
    try:
        return read_line(raw, number)
    except InvalidInput as error:
        return error


def _check_end(trailer: Trailer, digest: str, rest: Iterator[bytes]) -> None:
    if trailer.sha256 != digest:
        raise InvalidInput(
            [Fault("trailer", "the file is not what was exported: its SHA-256 does not match")]
        )
    if next(rest, None) is not None:
        raise InvalidInput([Fault("trailer", "something follows the end of the export")])
