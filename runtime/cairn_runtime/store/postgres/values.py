"""Values as Postgres takes them, without the driver's search for a type by class and content.

Every statement names the types of its values by casts: a number is a `bigint`, a time a `timestamptz`, and
text and JSON are the bytes they are.
All go in binary form, so that lengths count: the server refuses a zero byte in text, and it ends nothing.
Pure: no I/O.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from struct import Struct, error
from typing import TypeAlias

from psycopg.abc import Buffer
from psycopg.adapt import Loader
from psycopg.pq import Format

from cairn_runtime.errors import InvalidInput

Scalar: TypeAlias = "str | int | bytes | datetime | None"
Value: TypeAlias = "Scalar | Sequence[Scalar]"

_OIDS: dict[type, int] = {int: 20, str: 25, bytes: 17, datetime: 1184}
"""Types of the items of an array, as Postgres numbers them."""
_HEADER = Struct("!iiIii").pack
_LENGTH = Struct("!i").pack
_BIGINT = Struct("!q")
_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)


def encode_all(names: Sequence[str], values: dict[str, Value]) -> list[bytes | None]:
    """Write the values of a statement, in the order of their names.

    Raises:
        InvalidInput: text that no encoding can carry, or a number beyond 64 bits.
    """
    try:
        # Most values are text, and every commit passes here.
        return [
            value.encode() if type(value) is str else _encode(value)
            for value in map(values.__getitem__, names)
        ]
    except UnicodeEncodeError as bad:
        raise InvalidInput(f"{bad.object!a}: half of a surrogate pair cannot be stored") from None
    except error:
        raise InvalidInput("a number is beyond 64 bits") from None


def _encode(value: Value) -> bytes | None:
    if value is None or isinstance(value, bytes):
        return value
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, int):
        return _BIGINT.pack(value)
    if isinstance(value, datetime):
        return _BIGINT.pack((value - _EPOCH) // timedelta(microseconds=1))
    # An empty array would have to say its type; nothing equals any of null just as well.
    return _array(value) if value else None


def _array(items: Sequence[Scalar]) -> bytes:
    """Source: `array_recv` of the server: dimensions, has nulls, type; then length and bytes of each item."""
    kind = next((type(item) for item in items if item is not None), int)
    parts = [_HEADER(1, int(None in items), _OIDS[kind], len(items), 1)]
    for item in items:
        data = _encode(item)
        parts.append(_LENGTH(-1 if data is None else len(data)))
        if data is not None:
            parts.append(data)
    return b"".join(parts)


class MomentLoader(Loader):
    """Reads a time as UTC, whatever time zone the session has."""

    format = Format.BINARY

    def load(self, data: Buffer) -> datetime:
        """Read microseconds since the year 2000."""
        return _EPOCH + timedelta(microseconds=_BIGINT.unpack(data)[0])
