"""From a verb's coroutine to its exit code; the event loop is loaded by the first verb that needs one."""

from __future__ import annotations

import gc
from collections.abc import Coroutine
from typing import Any, TypeVar

_T = TypeVar("_T")


def finish(work: Coroutine[Any, Any, _T]) -> _T:
    """Run to the end, with the collector on: from here on it may take long."""
    import asyncio

    gc.enable()
    return asyncio.run(work)
