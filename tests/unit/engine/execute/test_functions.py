from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import pytest

from cairn_runtime.engine.execute.functions import understand
from cairn_runtime.errors import StepUnusable

if TYPE_CHECKING:
    from cairn_runtime.engine.context import Context


def nothing():
    return ("called",)


def one(state):
    return (state,)


def two(state, ctx):
    return state, ctx


def named(state, *, ctx):
    return state, ctx


def with_default(state, retries=3):
    return state, retries


def default_context(state, ctx=None):
    return state, ctx


def annotated(state, way: Context | None = None):
    return state, way


def more_defaults(state, ctx, depth=1):
    return state, ctx, depth


def anything(*args):
    return args


def swallowed(function):
    def wrapper(*args, **kwargs):
        return function(*args, **kwargs)

    return wrapper


wrapped = functools.wraps(two)(swallowed(two))


class Called:
    def __call__(self, state, ctx):
        return state, ctx


class Method:
    def run(self, state):
        return (state,)


@pytest.mark.parametrize(
    ("found", "given"),
    [
        pytest.param(nothing, ("called",), id="no parameter"),
        pytest.param(one, ("S",), id="the state"),
        pytest.param(two, ("S", "C"), id="state and Context"),
        pytest.param(named, ("S", "C"), id="the Context by keyword only"),
        pytest.param(with_default, ("S", 3), id="a default of another kind is kept"),
        pytest.param(default_context, ("S", "C"), id="a default named ctx"),
        pytest.param(annotated, ("S", "C"), id="a default annotated as Context"),
        pytest.param(more_defaults, ("S", "C", 1), id="more parameters with defaults"),
        pytest.param(anything, ("S",), id="*args alone gets the state"),
        pytest.param(wrapped, ("S", "C"), id="a decorator that keeps the signature"),
        pytest.param(functools.partial(more_defaults, depth=5), ("S", "C", 5), id="a partial"),
        pytest.param(functools.partial(with_default, retries=1), ("S", 1), id="a partial with a keyword"),
        pytest.param(Called(), ("S", "C"), id="an object that can be called"),
        pytest.param(Called, ("S", "C"), id="a class of such objects"),
        pytest.param(Method().run, ("S",), id="a bound method"),
        pytest.param(lambda state: (state, "lambda"), ("S", "lambda"), id="a lambda"),
    ],
)
def test_a_function_gets_what_its_parameters_ask_for(found: object, given: tuple[object, ...]) -> None:
    """First the state, then the Context; nothing else is ever passed."""
    function = understand("steps:f", found)

    result = function.target(*("S", "C")[: function.shape])

    assert result == given


async def async_one(state): ...


class AsyncCalled:
    async def __call__(self, state): ...


@swallowed
async def hidden(state): ...


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        pytest.param(one, False, id="a plain function"),
        pytest.param(async_one, True, id="an async function"),
        pytest.param(
            functools.partial(functools.partial(async_one)), True, id="a partial of a partial of one"
        ),
        pytest.param(AsyncCalled(), True, id="an object with an async __call__"),
        pytest.param(AsyncCalled, True, id="its class"),
        pytest.param(Called(), False, id="an object with a plain __call__"),
        pytest.param(hidden, False, id="what a decorator hides is found out when it returns"),
    ],
)
def test_async_is_seen_through_partials_and_objects(found: object, expected: object) -> None:
    """A wrapper decides itself: it may run the coroutine on a loop of its own."""
    assert understand("steps:f", found).is_async is expected


def generator(state):
    yield state


async def async_generator(state):
    yield state


def three(state, ctx, other): ...


def strange(state, *, mode): ...


class Plain: ...


class Needy:
    def __init__(self, name): ...

    def __call__(self, state): ...


@pytest.mark.parametrize(
    ("found", "message"),
    [
        pytest.param(7, "is not a function but of type int", id="a number"),
        pytest.param(functools, r"is not a function but a module \(functools\)", id="a module"),
        pytest.param(generator, "is a generator", id="a generator"),
        pytest.param(async_generator, "is a generator", id="an async generator"),
        pytest.param(functools.partial(generator), "is a generator", id="a partial of one"),
        pytest.param(three, "has 3 parameters; a step takes", id="three required parameters"),
        pytest.param(strange, "needs mode=; a step takes", id="a required keyword of its own"),
        pytest.param(Plain, "objects cannot be called", id="a class without __call__"),
        pytest.param(Needy, r"Needy\(\) raised TypeError", id="a class that needs arguments"),
    ],
)
def test_what_cannot_be_a_step_is_told_in_words(found: Any, message: str) -> None:
    """StepUnusable names the reference and what to do."""
    with pytest.raises(StepUnusable, match=message) as caught:
        understand("steps:f", found)

    assert '"steps:f"' in str(caught.value)


def test_a_function_written_in_c_gets_the_state() -> None:
    """It tells nothing about its parameters."""
    assert understand("builtins:print", print).shape == 1
    assert understand("builtins:getattr", getattr).shape == 1
