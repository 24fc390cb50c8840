"""A step made ready to be called: everything that can be known before the first attempt."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Never

from cairn_runtime.engine.execute.functions import Shape, understand
from cairn_runtime.engine.execute.loading import Loader
from cairn_runtime.errors import StepUnusable
from cairn_runtime.model.workflow import Step

SHELL = ("/bin/sh", "-c")


class Returned(NamedTuple):
    """What a task gave back: its raw value, and the step that it chose with `ctx.goto`."""

    value: object
    goto: str | None = None


def _no_function(*_: object) -> Never:
    raise AssertionError("a command has no function")


@dataclass(frozen=True, slots=True)
class Action:
    """How a step is run. `collects`: the value is an item's result and no dict of writes."""

    kind: Literal["async", "sync", "command"]
    step: str
    collects: bool = False
    ref: str = ""
    function: Callable[..., Any] = _no_function
    shape: Shape = 1
    argv: tuple[str, ...] = ()


def ready(step: Step, loader: Callable[[], Loader]) -> Action:
    """Decide how a step is run; its code is loaded, its arguments are looked at.

    Raises:
        StepUnusable: it cannot be run.
        ValueError: the step waits (approval, signal, sleep) and has nothing to run.
    """
    collects = step.foreach is not None and step.foreach.collect is not None
    if step.python is not None:
        found = understand(step.python, loader().find(step.python))
        kind: Literal["async", "sync"] = "async" if found.is_async else "sync"
        return Action(kind, step.name, collects, step.python, found.target, found.shape)
    if step.run is not None:
        return Action("command", step.name, collects, argv=_sound((*SHELL, step.run), "run"))
    if step.argv is not None:
        return Action("command", step.name, collects, argv=_sound(tuple(step.argv), "argv"))
    raise ValueError(f"step {step.name} has nothing to run")


def _sound(argv: tuple[str, ...], field: str) -> tuple[str, ...]:
    """Refuse what no program can be given."""
    for n, text in enumerate(argv):
        if "\0" in text:
            where = field if field == "run" else f"argv[{n}]"
            raise StepUnusable(f"{where}: a null byte cannot be passed to a program")
    if not argv[0]:
        raise StepUnusable("argv[0]: the program's name is empty")
    return argv
