"""Deciding: what follows from the state of a run, as events.

Each function looks at the compiled workflow and the state, and records events; `record` applies an event to
the state at once and keeps it for the next checkpoint, so the following decision sees it.
Pure: no I/O, no user code but CEL and reducers; the time is passed in.

    a task ended ── finish / finish_item / fail ──> writes, done, tokens on the targets
    tokens       ── advance ──> ready / enter / skip / parked, until nothing more can start
    signals      ── wake ──> answered or overdue waits
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeAlias

from cairn_runtime.channels.reducers import Folded
from cairn_runtime.engine.apply import Event, apply
from cairn_runtime.engine.compiled import CompiledStep, CompiledWorkflow
from cairn_runtime.engine.frontier import Group, RunState, Task, wait_to_json
from cairn_runtime.engine.graph import Graph, Loop
from cairn_runtime.errors import ConflictingWrites, StepError, StepFailed, VisitsExhausted, WriteRefused
from cairn_runtime.model.expressions import Expression
from cairn_runtime.model.ids import task_key
from cairn_runtime.model.values import JSONObject, JSONValue, NotJSON, jsonify
from cairn_runtime.store.base import Wait

Record: TypeAlias = Callable[[Event], None]
StoredWrite: TypeAlias = tuple[str, Folded]


@dataclass(slots=True)
class Planner:
    """Decides for one run; holds nothing but what it is given."""

    workflow: CompiledWorkflow
    state: RunState
    events: list[Event]
    """Events recorded and not yet taken into a checkpoint; the caller empties it."""

    def record(self, event: Event) -> None:
        """Make an event true."""
        apply(self.state, event)
        self.events.append(event)

    # -- starting ----------------------------------------------

    def begin(self, input_: Mapping[str, JSONValue]) -> None:
        """Give the channels their first values and the entries their tokens.

        Raises:
            WriteRefused: input or an initial value does not fit its channel.
        """
        cells = self.workflow.cells
        for channel, value in cells.initial.items():
            if channel not in input_:
                self.record(["write", channel, "set", value, ""])
        for channel, value in input_.items():
            self.record(["write", channel, "set", cells.set(channel, value).operand, ""])
        for entry in self.workflow.graph.entries:
            self.record(["token", self.workflow.graph.names[entry]])

    def advance(self, now: datetime) -> None:
        """Start whatever can start; stops where the run failed."""
        while self.state.tokens and self.state.failure is None:
            steps = runnable(self.workflow, self.state)
            if not steps:
                return
            for step in steps:
                if self.state.failure is None:
                    self._enter(step, now)

    def _enter(self, step: CompiledStep, now: datetime) -> None:
        visit = self.state.visits.get(step.name, 0) + 1
        taken = 1 if step.any_join else len(self.state.tokens[step.name])
        try:
            if visit > step.spec.max_visits:
                raise VisitsExhausted(
                    f"{step.name} was entered more than {step.spec.max_visits} times (maxVisits)"
                )
            if self._skips(step):
                self.record(
                    ["skip", step.name, visit, taken, self._targets(step, self.state.channels, skipped=True)]
                )
                return
            items = self._items(step)
            skipped = self._skipped_items(step, items)
        except StepError as error:
            self.record(["ready", step.name, visit, taken])
            self.fail(step.name, None, error)
            return
        if step.list_ is None:
            self.record(["ready", step.name, visit, taken])
            if step.waits:
                self.park(step.name, None, _wait(step, visit, now))
            return
        self.record(["enter", step.name, visit, taken, items, skipped])
        self._close_group(step, self.state.groups[step.name])

    def _skips(self, step: CompiledStep) -> bool:
        if step.name in self.state.skip_once:
            return True
        if step.when is None or step.when_per_item:
            return False
        return not self._truth(step.when, self.state.channels)

    def _items(self, step: CompiledStep) -> list[JSONValue]:
        if step.list_ is None:
            return []
        state = self.state
        return step.list_.items(state=state.channels, visits=state.visits, input=self.workflow.input)

    def _skipped_items(self, step: CompiledStep, items: list[JSONValue]) -> list[int]:
        if step.when is None or not step.when_per_item:
            return []
        when, channels = step.when, self.state.channels
        return [n for n, item in enumerate(items) if not self._truth(when, channels, item)]

    # -- ending ----------------------------------------------

    def finish(self, step_name: str, returned: object, goto: str | None = None) -> None:
        """Take a task's writes and fire its edges.

        Raises:
            StepError: a write or an edge's condition is at fault; nothing was recorded.
        """
        step, task = self.workflow.steps[step_name], self.state.tasks[step_name]
        writes = self._fold(task.key, task.since, _as_writes(returned))
        targets = self._targets(step, _overlay(self.state.channels, writes), goto=goto)
        self._record_writes(writes, task.key)
        self.record(["done", step_name, task.visit, targets])

    def finish_item(self, step_name: str, item: int, returned: object, goto: str | None = None) -> None:
        """Take an item's result or writes; after the last item the step is done.

        Raises:
            StepError: the result or a write is at fault; nothing was recorded.
        """
        step, group = self.workflow.steps[step_name], self.state.groups[step_name]
        if goto is not None:
            raise StepFailed(
                f'ctx.goto("{goto}"): an item of a foreach cannot choose what follows', error="GotoRefused"
            )
        result: JSONValue = None
        if step.collect:
            result = _as_result(returned)
        else:
            key = task_key(step_name, group.visit, item)
            self._record_writes(self._fold(key, group.since, _as_writes(returned)), key)
        self.record(["item", step_name, group.visit, item, result])
        self._close_group(step, group)

    def pass_by(self, step_name: str) -> None:
        """Let a step's open task or group count as done without running it; its edges fire.

        Raises:
            StepError: the condition of an edge fails.
        """
        step = self.workflow.steps[step_name]
        visit = self.state.visits[step_name]
        self.record(["done", step_name, visit, self._targets(step, self.state.channels)])

    def checkpoint(self, step_name: str, item: int | None, writes: Mapping[str, object], key: str) -> None:
        """Take writes in the middle of a task, under a key that it has not used yet.

        Raises:
            StepError: a write is refused or conflicts; nothing was recorded.
        """
        task = self.state.task(step_name, item)
        folded = self._fold(task.key, task.since, writes)
        self._record_writes(folded, task.key)
        self.record(["key", step_name, task.visit, item, key])

    def fail(self, step_name: str, item: int | None, error: StepError) -> None:
        """Let a task fail for good: the run fails, or the error goes to the step's `catch`."""
        step, task = self.workflow.steps[step_name], self._task(step_name, item)
        failure: JSONObject = {
            "step": step_name,
            "task": str(task.key),
            "error": error.error,
            "message": error.message,
            "attempts": task.failures + 1,
            "reason": error.reason,
        }
        if item is not None:
            self.record(["failed", step_name, task.visit, item, failure, []])
            if step.spec.catch is not None:
                return
        self._fail_step(step, task.visit, failure)

    def give_up_group(self, step_name: str) -> None:
        """Close a foreach whose failed item is caught, once none of its items runs any more."""
        group = self.state.groups[step_name]
        if group.failure is not None:
            self._fail_step(self.workflow.steps[step_name], group.visit, group.failure)

    def _task(self, step_name: str, item: int | None) -> Task:
        if item is not None or step_name in self.state.tasks:
            return self.state.task(step_name, item)
        group = self.state.groups[step_name]
        return Task(step_name, group.visit, None, group.since)

    def _fail_step(self, step: CompiledStep, visit: int, failure: JSONObject) -> None:
        catch = step.spec.catch
        if catch is not None:
            shown = {name: failure[name] for name in ("step", "error", "message", "attempts")}
            try:
                folded = self.workflow.cells.write("error", shown, self.state.channels.get("error"))
            except WriteRefused as refused:
                failure = {
                    **failure,
                    "message": f"{failure['message']} (and catch failed: {refused.message})",
                }
                catch = None
            else:
                self._record_writes([("error", folded)], task_key(step.name, visit))
        self.record(["failed", step.name, visit, None, failure, [catch] if catch else []])

    def _close_group(self, step: CompiledStep, group: Group) -> None:
        if group.left or group.failure is not None:
            return
        key = task_key(step.name, group.visit)
        try:
            writes: list[StoredWrite] = []
            if step.collect:
                results: list[JSONValue] = [group.results[n] for n in sorted(group.results)]
                writes = self._fold(key, group.since, {step.collect: results})
            targets = self._targets(step, _overlay(self.state.channels, writes))
        except StepError as error:
            self.fail(step.name, None, error)
            return
        self._record_writes(writes, key)
        self.record(["done", step.name, group.visit, targets])

    # -- waiting ----------------------------------------------

    def park(self, step_name: str, item: int | None, wait: Wait) -> None:
        """Let a task wait."""
        visit = self.state.task(step_name, item).visit
        self.record(["parked", step_name, visit, item, wait_to_json(wait)])

    def wake(self, task: Task, answer: JSONValue) -> None:
        """End a task's wait: an answer is the step's write, a sleep is done, a park runs again."""
        wait = task.wait
        if wait is None:
            return
        if wait.kind == "park":
            self.record(["woke", task.step, task.visit, task.item, answer])
            return
        try:
            self.finish(task.step, None if wait.kind == "sleep" else {task.step: answer})
        except StepError as error:
            self.fail(task.step, task.item, error)

    # -- writes and edges ----------------------------------------------

    def _fold(self, key: str, since: int, writes: Mapping[str, object]) -> list[StoredWrite]:
        """Fold writes one after the other, on top of the channels; nothing is recorded yet."""
        cells, state = self.workflow.cells, self.state
        folded: list[StoredWrite] = []
        for channel, value in writes.items():
            made = cells.write(channel, value, state.channels.get(channel))
            if made.op == "replace":
                where, who = state.changed.get(channel, (0, ""))
                if where > since and who != key:
                    raise ConflictingWrites(
                        f"{key} and {who} both replaced channel {channel} without seeing each other;"
                        " give it a reducer or let one step need the other"
                    )
            folded.append((channel, made))
        return folded

    def _record_writes(self, writes: Iterable[StoredWrite], key: str) -> None:
        for channel, folded in writes:
            self.record(["write", channel, folded.op, folded.operand, key])

    def _targets(
        self,
        step: CompiledStep,
        channels: Mapping[str, JSONValue],
        *,
        goto: str | None = None,
        skipped: bool = False,
    ) -> list[str]:
        """Steps that get a token: each at most one, `any` steps none from a skip."""
        names = dict.fromkeys(step.followers)
        if goto is not None:
            if goto not in step.spec.goto:
                raise StepFailed(
                    f'ctx.goto("{goto}"): spec.steps[{step.index}].goto does not name it', error="GotoRefused"
                )
            names[goto] = None
        elif step.branches:
            names.update(dict.fromkeys(self._fired(step, channels)))
        if skipped:
            return [name for name in names if not self.workflow.steps[name].any_join]
        return list(names)

    def _fired(self, step: CompiledStep, channels: Mapping[str, JSONValue]) -> list[str]:
        fired = [
            branch.to
            for branch in step.branches
            if not branch.otherwise and (branch.when is None or self._truth(branch.when, channels))
        ]
        return fired or [branch.to for branch in step.branches if branch.otherwise]

    def _truth(self, when: Expression, channels: Mapping[str, JSONValue], item: JSONValue = None) -> bool:
        return when.truth(state=channels, visits=self.state.visits, input=self.workflow.input, item=item)


