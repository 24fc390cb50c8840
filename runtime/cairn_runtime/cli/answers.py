"""Answers to what a run waits for, as they are typed; `runner.answering` checks and sends them."""

from __future__ import annotations

import getpass
from collections.abc import Iterator
from contextlib import contextmanager

from cairn_runtime.cli.finding import the_run
from cairn_runtime.cli.hints import command_to_go_on, store_words
from cairn_runtime.cli.inputs import read_json
from cairn_runtime.cli.outputs import Output
from cairn_runtime.cli.stores import existing_store
from cairn_runtime.cli.views.rows import runner_gone
from cairn_runtime.errors import EXIT_DONE, Fault, InvalidInput
from cairn_runtime.model.ids import short_id, to_wire
from cairn_runtime.model.values import JSONValue
from cairn_runtime.runner import answering
from cairn_runtime.runner.naming import workflow_name
from cairn_runtime.store.base import Run, Signal


async def answer(
    output: Output, url: str | None, who: str, step: str, *, approved: bool, value: str | None
) -> int:
    """Answer an approval.

    Raises:
        WaitClosed: nothing of this name waits for an approval.
        InvalidInput: the value is not what the approval asks for, or several wait and none was named.
    """
    given = read_json(value, "--value") if value is not None else None
    async with existing_store(url) as store:
        run = await the_run(store, who)
        with _as_typed({"step": "--step", "value": "--value"}):
            wait = answering.open_approval(run, step)
            sent = await answering.send_answer(store, run, wait, approved=approved, value=given, by=_user())
    if not output.for_people:
        output.document(_shape(run, sent) | {"task": wait.task, "approved": approved})
        return EXIT_DONE
    verb = "approved" if approved else "rejected"
    output.text([f"{verb} {wait.task} of {workflow_name(run)}", *_what_next(run, output, url)])
    return EXIT_DONE


async def send_signal(output: Output, url: str | None, who: str, name: str, text: str) -> int:
    """Send a named signal; it is kept until something waits for it.

    Raises:
        WaitClosed: the run is finished.
        InvalidInput: the value is not what the wait that is open asks for.
    """
    value = read_json(text, "JSON")
    async with existing_store(url) as store:
        run = await the_run(store, who)
        with _as_typed({"value": "JSON"}):
            sent = await answering.send_signal(store, run, name, value)
    if not output.for_people:
        output.document(_shape(run, sent))
        return EXIT_DONE
    waits = any(wait.kind != "approval" and wait.name == name for wait in run.waits)
    kept = "" if waits else "; nothing waits for it now, it is kept"
    output.text(
        [
            f"sent {name} to {workflow_name(run)}, run {short_id(run.run_id)}{kept}",
            *_what_next(run, output, url),
        ]
    )
    return EXIT_DONE


@contextmanager
def _as_typed(names: dict[str, str]) -> Iterator[None]:
    """Name faults by the option that was typed."""
    try:
        yield
    except InvalidInput as error:
        raise InvalidInput([Fault(names.get(f.path, f.path), f.message) for f in error.faults]) from None


def _what_next(run: Run, output: Output, url: str | None) -> list[str]:
    """What to type where nobody is there to use the answer."""
    if run.phase == "Running" and not runner_gone(run, output.now):
        return []
    return [f"go on with: {command_to_go_on(run)}{store_words(url)}"]


def _shape(run: Run, sent: Signal) -> dict[str, JSONValue]:
    return {
        "run": run.run_id,
        "workflow": workflow_name(run),
        "name": sent.name,
        "number": sent.number,
        "value": sent.value,
        "createdAt": to_wire(sent.created_at),
    }


def _user() -> str:
    """Who answers, as the system knows them."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return ""
