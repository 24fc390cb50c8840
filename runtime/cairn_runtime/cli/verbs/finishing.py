"""From a verb's coroutine to its exit code; the event loop is loaded by the first verb that needs one."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any


def finish(verb: Coroutine[Any, Any, int]) -> int:
    """Run a verb to its end."""
    import asyncio

    return asyncio.run(verb)
