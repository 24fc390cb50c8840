"""What the engine tells whoever traces a run: a port, with nothing behind it unless somebody asks for traces.

The loop says that an attempt of a task begins and how it ended, and that a save is under way.
Law: nothing here knows a tracing library, no call waits or raises, and no value of the state passes through.
What is behind it is `runner.traces.Guarded`, and behind that `runner.otel`.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Literal, Protocol, TypeAlias

from cairn_runtime.engine.context import Call

Result: TypeAlias = Literal["done", "failed", "parked", "cancelled"]


class TaskSpan(Protocol):
    """One attempt of a task, under way."""

    def end(self, result: Result, error: str) -> None:
        """Say how it ended; `error` is the class of what it failed with, else empty."""


class Tracer(Protocol):
    """One run attempt, as its loop tells of it."""

    def task(self, call: Call) -> TaskSpan:
        """Begin an attempt of a task: its span is the current one in this asyncio task from now on."""
        ...

    def saving(self) -> AbstractContextManager[object]:
        """Tell that checkpoints are being made durable."""
        ...
