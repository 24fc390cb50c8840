"""Builders with defaults: Workflows, planners and what a test reads from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from cairn_runtime.engine.apply import Event
from cairn_runtime.engine.compiled import CompiledWorkflow, compile_workflow
from cairn_runtime.engine.frontier import RunState
from cairn_runtime.engine.plan import Planner
from cairn_runtime.model.workflow import Workflow

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def workflow(steps: Sequence[Any], **spec: Any) -> Workflow:
    """A Workflow of these steps; a step without a kind runs `steps:NAME`."""
    filled = [
        step if _kind(step) else {**step, "python": f"steps:{step['name'].replace('-', '_')}"}
        for step in steps
    ]
    return Workflow.model_validate(
        {
            "apiVersion": "cairn.dev/v1alpha1",
            "kind": "Workflow",
            "metadata": {"name": "test"},
            "spec": {"steps": filled, **spec},
        }
    )


def _kind(step: Mapping[str, Any]) -> bool:
    return any(kind in step for kind in ("python", "run", "argv", "approval", "signal", "sleep"))


def no_code(reference: str) -> Any:
    """Load no reducer: these Workflows have none of their own."""
    raise AssertionError(reference)


def compiled(steps: Sequence[Any], **spec: Any) -> CompiledWorkflow:
    """The same, made ready to run."""
    return compile_workflow(workflow(steps, **spec), no_code)


def started(steps: Sequence[Any], **spec: Any) -> Planner:
    """A planner at the beginning of a run, its entries ready."""
    flow = compiled(steps, **spec)
    events: list[Event] = []
    planner = Planner(flow, RunState(), events)
    planner.begin(flow.input)
    planner.advance(NOW)
    return planner


def ready(planner: Planner) -> list[str]:
    """Names of the steps that have a task which does not wait, in the order in which they became ready."""
    return [task.step for task in planner.state.tasks.values() if task.wait is None] + list(
        planner.state.groups
    )


def finish(planner: Planner, step: str, returned: object = None, goto: str | None = None) -> list[str]:
    """End a step's task and plan on; answers what is ready then."""
    planner.finish(step, returned, goto)
    planner.advance(NOW)
    return ready(planner)
