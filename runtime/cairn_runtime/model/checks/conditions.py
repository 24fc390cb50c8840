"""Conditions: every CEL expression compiles, gives what its field wants, and reads what exists."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from cairn_runtime.errors import Fault, ManifestInvalid
from cairn_runtime.model.expressions import Expression, Reference, Result, compile_expression
from cairn_runtime.model.outline import Outline
from cairn_runtime.model.suggestions import did_you_mean


class Written(NamedTuple):
    """An expression as it stands in the manifest."""

    path: str
    source: str
    result: Result
    item: bool
    """Whether `item` has a meaning there."""


class Conditions:
    """The expressions of a manifest, compiled once; `faults` are those that do not compile."""

    def __init__(self, outline: Outline) -> None:
        self.faults: list[Fault] = []
        self.compiled: list[tuple[Written, Expression]] = []
        for written in _written(outline):
            try:
                expression = compile_expression(written.source, written.path, result=written.result)
            except ManifestInvalid as error:
                self.faults += error.faults
            else:
                self.compiled.append((written, expression))


def unknown_names(outline: Outline, conditions: Conditions) -> Iterator[Fault]:
    """An expression that reads what can never be there."""
    for written, expression in conditions.compiled:
        if expression.uses_item and not written.item:
            yield Fault(written.path, "item exists only in the when of a step with foreach")
        channels, steps = expression.channels or frozenset(), expression.visited or frozenset()
        if (not outline.strict or channels <= outline.known_channels) and steps <= outline.by_name.keys():
            continue
        for read in expression.references():
            if read.root == "state" and outline.strict and read.name not in outline.known_channels:
                yield _unknown("channel", read, written.path, outline.known_channels)
            elif read.root == "visits" and read.name not in outline.by_name:
                yield _unknown("step", read, written.path, outline.by_name)


def unset_inputs(outline: Outline, conditions: Conditions) -> Iterator[Fault]:
    """Warnings: an input that is read and not given in the manifest."""
    for written, expression in conditions.compiled:
        if (expression.inputs or frozenset()) <= outline.input.keys():
            continue
        for read in expression.references():
            if read.root == "input" and read.name not in outline.input and not read.tested:
                hint = did_you_mean(read.name, outline.input)
                yield Fault(written.path, f'{read.place}: the input has no "{read.name}"{hint}')


def _written(outline: Outline) -> Iterator[Written]:
    for step in outline.steps:
        foreach = step.foreach
        if foreach is not None and isinstance(foreach.get("in"), str):
            yield Written(f"{step.path}.foreach.in", str(foreach["in"]), "list", item=False)
        if step.when:
            yield Written(f"{step.path}.when", step.when, "bool", item=foreach is not None)
        for entry in step.next:
            if entry.when:
                yield Written(f"{entry.path}.when", entry.when, "bool", item=False)


def _unknown(what: str, read: Reference, path: str, known: Iterable[str]) -> Fault:
    return Fault(path, f'{read.place}: unknown {what} "{read.name}"{did_you_mean(read.name, known)}')
