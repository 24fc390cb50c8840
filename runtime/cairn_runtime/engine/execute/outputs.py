"""What a command wrote to `$CAIRN_OUTPUT`: one JSON document, read strictly.

Strictly: UTF-8, no NaN or Infinity, no key twice in one object, nothing after the document.
What another reader would understand differently is refused, with the line.
"""

from __future__ import annotations

import json
import os
import stat
from typing import Never

from cairn_runtime.errors import WriteRefused
from cairn_runtime.model.values import JSONValue, NotJSON, jsonify

MAX_OUTPUT_BYTES = 64 * 1024**2
_KINDS = {list: "a list", str: "a string", bool: "a boolean", type(None): "null"}


def read_output(path: str, *, any_value: bool) -> JSONValue:
    """Read the file; None if it is absent or blank.

    Args:
        path: the file.
        any_value: whether any JSON will do (an item's result) or only an object (writes).

    Raises:
        WriteRefused: naming line and column.
        OSError: the disk.
    """
    data = _bytes(path)
    if not data.strip():
        return None
    value = parse(data)
    if not any_value and not isinstance(value, dict):
        kind = _KINDS.get(type(value), "a number")
        raise WriteRefused(f"$CAIRN_OUTPUT holds {kind}; it must hold one JSON object: the writes by channel")
    return value


def parse(data: bytes) -> JSONValue:
    """Read one JSON document.

    Raises:
        WriteRefused: naming line and column.
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise WriteRefused(f"$CAIRN_OUTPUT is not UTF-8: line {line}, byte {error.start}") from None
    try:
        return jsonify(json.loads(text, object_pairs_hook=_unique, parse_constant=_no_constant))
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise WriteRefused(f"$CAIRN_OUTPUT is not one JSON document: {place}: {error.msg}") from None
    except NotJSON as error:
        raise WriteRefused(f"$CAIRN_OUTPUT: {error.path.removeprefix('value.')}: {error.problem}") from None
    except RecursionError:
        raise WriteRefused("$CAIRN_OUTPUT is nested too deeply") from None
    except ValueError as error:  # a number of thousands of digits
        raise WriteRefused(f"$CAIRN_OUTPUT cannot be read: {error}") from None


def _bytes(path: str) -> bytes:
    """The file's bytes; none if it is absent. A pipe or folder in its place must not hold us up."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return b""
    try:
        state = os.fstat(fd)
        if not stat.S_ISREG(state.st_mode):
            raise WriteRefused("$CAIRN_OUTPUT is no longer a regular file")
        if state.st_size > MAX_OUTPUT_BYTES:
            size, most = (n // 1024**2 for n in (state.st_size, MAX_OUTPUT_BYTES))
            raise WriteRefused(f"$CAIRN_OUTPUT holds {size} MiB; at most {most} MiB are read")
        with os.fdopen(fd, "rb", closefd=False) as file:
            return file.read(MAX_OUTPUT_BYTES)
    finally:
        os.close(fd)


def _unique(pairs: list[tuple[str, JSONValue]]) -> dict[str, JSONValue]:
    out = dict(pairs)
    if len(out) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise WriteRefused(f'$CAIRN_OUTPUT has the key "{twice[:64]}" twice in one object')
    return out


def _no_constant(name: str) -> Never:
    raise WriteRefused(f"$CAIRN_OUTPUT holds {name}, which is not JSON")
