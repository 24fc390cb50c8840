"""Cairn's runtime: what runs the steps of a Workflow and keeps a checkpoint of each.

Rooms, from the top: `cli` and `runner` drive the `engine`; the engine folds writes into `channels` and
commits to a `store`; `model` and `errors` are known to all. Imports go down only.

This module is the front door for programs and for step authors. It imports nothing until a name is asked
for, so that `import cairn_runtime` costs a step's module next to nothing.
Of this module the rooms themselves use `__version__` only.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cairn_runtime.engine.context import Context, Park, SyncContext
    from cairn_runtime.model.building import Workflow
    from cairn_runtime.runner.library import (
        approve,
        history,
        reject,
        resume,
        run,
        signal,
        state,
        stream,
    )
    from cairn_runtime.store.opening import open_store

__all__ = [
    "Context",
    "Park",
    "SyncContext",
    "Workflow",
    "__version__",
    "approve",
    "history",
    "open_store",
    "reject",
    "resume",
    "run",
    "signal",
    "state",
    "stream",
]

__version__ = "0.1.0"

_HOMES = {
    "Context": "cairn_runtime.engine.context",
    "Park": "cairn_runtime.engine.context",
    "SyncContext": "cairn_runtime.engine.context",
    "Workflow": "cairn_runtime.model.building",
    "approve": "cairn_runtime.runner.library",
    "history": "cairn_runtime.runner.library",
    "open_store": "cairn_runtime.store.opening",
    "reject": "cairn_runtime.runner.library",
    "resume": "cairn_runtime.runner.library",
    "run": "cairn_runtime.runner.library",
    "signal": "cairn_runtime.runner.library",
    "state": "cairn_runtime.runner.library",
    "stream": "cairn_runtime.runner.library",
}


def __getattr__(name: str) -> object:
    """Import the room that a public name lives in, once (PEP 562)."""
    if name not in _HOMES:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    value: object = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
