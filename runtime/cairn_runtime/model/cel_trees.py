"""The syntax tree of a compiled CEL expression, read from the form in which the CEL library serialises it.

The library compiles and evaluates but does not show its tree; `serialize` gives a `CheckedExpr` in protobuf's
wire format, which is a published and stable schema.
The tree answers two questions: which channels, steps and inputs an expression reads, and where in the text an
operator or a name stands.
A form that is not understood gives no answer instead of a wrong one. No I/O.

Source: google/cel-spec, proto/cel/expr/{checked,syntax}.proto; protobuf.dev, "Encoding".
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

Fields = dict[int, list[int | bytes]]

VARIABLES = frozenset({"state", "visits", "input", "item"})
"""The names that an expression may read."""

_RESULTS = frozenset({"@result", "__result__"})
_CHECKED_EXPR, _SOURCE_INFO, _POSITIONS = 4, 5, 4
_FIXED = {1: 8, 5: 4}


class TreeUnreadable(ValueError):
    """The serialised form is not what this module knows."""


class Node(NamedTuple):
    """One expression inside another.

    `text` is the name of an identifier, the field of a selection, the function of a call, a constant string.
    `bound` are the names that a comprehension gives a meaning of its own inside.
    """

    id: int
    kind: str
    text: str
    children: tuple[Node, ...] = ()
    bound: frozenset[str] = frozenset()


class Read(NamedTuple):
    """A name that an expression reads from one of its variables; `name` is None where it takes the whole."""

    root: str
    name: str | None
    node: int
    """Id of the node, for `Tree.offset`."""
    tested: bool = False
    """Whether it is only asked for, by `has()`."""


class Tree(NamedTuple):
    """An expression's root, and where its nodes stand."""

    root: Node
    positions: tuple[bytes, ...]
    """Entries of the map from node ids to offsets; decoded when asked for, because only faults ask."""

    def reads(self, variables: frozenset[str]) -> list[Read]:
        """List what is read of the given variables, in the order of the text."""
        return list(_reads(self.root, variables))

    def offset(self, node: int) -> int:
        """Say at which character of the text a node stands; 0 where that is unknown."""
        entries = map(_fields, self.positions)
        return next((_int(entry, 2) for entry in entries if _int(entry, 1) == node), 0)

    def places(self, text: str) -> list[int]:
        """List the offsets of all selections, calls and constants with this text that somebody wrote."""
        return [
            self.offset(node.id) for node in _walk(self.root) if node.text == text and not _generated(node)
        ]

    def chained(self) -> list[int]:
        """List the offsets of the selections that take a field of what another selection or index gave."""
        chained = [
            node for node in _walk(self.root) if node.kind == "select" and node.children[0].kind != "ident"
        ]
        return [self.offset(node.id) for node in chained]

    def sole_read(self) -> Read | None:
        """Tell whether the expression is nothing but one name, such as `state.urls`, or one variable."""
        root = self.root
        if root.kind == "ident":
            return Read(root.text, None, root.id)
        if root.kind == "select" and root.children[0].kind == "ident" and not root.bound:
            return Read(root.children[0].text, root.text, root.id)
        return None


def read_tree(serialised: bytes) -> Tree:
    """Decode what `Expression.serialize` gave.

    Raises:
        TreeUnreadable: another format.
    """
    try:
        wrapped = _fields(serialised)
        checked = _fields(_bytes(wrapped, 2))
        positions = _fields(_bytes(checked, _SOURCE_INFO)).get(_POSITIONS, [])
        return Tree(
            _node(_bytes(checked, _CHECKED_EXPR)), tuple(e for e in positions if isinstance(e, bytes))
        )
    except (IndexError, KeyError, ValueError) as error:
        raise TreeUnreadable(str(error)) from error


