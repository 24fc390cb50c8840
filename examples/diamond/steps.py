"""How many primes are there below a limit? A fast branch estimates, a slow one counts."""

from collections.abc import Mapping
from math import isqrt, log
from typing import Any

from cairn_runtime import SyncContext

PARTS = 20
"""In how many parts the counting is done; after each it is saved how far it came."""


def begin(state: Mapping[str, Any]) -> dict[str, Any]:
    """Refuse a limit for which the formulas do not hold."""
    if state["limit"] < 60_184:
        raise ValueError("the bounds hold from 60184 on; choose a larger limit")
    return {"order": "begin"}


def estimate(state: Mapping[str, Any]) -> dict[str, Any]:
    """Estimate by the prime number theorem."""
    return {"order": "estimate", "estimate": round(state["limit"] / log(state["limit"]))}


def bounds(state: Mapping[str, Any]) -> dict[str, Any]:
    """Bound the number from both sides.

    Source: Pierre Dusart, "Estimates of some functions over primes without R.H.", 2010.
    """
    n = state["limit"]
    return {"order": "bounds", "low": int(n / (log(n) - 1)), "high": int(n / (log(n) - 1.1))}


def guess(state: Mapping[str, Any]) -> dict[str, Any]:
    """Guess the middle of the bounds."""
    return {"order": "guess", "guess": (state["low"] + state["high"]) // 2}


def count(state: Mapping[str, Any], ctx: SyncContext) -> dict[str, Any]:
    """Count the primes one by one, and remember how far it came.

    If the process dies in the middle, the next call finds in `ctx.progress.value` what was saved last and
    goes on there.
    """
    limit = state["limit"]
    size = -(-limit // PARTS)
    done = ctx.progress.value or {"part": 0, "primes": 0}
    ctx.log.info("begins at part %d of %d", done["part"] + 1, PARTS)
    divisors = primes_below(isqrt(limit) + 1)
    for part in range(done["part"], PARTS):
        numbers = range(max(2, part * size), min(limit, (part + 1) * size))
        found = sum(is_prime(n, divisors) for n in numbers)
        done = {"part": part + 1, "primes": done["primes"] + found}
        ctx.progress.save(done)
        if done["part"] % 5 == 0:
            ctx.log.info("counted %d of %d parts", done["part"], PARTS)
    return {"order": "count", "primes": done["primes"]}


def compare(state: Mapping[str, Any]) -> dict[str, Any]:
    """Say how good the guess was."""
    primes, off = state["primes"], abs(state["guess"] - state["primes"])
    inside = "inside" if state["low"] <= primes <= state["high"] else "outside"
    return {"order": "compare", "verdict": f"{primes} primes, {inside} the bounds; the guess was {off} off"}


def is_prime(n: int, divisors: list[int]) -> bool:
    """Try every prime up to the root of n."""
    root = isqrt(n)
    for divisor in divisors:
        if divisor > root:
            return True
        if n % divisor == 0:
            return False
    return True


def primes_below(limit: int) -> list[int]:
    """All primes below a limit, by the sieve."""
    is_left = bytearray([1]) * limit
    for n in range(2, isqrt(limit) + 1):
        if is_left[n]:
            is_left[n * n :: n] = bytes(len(range(n * n, limit, n)))
    return [n for n in range(2, limit) if is_left[n]]
