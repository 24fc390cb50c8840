"""Text that fits: widths of what a terminal shows, cutting, and plain tables; pure.

A terminal gives some characters two columns and some none, so `len` does not do.
What comes out of a run may hold anything, escape sequences too: `plain` is the door for such text.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from cairn_runtime.model.values import JSONValue

_SHORTEST_COLUMN = 6


def plain(text: str) -> str:
    """Replace what would move the cursor, ring or colour: control characters become JSON's escapes."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else json.dumps(c)[1:-1] for c in text)


def cells(text: str) -> int:
    """How many columns a terminal gives a text without control characters."""
    if text.isascii():
        return len(text)
    return sum(_cells_of(c) for c in text)


def _cells_of(char: str) -> int:
    if unicodedata.combining(char):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


def cut(text: str, width: int) -> str:
    """Shorten a text to a width, its end replaced by `…`."""
    if cells(text) <= width:
        return text
    out, room = "", width - 1
    for char in text:
        room -= _cells_of(char)
        if room < 0:
            break
        out += char
    return f"{out}…" if width > 0 else ""


def pad(text: str, width: int, *, right: bool = False) -> str:
    """Fill a text with spaces to a width, on the left where it belongs to the right."""
    fill = " " * (width - cells(text))
    return fill + text if right else text + fill


def short(value: JSONValue, width: int) -> str:
    """Write a JSON value on one line of at most a width."""
    # What cannot be shown anyway is not written: a state may weigh megabytes.
    if isinstance(value, list) and len(value) > width:
        return cut(json.dumps(value[:width], ensure_ascii=False), width)
    if isinstance(value, str) and len(value) > width:
        value = value[: width + 1]
    return cut(plain(json.dumps(value, ensure_ascii=False)), width)


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table: its title, whether it belongs to the right, whether it may be cut."""

    title: str
    right: bool = False
    shrinks: bool = False


def table(columns: Sequence[Column], rows: Iterable[Sequence[str]], width: int) -> list[str]:
    """Lay out rows under titles, two spaces between columns; those that may shrink are cut to fit."""
    shown = [[plain(cell) for cell in row] for row in rows]
    widths = [
        max(cells(column.title), *(cells(row[n]) for row in shown)) if shown else cells(column.title)
        for n, column in enumerate(columns)
    ]
    _shrink(columns, widths, width)
    lines = [[column.title for column in columns], *shown]
    return [_line(columns, widths, line) for line in lines]


def _shrink(columns: Sequence[Column], widths: list[int], width: int) -> None:
    """Take what is too much from the widest of the columns that may shrink, as long as one can."""
    over = sum(widths) + 2 * (len(widths) - 1) - width
    while over > 0:
        able = [n for n, c in enumerate(columns) if c.shrinks and widths[n] > _SHORTEST_COLUMN]
        if not able:
            return
        widest = max(able, key=lambda n: widths[n])
        widths[widest] -= 1
        over -= 1


def _line(columns: Sequence[Column], widths: Sequence[int], row: Sequence[str]) -> str:
    parts = [
        pad(cut(text, width), width, right=column.right)
        for column, width, text in zip(columns, widths, row, strict=True)
    ]
    return "  ".join(parts).rstrip()
