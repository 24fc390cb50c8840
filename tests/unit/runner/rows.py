"""Rows and Workflows for the runner's tests, with defaults for everything that a test does not speak of."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from cairn_runtime.runner.accepting import accept
from cairn_runtime.runner.naming import workflow_key
from cairn_runtime.runner.starting import Accepted
from cairn_runtime.store.base import NewRun, Run, Wait
from cairn_runtime.store.ledger import Ledger

NOON = datetime(2026, 1, 2, 12, 0, tzinfo=UTC)


_KINDS = frozenset(("python", "run", "argv", "approval", "signal", "sleep"))
_CODE = {"steps.py": "async def nothing(state):\n    return None\n"}


def manifest(*steps: dict[str, Any], name: str = "digest", **spec: Any) -> dict[str, Any]:
    """A manifest; a step without a kind does nothing."""
    filled = [step if _KINDS & step.keys() else {**step, "python": "steps:nothing"} for step in steps]
    return {
        "apiVersion": "cairn.dev/v1alpha1",
        "kind": "Workflow",
        "metadata": {"name": name},
        "spec": {"steps": filled or [{"name": "only", "python": "steps:nothing"}], "code": _CODE, **spec},
    }


def accepted(*steps: dict[str, Any], name: str = "digest", **spec: Any) -> Accepted:
    """The same, judged."""
    return accept(manifest(*steps, name=name, **spec))


def new_run(
    run_id: str = "00000000-0000-4000-8000-000000000001", *, name: str = "digest", **changes: Any
) -> NewRun:
    """What `create_run` is given."""
    new = NewRun(run_id, workflow_key("default", name), manifest(name=name), "graph", run_id)
    return replace(new, **changes)


def row(**changes: Any) -> Run:
    """A run's row: claimed once, running."""
    begun = Ledger.begin(new_run(), NOON).row
    return replace(begun, **{"epoch": 1, "claim_id": "c", "phase": "Running", **changes})


def approval(task: str = "sign#1", *, deadline: datetime | None = None) -> Wait:
    """An open approval."""
    return Wait(task, "approval", task, "Publish?", deadline=deadline)


def sleep(until: datetime, task: str = "nap#1") -> Wait:
    """An open sleep."""
    return Wait(task, "sleep", until=until)
