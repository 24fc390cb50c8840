"""Paths into a manifest or a JSON value, as every message shows them: `spec.steps[2].needs[0]`.

Keys that would not read as a name are quoted: `spec.code["steps.py"]`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*$", re.ASCII)
_SHOWN = 60


def at_key(path: str, key: str) -> str:
    """Go down into an object."""
    if not _NAME.match(key):
        import json  # noqa: PLC0415 - rarely wanted, and this module is loaded with every command

        shown = key if len(key) <= _SHOWN else key[: _SHOWN - 3] + "..."
        return f"{path}[{json.dumps(shown, ensure_ascii=False)}]"
    return f"{path}.{key}" if path else key


def at_index(path: str, index: int) -> str:
    """Go down into a list."""
    return f"{path}[{index}]"


def join(path: str, parts: Iterable[str | int]) -> str:
    """Go down several levels at once."""
    for part in parts:
        path = at_index(path, part) if isinstance(part, int) else at_key(path, part)
    return path
