"""Making runs and going on with them: `run`, `resume`, `cancel`.

Everything that can be wrong with what was typed is found before a store is made or a run is touched.
"""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace

from cairn_runtime.cli.driving import Course, drive, standard_output_kept
from cairn_runtime.cli.finding import the_checkpoint, the_run
from cairn_runtime.cli.hints import command_to_go_on, manifest_of
from cairn_runtime.cli.histories import newest_state
from cairn_runtime.cli.inputs import read_object, refuse, set_values
from cairn_runtime.cli.manifests import folder_of, judge, read_file
from cairn_runtime.cli.outputs import Output, is_lively
from cairn_runtime.cli.shows import LiveShow, PlainShow, QuietShow, Show
from cairn_runtime.cli.stores import existing_store, require_store, store_url
from cairn_runtime.cli.verbs.finishing import finish
from cairn_runtime.cli.views import shapes, summaries
from cairn_runtime.errors import EXIT_DONE, Fault, InvalidInput, SpecChanged
from cairn_runtime.model.ids import parse_task_key, short_id
from cairn_runtime.model.suggestions import did_you_mean
from cairn_runtime.model.values import JSONObject
from cairn_runtime.model.workflow import Workflow
from cairn_runtime.runner.forking import ForkRequest, fork_run
from cairn_runtime.runner.naming import workflow_name
from cairn_runtime.runner.starting import Accepted, cancel_run, find_or_create
from cairn_runtime.runner.watching import Finish
from cairn_runtime.store.base import Run, Store
from cairn_runtime.store.codec import Codec
from cairn_runtime.store.opening import open_store, parse_store_url

_TOLD_IN_DOCUMENT = frozenset({69, 75, 78, 130})
"""Exit codes that the run's row says nothing about."""


@dataclass(frozen=True, slots=True)
class Wishes:
    """How a run is to be run."""

    store: str | None
    new: bool = False
    in_process: bool = False
    kill_at: str = ""
    debug: bool = False

    @property
    def url(self) -> str:
        """The store's URL."""
        return store_url(self.store)


@dataclass(frozen=True, slots=True)
class ForkWishes:
    """Where a fork begins, and what is different in it."""

    from_: str
    file: str | None = None
    patch: str | None = None
    as_step: str = ""
    steps: Sequence[str] = field(default_factory=list)
    skip: Sequence[str] = field(default_factory=list)


def run_file(
    output: Output, file: str, wishes: Wishes, *, input_: str | None, settings: Sequence[str]
) -> int:
    """Run a manifest, or go on with its unfinished run.

    Raises:
        ManifestInvalid, InvalidInput: what was typed.
        SpecChanged: an unfinished run has another spec.
    """
    accepted = accept(file, input_, settings)
    check_wishes(wishes, accepted.workflow)
    return finish(_run_accepted(output, accepted, wishes, file))


async def _run_accepted(output: Output, accepted: Accepted, wishes: Wishes, file: str) -> int:
    store = await open_store(wishes.url)
    try:
        try:
            run = await find_or_create(store, accepted, new=wishes.new)
        except SpecChanged as error:
            raise SpecChanged(error.message.replace("--file FILE", f"--file {shlex.quote(file)}")) from None
        note = "" if run.epoch == 0 else summaries.going_on_text(run, output.now)
        return await _drive(output, store, run, wishes, file, note=note)
    finally:
        await store.close()


def resume_run(output: Output, who: str, wishes: Wishes, fork: ForkWishes) -> int:
    """Fork a run and run the fork.

    Raises:
        RunNotFound, CheckpointNotFound: nothing has this name.
        ManifestInvalid, InvalidInput: what was typed does not fit.
    """
    patch = read_object(fork.patch, "--patch") if fork.patch is not None else {}
    mended = accept(fork.file, None, ()) if fork.file else None
    require_store(wishes.url)
    return finish(_resume(output, who, wishes, fork, patch, mended))


async def _resume(
    output: Output, who: str, wishes: Wishes, fork: ForkWishes, patch: JSONObject, mended: Accepted | None
) -> int:
    async with existing_store(wishes.store) as store:
        parent = await the_run(store, who)
        origin = await the_checkpoint(store, fork.from_, parent)
        owner = await store.run(origin.run_id)
        if owner.workflow != parent.workflow:
            refuse("--from", f'checkpoint "{fork.from_}" belongs to Workflow "{workflow_name(owner)}"')
        workflow = mended.workflow if mended else Workflow.model_validate(owner.manifest)
        check_wishes(wishes, workflow)
        request = ForkRequest(
            origin,
            follow_head=fork.from_ in ("head", "latest"),
            state_patch=patch,
            as_step=_known_step(fork.as_step, workflow, "--as-step") or None,
            steps=_known_steps(fork.steps, workflow, "--steps"),
            skip=_known_steps(fork.skip, workflow, "--skip"),
            mended=mended,
        )
        try:
            run = await fork_run(store, Codec(), request)
        except InvalidInput as error:
            raise type(error)([_as_typed(fault) for fault in error.faults]) from None
        return await _drive(output, store, run, wishes, fork.file, note=summaries.forked_text(run))


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


