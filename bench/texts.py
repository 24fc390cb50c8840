"""The texts that both sides write: random, so that compression flatters nobody.

Base64 of random bytes, 1 KiB each; an ideal coder takes a quarter off it, and JSON can hardly carry more.
"""

from __future__ import annotations

import base64
import random

CHANNELS = 10
TEXT_BYTES = 1024


def text(n: int) -> str:
    """The `n`-th text, the same in every process."""
    return base64.b64encode(random.Random(n).randbytes(TEXT_BYTES * 3 // 4)).decode()  # noqa: S311 - no secret


TEXTS = tuple(text(n) for n in range(64))
INITIAL = {f"c{n}": text(1000 + n) for n in range(CHANNELS)}
"""The 10 KiB that a chain begins with."""
