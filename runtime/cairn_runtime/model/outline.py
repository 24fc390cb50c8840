"""The outline of a manifest: what the cross-field checks look at, read from the raw document.

A manifest with a wrong type somewhere has no `Workflow`, and yet all its other faults are wanted at once.
So whatever is ill-typed is left out here (an empty text, an empty list), positions in lists are kept, and the
fault itself is reported from the models.
Called by `validation`; the checks read it. No I/O.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from cairn_runtime.model.edges import Edge, edges
from cairn_runtime.model.paths import at_key
from cairn_runtime.model.schema_costs import Allowance
from cairn_runtime.model.values import JSONObject, JSONValue

KINDS = ("python", "run", "argv", "approval", "signal", "sleep")
WAITS = frozenset({"approval", "signal", "sleep"})


class NextOutline(NamedTuple):
    """A `next` entry."""

    path: str
    to: str
    when: str
    otherwise: bool


@dataclass(frozen=True)
class StepOutline:
    """A step; texts are empty where nothing, or nothing usable, stands."""

    path: str
    name: str
    raw: JSONObject

    @cached_property
    def kinds(self) -> tuple[str, ...]:
        """The step kinds that are set, in the order of the reference."""
        return tuple(kind for kind in KINDS if self.raw.get(kind) is not None)

    @property
    def kind(self) -> str:
        """The step's kind; empty unless there is exactly one."""
        return self.kinds[0] if len(self.kinds) == 1 else ""

    @cached_property
    def needs(self) -> tuple[str, ...]:
        """Names of the steps that lead here."""
        return _texts(self.raw.get("needs"))

    @cached_property
    def goto(self) -> tuple[str, ...]:
        """Names that `ctx.goto` may use."""
        return _texts(self.raw.get("goto"))

    @cached_property
    def next(self) -> tuple[NextOutline, ...]:
        """The conditional edges."""
        entries = [_object(entry) for entry in _items(self.raw.get("next"))]
        return tuple(
            NextOutline(
                f"{self.path}.next[{n}]",
                _text(entry.get("to")),
                _text(entry.get("when")),
                entry.get("otherwise") is True,
            )
            for n, entry in enumerate(entries)
        )

    @property
    def catch(self) -> str | None:
        """Name of the step that takes over a failure."""
        return _text(self.raw.get("catch")) or None

    @property
    def python(self) -> str:
        """The function to call."""
        return _text(self.raw.get("python"))

    @property
    def when(self) -> str:
        """The condition of the step."""
        return _text(self.raw.get("when"))

    @property
    def foreach(self) -> JSONObject | None:
        """The foreach, if the step has one."""
        found = self.raw.get("foreach")
        return found if isinstance(found, dict) else None

    @property
    def collect(self) -> str:
        """The channel that gets the items' results."""
        return _text((self.foreach or {}).get("collect"))

    @property
    def any_join(self) -> bool:
        """Whether the step runs once per token."""
        return self.raw.get("join") == "any"


class ChannelOutline(NamedTuple):
    """A declared channel."""

    path: str
    reducer: str
    initial: JSONValue
    schema: JSONValue


class ResumeOutline(NamedTuple):
    """The fork that is asked for; everything is empty where none is."""

    checkpoint: str
    as_step: str
    steps: tuple[str, ...]
    skip: tuple[str, ...]
    patch: JSONObject


@dataclass(frozen=True)
class Outline:
    """A manifest, as far as it can be read."""

    document: JSONObject
    complete: bool
    """Whether the models found nothing wrong, so that what is missing is really missing."""
    allowance: Allowance | None = None
    """What may be spent on schemas; None: whatever it takes."""

    @cached_property
    def spec(self) -> JSONObject:
        """The raw spec."""
        return _object(self.document.get("spec"))

    @cached_property
    def steps(self) -> tuple[StepOutline, ...]:
        """The steps in file order."""
        raw = [_object(step) for step in _items(self.spec.get("steps"))]
        return tuple(
            StepOutline(f"spec.steps[{n}]", _text(step.get("name")), step) for n, step in enumerate(raw)
        )

    @cached_property
    def by_name(self) -> dict[str, StepOutline]:
        """The steps by name, in file order; of two with one name the first."""
        found: dict[str, StepOutline] = {}
        for step in self.steps:
            if step.name:
                found.setdefault(step.name, step)
        return found

    @cached_property
    def edges(self) -> tuple[Edge, ...]:
        """The edges between steps that exist, those with other names left out."""
        return tuple(e for e in edges(self.steps) if e.source in self.by_name and e.target in self.by_name)

    @property
    def strict(self) -> bool:
        """Whether only declared channels may be written."""
        return _object(self.spec.get("state")).get("strict") is not False

    @cached_property
    def channels(self) -> dict[str, ChannelOutline]:
        """The declared channels."""
        declared = _object(_object(self.spec.get("state")).get("channels"))
        return {
            name: ChannelOutline(
                at_key("spec.state.channels", name),
                _text(raw.get("reducer")) or "replace",
                raw.get("initial"),
                raw.get("schema"),
            )
            for name, raw in ((name, _object(raw)) for name, raw in declared.items())
        }

    @property
    def input(self) -> JSONObject:
        """The input."""
        return _object(self.spec.get("input"))

    @cached_property
    def implied(self) -> dict[str, str]:
        """Channels that need no declaration, each with the path that implies it."""
        found = {name: at_key("spec.input", name) for name in self.input}
        for step in self.steps:
            if step.kind in ("approval", "signal") and step.name:
                found.setdefault(step.name, f"{step.path}.name")
            if step.collect:
                found.setdefault(step.collect, f"{step.path}.foreach.collect")
        found.setdefault("error", "")
        return found

    @cached_property
    def known_channels(self) -> frozenset[str]:
        """All channels that exist from the start."""
        return frozenset(self.channels) | frozenset(self.implied)

    @cached_property
    def resume(self) -> ResumeOutline:
        """The fork that is asked for."""
        raw = _object(self.spec.get("resume"))
        return ResumeOutline(
            _text(raw.get("checkpoint")),
            _text(raw.get("asStep")),
            _texts(raw.get("steps")),
            _texts(raw.get("skip")),
            _object(raw.get("statePatch")),
        )

    @property
    def code(self) -> dict[str, str]:
        """The inline modules by file name."""
        return {name: text for name, text in _object(self.spec.get("code")).items() if isinstance(text, str)}

    def affords(self, schema: JSONValue, value: JSONValue = None) -> bool:
        """Whether this schema, and a value by it, are to be judged here."""
        return self.allowance is None or self.allowance.covers(schema, value)

    def schemas(self) -> Iterator[tuple[str, JSONValue]]:
        """Iterate all JSON Schemas with their paths."""
        for channel in self.channels.values():
            if channel.schema is not None:
                yield f"{channel.path}.schema", channel.schema
        for step in self.steps:
            for kind in ("approval", "signal"):
                schema = _object(step.raw.get(kind)).get("schema")
                if schema is not None:
                    yield f"{step.path}.{kind}.schema", schema


def _object(value: JSONValue) -> JSONObject:
    return value if isinstance(value, dict) else {}


def _items(value: JSONValue) -> list[JSONValue]:
    return value if isinstance(value, list) else []


def _text(value: JSONValue) -> str:
    return value if isinstance(value, str) else ""


def _texts(value: JSONValue) -> tuple[str, ...]:
    return tuple(_text(item) for item in _items(value))