def _reads(node: Node, variables: frozenset[str]) -> Iterator[Read]:
    kind, children = node.kind, node.children
    if kind == "ident":
        if node.text in variables:
            yield Read(node.text, None, node.id)
        return
    if children and children[0].kind == "ident" and children[0].text in variables:
        if kind in ("select", "has"):
            yield Read(children[0].text, node.text, node.id, kind == "has")
            return
        if kind == "call" and node.text == "_[_]" and children[1].kind == "string":
            yield Read(children[0].text, children[1].text, node.id)
            return
    for position, child in enumerate(children):
        # The list that a comprehension goes through is evaluated before its names exist.
        yield from _reads(child, variables if position == 0 else variables - node.bound)


def _generated(node: Node) -> bool:
    """Whether a call belongs to what a macro stands for: it works on the comprehension's own result."""
    return any(child.kind == "ident" and child.text in _RESULTS for child in node.children)


def _walk(node: Node) -> Iterator[Node]:
    yield node
    for child in node.children:
        yield from _walk(child)


def _node(data: bytes) -> Node:
    fields = _fields(data)
    number = _int(fields, 2)
    for kind, build in _BUILDERS.items():
        if kind in fields:
            return build(number, _fields(_bytes(fields, kind)))
    raise TreeUnreadable("an expression of no known kind")


def _const(number: int, body: Fields) -> Node:
    return Node(number, "string", _text(body, 6)) if 6 in body else Node(number, "const", "")


def _struct(number: int, body: Fields) -> Node:
    entries = [_fields(entry) for entry in body.get(2, []) if isinstance(entry, bytes)]
    return Node(number, "struct", "", tuple(node for e in entries for node in _nodes(e, 3) + _nodes(e, 4)))


def _comprehension(number: int, body: Fields) -> Node:
    bound = frozenset(_text(body, name) for name in (1, 3, 8) if name in body)
    parts = tuple(node for part in (2, 4, 5, 6, 7) for node in _nodes(body, part))
    return Node(number, "comprehension", "", parts, bound)


_BUILDERS: dict[int, Callable[[int, Fields], Node]] = {
    4: lambda number, body: Node(number, "ident", _text(body, 1)),
    3: _const,
    5: lambda number, body: Node(number, "has" if 3 in body else "select", _text(body, 2), _nodes(body, 1)),
    6: lambda number, body: Node(number, "call", _text(body, 2), _nodes(body, 1) + _nodes(body, 3)),
    7: lambda number, body: Node(number, "list", "", _nodes(body, 1)),
    8: _struct,
    9: _comprehension,
}
"""How each kind of `Expr` becomes a node, by its field number in syntax.proto."""


def _nodes(fields: Fields, number: int) -> tuple[Node, ...]:
    return tuple(_node(data) for data in fields.get(number, []) if isinstance(data, bytes))


def _int(fields: Fields, number: int) -> int:
    value = fields.get(number, [0])[0]
    return value if isinstance(value, int) else 0


def _bytes(fields: Fields, number: int) -> bytes:
    value = fields[number][0]
    if not isinstance(value, bytes):
        raise TreeUnreadable(f"field {number} is no message")
    return value


def _text(fields: Fields, number: int) -> str:
    return _bytes(fields, number).decode() if number in fields else ""


def _fields(data: bytes) -> Fields:
    """Split a message into its fields: varints as integers, all with a length as bytes."""
    out: Fields = {}
    at, end = 0, len(data)
    while at < end:
        tag, at = _varint(data, at)
        kind = tag & 7
        value: int | bytes
        if kind == 0:
            value, at = _varint(data, at)
        else:
            # Nearly every length is below 128 and fits a byte.
            length = data[at] if kind == 2 else _FIXED[kind]
            at += kind == 2
            if length > 0x7F:
                length, at = _varint(data, at - 1)
            value = data[at : at + length]
            at += length
        number = tag >> 3
        if number in out:
            out[number].append(value)
        else:
            out[number] = [value]
    return out


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = data[at]
    at += 1
    if value < 0x80:
        return value, at
    value &= 0x7F
    shift = 7
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
