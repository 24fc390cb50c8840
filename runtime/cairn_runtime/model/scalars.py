"""What a plain YAML scalar means, exactly as kubectl sees it.

kubectl turns YAML into JSON with goyaml.v2, which is YAML 1.1 with exceptions: `y` and `n` are booleans,
`1:30` is text, `1e3` is a number, `0o17` and `017` are 15, timestamps stay text, and a float with no fraction
reaches the API server as an integer.
PyYAML's own resolver differs in each of these points, so it is not used.
Called by `reading` only. No I/O.

Source: kubernetes-sigs/yaml, goyaml.v2/resolve.go.
"""

from __future__ import annotations

import re
from math import isfinite

from cairn_runtime.model.values import JSONValue

_WORDS: dict[str, JSONValue] = {
    **dict.fromkeys(("y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"), True),
    **dict.fromkeys(("n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"), False),
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
}
_NOT_NUMBERS = frozenset(sign + word for word in (".inf", ".Inf", ".INF") for sign in ("", "+", "-")) | {
    ".nan",
    ".NaN",
    ".NAN",
}
_HINT = frozenset("0123456789+-.")
_DATE = re.compile(r"\d{4}-\d{1,2}-\d{1,2}([Tt ].*)?$", re.ASCII)
_INTEGER = re.compile(r"([-+]?)(?:0[xX]([0-9a-fA-F]+)|0[oO]?([0-7]+)|0[bB]([01]+)|(0|[1-9]\d*))$", re.ASCII)
_FLOAT = re.compile(r"[-+]?(\.\d+|\d+(\.\d*)?)([eE][-+]?\d+)?$", re.ASCII)
_INT_MIN, _INT_MAX = -(2**63), 2**64 - 1
_DIGITS_MAX = 80


class ScalarRefused(ValueError):
    """A scalar that YAML allows and JSON, or Cairn, does not."""


def resolve(text: str) -> JSONValue:
    """Say what an unquoted scalar means.

    Raises:
        ScalarRefused: not a number of JSON, or an integer beyond 64 bits.
    """
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in _HINT:
        return text
    if text in _NOT_NUMBERS:
        msg = f"{text} is not a JSON number"
        raise ScalarRefused(msg)
    return text if _DATE.match(text) else _number(text)


def whole(number: float) -> int | float:
    """Turn a float without a fraction into the integer that the API server would make of it."""
    if number.is_integer() and -(2.0**63) <= number < 2.0**63:
        return int(number)
    return number


def bounded(number: int) -> int:
    """Return an integer of 64 bits as it is.

    Raises:
        ScalarRefused: it is longer.
    """
    if _INT_MIN <= number <= _INT_MAX:
        return number
    msg = "an integer beyond 64 bits; write it in quotes"
    raise ScalarRefused(msg)


def _number(text: str) -> JSONValue:
    plain = text.replace("_", "")
    match = _INTEGER.match(plain)
    if match is not None:
        return bounded(_integer(match))
    if _FLOAT.match(plain if text[0] != "." else text):
        number = float(plain)
        return whole(number) if isfinite(number) else text
    return text


def _integer(match: re.Match[str]) -> int:
    sign, hexadecimal, octal, binary, decimal = match.groups()
    digits, base = next((d, b) for d, b in ((hexadecimal, 16), (octal, 8), (binary, 2), (decimal, 10)) if d)
    if len(digits) > _DIGITS_MAX:
        return _INT_MAX + 1
    return -int(digits, base) if sign == "-" else int(digits, base)