def accept(file: str, input_: str | None, settings: Sequence[str]) -> Accepted:
    """Read a file, lay the given input over its own, and judge the whole.

    Raises:
        ManifestInvalid, InvalidInput: naming everything that is wrong.
    """
    given = read_object(input_, "--input") if input_ is not None else {}
    source, document = read_file(file)
    spec = document.get("spec")
    if isinstance(spec, dict) and (given or settings):
        own = spec.get("input")
        laid = {**(own if isinstance(own, dict) else {}), **given}
        document = {**document, "spec": {**spec, "input": set_values(laid, settings)}}
    folder = folder_of(file)
    return Accepted(document, judge(source, document, folder).require(), str(folder))


def check_wishes(wishes: Wishes, workflow: Workflow) -> None:
    """Refuse wishes that cannot be met.

    Raises:
        InvalidInput: naming each.
    """
    faults = []
    if wishes.kill_at:
        faults += _kill_faults(wishes.kill_at, workflow)
        if wishes.in_process:
            faults.append(Fault("--kill-at", "kills the runner's process; leave out --in-process"))
    if not wishes.in_process and parse_store_url(wishes.url).scheme == "memory":
        faults.append(Fault("--store", "memory: lives in one process only; add --in-process"))
    if faults:
        raise InvalidInput(faults)


def _kill_faults(task: str, workflow: Workflow) -> list[Fault]:
    step = task
    if "#" in task:
        try:
            step, _, _ = parse_task_key(task)
        except ValueError as error:
            return [Fault("--kill-at", str(error))]
    names = [one.name for one in workflow.spec.steps]
    if step not in names:
        return [Fault("--kill-at", f'unknown step "{step}"{did_you_mean(step, names)}')]
    spec = workflow.spec.steps[names.index(step)]
    if spec.approval or spec.signal or spec.sleep is not None:
        return [Fault("--kill-at", f'"{step}" waits and runs nothing; name a step that runs')]
    return []


def _known_steps(typed: Sequence[str], workflow: Workflow, option: str) -> tuple[str, ...]:
    names = [name.strip() for text in typed for name in text.split(",") if name.strip()]
    return tuple(dict.fromkeys(_known_step(name, workflow, option) for name in names))


def _known_step(name: str, workflow: Workflow, option: str) -> str:
    """Pass a step's name on.

    Raises:
        InvalidInput: there is no such step.
    """
    names = [step.name for step in workflow.spec.steps]
    if name and name not in names:
        refuse(option, f'unknown step "{name}"{did_you_mean(name, names)}')
    return name


_TYPED = {
    "spec.resume.statePatch": "--patch",
    "spec.resume.asStep": "--as-step",
    "spec.resume.steps": "--steps",
    "spec.resume.skip": "--skip",
}


def _as_typed(fault: Fault) -> Fault:
    """A fault of `spec.resume` under the option that it was typed with."""
    for path, option in _TYPED.items():
        if fault.path == path or fault.path.startswith((f"{path}.", f"{path}[")):
            return replace(fault, path=f"{option}{fault.path.removeprefix(path).replace('.', ' ', 1)}")
    return fault


async def _drive(
    output: Output, store: Store, run: Run, wishes: Wishes, file: str | None, *, note: str = ""
) -> int:
    """Run a run and say how it ended; the document, or the summary."""
    file = file or manifest_of(run)
    again = f"cairn run {shlex.quote(file)}" if file else command_to_go_on(run)
    course = Course(wishes.url, again, wishes.in_process, wishes.kill_at, wishes.debug)
    show = _show(output, run)
    if note:
        show.say(note)
    started = time.monotonic()
    with standard_output_kept() if wishes.in_process and not output.for_people else nullcontext():
        ended = await drive(store, run, course, show)
    state, _ = await newest_state(store, ended.run, output)
    if not output.for_people:
        output.document(_document(ended, state.channels))
        return ended.exit_code
    who = await _name_of(store, ended.run)
    lines = summaries.summary(ended, state, seconds=time.monotonic() - started, width=output.width)
    lines += ["", *summaries.next_commands(ended, who, file, output.now)]
    if wishes.kill_at and not ended.killed:
        lines.append(f"--kill-at {wishes.kill_at}: no such task ran, nothing was killed")
    output.text(["", *lines] if show.wants_state else lines)
    return ended.exit_code


def _show(output: Output, run: Run) -> Show:
    if not output.for_people:
        return QuietShow()
    if is_lively(sys.stdout):
        return LiveShow(Workflow.model_validate(run.manifest))
    return PlainShow(output)


def _document(ended: Finish, state: JSONObject) -> JSONObject:
    document = shapes.ended_shape(ended.run, state, restarts=ended.restarts)
    if ended.exit_code in _TOLD_IN_DOCUMENT:
        document["reason"] = ended.reason
        document["error"] = shapes.error_shape(ended.reason, ended.message, ())
    return document


async def _name_of(store: Store, run: Run) -> str:
    """What to type for a run: its Workflow's name while it is the newest, else its short id."""
    newest = await store.runs(workflow=run.workflow, limit=1)
    return workflow_name(run) if newest and newest[0].run_id == run.run_id else short_id(run.run_id)
