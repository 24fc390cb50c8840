"""Making runs and going on with them: `run`, `resume`, `cancel`.

Everything that can be wrong with what was typed is found before a store is made or a run is touched.
"""

from __future__ import annotations

import sys
import time
from contextlib import nullcontext

from cairn_runtime.cli.driving import Course, drive, standard_output_kept
from cairn_runtime.cli.finding import the_checkpoint, the_run
from cairn_runtime.cli.hints import Hints, command_to_go_on, manifest_of
from cairn_runtime.cli.histories import newest_state
from cairn_runtime.cli.inputs import read_object, refuse
from cairn_runtime.cli.outputs import Output, is_lively
from cairn_runtime.cli.shows import LiveShow, PlainShow, QuietShow, SafeShow, Show
from cairn_runtime.cli.stores import existing_store, require_store
from cairn_runtime.cli.verbs.finishing import finish
from cairn_runtime.cli.views import shapes, summaries
from cairn_runtime.cli.wishes import ForkWishes, Wishes, accept, as_typed, check_wishes, fork_request
from cairn_runtime.engine.frontier import RunState
from cairn_runtime.errors import (
    EXIT_CONFIG,
    EXIT_DONE,
    EXIT_INTERRUPTED,
    EXIT_STORE_UNAVAILABLE,
    EXIT_SUPERSEDED,
    CairnError,
    InvalidInput,
    SpecChanged,
)
from cairn_runtime.model.ids import short_id
from cairn_runtime.model.values import JSONObject
from cairn_runtime.model.workflow import Workflow
from cairn_runtime.runner.forking import fork_run
from cairn_runtime.runner.naming import run_name, thread_name, workflow_name
from cairn_runtime.runner.starting import Accepted, cancel_run, find_or_create, in_thread
from cairn_runtime.runner.watching import Finish
from cairn_runtime.store.base import Run, Store
from cairn_runtime.store.keys import codec_from_environment
from cairn_runtime.store.opening import open_store

_NOT_IN_THE_ROW = frozenset({EXIT_STORE_UNAVAILABLE, EXIT_SUPERSEDED, EXIT_CONFIG, EXIT_INTERRUPTED})
"""Exit codes whose reason the run's row may not tell."""


def run_file(output: Output, file: str, wishes: Wishes) -> int:
    """Run a manifest, or go on with its unfinished run.

    Raises:
        ManifestInvalid, InvalidInput: what was typed.
        SpecChanged: an unfinished run has another spec.
    """
    accepted = in_thread(accept(file, wishes.input, wishes.settings), wishes.thread, "--thread")
    check_wishes(wishes, accepted.workflow)
    return finish(_run_accepted(output, accepted, wishes, file))


async def _run_accepted(output: Output, accepted: Accepted, wishes: Wishes, file: str) -> int:
    store = await open_store(wishes.url)
    try:
        try:
            run = await find_or_create(store, accepted, new=wishes.new)
        except SpecChanged as error:
            raise SpecChanged(error.message.replace("--file FILE", f"--file {file}{wishes.more}")) from None
        note = "" if run.epoch == 0 else summaries.going_on_text(run, output.now)
        hints = Hints(run_name(run), wishes.again(file), file, wishes.more)
        return await _drive(output, store, run, wishes, hints, note)
    finally:
        await store.close()


def resume_run(output: Output, who: str, wishes: Wishes, fork: ForkWishes) -> int:
    """Fork a run and run the fork.

    Raises:
        RunNotFound, CheckpointNotFound: nothing has this name.
        ManifestInvalid, InvalidInput: what was typed does not fit.
    """
    patch = read_object(fork.patch, "--patch") if fork.patch is not None else {}
    mended = accept(fork.file) if fork.file else None
    require_store(wishes.url)
    return finish(_resume(output, who, wishes, fork, (patch, mended)))


