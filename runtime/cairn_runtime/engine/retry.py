"""Whether a failed task is tried again, and after how long. Pure: randomness is an argument.

The four policies; `n` is the number of failed attempts of the task so far, from 1:

| policy | tries after the first | delay before the next try | jitter |
| --- | --- | --- | --- |
| Exponential | 3 | 100 ms x 2.0 ^ (n - 1), at most 30 s | yes |
| Fixed | 5 | 1 s | no: "fixed" is kept word by word |
| Adaptive | 3 | 100 ms; from the 3rd failure of the *step* in a row on x 1.5 for each, at most 30 s | yes |
| Emergency | 1 | 100 ms; the try itself is ended after 5 s (`maxDelay`) | no |

Jitter takes up to half of the delay away, so `maxDelay` is a true bound and tasks that failed together
do not come back together.
The engine asks `may_retry`, then `delay`, and gives the next attempt the time that `attempt_timeout` says.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias, assert_never

from cairn_runtime.errors import StepError, WriteRefused

if TYPE_CHECKING:
    from cairn_runtime.model.workflow import Retry

Policy: TypeAlias = Literal["Exponential", "Fixed", "Adaptive", "Emergency"]

LAST_TRY_SECONDS = 5.0
"""What an Emergency's last try may take at most, whatever `maxDelay` says."""
ADAPTIVE_AFTER = 3
"""Failures of a step in a row from which the Adaptive delay grows."""


@dataclass(frozen=True, slots=True)
class RetrySettings:
    """A retry policy with all its numbers."""

    policy: Policy
    limit: int
    base_seconds: float
    max_seconds: float
    multiplier: float
    errors: frozenset[str] | None = None
    """Only these class names are tried again; None: all that can be."""
    not_errors: frozenset[str] = frozenset()
    """These class names are never tried again."""


_DEFAULTS: dict[Policy, RetrySettings] = {
    "Exponential": RetrySettings("Exponential", 3, base_seconds=0.1, max_seconds=30.0, multiplier=2.0),
    "Fixed": RetrySettings("Fixed", 5, base_seconds=1.0, max_seconds=30.0, multiplier=1.0),
    "Adaptive": RetrySettings("Adaptive", 3, base_seconds=0.1, max_seconds=30.0, multiplier=1.5),
    "Emergency": RetrySettings(
        "Emergency", 1, base_seconds=0.1, max_seconds=LAST_TRY_SECONDS, multiplier=1.0
    ),
}


def resolve(step: Retry | None, default: Retry) -> RetrySettings:
    """Put numbers to a step's `retry`, or to the Workflow's where the step has none.

    A step's `retry` stands in place of the Workflow's as a whole: what it leaves out is the default of its
    policy, since a limit that was meant for one policy says nothing about another.
    """
    asked = default if step is None else step
    known = _DEFAULTS[asked.policy]
    return RetrySettings(
        policy=asked.policy,
        limit=known.limit if asked.limit is None else asked.limit,
        base_seconds=known.base_seconds if asked.base_delay is None else asked.base_delay,
        max_seconds=known.max_seconds if asked.max_delay is None else asked.max_delay,
        multiplier=known.multiplier if asked.multiplier is None else asked.multiplier,
        errors=None if asked.errors is None else frozenset(asked.errors),
        not_errors=frozenset(asked.not_errors),
    )


def may_retry(settings: RetrySettings, error: StepError) -> bool:
    """Whether this kind of failure is tried again at all; names are matched against the class and its bases.

    Only what user code or a command did, and overrunning a timeout, can end differently next time.
    Code that cannot be loaded, an expression that failed, a conflict, a missed deadline and used-up visits
    are the same next time, so `errors` cannot ask for them.
    A refused write is most often the same too; it is tried again only where `errors` says `WriteRefused`, for
    steps whose answer is not theirs, such as a language model's.
    """
    if not error.retryable:
        return False
    names = settings.errors
    if isinstance(error, WriteRefused):
        wanted = names is not None and error.error in names
    else:
        wanted = names is None or not names.isdisjoint(error.error_names)
    return wanted and settings.not_errors.isdisjoint(error.error_names)


def delay(settings: RetrySettings, failures: int, random: float, *, streak: int = 0) -> float | None:
    """Seconds before the next try after `failures` failed attempts of the task; None: give up.

    Args:
        settings: the policy.
        failures: failed attempts of this task so far, from 1.
        random: a number in [0, 1) for the jitter; 0 takes nothing away.
        streak: failures of the step in a row, over all its tasks, this one counted; for Adaptive.
    """
    if failures > settings.limit:
        return None
    match settings.policy:
        case "Exponential":
            return _grown(settings, failures - 1) * (1 - random / 2)
        case "Adaptive":
            return _grown(settings, max(0, streak - ADAPTIVE_AFTER + 1)) * (1 - random / 2)
        case "Fixed":
            return min(settings.base_seconds, settings.max_seconds)
        case "Emergency":
            return settings.base_seconds
        case _:
            assert_never(settings.policy)


def attempt_timeout(settings: RetrySettings, attempt: int, timeout_seconds: float | None) -> float | None:
    """The time that an attempt gets: the step's own timeout, and less for an Emergency's last try.

    Args:
        settings: the policy.
        attempt: number of the attempt, from 1.
        timeout_seconds: the step's timeout; None: none.
    """
    if settings.policy != "Emergency" or attempt == 1:
        return timeout_seconds
    short = min(settings.max_seconds, LAST_TRY_SECONDS)
    return short if timeout_seconds is None else min(short, timeout_seconds)


def _grown(settings: RetrySettings, times: int) -> float:
    """The base delay grown so many times, within the bound."""
    try:
        return min(settings.base_seconds * settings.multiplier**times, settings.max_seconds)
    except OverflowError:
        return settings.max_seconds
