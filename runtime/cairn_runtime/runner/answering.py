"""Answers to what a run waits for: checked against the wait before they are sent.

An approval's answer names its task, so that it can never fall to a later visit of the same step; the store
refuses it where that wait is closed. A named signal is kept until something waits for it.
"""

from __future__ import annotations

from difflib import get_close_matches

from cairn_runtime.engine.waits import answer_problem
from cairn_runtime.errors import Fault, InvalidInput, WaitClosed
from cairn_runtime.model.ids import new_id, short_id, to_wire, utc_now
from cairn_runtime.model.values import JSONObject, JSONValue
from cairn_runtime.runner.auditing import note
from cairn_runtime.runner.naming import workflow_name
from cairn_runtime.runner.starting import PATIENCE_SECONDS
from cairn_runtime.store.base import NewSignal, Run, Signal, Store, Wait
from cairn_runtime.store.patience import insist

_NAMED = 10
_NAME = 100
"""Characters of a signal's name that the audit keeps."""


def open_approval(run: Run, step: str = "") -> Wait:
    """Find the approval that is meant by a step, a task, or nothing where only one is open.

    Raises:
        WaitClosed: there is none.
        InvalidInput: several fit.
    """
    waits = [wait for wait in run.waits if wait.kind == "approval"]
    found = [wait for wait in waits if not step or step in (wait.task, _step_of(wait))]
    if len(found) == 1:
        return found[0]
    if found:
        tasks = ", ".join(wait.task for wait in found[:_NAMED])
        raise InvalidInput([Fault("step", f"several approvals wait; name one: {tasks}")])
    raise WaitClosed(_nothing_waits(run, step, [_step_of(wait) for wait in waits]))


async def send_answer(
    store: Store, run: Run, wait: Wait, *, approved: bool, value: JSONValue = None, by: str = ""
) -> Signal:
    """Answer an approval.

    Raises:
        InvalidInput: the value is not what the approval asks for.
        WaitClosed: it was answered or its deadline passed meanwhile.
    """
    answer: JSONObject = {"approved": approved, "value": value, "by": by, "at": to_wire(utc_now())}
    problem = answer_problem(wait, answer)
    if problem:
        raise InvalidInput([Fault("value", problem)])
    return await _send(
        store, run, "approve" if approved else "reject", NewSignal(wait.name, answer, new_id(), wait.name)
    )


async def send_signal(
    store: Store, run: Run, name: str, value: JSONValue, *, client_id: str | None = None
) -> Signal:
    """Send a named signal; the same client_id again is the same signal.

    Raises:
        InvalidInput: the value is not what the wait that is open asks for.
        WaitClosed: the run is finished.
    """
    wait = next((wait for wait in run.waits if wait.kind != "approval" and wait.name == name), None)
    problem = answer_problem(wait, value) if wait else ""
    if problem:
        raise InvalidInput([Fault("value", problem)])
    return await _send(store, run, "signal", NewSignal(name, value, client_id or new_id()))


async def _send(store: Store, run: Run, what: str, signal: NewSignal) -> Signal:
    act = f"{run.run_id}:{signal.client_id}"
    await note(store, what, source=run.run_id, target=signal.name[:_NAME], act=act)
    return await insist(lambda: store.send(run.run_id, signal), seconds=PATIENCE_SECONDS)


def _nothing_waits(run: Run, step: str, names: list[str]) -> str:
    who = f"run {short_id(run.run_id)} of {workflow_name(run)}"
    if not names:
        return f"{who} waits for no approval; it is {run.phase}"
    close = get_close_matches(step, names, n=1)
    meant = f'; did you mean "{close[0]}"?' if close else f"; it waits at {', '.join(names[:_NAMED])}"
    return f'{who} waits for no approval at "{step}"{meant}'


def _step_of(wait: Wait) -> str:
    return wait.task.partition("#")[0]
