"""Runs, checkpoints, states and findings as lines for people; pure, the present is passed in.

Ids are shown by their last 8 characters, which every verb takes back.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from datetime import datetime

from cairn_runtime.cli.patches import Change
from cairn_runtime.cli.views.texts import Column, cells, cut, pad, plain, short, table
from cairn_runtime.cli.views.units import age, moment, size
from cairn_runtime.model.ids import parse_task_key, short_id, task_key
from cairn_runtime.model.values import JSONObject, JSONValue
from cairn_runtime.runner.naming import run_name, workflow_name
from cairn_runtime.store.base import Checkpoint, Run, Wait

STALE_SECONDS = 15.0
"""A runner shows itself every 5 s; after three missed times nobody is believed to be there."""
_RUNS = (
    Column("RUN"),
    Column("WORKFLOW", shrinks=True),
    Column("PHASE", shrinks=True),
    Column("HEAD", right=True),
    Column("FROM"),
    Column("UPDATED", right=True),
)
_CHECKPOINTS = (
    Column("SEQ", right=True),
    Column("STEP", shrinks=True),
    Column("NEXT", shrinks=True),
    Column("SIZE", right=True),
    Column("ID"),
    Column("AGE", right=True),
)
_OF_ALL = (Column("WORKFLOW", shrinks=True), Column("RUN"))
_VALUE = 60
"""Columns that a value may take inside a line."""
_SIGNS = {"add": "+", "remove": "-", "replace": "~"}


def run_lines(runs: Iterable[Run], now: datetime, width: int) -> list[str]:
    """A table of runs."""
    rows = [
        (
            short_id(run.run_id),
            run_name(run),
            phase_text(run, now),
            str(run.head_seq),
            f"{short_id(run.origin.run_id)}/{run.origin.seq}" if run.origin else "",
            age(run.updated_at, now),
        )
        for run in runs
    ]
    return table(_RUNS, rows, width)


def phase_text(run: Run, now: datetime) -> str:
    """The phase, and what a person would ask next: why it failed, what it waits for, who runs it."""
    if run.phase == "Waiting":
        return f"Waiting ({', '.join(dict.fromkeys(_step_of(wait) for wait in run.waits))})"
    if run.phase == "Running":
        gone = runner_gone(run, now)
        return f"Running ({gone})" if gone else "Running"
    return f"{run.phase} ({run.reason})" if run.phase == "Failed" and run.reason else run.phase


def runner_gone(run: Run, now: datetime) -> str:
    """Say since when nobody works on a run that should be worked on; empty where somebody does."""
    if run.phase != "Running":
        return ""
    seen = run.heartbeat_at
    if run.reason == "Drained":
        return f"drained {age(run.updated_at, now)} ago"
    if seen is None or (now - seen).total_seconds() <= STALE_SECONDS:
        return ""
    return f"no runner for {age(seen, now)}"


def checkpoint_lines(
    checkpoints: Iterable[Checkpoint], now: datetime, width: int, *, names: dict[str, str] | None = None
) -> list[str]:
    """A table of checkpoints; with `names` (Workflow by run id) of several runs."""
    columns = (*_OF_ALL, *_CHECKPOINTS) if names is not None else _CHECKPOINTS
    rows = []
    for c in checkpoints:
        row = (
            str(c.seq),
            task_text(c),
            next_text(c.next),
            size(c.size),
            short_id(c.id),
            age(c.created_at, now),
        )
        rows.append(row if names is None else (names[c.run_id], short_id(c.run_id), *row))
    return table(columns, rows, width)


def task_text(checkpoint: Checkpoint) -> str:
    """The task that a checkpoint is named after; a run's first one stands after none."""
    if checkpoint.step:
        if not checkpoint.visit:
            return checkpoint.step
        return task_key(checkpoint.step, checkpoint.visit, checkpoint.item)
    return "(fork)" if "origin" in checkpoint.metadata else "(start)"


def next_text(names: Sequence[str], most: int = 2) -> str:
    """The first names of what comes next, and how many more; `(end)` where nothing does."""
    if not names:
        return "(end)"
    more = len(names) - most
    return ", ".join(names[:most]) + (f" +{more}" if more > 0 else "")


def show_lines(
    checkpoint: Checkpoint, run: Run, events: Sequence[JSONValue], now: datetime, width: int
) -> list[str]:
    """One checkpoint in full, and what happened in it."""
    created = f"{moment(checkpoint.created_at, now)} ({age(checkpoint.created_at, now)} ago)"
    facts = {
        "checkpoint": checkpoint.id,
        "run": f"{checkpoint.run_id} ({workflow_name(run)})",
        "seq": f"{checkpoint.seq} of {run.head_seq}",
        "after": task_text(checkpoint),
        "next": next_text(checkpoint.next, 8),
        "kind": f"{checkpoint.kind}, {size(checkpoint.size)}, format {checkpoint.format_version}",
        "epoch": str(checkpoint.epoch),
        "created": created,
        "hash": checkpoint.hash,
        "parent": checkpoint.parent_hash,
    }
    if checkpoint.metadata:
        facts["metadata"] = short(checkpoint.metadata, max(width - 12, 20))
    shown = [f"{pad(name, 10)}  {plain(text)}" for name, text in facts.items()]
    return [*shown, "", *event_lines(events, width)]


