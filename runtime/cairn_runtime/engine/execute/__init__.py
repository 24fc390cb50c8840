"""How one attempt of a task is executed: user code is called here and nowhere else.

    async function              awaited in the engine's own task
      with a timeout            in a task of its own; cancelled, cancelled again, closed; then the watchdog
    sync function               in a thread
      with a timeout            in a worker process, killed with all that it started
    run:, argv:                 a program, killed with all that it started

Law: whatever user code does comes back as a return value, a `StepError`, `Park`, or the cancellation that
the engine asked for; nothing of it ends the runner, changes the run's state unasked, or outlives the run.
Programs and workers are started by the *warden*, a small process beside the runner; each has a *keeper* that
knows all its descendants and ends them when it is told to, or when the runner is gone.

A worker process imports this package too, so it imports nothing until a name is asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cairn_runtime.engine.execute.actions import Action, Returned
    from cairn_runtime.engine.execute.executor import Executor
    from cairn_runtime.engine.execute.sources import CodeSource
    from cairn_runtime.engine.execute.watchdog import Watchdog

__all__ = ["Action", "CodeSource", "Executor", "Returned", "Watchdog"]

_HOMES = {
    "Action": "actions",
    "CodeSource": "sources",
    "Executor": "executor",
    "Returned": "actions",
    "Watchdog": "watchdog",
}


def __getattr__(name: str) -> object:
    """Import the module that a public name lives in, once (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value
