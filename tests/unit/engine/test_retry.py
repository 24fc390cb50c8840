from __future__ import annotations

from typing import Any

import pytest

from cairn_runtime.engine.retry import RetrySettings, attempt_timeout, delay, may_retry, resolve
from cairn_runtime.errors import (
    ConflictingWrites,
    DeadlinePassed,
    ExpressionFailed,
    StepError,
    StepFailed,
    StepTimeout,
    StepUnusable,
    VisitsExhausted,
    WriteRefused,
)
from cairn_runtime.model.workflow import Retry


def settings(policy: str = "Exponential", **fields: Any) -> RetrySettings:
    return resolve(Retry.model_validate({"policy": policy, **fields}), Retry())


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        pytest.param(
            "Exponential", RetrySettings("Exponential", 3, 0.1, 30.0, 2.0), id="100 ms x 2.0, 3 times"
        ),
        pytest.param("Fixed", RetrySettings("Fixed", 5, 1.0, 30.0, 1.0), id="1 s, 5 times"),
        pytest.param("Adaptive", RetrySettings("Adaptive", 3, 0.1, 30.0, 1.5), id="grows by 1.5"),
        pytest.param("Emergency", RetrySettings("Emergency", 1, 0.1, 5.0, 1.0), id="one try of at most 5 s"),
    ],
)
def test_what_a_policy_leaves_out_has_the_policys_default(policy: str, expected: RetrySettings) -> None:
    """Every field may be null in the manifest."""
    assert settings(policy) == expected


def test_what_is_written_down_wins_over_the_policys_default() -> None:
    """Zero is a value, not an omission."""
    given = {"limit": 0, "baseDelay": "2s", "maxDelay": "1m", "multiplier": 3.0}

    result = settings("Fixed", **given, errors=["OSError"], notErrors=["ValueError"])

    assert result == RetrySettings(
        "Fixed", 0, 2.0, 60.0, 3.0, frozenset({"OSError"}), frozenset({"ValueError"})
    )


def test_a_steps_retry_replaces_the_workflows_as_a_whole() -> None:
    """The Workflow's limit was meant for its own policy."""
    default = Retry(policy="Fixed", limit=9)

    assert resolve(None, default).limit == 9
    assert resolve(Retry(policy="Exponential"), default) == settings("Exponential")


@pytest.mark.parametrize(
    ("policy", "fields", "streaks", "delays"),
    [
        pytest.param("Exponential", {}, None, [0.1, 0.2, 0.4, None], id="exponential doubles, 3 tries more"),
        pytest.param(
            "Exponential",
            {"limit": 4, "baseDelay": "10s"},
            None,
            [10.0, 20.0, 30.0, 30.0, None],
            id="exponential never waits longer than maxDelay",
        ),
        pytest.param("Exponential", {"limit": 0}, None, [None], id="limit 0 never tries again"),
        pytest.param("Fixed", {}, None, [1.0] * 5 + [None], id="fixed is the same each time"),
        pytest.param("Fixed", {"baseDelay": "1m"}, None, [30.0] * 5 + [None], id="fixed within maxDelay"),
        pytest.param("Emergency", {}, None, [0.1, None], id="emergency tries once more"),
        pytest.param(
            "Adaptive",
            {"limit": 6},
            [1, 2, 3, 4, 5, 6],
            [0.1, 0.1, 0.15, 0.225, 0.3375, 0.50625],
            id="adaptive grows from the third failure in a row",
        ),
        pytest.param(
            "Adaptive", {"limit": 6}, [3, 1, 2], [0.15, 0.1, 0.1], id="adaptive starts over after a success"
        ),
        pytest.param(
            "Adaptive", {}, [90], [30.0], id="adaptive within maxDelay, other tasks' failures counted"
        ),
    ],
)
def test_delays_follow_the_policy(
    policy: str, fields: dict[str, Any], streaks: list[int] | None, delays: list[float | None]
) -> None:
    """Without jitter the delays are those of the table in the module's docstring."""
    chosen = settings(policy, **fields)

    counted = streaks or [0] * len(delays)
    result = [delay(chosen, n, 0.0, streak=row) for n, row in enumerate(counted, 1)]

    assert result == [None if seconds is None else pytest.approx(seconds) for seconds in delays]