def runnable(workflow: CompiledWorkflow, state: RunState) -> list[CompiledStep]:
    """Steps that can start, in file order, all judged on one view."""
    found = [
        step for step in map(workflow.steps.__getitem__, state.tokens) if _can_start(workflow, state, step)
    ]
    if len(found) > 1:
        found.sort(key=lambda step: step.index)
    return found


def _can_start(workflow: CompiledWorkflow, state: RunState, step: CompiledStep) -> bool:
    if state.has_task(step.name):
        return False
    if step.any_join:
        return True
    graph, n = workflow.graph, step.index
    blockers, loop = graph.blockers[n], graph.headed[n]
    if loop is not None and _is_from_outside(graph, state, step.name, loop):
        # The loop is being entered: its loop edges are no reason to wait, a pass under way is.
        if _in_pass(graph, state, loop):
            return False
        blockers = graph.entry_blockers[n]
    if not blockers:
        return True
    held_back = _holds(graph, state, blockers, tokens=False) or _holds(
        graph, state, blockers & ~graph.heads[n], tokens=True
    )
    return not held_back and not any(
        _goes_first(graph, state, step, held) for held in graph.around[n] if held.head != n
    )


def _holds(graph: Graph, state: RunState, blockers: int, *, tokens: bool) -> bool:
    """Whether one of these steps has a task, or holds a token where tokens count too."""
    index = graph.index
    for busy in (state.tasks, state.groups, state.tokens) if tokens else (state.tasks, state.groups):
        for name in busy:
            if blockers >> index[name] & 1:
                return True
    return False


