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

log = logging.getLogger("cairn.store")

FIRST_DELAY_SECONDS, LONGEST_DELAY_SECONDS = 0.05, 2.0
_T = TypeVar("_T")


async def insist(
    call: Callable[[], Awaitable[_T]], *, seconds: float, on_failure: Callable[[], None] | None = None
) -> _T:
    """Repeat a call that got no answer, with growing pauses, until the time is over.

    The time begins with the first call that failed: one that was slow and failed at last has used none of it.
    `on_failure` is called for each call that got no answer.

    Raises:
        StoreUnavailable: no answer within the time; whatever else the call raises.
    """
    give_up, delay = 0.0, FIRST_DELAY_SECONDS
    while True:
        try:
            return await call()
        except StoreError as error:
            if not error.retryable:
                raise
            if on_failure is not None:
                on_failure()
            now = time.monotonic()
            give_up = give_up or now + seconds
            if now + delay > give_up:
                raise
            log.warning("store did not answer", extra={"error": error.message, "retry_seconds": delay})
        await asyncio.sleep(delay)
        delay = min(delay * 2, LONGEST_DELAY_SECONDS)
