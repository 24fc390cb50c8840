"""Values as Postgres takes them, without the driver's search for a type by class and content.

Every statement names the types of its values by casts, so a number may go as text and text as the bytes it
is.
Text goes in binary form: its length counts, and a zero byte in it is refused by the server instead of ending
it.
Pure: no I/O.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from struct import Struct
from typing import TypeAlias

from psycopg.abc import Buffer
from psycopg.adapt import Loader
from psycopg.pq import Format

from cairn_runtime.errors import InvalidInput

Value: TypeAlias = "str | int | bytes | datetime | Sequence[str | int | bytes | datetime | None] | None"

_TEXT, _BINARY = 0, 1
_TEXT_OID, _BYTEA_OID = 25, 17
_HEADER = Struct("!iiIii").pack
_LENGTH = Struct("!i").pack
_MICROS = Struct("!q").unpack
_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)


def encode(value: Value) -> tuple[bytes | None, int]:
    """Write a value: its bytes, and whether they are its binary form.

    Raises:
        InvalidInput: text that no encoding can carry.
    """
    if isinstance(value, str):
        return text(value), _BINARY
    if isinstance(value, int):
        return b"%d" % value, _TEXT
    if value is None or isinstance(value, bytes):
        return value, _BINARY
    if isinstance(value, datetime):
        return value.isoformat().encode(), _TEXT
    return _array(value)


def text(value: str) -> bytes:
    """Write text. Raises `InvalidInput`."""
    try:
        return value.encode()
    except UnicodeEncodeError:
        raise InvalidInput(f"{value!a}: half a surrogate pair is no text that can be stored") from None


def _array(items: Sequence[str | int | bytes | datetime | None]) -> tuple[bytes, int]:
    """Write a list: numbers and times as text, text and bytes in binary form."""
    sample = next((item for item in items if item is not None), None)
    if isinstance(sample, str):
        return _binary_array([text(item) for item in items], _TEXT_OID), _BINARY  # type: ignore[arg-type]
    if isinstance(sample, bytes):
        return _binary_array(items, _BYTEA_OID), _BINARY  # type: ignore[arg-type]
    parts = (
        "NULL" if item is None else item.isoformat() if isinstance(item, datetime) else str(item)
        for item in items
    )
    return f"{{{','.join(parts)}}}".encode(), _TEXT


def _binary_array(items: Sequence[bytes], oid: int) -> bytes:
    """Source: `array_send` of the server: dimensions, has nulls, type, then length and bytes of each item."""
    parts = [_HEADER(1, 0, oid, len(items), 1)]
    for item in items:
        parts.append(_LENGTH(len(item)))
        parts.append(item)
    return b"".join(parts)


class MomentLoader(Loader):
    """Reads a time as UTC, whatever time zone the session has."""

    format = Format.BINARY

    def load(self, data: Buffer) -> datetime:
        """Read microseconds since the year 2000."""
        return _EPOCH + timedelta(microseconds=_MICROS(data)[0])
