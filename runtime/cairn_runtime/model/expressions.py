"""CEL expressions: `when`, `in` and `next[].when`, compiled once and evaluated on plain JSON.

Four variables exist, all of any type: `state`, `visits`, `input`, `item`.
Only what an expression names is handed to the CEL library, because it converts whatever it is given.
Evaluation is bounded: 1,024 characters and 32 levels (checked when compiled), 10,000 items gone through in
all comprehensions together (checked by the library), RE2 patterns, no functions with effects.
Called by validation and by the engine. The CEL library is loaded with the first expression. No I/O.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, NoReturn, TypeAlias

from cairn_runtime.errors import ExpressionFailed, Fault, ManifestInvalid
from cairn_runtime.model.cel_trees import VARIABLES, Read, Tree, TreeUnreadable, read_tree
from cairn_runtime.model.paths import at_key
from cairn_runtime.model.values import JSONObject, JSONValue, NotJSON, copy_json, jsonify

if TYPE_CHECKING:
    from cel_expr_python import cel

Result: TypeAlias = Literal["any", "bool", "list"]
"""What an expression must give, as far as its types tell before it is evaluated."""

MAX_LENGTH = 1024

_WANTED = {"bool": ("BOOL", "a condition must give true or false"), "list": ("LIST", "this must give a list")}
_GIVEN = {
    "INT": "an integer", "UINT": "an integer", "DOUBLE": "a float", "STRING": "text", "BOOL": "a boolean",
    "NULL": "null", "LIST": "a list", "MAP": "a map", "BYTES": "bytes", "DURATION": "a duration",
    "TIMESTAMP": "a timestamp", "TYPE": "a type",
}  # fmt: skip
_NOT_JSON = frozenset({"BYTES", "DURATION", "TIMESTAMP", "TYPE"})
_OWNERS = {"state": 'the state has no channel "{}"', "input": 'the input has no "{}"'}


class Names(NamedTuple):
    """What an expression reads of one variable: nothing, some names, or (`names` None) the whole of it."""

    used: bool
    names: frozenset[str] | None

    def pick(self, values: Mapping[str, JSONValue]) -> JSONObject:
        """Take what is read; names that do not exist stay out, so that `has()` can tell."""
        if self.names is None:
            return dict(values)
        return {name: values[name] for name in self.names if name in values}


class Reference(NamedTuple):
    """A name read from a variable and where it stands, e.g. `state.score` at `column 7`."""

    root: str
    name: str
    place: str
    tested: bool
    """Whether it is only asked for, by `has()`."""


class Expression:
    """A compiled expression; `path` is its field in the manifest, for messages."""

    __slots__ = (
        "_boolean",
        "_channel",
        "_input",
        "_program",
        "_state",
        "_visits",
        "channels",
        "inputs",
        "path",
        "source",
        "uses_item",
        "visited",
    )

    def __init__(self, source: str, path: str, program: cel.Expression) -> None:
        self.source = source
        self.path = path
        self._program = program
        tree = self._tree()
        reads = tree.reads(VARIABLES) if tree else None
        self._state, self._visits, self._input = (
            _names(reads, root) for root in ("state", "visits", "input")
        )
        self.uses_item = reads is None or any(read.root == "item" for read in reads)
        sole = tree.sole_read() if tree else None
        self._boolean = program.return_type().name() == "BOOL"
        self._channel = sole.name if sole and sole.root == "state" else None
        """The channel, where the expression is nothing but its name: its value needs no CEL, however long."""
        self.channels = self._state.names
        """Channels that it reads; None where it takes the state as a whole."""
        self.visited = self._visits.names
        """Steps whose visits it reads; None where it takes them all."""
        self.inputs = self._input.names
        """Keys of the input that it reads; None where it takes the input as a whole."""

    @property
    def uses_visits(self) -> bool:
        """Whether it reads how often steps were entered."""
        return self._visits.used

    @property
    def uses_input(self) -> bool:
        """Whether it reads the input."""
        return self._input.used

    def references(self) -> list[Reference]:
        """List the names that it reads from its variables, in the order of the text."""
        tree = self._tree()
        if tree is None:
            return []
        return [
            Reference(read.root, read.name, self._place(tree.offset(read.node)), read.tested)
            for read in tree.reads(VARIABLES)
            if read.name is not None
        ]

    def evaluate(
        self,
        *,
        state: Mapping[str, JSONValue],
        visits: Mapping[str, int],
        input: JSONObject,  # noqa: A002 - the variable's name in the manifest
        item: JSONValue = None,
    ) -> JSONValue:
        """Evaluate on plain JSON; a step that `visits` does not know was entered 0 times.

        Raises:
            ExpressionFailed: naming the field, the position as far as it is known, and the reason.
        """
        if self._channel is not None and self._channel in state:
            return copy_json(state[self._channel])
        data: dict[str, Any] = {}
        if self._state.used:
            data["state"] = self._state.pick(state)
        if self._visits.used:
            names = self._visits.names
            data["visits"] = dict(visits) if names is None else {name: visits.get(name, 0) for name in names}
        if self._input.used:
            data["input"] = self._input.pick(input)
        if self.uses_item:
            data["item"] = item
        try:
            value = self._program.eval(data=data)
        except RuntimeError as error:
            self._fail(str(error))
        if self._boolean:
            plain = value.plain_value()
            if plain is True or plain is False:
                return plain
            self._fail(str(plain))  # the text of the error that it gave in place of a boolean
        return self._json(value, "result")

    def truth(
        self,
        *,
        state: Mapping[str, JSONValue],
        visits: Mapping[str, int],
        input: JSONObject,  # noqa: A002 - as in evaluate
        item: JSONValue = None,
    ) -> bool:
        """Evaluate a condition.

        Raises:
            ExpressionFailed: also where the result is neither true nor false.
        """
        value = self.evaluate(state=state, visits=visits, input=input, item=item)
        if value is True or value is False:
            return value
        raise ExpressionFailed(f"{self.path}: gives {_given(value)}; a condition must give true or false")

    def items(
        self,
        *,
        state: Mapping[str, JSONValue],
        visits: Mapping[str, int],
        input: JSONObject,  # noqa: A002 - as in evaluate
    ) -> list[JSONValue]:
        """Evaluate the list of a foreach.

        Raises:
            ExpressionFailed: also where the result is no list.
        """
        value = self.evaluate(state=state, visits=visits, input=input)
        if isinstance(value, list):
            return value
        raise ExpressionFailed(f"{self.path}: gives {_given(value)}; foreach goes through a list")

    def _json(self, value: Any, path: str) -> JSONValue:  # noqa: ANN401 - the library's
        """Turn a result into JSON, value by value.

        `plain_value` would do it at once, but in cel-expr-python 0.1.3 it takes a reference to None away with
        every null that it gives, and some thousand nulls later Python 3.11 ends with "deallocating None".
        """
        kind = value.type().name().partition("<")[0]
        match kind:
            case "NULL":
                return None
            case "LIST":
                return [self._json(item, f"{path}[{n}]") for n, item in enumerate(value.value())]
            case "MAP":
                return {
                    self._key(key, path): self._json(item, at_key(path, key))
                    for key, item in value.value().items()
                }
            case "ERROR":
                self._fail(str(value.plain_value()))
        if kind in _NOT_JSON:
            raise ExpressionFailed(f"{self.path}: {path} is {_GIVEN[kind]}, which is not JSON")
        try:
            return jsonify(value.plain_value(), path)
        except NotJSON as error:
            raise ExpressionFailed(f"{self.path}: {error}") from None

    def _key(self, key: object, path: str) -> str:
        if isinstance(key, str):
            return key
        raise ExpressionFailed(f"{self.path}: {path}: the key {key!r} is not a string")

    def _fail(self, text: str) -> NoReturn:
        from cairn_runtime.model.cel_messages import FIELD_OF_FIELD, runtime_problem  # noqa: PLC0415 - see below

        about, reason = runtime_problem(text)
        tree = self._tree()
        where = ""
        if tree is not None:
            places = tree.chained() if about == FIELD_OF_FIELD else tree.places(about) if about else []
            where = f"{self._place(places[0])}: " if len(places) == 1 else ""
            owner = next((read.root for read in tree.reads(VARIABLES) if read.name == about), None)
            reason = (
                _OWNERS[owner].format(about)
                if owner in _OWNERS and reason.startswith("there is no")
                else reason
            )
        raise ExpressionFailed(f"{self.path}: {where}{reason}")

    def _tree(self) -> Tree | None:
        try:
            return read_tree(self._program.serialize())
        except TreeUnreadable:
            return None

    def _place(self, offset: int) -> str:
        before = self.source[:offset]
        return _place(before.count("\n") + 1, offset - before.rfind("\n"), self.source)


def compile_expression(source: str, path: str, *, result: Result = "any") -> Expression:
    """Compile an expression found at `path`.

    Raises:
        ManifestInvalid: syntax, unknown names, types that cannot fit, too long, too deep; all that is wrong.
    """
    if len(source) > MAX_LENGTH:
        raise ManifestInvalid([Fault(path, f"longer than {MAX_LENGTH} characters; do this in a step")])
    try:
        program = _environment().compile(source)
    except RuntimeError as error:
        raise ManifestInvalid(_faults(str(error), path, source)) from None
    given = program.return_type().name().partition("<")[0]
    if result != "any" and given not in ("DYN", _WANTED[result][0]):
        raise ManifestInvalid([Fault(path, f"gives {_GIVEN.get(given, given)}; {_WANTED[result][1]}")])
    return Expression(source, path, program)


def _names(reads: list[Read] | None, root: str) -> Names:
    """Gather what is read of one variable; everything, where it cannot be told."""
    if reads is None:
        return Names(used=True, names=None)
    names = [read.name for read in reads if read.root == root]
    named = frozenset(name for name in names if name is not None)
    return Names(used=bool(names), names=None if None in names else named)


def _faults(text: str, path: str, source: str) -> list[Fault]:
    # The words are many regular expressions, and only a manifest with faults pays for them.
    from cairn_runtime.model.cel_messages import compile_problems  # noqa: PLC0415 - see above

    return [
        Fault(
            path,
            f"{_place(found.line, found.column, source)}: {found.message}" if found.line else found.message,
        )
        for found in compile_problems(text, source)
    ]


def _place(line: int, column: int, source: str) -> str:
    return f"line {line}, column {column}" if "\n" in source.rstrip("\n") else f"column {column}"


def _given(value: JSONValue) -> str:
    names = {
        int: "a number",
        float: "a number",
        str: "text",
        list: "a list",
        dict: "a map",
        bool: "a boolean",
    }
    return names.get(type(value), "null")


@cache
def _library() -> Any:  # noqa: ANN401 - the module itself
    from cel_expr_python import cel  # noqa: PLC0415 - only a manifest with an expression pays for it

    return cel


@cache
def _environment() -> cel.Env:
    return _library().NewEnv(variables=dict.fromkeys(VARIABLES, _library().Type.DYN))
