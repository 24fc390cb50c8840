"""Asking a store again that did not answer.

Only what may be answered later is asked again (`StoreUnavailable`, `StoreLoginRefused`), and only with the
very same call: whoever calls passes one that gives the same answer twice (reads, and writes that carry their
own id).
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from cairn_runtime.errors import StoreError

log = logging.getLogger("cairn.runner")

FIRST_DELAY_SECONDS = 0.05
LONGEST_DELAY_SECONDS = 2.0
_T = TypeVar("_T")


async def insist(call: Callable[[], Awaitable[_T]], *, seconds: float) -> _T:
    """Repeat a call that got no answer, with growing pauses, until the time is over.

    Raises:
        StoreUnavailable: no answer within the time; whatever else the call raises.
    """
    give_up = time.monotonic() + seconds
    delay = FIRST_DELAY_SECONDS
    while True:
        try:
            return await call()
        except StoreError as error:
            if not error.retryable or time.monotonic() + delay > give_up:
                raise
            log.warning("store did not answer", extra={"error": error.message, "retry_seconds": delay})
        await asyncio.sleep(delay)
        delay = min(delay * 2, LONGEST_DELAY_SECONDS)
