"""Durations (`100ms`, `30s`, `5m`, `1h30m`, `7d`) and sizes (`64Ki`, `1Mi`) as users write them.

Inside they are seconds as `float` and bytes as `int`.
"""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import Field, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import core_schema

_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)", re.ASCII)
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_SIZE = re.compile(r"(\d{1,18})(Ki|Mi|Gi|Ti)?", re.ASCII)
_BYTES = {None: 1, "Ki": 1024, "Mi": 1024**2, "Gi": 1024**3, "Ti": 1024**4}
_TEXT_MAX = 32
MAX_SECONDS = 3650 * 86400.0
"""Ten years: longer waits are a mistake, and stay far inside what `datetime` can add."""


def parse_duration(text: object) -> float:
    """Read a duration into seconds.

    Raises:
        ValueError: not a duration, or over ten years.
    """
    if isinstance(text, bool) or not isinstance(text, str):
        msg = f"a duration is text with a unit, such as 100ms, 30s, 5m or 7d; {_shown(text)}"
        raise ValueError(msg)  # noqa: TRY004 - pydantic collects ValueErrors
    parts = _PART.findall(text) if len(text) <= _TEXT_MAX else []
    if not parts or "".join(n + unit for n, unit in parts) != text:
        msg = f'"{text[:_TEXT_MAX]}" is not a duration; write 100ms, 30s, 5m, 1h30m or 7d'
        raise ValueError(msg)
    seconds = sum(float(n) * _SECONDS[unit] for n, unit in parts)
    if seconds > MAX_SECONDS:
        msg = f'"{text}" is longer than ten years'
        raise ValueError(msg)
    return float(seconds)


def format_duration(seconds: float) -> str:
    """Write seconds as the shortest duration that reads back to the same number of milliseconds."""
    millis = round(seconds * 1000)
    if millis == 0:
        return "0s"
    out = ""
    for unit, size in (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)):
        count, millis = divmod(millis, size)
        out += f"{count}{unit}" if count else ""
    return out


def parse_size(text: object) -> int:
    """Read a size into bytes.

    Raises:
        ValueError: not a size.
    """
    match = None
    if isinstance(text, str | int) and not isinstance(text, bool):
        match = _SIZE.fullmatch(str(text))
    if match is None:
        msg = f"{text!r} is not a size; write 65536, 64Ki, 1Mi or 2Gi"
        raise ValueError(msg)
    return int(match[1]) * _BYTES[match[2]]


def _shown(value: object) -> str:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return f"write {value}s for {value} seconds"
    return f"this is {'null' if value is None else f'a {type(value).__name__}'}"


def _seconds(value: object, info: core_schema.ValidationInfo) -> float:
    """Read text; take seconds as `float` too, but from Python only: in a manifest a number has no unit."""
    if isinstance(value, float) and not (info.context or {}).get("manifest"):
        return value
    return parse_duration(value)


class _Text:
    """Tells pydantic how a duration is read, written and described.

    By the core schema itself: validators as decorators are inspected again for each of the many fields, which
    took a tenth of the time in which a manifest is validated.
    """

    def __get_pydantic_core_schema__(
        self, source: type[float], handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        written = core_schema.plain_serializer_function_ser_schema(
            format_duration, return_schema=core_schema.str_schema()
        )
        return core_schema.with_info_before_validator_function(
            _seconds, handler(source), serialization=written
        )

    def __get_pydantic_json_schema__(
        self, _schema: core_schema.CoreSchema, _handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {"type": "string", "pattern": r"^([0-9]+(\.[0-9]+)?(ms|s|m|h|d))+$", "maxLength": _TEXT_MAX}


Duration = Annotated[float, _Text()]
"""Seconds inside, duration text in the manifest; 0s is allowed."""

PositiveDuration = Annotated[float, Field(gt=0), _Text()]
"""The same, longer than 0s."""
