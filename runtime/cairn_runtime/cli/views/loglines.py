"""Lines of a runner's log as people read them; pure.

A runner writes JSON; what a step prints, or a program that it starts, stays as it is.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from cairn_runtime.cli.cluster.facts import moment_of, text_of
from cairn_runtime.cli.views.texts import plain
from cairn_runtime.model.values import JSONObject

_OWN = frozenset({"time", "level", "logger", "message", "run_id", "epoch", "traceback", "task"})


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which lines are shown; empty: all."""

    step: str = ""
    task: str = ""


def parsed(line: str) -> JSONObject | None:
    """A line of the runner's own; None: somebody else's."""
    if not line.startswith("{"):
        return None
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) and "message" in found else None


def is_wanted(line: str, wanted: Wanted) -> bool:
    """Whether a line is of the task that was asked for; a line that names none is of no one."""
    if not (wanted.step or wanted.task):
        return True
    found = parsed(line) or {}
    task, step = text_of(found.get("task")), text_of(found.get("step"))
    if wanted.task:
        return task == wanted.task
    return step == wanted.step or task.partition("#")[0] == wanted.step


def readable(line: str) -> list[str]:
    """A line for people: when, how bad, which task, what, and what belongs to it; the traceback below."""
    found = parsed(line)
    if found is None:
        return [plain(line)]
    at = moment_of(found.get("time")).astimezone().strftime("%H:%M:%S")
    level = text_of(found.get("level"))
    shown = level.upper() if level in ("warning", "error", "critical") else ""
    task = text_of(found.get("task"))
    words = [word for word in (at, shown, task, text_of(found.get("message"))) if word]
    keys = [f"{name}={_short(value)}" for name, value in found.items() if name not in _OWN]
    lines = [plain("  ".join([" ".join(words), *keys]))]
    return lines + [f"    {plain(one)}" for one in text_of(found.get("traceback")).splitlines()]


def _short(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
