"""The texts that all sides write: random, so that compression flatters nobody.

Base64 of random bytes; an ideal coder takes a quarter off it, and JSON can hardly carry more.
"""

from __future__ import annotations

import base64
import random
from functools import cache

CHANNELS = 10
TEXT_BYTES = 1024


def text(n: int, kib: int = 1) -> str:
    """The `n`-th text of a size, the same in every process."""
    return base64.b64encode(random.Random(n).randbytes(kib * TEXT_BYTES * 3 // 4)).decode()  # noqa: S311 - no secret


@cache
def large_texts(kib: int) -> tuple[str, ...]:
    """A few texts of a size, made before any clock runs."""
    return tuple(text(n, kib) for n in range(8))


TEXTS = tuple(text(n) for n in range(64))
INITIAL = {f"c{n}": text(1000 + n) for n in range(CHANNELS)}
"""The 10 KiB that a chain begins with."""