def _is_from_outside(graph: Graph, state: RunState, step: str, loop: Loop) -> bool:
    """Whether all tokens of a step came from outside a loop; the first tokens come from nowhere."""
    index = graph.index
    return not any(source and loop.members >> index[source] & 1 for source in state.tokens[step])


def _in_pass(graph: Graph, state: RunState, loop: Loop) -> bool:
    """Whether a loop is under way: a member has a task, or one that is not the head a token from inside."""
    if _holds(graph, state, loop.members, tokens=False):
        return True
    index, others = graph.index, loop.members & ~(1 << loop.head)
    return any(
        others >> index[name] & 1 and not _is_from_outside(graph, state, name, loop) for name in state.tokens
    )


def _goes_first(graph: Graph, state: RunState, step: CompiledStep, loop: Loop) -> bool:
    """Whether a loop is being entered, or may still be, at its head: a member reached from outside comes
    after.
    """
    name, head = step.name, graph.names[loop.head]
    if _in_pass(graph, state, loop) or not _is_from_outside(graph, state, name, loop):
        return False
    if head in state.tokens and _is_from_outside(graph, state, head, loop):
        return True
    entering = graph.entry_blockers[loop.head]
    return _holds(graph, state, entering, tokens=False) or _holds(
        graph, state, entering & ~graph.heads[step.index], tokens=True
    )


