"""The one door that every write passes: is the channel known, is the value JSON, does it fold, does it fit.

`Cells` is built once per run from the manifest; `write` is called by the engine for each channel that a task
writes, and answers the stored write.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from cairn_runtime.channels.reducers import BUILT_IN, Folded, Reducer, custom, last, replace
from cairn_runtime.errors import WriteRefused
from cairn_runtime.model.schemas import SchemaCheck, compile_schema
from cairn_runtime.model.values import JSONObject, JSONValue, NotJSON, jsonify
from cairn_runtime.model.workflow import Spec

LoadFunction = Callable[[str], Callable[[JSONValue, JSONValue], object]]
"""Loads a `module:function` of the user's code; raises StepUnusable."""


@dataclass(frozen=True, slots=True)
class Cells:
    """The channels of a run: a reducer each, the schemas of those that have one, and what else may be
    written.
    """

    reducers: dict[str, Reducer]
    schemas: dict[str, SchemaCheck]
    initial: JSONObject
    strict: bool

    def write(self, channel: str, value: object, old: JSONValue) -> Folded:
        """Fold a value into a channel.

        Raises:
            WriteRefused: undeclared under strict, not JSON, against the reducer or the schema.
        """
        reducer = self.reducers.get(channel)
        if reducer is None:
            reducer = self._undeclared(channel)
        try:
            folded = reducer(old, jsonify(value, channel))
        except NotJSON as error:
            raise WriteRefused(str(error)) from None
        except WriteRefused as error:
            raise WriteRefused(f"{channel}: {error.message}") from None
        if channel in self.schemas:
            self._check(channel, folded.value)
        return folded

    def set(self, channel: str, value: object) -> Folded:
        """Set a channel whatever its reducer: input, a patch, collected answers."""
        if channel not in self.reducers:
            self._undeclared(channel)
        try:
            new = jsonify(value, channel)
        except NotJSON as error:
            raise WriteRefused(str(error)) from None
        if channel in self.schemas:
            self._check(channel, new)
        return Folded("set", new, new)

    def _undeclared(self, channel: str) -> Reducer:
        if not isinstance(channel, str):
            raise WriteRefused(f"a write's channel is a name, not {channel!r}")
        if self.strict:
            raise WriteRefused(f'channel "{channel}" is not declared in spec.state.channels')
        try:
            jsonify(channel, "a channel's name")
        except NotJSON as error:
            raise WriteRefused(str(error)) from None
        return replace

    def _check(self, channel: str, value: JSONValue) -> None:
        problems = self.schemas[channel].check(value)
        if problems:
            raise WriteRefused(f"{channel}: does not fit its schema: {'; '.join(map(str, problems[:3]))}")


def build_cells(spec: Spec, load: LoadFunction) -> Cells:
    """Join declared channels with those that the manifest implies (reducer `last`)."""
    reducers: dict[str, Reducer] = dict.fromkeys(implied_channels(spec), last)
    schemas: dict[str, SchemaCheck] = {}
    initial: JSONObject = dict.fromkeys(reducers)
    for name, channel in spec.state.channels.items():
        reducers[name] = _reducer(channel.reducer, load)
        initial[name] = channel.initial
        if channel.schema_ is not None:
            schemas[name] = compile_schema(channel.schema_, f"spec.state.channels.{name}.schema")
    return Cells(reducers, schemas, initial, spec.state.strict)


def implied_channels(spec: Spec) -> Mapping[str, None]:
    """Names of the channels that need no declaration, in file order."""
    names: dict[str, None] = dict.fromkeys(spec.input)
    for step in spec.steps:
        if step.approval or step.signal:
            names[step.name] = None
        if step.foreach and step.foreach.collect:
            names[step.foreach.collect] = None
    names["error"] = None
    return names


def _reducer(name: str, load: LoadFunction) -> Reducer:
    if name.startswith("python:"):
        reference = name.removeprefix("python:").strip()
        return custom(load(reference), reference)
    return BUILT_IN[name]
