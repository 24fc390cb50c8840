"""What a step's function is: async or not, and which of state and Context it takes.

    f()    f(state)    f(state, ctx)    f(state, *, ctx)

A second parameter gets the Context if it has no default, or is named or annotated as one: `retries=3` keeps
its 3.
Everything is found out once, so that a call costs one comparison.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from inspect import Parameter
from types import FunctionType
from typing import Any, Literal, TypeAlias

from cairn_runtime.engine.execute.faults import message_of
from cairn_runtime.errors import StepUnusable

Shape: TypeAlias = Literal[0, 1, 2]
"""How many arguments are passed: none, the state, the state and the Context."""
_TAKES = "a step takes (state) or (state, ctx)"
_GENERATORS = inspect.CO_GENERATOR | inspect.CO_ASYNC_GENERATOR | inspect.CO_ITERABLE_COROUTINE
_PLAIN: dict[int, Shape] = {1: 1, 2: 2}
_CONTEXT_NAMES = frozenset({"ctx", "context"})
_POSITIONAL = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)


@dataclass(frozen=True, slots=True)
class Function:
    """A step's function, ready to be called with `shape` arguments."""

    target: Callable[..., Any]
    shape: Shape
    is_async: bool


def understand(ref: str, found: object) -> Function:
    """Look at what `python:` names.

    Raises:
        StepUnusable: it cannot be called with a state and a Context, or is a generator.
    """
    if not callable(found):
        raise StepUnusable(f'python: "{ref}" is not a function but {_kind(found)}')
    if (plain := _plain(found)) is not None:
        return plain
    target: Callable[..., Any] = _instance(ref, found) if isinstance(found, type) else found
    code = _code_of(target)
    if inspect.isgeneratorfunction(code) or inspect.isasyncgenfunction(code):
        raise StepUnusable(f'python: "{ref}" is a generator; return a dict of writes in place of yield')
    shape, keyword = _shape(ref, target)
    is_async = inspect.iscoroutinefunction(code)
    return Function(target if keyword is None else _by_keyword(target, keyword), shape, is_async)


def _instance(ref: str, kind: type) -> Callable[..., Any]:
    """An object of a class whose objects can be called, made without arguments."""
    if not any("__call__" in base.__dict__ for base in kind.__mro__):
        raise StepUnusable(f'python: "{ref}" is a class whose objects cannot be called; give it __call__')
    try:
        made: Callable[..., Any] = kind()
    except BaseException as error:  # noqa: BLE001 - user code
        problem = f"{type(error).__name__}: {message_of(error)}"
    else:
        return made
    raise StepUnusable(f'python: "{ref}": {kind.__name__}() raised {problem}')


def _code_of(target: Callable[..., Any]) -> Callable[..., Any]:
    """What runs when the target is called: what a partial holds, an object's `__call__`."""
    while isinstance(target, functools.partial):
        target = target.func
    if inspect.isroutine(target):
        return target
    called: Callable[..., Any] = type(target).__call__
    return called


def _shape(ref: str, target: Callable[..., Any]) -> tuple[Shape, str | None]:
    """How many arguments to pass, and the name under which the Context goes if it is keyword-only."""
    try:
        parameters = list(inspect.signature(target).parameters.values())
    except (TypeError, ValueError):
        return 1, None  # a function written in C tells nothing
    places = [p for p in parameters if p.kind in _POSITIONAL]
    if len([p for p in places if p.default is Parameter.empty]) > 2:
        raise StepUnusable(f'python: "{ref}" has {len(places)} parameters; {_TAKES}')
    asked = [p for p in parameters if p.kind is Parameter.KEYWORD_ONLY and p.default is Parameter.empty]
    keyword = next((p.name for p in parameters if p.kind is Parameter.KEYWORD_ONLY and _is_context(p)), None)
    if strange := [p.name for p in asked if p.name != keyword]:
        raise StepUnusable(f'python: "{ref}" needs {strange[0]}=; {_TAKES}')
    if keyword is not None:
        return 2, keyword
    if len(places) >= 2 and (places[1].default is Parameter.empty or _is_context(places[1])):
        return 2, None
    return (1 if places or any(p.kind is Parameter.VAR_POSITIONAL for p in parameters) else 0), None


def _plain(found: object) -> Function | None:
    """The answer for `f(state)` and `f(state, ctx)`, sync or async; None where more has to be asked.

    A signature takes 10 us, and in a chain each step is looked at once. Decorators leave attributes behind.
    """
    if not isinstance(found, FunctionType) or vars(found) or found.__defaults__:
        return None
    code = found.__code__
    shape = _PLAIN.get(code.co_argcount)
    if shape is None or code.co_kwonlyargcount or code.co_flags & _GENERATORS:
        return None
    return Function(found, shape, bool(code.co_flags & inspect.CO_COROUTINE))


def _is_context(parameter: Parameter) -> bool:
    """Whether a parameter is named or annotated as a Context."""
    note = parameter.annotation
    text = note if isinstance(note, str) else getattr(note, "__name__", "")
    return parameter.name in _CONTEXT_NAMES or "Context" in text


def _by_keyword(target: Callable[..., Any], keyword: str) -> Callable[..., Any]:
    return lambda state, ctx: target(state, **{keyword: ctx})


def _kind(found: object) -> str:
    return f"a module ({found.__name__})" if inspect.ismodule(found) else f"of type {type(found).__name__}"