@pytest.mark.parametrize(
    ("policy", "least"),
    [("Exponential", 0.5), ("Adaptive", 0.5), ("Fixed", 1.0), ("Emergency", 1.0)],
    ids=["exponential: up to half less", "adaptive: up to half less", "fixed: none", "emergency: none"],
)
def test_jitter_only_takes_away(policy: str, least: float) -> None:
    """The largest random number gives the shortest delay; maxDelay stays a true bound."""
    chosen = settings(policy)
    whole = delay(chosen, 1, 0.0)

    shortest = delay(chosen, 1, 1.0)

    assert whole is not None
    assert shortest == pytest.approx(whole * least)


def test_a_delay_beyond_all_numbers_is_the_longest() -> None:
    """Growth by 100 a thousand times is no overflow."""
    chosen = settings(limit=1000, multiplier=100.0)

    assert delay(chosen, 1000, 0.0) == 30.0


def lost_connection() -> StepError:
    names = tuple(kind.__name__ for kind in ConnectionResetError.__mro__)
    return StepFailed("gone", error="ConnectionResetError", mro=names)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        pytest.param({}, True, id="everything that can be"),
        pytest.param({"errors": ["ConnectionResetError"]}, True, id="its own name"),
        pytest.param({"errors": ["OSError"]}, True, id="a base class"),
        pytest.param({"errors": ["ValueError"]}, False, id="another class"),
        pytest.param({"errors": []}, False, id="an empty list allows none"),
        pytest.param({"notErrors": ["OSError"]}, False, id="a base class is excluded"),
        pytest.param({"notErrors": ["ValueError"]}, True, id="another class is excluded"),
        pytest.param({"errors": ["OSError"], "notErrors": ["ConnectionError"]}, False, id="exclusion wins"),
    ],
)
def test_errors_and_not_errors_match_a_class_and_its_bases(fields: dict[str, Any], expected: object) -> None:
    """As `except` would."""
    assert may_retry(settings(**fields), lost_connection()) is expected


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (StepFailed("x"), True),
        (StepTimeout("x"), True),
        (StepUnusable("x"), False),
        (ConflictingWrites("x"), False),
        (ExpressionFailed("x"), False),
        (DeadlinePassed("x"), False),
        (VisitsExhausted("x"), False),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, StepError) else str(value),
)
def test_what_would_end_the_same_way_is_never_tried_again(error: StepError, expected: object) -> None:
    """Not even if `errors` names it."""
    assert may_retry(settings(), error) is expected
    assert may_retry(settings(errors=[type(error).__name__]), error) is expected


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        pytest.param({}, False, id="not by itself"),
        pytest.param({"errors": ["Exception"]}, False, id="not by a base class"),
        pytest.param({"errors": ["WriteRefused"]}, True, id="where it is named"),
        pytest.param(
            {"errors": ["WriteRefused"], "notErrors": ["StepError"]}, False, id="but exclusion wins"
        ),
    ],
)
def test_a_refused_write_is_tried_again_only_where_it_is_named(
    fields: dict[str, Any], expected: object
) -> None:
    """The same code mostly writes the same; who knows better says so."""
    assert may_retry(settings(**fields), WriteRefused("x")) is expected


@pytest.mark.parametrize(
    ("policy", "attempt", "timeout", "expected"),
    [
        pytest.param("Exponential", 3, 60.0, 60.0, id="other policies keep the step's timeout"),
        pytest.param("Exponential", 3, None, None, id="and none where there is none"),
        pytest.param("Emergency", 1, 60.0, 60.0, id="the first try is a whole one"),
        pytest.param("Emergency", 2, 60.0, 5.0, id="the last try is short"),
        pytest.param("Emergency", 2, None, 5.0, id="also where the step has no timeout"),
        pytest.param("Emergency", 2, 1.0, 1.0, id="but never longer than the step's own"),
    ],
)
def test_the_last_try_of_an_emergency_is_short(
    policy: str, attempt: int, timeout: float | None, expected: float | None
) -> None:
    """At most 5 s, so that a run is not held up before it is given up."""
    assert attempt_timeout(settings(policy), attempt, timeout) == expected


def test_max_delay_can_make_the_last_try_shorter_but_not_longer() -> None:
    """5 s is the promise; `maxDelay` may only tighten it."""
    assert attempt_timeout(settings("Emergency", maxDelay="2s"), 2, None) == 2.0
    assert attempt_timeout(settings("Emergency", maxDelay="60s"), 2, None) == 5.0
