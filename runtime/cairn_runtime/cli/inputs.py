"""From what was typed to JSON: `--input`, `--set`, `--patch`, `--value`.

Every fault names the option, and the line and column inside its text.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from cairn_runtime.errors import Fault, InvalidInput
from cairn_runtime.model.values import JSONObject, JSONValue, NotJSON, jsonify

_WORD = re.compile(r"[A-Za-z][\w .-]{0,40}\Z")
_EXAMPLE = """'{"tone": "dry"}'"""


def read_json(text: str, option: str) -> JSONValue:
    """Read JSON that was typed, or `@FILE`, or `@-` for standard input.

    Raises:
        InvalidInput: naming the option, and where in the text it stops being JSON.
    """
    source = option
    if text.startswith("@"):
        text, source = _file_text(text[1:], option), f"{option} {text}"
    try:
        return jsonify(json.loads(text, parse_constant=_no_constant))
    except json.JSONDecodeError as error:
        quoted = f"; a text is quoted twice: '\"{text}\"'" if _WORD.match(text) else ""
        place = f"line {error.lineno}, column {error.colno}"
        refuse(source, f"not JSON at {place}: {_problem(error, text)}{quoted}")
    except NotJSON as error:
        refuse(source, f"{error.path.removeprefix('value').lstrip('.') or 'it'}: {error.problem}")
    except (ValueError, RecursionError) as error:
        refuse(source, f"not JSON: {error}")


def read_object(text: str, option: str) -> JSONObject:
    """Read JSON that must be an object.

    Raises:
        InvalidInput: it is not.
    """
    value = read_json(text, option)
    if not isinstance(value, dict):
        refuse(option, f"must be a JSON object such as {_EXAMPLE}, not {json.dumps(value)[:40]}")
    return value


def set_values(into: JSONObject, settings: Sequence[str]) -> JSONObject:
    """Return a copy with each `a.b=value` set; a value that is no JSON is text.

    Raises:
        InvalidInput: no `=`, an empty name, or a way through something that is no object.
    """
    out = dict(into)
    for setting in settings:
        path, equals, text = setting.partition("=")
        names = path.split(".")
        if not equals or not all(names):
            refuse(
                "--set",
                f'"{setting}" is not name=value; write for example --set tone=dry or --set limits.pages=3',
            )
        _set(out, names, _json_or_text(text), setting)
    return out


def _set(out: JSONObject, names: list[str], value: JSONValue, setting: str) -> None:
    here = out
    for n, name in enumerate(names[:-1]):
        inner = here.get(name, {})
        if not isinstance(inner, dict):
            where = ".".join(names[: n + 1])
            refuse("--set", f'"{setting}": {where} is {json.dumps(inner)[:40]}, not an object')
        # The manifest's own object stays as it is.
        inner = dict(inner)
        here[name] = inner
        here = inner
    here[names[-1]] = value


def _json_or_text(text: str) -> JSONValue:
    try:
        return jsonify(json.loads(text, parse_constant=_no_constant))
    except (ValueError, RecursionError):
        return text


def _file_text(name: str, option: str) -> str:
    try:
        return sys.stdin.read() if name == "-" else Path(name).read_text(encoding="utf-8")
    except OSError as error:
        refuse(f"{option} @{name}", f"cannot be read: {error.strerror or error}")
    except UnicodeDecodeError:
        refuse(f"{option} @{name}", "not UTF-8; save the file as UTF-8")


def _problem(error: json.JSONDecodeError, text: str) -> str:
    if not text.strip():
        return "it is empty"
    hint = (
        " (the shell takes quotes away: put the whole JSON in '...')"
        if '"' not in text and ":" in text
        else ""
    )
    return error.msg[:1].lower() + error.msg[1:] + hint


def _no_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is not a JSON number")


def refuse(path: str, message: str) -> NoReturn:
    """Raise the one fault of an option or argument."""
    raise InvalidInput([Fault(path, message)])
