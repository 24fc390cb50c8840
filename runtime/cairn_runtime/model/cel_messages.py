"""The CEL library's error texts in plain words.

The library reports as text: at compile time with line and column, at run time without any place.
What is not recognised is passed on as it came, so that a new release of the library only reads less well.
No I/O.
"""

from __future__ import annotations

import re
from typing import NamedTuple

MAX_LEVELS = 32
"""How deep the library lets an expression be nested; a chain of operators counts as nesting."""
MAX_ITERATIONS = 10_000
"""How many items all comprehensions of one evaluation may go through together, by the library."""


FIELD_OF_FIELD = "<field of a field>"
"""Stands for a place that the library does not name: a selection from what another one gave."""


class Problem(NamedTuple):
    """What is wrong; line and column count from 1, line 0 where there is no place."""

    line: int
    column: int
    message: str


_ENTRY = re.compile(r"^(?:[A-Z_]+: )?ERROR: <input>:(-?\d+):(-?\d+): (.*?)(?: \[[A-Z_]+\])?$", re.MULTILINE)
_MISMATCH = re.compile(r"(?:mismatched|extraneous) input '(.*)' expecting (.*)", re.DOTALL)
_NO_VIABLE = re.compile(r"no viable alternative at input '\.?(.*)'", re.DOTALL)
_TOKEN = re.compile(r"token recognition error at: '(.*)'", re.DOTALL)
_UNDECLARED = re.compile(r"undeclared reference to '([^']*)'")
_OVERLOAD = re.compile(r"found no matching overload for '([^']*)' applied to '\((.*)\)'")
_DASHED = re.compile(r"\b(state|visits|input|item)((?:\.\w+)*)\.(\w+(?:-\w+)+)")
_OPERATOR = re.compile(r"^[@_]?([^\w@]+|in)_?$")
_RUNTIME_OVERLOAD = re.compile(r"No matching overloads found : ([^(]+)(?:\((.*)\))?$")
_MISSING_KEY = re.compile(r'Key not found in map : ("?)(.*)\1$', re.DOTALL)
_BAD_INDEX = re.compile(r"Index error: index=(-?\d+) size=(\d+)")
_INDEX_TYPE = re.compile(r"Index error: expected integer type, got (\w+)")
_TYPES = {
    "int": "an integer", "int64": "an integer", "uint": "an integer", "uint64": "an integer",
    "double": "a float", "string": "text", "bool": "a boolean", "null_type": "null", "null": "null",
    "bytes": "bytes", "timestamp": "a timestamp", "duration": "a duration", "dyn": "a value",
    "google.protobuf.Timestamp": "a timestamp", "google.protobuf.Duration": "a duration",
}  # fmt: skip
_WORDS = {"true", "false", "null", "in"}


def compile_problems(text: str, source: str) -> list[Problem]:
    """Read what `compile` raised: one problem for a syntax error, all of them for names and types."""
    if not source.strip():
        return [Problem(0, 0, "the expression is empty")]
    found = [Problem(int(m[1]), int(m[2]), m[3]) for m in _ENTRY.finditer(text)]
    if "recursion" in text or not found:
        return [Problem(0, 0, _unplaced(text))]
    if found[0].message.startswith("Syntax error: "):
        found = [_nearest_syntax(found)]
    return [Problem(p.line, p.column, _compile_message(p, source)) for p in found if p.line > 0]


def _unplaced(text: str) -> str:
    if "recursion" in text:
        return f"nested deeper than {MAX_LEVELS} levels, or a chain of more than {MAX_LEVELS - 1} operators"
    return " ".join(re.sub(r"\[[A-Z_]+\]$|^[A-Z_]+: ", "", text).split())


def _nearest_syntax(found: list[Problem]) -> Problem:
    """Pick the first: what follows a syntax error are its echoes."""
    return found[0]._replace(message=found[0].message.removeprefix("Syntax error: "))


def _compile_message(problem: Problem, source: str) -> str:
    text = problem.message
    if match := _MISMATCH.search(text):
        return _unexpected(match[1], match[2])
    if match := _NO_VIABLE.search(text):
        return _no_viable(match[1])
    if match := _TOKEN.search(text):
        return _token(match[1])
    if match := _UNDECLARED.search(text):
        return _undeclared(match[1], problem, source)
    if match := _OVERLOAD.search(text):
        return _overload(match[1], match[2])
    return text


