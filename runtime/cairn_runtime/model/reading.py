"""From the text of a manifest to a JSON object: YAML as kubectl reads it, and nothing that JSON cannot hold.

Text in, object out: who opens the file is the command line's business.
Whatever is wrong becomes a `Fault` with its path, or with the file's name, line and column; no other error
leaves this room.

Bounds: 1 MiB of text, 100 levels, and 1 MiB after all aliases are expanded (counted before they are).
"""

from __future__ import annotations

import json
from math import isfinite
from typing import Any, NoReturn

from cairn_runtime.errors import Fault, ManifestInvalid
from cairn_runtime.model.composing import MAX_LEVELS, NOTHING, compose, line_column
from cairn_runtime.model.scalars import bounded, whole
from cairn_runtime.model.values import JSONObject, JSONValue

MAX_TEXT_BYTES = 1024**2

_BOM = b"\xef\xbb\xbf"


def read_manifest(text: str | bytes, *, source: str) -> JSONObject:
    """Read one YAML or JSON document that holds an object.

    Args:
        text: what the file holds; bytes are UTF-8, with or without a byte order mark.
        source: the file's name, for faults that have a line but no path.

    Raises:
        ManifestInvalid: naming everything that is wrong; a syntax error ends the reading, so it comes last.
    """
    data = _encoded(text, source)
    value = _strict_json(data, source)
    if value is NOTHING:
        value = compose(data, source)
    if not isinstance(value, dict):
        _refuse(
            source, f"holds {_kind(value)}; a manifest is a mapping of apiVersion, kind, metadata and spec"
        )
    return value


def _encoded(text: str | bytes, source: str) -> bytes:
    """Return UTF-8 without a byte order mark, within the size bound."""
    try:
        data = text.encode() if isinstance(text, str) else text
        data = data.removeprefix(_BOM)
        data.decode()
    except UnicodeDecodeError as error:
        _refuse(source, f"{line_column(error.object[: error.start])}: not UTF-8; save the file as UTF-8")
    except UnicodeEncodeError:
        _refuse(source, "holds half of a surrogate pair, which is not text")
    if len(data) > MAX_TEXT_BYTES:
        bound = f"a manifest may have {MAX_TEXT_BYTES // 1024} KiB"
        _refuse(
            source,
            f"{-(-len(data) // 1024)} KiB of text; {bound}, larger code comes by codeFrom or the image",
        )
    return data


def _refuse(source: str, message: str) -> NoReturn:
    raise ManifestInvalid([Fault(source, message)])


def _kind(value: object) -> str:
    names = {list: "a list", str: "text", bool: "a boolean", int: "a number", float: "a number"}
    return names.get(type(value), "nothing")


def _strict_json(data: bytes, source: str) -> Any:  # noqa: ANN401 - JSON or NOTHING
    """Read text that is JSON without surprises; whatever else is left to the YAML reader and its messages.

    kubectl tries JSON first as well, and YAML cannot read every JSON: it refuses escaped surrogate pairs.
    """
    if not data.lstrip().startswith(b"{"):
        return NOTHING

    def constant(text: str) -> NoReturn:
        _refuse(source, f"{text} is not a JSON number")

    def number(text: str) -> int | float:
        return whole(float(text)) if isfinite(float(text)) else constant(text)

    try:
        value = json.loads(
            data,
            parse_constant=constant,
            parse_float=number,
            parse_int=lambda text: bounded(int(text)),
            object_pairs_hook=_without_duplicates,
        )
        if b"\\u" in data:
            json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        return NOTHING
    return value if _levels(value) <= MAX_LEVELS else NOTHING


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    out = dict(pairs)
    if len(out) != len(pairs):
        raise ValueError
    return out


def _levels(value: JSONValue) -> int:
    """Count the levels of nested collections, without recursion."""
    levels, layer = 0, [value]
    while layer:
        levels += 1
        inner = [
            item.values() if isinstance(item, dict) else item
            for item in layer
            if isinstance(item, dict | list)
        ]
        layer = [item for items in inner for item in items]
    return levels - 1
