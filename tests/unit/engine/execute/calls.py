"""Builders for the tests of executors: a port that remembers, a call with defaults, a step by its fields."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cairn_runtime.engine.context import Call, State
from cairn_runtime.engine.execute import Action, CodeSource, Executor, Returned
from cairn_runtime.model.workflow import Step


class Port:
    """The engine's side of a Context: keeps what it was asked, and refuses with what it was given."""

    def __init__(self, refusal: BaseException | None = None) -> None:
        self.draining = False
        self.checkpoints: list[tuple[dict[str, object], str | None]] = []
        self.saved: list[object] = []
        self.refusal = refusal

    async def checkpoint(self, writes: Mapping[str, object], key: str | None) -> None:
        if self.refusal is not None:
            raise self.refusal
        self.checkpoints.append((dict(writes), key))

    async def save_progress(self, value: object) -> None:
        if self.refusal is not None:
            raise self.refusal
        self.saved.append(value)


def make_call(state: Mapping[str, Any] | None = None, **changed: Any) -> Call:
    """One attempt of the task `draft#1`."""
    fields: dict[str, Any] = {
        "run_id": "run-1",
        "task": "draft#1",
        "step": "draft",
        "visit": 1,
        "index": None,
        "item": None,
        "attempt": 1,
        "key_base": "base",
        "state": State(state or {}),
        "progress": None,
        "signal": None,
        "timeout_seconds": None,
        "port": Port(),
    }
    return Call(**{**fields, **changed})


def make_step(**fields: Any) -> Step:
    """A step named `draft`; durations may be given as seconds."""
    return Step.model_validate({"name": "draft", **fields})


def with_code(code: str) -> Executor:
    """An executor whose code is one module named `steps`."""
    return Executor(code=CodeSource(inline={"steps.py": code}))


async def run_once(executor: Executor, call: Call | None = None, **step: Any) -> Returned:
    """Make a step ready, run one attempt, and let go of the executor."""
    try:
        action: Action = executor.prepare(make_step(**step))
        return await executor.execute(action, make_call() if call is None else call)
    finally:
        await executor.close()