def _unexpected(found: str, expected: str) -> str:
    if found == "<EOF>":
        return (
            f"the expression ends where {expected} is missing"
            if len(expected) < 12
            else "the expression ends too early"
        )
    words = {"and": "&&", "or": "||", "not": "!", "is": "=="}
    return f'did not expect "{found}"' + (
        f'; CEL writes {words[found]} for "{found}"' if found in words else ""
    )


def _no_viable(found: str) -> str:
    if found in _WORDS:
        return f'"{found}" is a word of CEL; to read a key of this name write ["{found}"]'
    return f'did not expect "{found.strip()}"'


def _token(found: str) -> str:
    if found.strip() == "=":
        return 'did not expect "="; CEL compares with =='
    if found[0] in "'\"":
        return "a text is not closed, or holds an escape that CEL does not know"
    return f'"{found}" cannot stand in an expression outside of text in quotes'


def _undeclared(name: str, problem: Problem, source: str) -> str:
    lines = source.split("\n")
    line = lines[problem.line - 1] if problem.line <= len(lines) else ""
    for match in _DASHED.finditer(line):
        if match.start() < problem.column <= match.end() + 1:
            return f'a name with "-" needs brackets: {match[1]}{match[2]}["{match[3]}"]'
    if line[problem.column - 1 : problem.column] == "(":
        return f'unknown function "{name}", or not with so many arguments'
    root = name.partition(".")[0]
    return f'unknown name "{root}"; an expression reads state, visits, input and item'


def _overload(function: str, types: str) -> str:
    """Say why an operator or a function does not take these types, e.g. `_+_` and `int64, string`."""
    operator = _OPERATOR.match(function.replace("_", "")) if function != "_?_:_" else None
    names = [_type(t) for t in _split(types)]
    if function == "_?_:_":
        return f"both sides of a ? : must be of one type, not {_listed(names[1:])}"
    if operator is None:
        return f"{function}() does not take {_listed(names)}"
    hint = ""
    if {"a float", "an integer"} == set(names):
        hint = "; turn the integer into a float: 1.0 or double(...)"
    return f'"{operator[1]}" does not take {_listed(names)}{hint}'


def _split(types: str) -> list[str]:
    """Split `map(string, int), int` at the commas of the outer level."""
    out, depth = [""], 0
    for character in types:
        depth += (character == "(") - (character == ")")
        if character == "," and depth == 0:
            out.append("")
        else:
            out[-1] += character
    return [part.strip() for part in out]


def _type(name: str) -> str:
    for prefix, shown in (("list", "a list"), ("map", "a map"), ("type", "a type")):
        if name.startswith(prefix):
            return shown
    return _TYPES.get(name, f"a value of type {name}")


def _listed(names: list[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else "".join(names)


def runtime_problem(text: str) -> tuple[str, str]:
    """Read an evaluation's error: the text of the node it speaks of, as `Tree.places` takes it, and words."""
    text = re.sub(r"^[A-Z_]+: | \[[A-Z_]+\]$", "", text)
    if "Iteration budget" in text:
        return "", f"goes through {MAX_ITERATIONS:,} items or more; do this in a step"
    if match := _MISSING_KEY.search(text):
        return match[2], f"there is no {match[1]}{match[2]}{match[1]}"
    if match := _BAD_INDEX.search(text):
        return "_[_]", f"the list has no position {match[1]}, only {match[2]} items"
    if match := _INDEX_TYPE.search(text):
        return "_[_]", f"a list is indexed by integers, not by {_type(match[1])}"
    if match := _RUNTIME_OVERLOAD.search(text):
        return _runtime_overload(match[1].strip(), match[2])
    words = {
        "divide by zero": ("_/_", "division by zero"),
        "modulus by zero": ("_%_", "division by zero"),
        "Applying SELECT to non-message type": (
            FIELD_OF_FIELD,
            "reads a field of a value that has none, e.g. of null",
        ),
    }
    return words.get(text, ("", text))


def _runtime_overload(function: str, types: str | None) -> tuple[str, str]:
    if function == "<jump_condition>":
        return "_?_:_", "the condition before ? is neither true nor false"
    if function == "<iter_range>":
        return "", "goes through a value that is neither a list nor a map"
    if types is None:
        operator = _OPERATOR.match(function.replace("_", ""))
        if operator is not None and operator[1] in ("&&", "||", "!"):
            return function, f'"{operator[1]}" takes true and false only'
        if function == "@in":
            return function, '"in" looks into a list or a map only'
        return function, f'"{operator[1] if operator else function}" does not take these values'
    return function, _overload(function, types)