async def _resume(
    output: Output, who: str, wishes: Wishes, fork: ForkWishes, given: tuple[JSONObject, Accepted | None]
) -> int:
    patch, mended = given
    async with existing_store(wishes.store) as store:
        parent = await the_run(store, who)
        origin = await the_checkpoint(store, fork.from_, parent)
        owner = await store.run(origin.run_id)
        if owner.workflow != parent.workflow:
            refuse("--from", f'checkpoint "{fork.from_}" belongs to Workflow "{workflow_name(owner)}"')
        workflow = mended.workflow if mended else Workflow.model_validate(owner.manifest)
        check_wishes(wishes, workflow)
        request = fork_request(fork, origin, workflow, patch, mended)
        try:
            run = await fork_run(store, codec_from_environment(), request)
        except InvalidInput as error:
            raise type(error)([as_typed(fault) for fault in error.faults]) from None
        file = fork.file or manifest_of(run)
        hints = Hints(run_name(run), command_to_go_on(run, file) + wishes.more, file, wishes.more)
        return await _drive(output, store, run, wishes, hints, summaries.forked_text(run))


async def cancel(output: Output, url: str | None, who: str) -> int:
    """End a run for good; one that has finished stays as it is."""
    async with existing_store(url) as store:
        before = await the_run(store, who)
        run = await cancel_run(store, before)
    if not output.for_people:
        output.document(shapes.run_shape(run))
    elif before.finished:
        output.text([f"{workflow_name(run)}, run {short_id(run.run_id)} is {run.phase} already"])
    else:
        output.text(
            [f"cancelled {workflow_name(run)}, run {short_id(run.run_id)}, at checkpoint {run.head_seq}"]
        )
    return EXIT_DONE


async def _drive(output: Output, store: Store, run: Run, wishes: Wishes, hints: Hints, note: str) -> int:
    """Run a run and say how it ended; the document, or the summary."""
    course = Course(wishes.url, hints.again, wishes.in_process, wishes.kill_at, wishes.debug)
    show = SafeShow(_show(output, run))
    if note:
        show.say(note)
    started = time.monotonic()
    with standard_output_kept() if wishes.in_process and not output.for_people else nullcontext():
        ended = await drive(store, run, course, show)
    state = await _state_of(store, ended.run, output)
    if not output.for_people:
        output.document(_document(ended, state.channels))
        return ended.exit_code
    lines = summaries.summary(ended, state, seconds=time.monotonic() - started, width=output.width)
    lines += ["", *summaries.next_commands(ended, await _by_id_if_older(store, ended.run, hints), output.now)]
    if wishes.kill_at and not ended.killed:
        lines.append(f"--kill-at {wishes.kill_at}: no such task ran, nothing was killed")
    output.text(["", *lines] if show.wants_state else lines)
    return ended.exit_code


async def _state_of(store: Store, run: Run, output: Output) -> RunState:
    """The state at the end; one that cannot be read is why the run ended, and takes nothing else away."""
    try:
        state, _ = await newest_state(store, run, output)
    except CairnError as error:
        output.note(f"warning: {error.message}")
        return RunState()
    return state


def _show(output: Output, run: Run) -> Show:
    if not output.for_people:
        return QuietShow()
    if is_lively(sys.stdout):
        return LiveShow(Workflow.model_validate(run.manifest))
    return PlainShow(output)


def _document(ended: Finish, state: JSONObject) -> JSONObject:
    document = shapes.ended_shape(ended.run, state, restarts=ended.restarts)
    if ended.exit_code in _NOT_IN_THE_ROW:
        document["reason"] = ended.reason
        document["error"] = shapes.error_shape(ended.reason, ended.message, ())
    return document


async def _by_id_if_older(store: Store, run: Run, hints: Hints) -> Hints:
    """A name means the newest run of its Workflow, or thread: an older one is named by its id."""
    newest = await store.runs(workflow=run.workflow, thread=thread_name(run), limit=1)
    if newest and newest[0].run_id == run.run_id:
        return hints
    return Hints(short_id(run.run_id), hints.again, hints.file, hints.more)