def event_lines(events: Sequence[JSONValue], width: int) -> list[str]:
    """The events of a checkpoint, one a line: what it is, then which task and what came of it."""
    room = max(width - 8, 20)
    shown = [event for event in events if isinstance(event, list) and event]
    lines = [
        f"{pad(plain(str(event[0])), 6)}  {cut(plain(_event_text(event)), room)}".rstrip() for event in shown
    ]
    return lines or ["(no events)"]


def _event_text(event: list[JSONValue]) -> str:  # noqa: PLR0911 - one return for each kind of event
    """What an event says; see `engine.apply` for the shapes. One that is not known shows as it is."""
    match event:
        case ["ready", str(step), int(visit), *_]:
            return task_key(step, visit)
        case ["enter", str(step), int(visit), _, list(items), *_]:
            return f"{task_key(step, visit)} with {len(items)} items"
        case ["done", str(step), int(visit), list(targets)] | [
            "skip",
            str(step),
            int(visit),
            _,
            list(targets),
        ]:
            return f"{task_key(step, visit)} → {', '.join(map(str, targets)) or '(end)'}"
        case ["write", str(channel), str(op), value, str(task)]:
            return f"{channel} {op} {short(value, _VALUE)}" + (f" by {task}" if task else "")
        case ["key" | "item" | "woke", str(step), int(visit), int() | None as item, value]:
            return f"{task_key(step, visit, item)} {short(value, _VALUE)}"
        case ["tried", str(step), int(visit), int() | None as item, str(error), str(message)]:
            return f"{task_key(step, visit, item)} {error}: {message}"
        case ["failed", str(step), int(visit), int() | None as item, dict(failure), *_]:
            task = task_key(step, visit, item) if step else "the run"
            return f"{task} {failure.get('error')}: {failure.get('message')}"
        case ["parked", str(step), int(visit), int() | None as item, dict(wait)]:
            return f"{task_key(step, visit, item)} {wait.get('kind')} {wait.get('message', '')}"
        case _:
            return " ".join(part if isinstance(part, str) else short(part, _VALUE) for part in event[1:])


def state_lines(state: JSONObject, width: int) -> list[str]:
    """A table of channels and their values, cut to the line."""
    if not state:
        return ["(no channel has a value)"]
    names = max(*(min(cells(name), 30) for name in state), len("CHANNEL"))
    rows = [
        (name, _amount(value), short(value, max(width - names - 14, 20))) for name, value in state.items()
    ]
    return table((Column("CHANNEL"), Column("TYPE"), Column("VALUE", shrinks=True)), rows, width)


def _amount(value: JSONValue) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case int() | float():
            return "number"
        case str():
            return "text"
        case list():
            return f"list {len(value)}"
        case _:
            return f"object {len(value)}"


def change_lines(changes: Iterable[Change], width: int) -> list[str]:
    """A difference: `+` came, `-` went, `~` changed from one value to another."""
    rows = list(changes)
    names = min(max((cells(plain(c.path or "/")) for c in rows), default=0), width // 2)
    room = max(width - names - 4, 16)
    out = []
    for change in rows:
        match change.op:
            case "replace":
                value = f"{short(change.before, room // 2 - 2)} → {short(change.value, room // 2 - 2)}"
            case "remove":
                value = short(change.before, room)
            case _:
                value = short(change.value, room)
        out.append(f"{_SIGNS[change.op]} {pad(plain(change.path or '/'), names)}  {value}")
    return out


def wait_lines(waits: Iterable[Wait], who: str, now: datetime, more: str = "") -> list[str]:
    """What a run waits for, and how each wait is answered.

    Args:
        waits: the waits.
        who: what names the run in a command.
        now: the present.
        more: the end of each command.
    """
    out: list[str] = []
    for wait in waits:
        out.append(f"{_step_of(wait)} waits {_wait_text(wait, now)}")
        out += [f"  {line}" for line in _answer_lines(wait, who, more)]
    return out


def _answer_lines(wait: Wait, who: str, more: str) -> list[str]:
    """The exact commands that answer a wait, and what may go with them; none for one that only time ends."""
    if wait.kind == "approval":
        step = shlex.quote(_step_of(wait))
        lines = [f"cairn {verb} {who} --step {step}{more}" for verb in ("approve", "reject")]
        return lines if wait.schema is None else [*lines, f"with a value: --value JSON, {_fitting(wait)}"]
    if not wait.name:
        return []
    if wait.schema is None:
        return [f"cairn signal {who} {wait.name}{more}"]
    return [f"cairn signal {who} {wait.name} JSON{more}", f"where JSON is a value, {_fitting(wait)}"]


def _fitting(wait: Wait) -> str:
    return f"fitting {short(wait.schema, _VALUE)}"


def _wait_text(wait: Wait, now: datetime) -> str:
    what = {"approval": "for an approval", "signal": f"for the signal {wait.name}", "sleep": "", "park": ""}[
        wait.kind
    ]
    if wait.kind == "park" and wait.name:
        what = f"for the signal {wait.name}"
    if wait.until is not None:
        what = f"{what} until {moment(wait.until, now)}".strip()
    if wait.deadline is not None:
        what += f" (at most until {moment(wait.deadline, now)})"
    return f"{what}: {plain(wait.message)}" if wait.message else what


def _step_of(wait: Wait) -> str:
    """The step's name, with its position in a foreach: what `--step` takes."""
    try:
        step, _, item = parse_task_key(wait.task)
    except ValueError:
        return plain(wait.task)
    return step if item is None else wait.task
