"""Where what a verb has to say goes: one document on standard output, or text for people.

Standard output is for what was asked; everything else goes to standard error.
A reader that goes away (`cairn checkpoints | head`) ends nothing that is under way: from then on nothing is
written.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import TextIO

from cairn_runtime.model.ids import utc_now
from cairn_runtime.model.values import JSONValue

_IN_A_PIPE = 120
"""Columns of text that no terminal cuts."""


class Format(StrEnum):
    """How a verb answers."""

    TABLE = "table"
    JSON = "json"
    YAML = "yaml"


class Drawing(StrEnum):
    """How a graph is drawn."""

    TEXT = "text"
    MERMAID = "mermaid"
    SVG = "svg"
    JSON = "json"
    YAML = "yaml"


@dataclass(frozen=True, slots=True)
class Output:
    """One verb's answer: its format, and what is known about who reads it."""

    format: Format

    @property
    def for_people(self) -> bool:
        """Whether text is asked for rather than a document."""
        return self.format is Format.TABLE

    @property
    def width(self) -> int:
        """Columns that text may use; wide where no terminal cuts it."""
        return shutil.get_terminal_size((80, 24)).columns if sys.stdout.isatty() else _IN_A_PIPE

    @property
    def now(self) -> datetime:
        """The present, for ages."""
        return utc_now()

    def document(self, value: JSONValue) -> None:
        """Write the one document."""
        write(sys.stdout, encode(value, self.format))

    def line(self, value: JSONValue) -> None:
        """Write one of several documents: a line of JSON, or a YAML document of its own."""
        if self.format is Format.YAML:
            write(sys.stdout, f"---\n{encode(value, self.format)}")
        else:
            write(sys.stdout, encode(value, self.format, indent=False))

    def text(self, lines: Iterable[str]) -> None:
        """Write lines for people."""
        write(sys.stdout, "".join(f"{line}\n" for line in lines))

    def note(self, *lines: str) -> None:
        """Say something that was not asked for; programs do not see it."""
        write(sys.stderr, "".join(f"{line}\n" for line in lines))


def encode(value: JSONValue, format_: Format, *, indent: bool = True) -> str:
    """Write a value as JSON or YAML, with the newline at its end."""
    if format_ is Format.YAML:
        import yaml

        return str(yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=100))
    import orjson

    options = orjson.OPT_APPEND_NEWLINE | (orjson.OPT_INDENT_2 if indent else 0)
    return orjson.dumps(value, option=options).decode()


def write(stream: TextIO, text: str) -> None:
    """Write at once; a reader that is gone is no error, and what a terminal's encoding lacks becomes `?`."""
    try:
        try:
            stream.write(text)
        except UnicodeEncodeError:
            encoding = stream.encoding or "ascii"
            stream.write(text.encode(encoding, "replace").decode(encoding))
        stream.flush()
    except BrokenPipeError:
        go_mute(stream)


def go_mute(stream: TextIO) -> None:
    """Let whatever is still to be written go nowhere, so that the interpreter's last flush is quiet."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, stream.fileno())
    os.close(null)


def is_lively(stream: TextIO) -> bool:
    """Whether a table that redraws itself is welcome: on a terminal that can, and not in a log of CI.

    NO_COLOR asks for no colours, not for no table; rich sees to it.
    """
    return stream.isatty() and os.environ.get("TERM", "dumb") != "dumb" and not os.environ.get("CI")
