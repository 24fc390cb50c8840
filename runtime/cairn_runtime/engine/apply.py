"""Events: the facts of a run's log, and what each does to the run's state.

An event is a JSON array whose first element is its kind:

    ["token", step]                                        an entry gets its first token
    ["ready", step, visit, taken]                          tokens were used, the step has a task
    ["enter", step, visit, taken, items, skipped]          the same for a foreach, with its list
    ["skip", step, visit, taken, targets]                  `when` was false; counts as a visit and as done
    ["write", channel, op, operand, task]                  a stored write
    ["key", step, visit, item, key]                        a mid-step checkpoint of a task
    ["item", step, visit, item, result]                    an item is done
    ["done", step, visit, targets]                         a step is done; tokens go to the targets
    ["tried", step, visit, item, error, message]           an attempt failed and another one follows
    ["failed", step, visit, item, failure, targets]        a task failed for good; targets: its `catch`
    ["parked", step, visit, item, wait]                    a task waits
    ["woke", step, visit, item, answer]                    its wait is over, it is ready again

Pure. `apply` trusts live events; on folded ones whatever does not fit raises KeyError, TypeError, ValueError
or IndexError, which `fold` turns into `CheckpointCorrupted`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

from cairn_runtime.channels.reducers import fold
from cairn_runtime.engine.frontier import Group, RunState, Task, wait_from_json

Event: TypeAlias = list[Any]


def apply(state: RunState, event: Event) -> None:
    """Change the state by one event."""
    state.position += 1
    _APPLY[event[0]](state, event)


def _token(state: RunState, event: Event) -> None:
    _give(state, "", (event[1],))


def _give(state: RunState, source: str, targets: Iterable[str]) -> None:
    for target in targets:
        held = state.tokens.get(target)
        if held is None:
            state.tokens[target] = [source]
        else:
            held.append(source)


def _take(state: RunState, step: str, count: int) -> None:
    left = state.tokens.pop(step)[count:]
    if left:
        state.tokens[step] = left


def _ready(state: RunState, event: Event) -> None:
    _, step, visit, taken = event
    _take(state, step, taken)
    state.visits[step] = visit
    state.tasks[step] = Task(step, visit, None, state.position)


def _enter(state: RunState, event: Event) -> None:
    _, step, visit, taken, items, skipped = event
    _take(state, step, taken)
    state.visits[step] = visit
    state.groups[step] = Group(step, visit, state.position, items, skipped=skipped)


def _skip(state: RunState, event: Event) -> None:
    _, step, visit, taken, targets = event
    _take(state, step, taken)
    state.visits[step] = visit
    if step in state.skip_once:
        state.skip_once.remove(step)
    _end(state, step, targets)


def _end(state: RunState, step: str, targets: Iterable[str]) -> None:
    state.ended[step] = state.ended.get(step, 0) + 1
    _give(state, step, targets)


def _write(state: RunState, event: Event) -> None:
    _, channel, op, operand, task = event
    state.channels[channel] = fold(op, state.channels.get(channel), operand)
    if op == "replace":
        state.changed[channel] = (state.position, task)


def _key(state: RunState, event: Event) -> None:
    _, step, _visit, item, key = event
    state.task(step, item).keys.append(key)


def _item(state: RunState, event: Event) -> None:
    _, step, _visit, item, result = event
    group = state.groups[step]
    group.results[item] = result
    task = group.open.pop(item, None)
    if task is not None and task.wait is not None:
        del state.waiting[task.key]


def _done(state: RunState, event: Event) -> None:
    _, step, _visit, targets = event
    state.close(step)
    _end(state, step, targets)


def _tried(state: RunState, event: Event) -> None:
    _, step, _visit, item, _error, _message = event
    state.task(step, item).failures += 1


def _failed(state: RunState, event: Event) -> None:
    _, step, _visit, item, failure, targets = event
    if item is not None:
        state.groups[step].failure = failure
    elif targets:
        state.close(step)
        _give(state, step, targets)
    else:
        state.failure = failure


def _parked(state: RunState, event: Event) -> None:
    _, step, _visit, item, wait = event
    task = state.task(step, item)
    task.wait = wait_from_json(wait)
    state.waiting[task.key] = task


def _woke(state: RunState, event: Event) -> None:
    _, step, _visit, item, answer = event
    task = state.task(step, item)
    task.wait = None
    task.answer = answer
    del state.waiting[task.key]


_APPLY: dict[str, Callable[[RunState, Event], None]] = {
    "token": _token,
    "ready": _ready,
    "enter": _enter,
    "skip": _skip,
    "write": _write,
    "key": _key,
    "item": _item,
    "done": _done,
    "tried": _tried,
    "failed": _failed,
    "parked": _parked,
    "woke": _woke,
}
