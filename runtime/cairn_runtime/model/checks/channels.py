"""Channels: reducers exist, values suit them and their schemas, and nobody takes a name that Cairn keeps."""

from __future__ import annotations

import re
from collections.abc import Iterator

from cairn_runtime.errors import Fault, ManifestInvalid
from cairn_runtime.model.outline import Outline
from cairn_runtime.model.paths import at_key
from cairn_runtime.model.schemas import compile_schema
from cairn_runtime.model.suggestions import did_you_mean
from cairn_runtime.model.values import JSONValue
from cairn_runtime.model.workflow import REDUCERS

RESERVED = "error"
_FUNCTION = re.compile(r"python: *[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(\.[A-Za-z_]\w*)*", re.ASCII)
_LISTS = frozenset({"append", "extend", "union"})
_NO_LISTS = frozenset({"add", "max", "min", "merge"})
_TAKES = {
    **dict.fromkeys(_LISTS, ((list,), "a list")),
    "merge": ((dict,), "an object"),
    "add": ((int, float, str, list), "a number, text, a list"),
    "max": ((int, float, str), "a number, text"),
    "min": ((int, float, str), "a number, text"),
}
"""What a channel's value must be for its reducer to go on from; null is empty for each."""


def reducers(outline: Outline) -> Iterator[Fault]:
    """A reducer that does not exist."""
    for channel in outline.channels.values():
        name = channel.reducer
        if name.startswith("python:"):
            if not _FUNCTION.fullmatch(name):
                yield Fault(
                    f"{channel.path}.reducer", f'"{name}" is no function; write python: module:function'
                )
        elif name not in REDUCERS:
            known = f"use one of {', '.join(REDUCERS)}, or python: module:function"
            hint = did_you_mean(name, REDUCERS)
            yield Fault(f"{channel.path}.reducer", f'unknown reducer "{name}"{hint or f"; {known}"}')


def reserved_names(outline: Outline) -> Iterator[Fault]:
    """The channel in which Cairn puts the error that a `catch` sees."""
    problem = f'the channel "{RESERVED}" is where Cairn puts what a catch sees; use another name'
    if RESERVED in outline.channels:
        yield Fault(outline.channels[RESERVED].path, problem)
    if outline.implied[RESERVED]:
        yield Fault(outline.implied[RESERVED], problem)


def schemas(outline: Outline) -> Iterator[Fault]:
    """A JSON Schema that is none."""
    for path, schema in outline.schemas():
        if not outline.affords(schema):
            continue
        try:
            compile_schema(schema, path)
        except ManifestInvalid as error:
            yield from error.faults


def values(outline: Outline) -> Iterator[Fault]:
    """An initial value or an input that does not suit the channel's reducer or schema."""
    for name, channel in outline.channels.items():
        places = [
            (f"{channel.path}.initial", channel.initial),
            (at_key("spec.input", name), outline.input.get(name)),
        ]
        for path, value in places:
            if value is None:
                continue
            taken, words = _TAKES.get(channel.reducer, ((object,), ""))
            if not isinstance(value, taken) or (isinstance(value, bool) and words):
                yield Fault(path, f'with reducer "{channel.reducer}" this must be {words} or null')
            elif channel.schema is not None and outline.affords(channel.schema, value):
                yield from _misfits(channel.schema, value, path)


def collects(outline: Outline) -> Iterator[Fault]:
    """Results that the channel's reducer cannot take."""
    for step in outline.steps:
        channel = outline.channels.get(step.collect)
        if channel is not None and channel.reducer in _NO_LISTS:
            problem = (
                f'the results are a list, which reducer "{channel.reducer}" of "{step.collect}" does not take'
            )
            yield Fault(f"{step.path}.foreach.collect", f"{problem}; use extend, append, replace or last")
        answers = outline.channels.get(step.name) if step.kind == "approval" else None
        if answers is not None and answers.reducer in (_LISTS | _NO_LISTS) - {"append", "merge"}:
            problem = (
                f'the answer is an object, which reducer "{answers.reducer}" of "{step.name}" does not take'
            )
            yield Fault(f"{step.path}.approval", f"{problem}; use replace, last, append or merge")


def patches(outline: Outline) -> Iterator[Fault]:
    """A patch of a channel that does not exist."""
    if outline.strict:
        for name in outline.resume.patch:
            if name not in outline.known_channels:
                hint = did_you_mean(name, outline.known_channels)
                yield Fault(at_key("spec.resume.statePatch", name), f'unknown channel "{name}"{hint}')


def _misfits(schema: JSONValue, value: JSONValue, path: str) -> Iterator[Fault]:
    try:
        check = compile_schema(schema, "")
    except ManifestInvalid:
        return  # reported by `schemas`
    yield from (Fault(path + _below(fault.path), fault.message) for fault in check.check(value))


def _below(path: str) -> str:
    return path if not path or path[0] == "[" else f".{path}"