def _wait(step: CompiledStep, visit: int, now: datetime) -> Wait:
    key, spec = task_key(step.name, visit), step.spec
    if spec.sleep is not None:
        return Wait(key, "sleep", until=now + timedelta(seconds=spec.sleep))
    asked = spec.approval or spec.signal
    if asked is None:
        msg = f"{step.name} is no wait"
        raise AssertionError(msg)
    deadline = now + timedelta(seconds=asked.deadline) if asked.deadline is not None else None
    if spec.approval:
        return Wait(key, "approval", key, spec.approval.message, spec.approval.schema_, deadline)
    return Wait(key, "signal", spec.signal.name if spec.signal else "", "", asked.schema_, deadline)


def _overlay(channels: JSONObject, writes: list[StoredWrite]) -> Mapping[str, JSONValue]:
    if not writes:
        return channels
    return {**channels, **{channel: folded.value for channel, folded in writes}}


def _as_writes(returned: object) -> Mapping[str, object]:
    """Read what a step returned as writes."""
    if returned is None:
        return {}
    if isinstance(returned, Mapping):
        return returned
    try:
        dumped = jsonify(returned, "the step's return value")
    except NotJSON as error:
        raise WriteRefused(str(error)) from None
    if isinstance(dumped, dict):
        return dumped
    raise WriteRefused(f"a step returns a dict of writes or None, not {type(returned).__name__}")


def _as_result(returned: object) -> JSONValue:
    try:
        return jsonify(returned, "result")
    except NotJSON as error:
        raise WriteRefused(str(error)) from None
