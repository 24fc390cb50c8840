"""The state in which a fork starts: its origin's, with what the person who forked asked to change.

Pure. The result is the full state of the new run's checkpoint 1.
What failed is ready again; what waited waits on.
`steps` replaces the frontier; `skip` lets steps count as done once; `as_step` makes the patch count as that
step's own writes: what is under way behind it is dropped, and its edges fire.
"""

from __future__ import annotations

from datetime import datetime

from cairn_runtime.engine.compiled import CompiledWorkflow
from cairn_runtime.engine.frontier import RunState
from cairn_runtime.engine.plan import Planner
from cairn_runtime.errors import Fault, ManifestInvalid, StepError, WriteRefused
from cairn_runtime.store.base import Origin


def fork(workflow: CompiledWorkflow, state: RunState, origin: Origin, now: datetime) -> RunState:
    """Change a folded state into a fork's first one; `state` itself is used up.

    Raises:
        ManifestInvalid: a patch does not fit its channel, or the frontier names steps that the Workflow
        lacks.
    """
    _forget_failures(state)
    planner = Planner(workflow, state, [])
    _patch(planner, origin)
    if origin.steps:
        _start_at(state, origin.steps)
    _require_known(workflow, state)
    try:
        for name in origin.skip:
            _skip(planner, name)
        if origin.as_step:
            _pass(planner, origin.as_step)
    except StepError as error:
        raise ManifestInvalid([Fault("spec.resume", error.message)]) from error
    planner.advance(now)
    return state


def _forget_failures(state: RunState) -> None:
    state.failure = None
    for group in state.groups.values():
        group.failure = None
        for task in group.open.values():
            task.failures = 0
    for task in state.tasks.values():
        task.failures = 0


def _patch(planner: Planner, origin: Origin) -> None:
    faults: list[Fault] = []
    for channel, value in origin.state_patch.items():
        try:
            folded = planner.workflow.cells.set(channel, value)
        except WriteRefused as error:
            faults.append(Fault(f"spec.resume.statePatch.{channel}", error.message))
        else:
            planner.record(["write", channel, folded.op, folded.operand, ""])
    if faults:
        raise ManifestInvalid(faults)


def _start_at(state: RunState, steps: tuple[str, ...]) -> None:
    state.tasks.clear()
    state.groups.clear()
    state.waiting.clear()
    state.tokens = {step: [""] for step in steps}


def _require_known(workflow: CompiledWorkflow, state: RunState) -> None:
    """A mended manifest may have lost the steps that the checkpoint is about to run."""
    lost = [name for name in (*state.tasks, *state.groups, *state.tokens) if name not in workflow.steps]
    if lost:
        what = f'the checkpoint goes on with "{lost[0]}", which this Workflow does not have'
        raise ManifestInvalid([Fault("spec.steps", f"{what}; name the steps to start at (resume.steps)")])
    for name, group in state.groups.items():
        if workflow.steps[name].list_ is None:
            raise ManifestInvalid(
                [Fault("spec.steps", f'"{name}" #{group.visit} is under way as a foreach; keep foreach')]
            )
    for name, task in state.tasks.items():
        if workflow.steps[name].list_ is not None:
            raise ManifestInvalid(
                [Fault("spec.steps", f'"{task.key}" is under way without foreach; do not add one')]
            )


def _drop(state: RunState, steps: set[str]) -> None:
    """Take steps off the frontier."""
    for step in steps:
        state.tokens.pop(step, None)
        if state.has_task(step):
            state.close(step)


def _skip(planner: Planner, name: str) -> None:
    """Let an open task of the step count as done, or the step's next visit."""
    state = planner.state
    if state.has_task(name):
        planner.pass_by(name)
    elif name not in state.skip_once:
        state.skip_once.append(name)


def _pass(planner: Planner, name: str) -> None:
    """Let the step count as done now: its open task, or one more visit.

    What is under way behind it stands on what it did before, so it is dropped; its edges lead there again.
    """
    state = planner.state
    _drop(state, planner.workflow.graph.behind(name) - {name})
    if not state.has_task(name):
        state.tokens.pop(name, None)
        planner.record(["token", name])
        planner.record(["ready", name, state.visits.get(name, 0) + 1, 1])
    planner.pass_by(name)
