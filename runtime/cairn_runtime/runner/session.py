"""A session: one runner's time with one run, from reading its row to the loop's last word.

Both the runner process and the library's in-process runs go through here, so that they cannot differ.
It finds out how the run begins: from nothing, from its newest valid checkpoint, or as a fork of another run.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from cairn_runtime.engine.compiled import CompiledWorkflow, compile_workflow
from cairn_runtime.engine.control import Control, Mark
from cairn_runtime.engine.execute import CodeSource, Executor
from cairn_runtime.engine.forks import fork
from cairn_runtime.engine.frontier import RunState
from cairn_runtime.engine.history import fold_at, newest_valid, open_progress
from cairn_runtime.engine.loop import RunLoop
from cairn_runtime.errors import Fault, FormatUnknown, ManifestInvalid, Superseded
from cairn_runtime.model.ids import utc_now
from cairn_runtime.model.running import CHANGEABLE
from cairn_runtime.model.values import JSONObject
from cairn_runtime.model.workflow import Workflow
from cairn_runtime.runner.traces import AttemptTrace, Traces
from cairn_runtime.store.base import Fence, Origin, Run, Store
from cairn_runtime.store.codec import Codec
from cairn_runtime.store.owned import HoldsUp

log = logging.getLogger("cairn.session")

SPEC_VERSION = 1
"""Version of the manifest's fields that this release knows."""


@dataclass(frozen=True, slots=True)
class Session:
    """What is open while a run runs; `close` ends the executor's threads and processes."""

    run: Run
    workflow: CompiledWorkflow
    control: Control
    executor: Executor
    loop: RunLoop
    trace: AttemptTrace | None = None
    """Who traces this attempt, if anybody does."""

    async def close(self) -> None:
        """End every thread and process of the session; the store stays open."""
        await self.executor.close()


def plain_executor(code: CodeSource) -> Executor:
    """An Executor for a program that runs a Workflow inside itself: no watchdog, it is not ours to end."""
    return Executor(code=code)


@dataclass(frozen=True, slots=True)
class SessionSettings:
    """How patient a session is, and what runs its tasks."""

    patience_seconds: float = 60.0
    """How long a store that does not answer is asked again before the runner gives up."""
    linger_seconds: float = 0.0
    """How long a run whose tasks are all parked is kept, in the hope of an answer."""
    make_executor: Callable[[CodeSource], Executor] = plain_executor
    """Makes the executor; the runner process gives one with a watchdog, that announces what it does."""
    owns_event_loop: bool = False
    """Whether the event loop is there for this run alone: a commit may hold it up while no task runs."""
    spec: Mapping[str, Any] | None = None
    """What may change under way, as it is now; None: as it was when the run was made."""
    traces: Traces | None = None
    """Where spans go; None: nowhere."""


class AlreadyOver(Exception):
    """The run had ended when this attempt began: the last commit of a dead runner arrived after all."""

    def __init__(self, run: Run) -> None:
        super().__init__(run.phase)
        self.run = run


async def open_session(
    store: Store, run_id: str, fence: Fence, codec: Codec, settings: SessionSettings | None = None
) -> Session:
    """Read the run and make its loop ready; nothing runs yet.

    Raises:
        Superseded: the fence is not the row's.
        AlreadyOver: there is nothing left to do.
        RunNotFound, StoreUnavailable: the store's word.
        CheckpointCorrupted, FormatUnknown, KeyMissing: the history cannot be used; it fails closed.
        StepUnusable: a reducer's code cannot be loaded.
        ManifestInvalid: a fork's patch or frontier does not fit the Workflow, or that is unreadable.
        FormatUnknown: a newer release accepted the Workflow.
    """
    settings = settings or SessionSettings()
    began_ns = time.time_ns()
    run = await store.run(run_id)
    if run.fence != fence:
        raise Superseded(run_id)
    if run.finished:
        raise AlreadyOver(run)
    workflow = workflow_of(run, settings.spec)
    executor = settings.make_executor(CodeSource(run.folder, workflow.spec.code))
    try:
        compiled = compile_workflow(workflow, executor.load_function)
        control = Control.at_head(store, codec, run, compiled.graph_hash, settings.patience_seconds)
        state = await _first_state(store, codec, run, compiled, control)
        progress = await open_progress(store, codec, run_id)
        loop = RunLoop(
            compiled,
            state,
            control,
            executor,
            key_base=run.key_base,
            progress=progress,
            started_at=run.created_at,
            linger_seconds=settings.linger_seconds,
        )
        if settings.owns_event_loop and isinstance(store, HoldsUp):
            store.alone = loop.alone
        if run.head_seq == 0 and run.origin is None:
            loop.begin()
    except BaseException:
        await executor.close()
        raise
    trace = None if settings.traces is None else settings.traces.attempt(run, began_ns)
    if trace is not None:
        loop.trace(trace)
    return Session(run, compiled, control, executor, loop, trace)


def workflow_of(run: Run, changed: Mapping[str, Any] | None = None) -> Workflow:
    """Read the Workflow that a run's row holds; `changed` stands in place of what may change under way.

    Raises:
        FormatUnknown: a newer release wrote it.
        ManifestInvalid: it does not fit this release's fields.
    """
    if run.spec_version > SPEC_VERSION:
        known = f"this release reads up to {SPEC_VERSION}"
        raise FormatUnknown(f"run {run.run_id} has a spec of version {run.spec_version}; {known}")
    try:
        return Workflow.model_validate(run.manifest if changed is None else _changed(run.manifest, changed))
    except ValidationError as error:
        faults = [Fault(".".join(map(str, one["loc"])), one["msg"]) for one in error.errors()]
        raise ManifestInvalid(faults) from None


def _changed(manifest: JSONObject, changed: Mapping[str, Any]) -> JSONObject:
    spec = manifest.get("spec")
    kept = spec.items() if isinstance(spec, dict) else ()
    fixed = {name: value for name, value in kept if name not in CHANGEABLE}
    return {**manifest, "spec": {**fixed, **{name: changed[name] for name in CHANGEABLE if name in changed}}}


async def _first_state(
    store: Store, codec: Codec, run: Run, compiled: CompiledWorkflow, control: Control
) -> RunState:
    started = time.monotonic()
    if run.head_seq:
        state = await _resume(store, codec, run, control)
    elif run.origin is not None:
        inherits = run.key_base != run.run_id
        state = await _fork(store, codec, run.origin, compiled, control, inherits=inherits)
    else:
        return RunState()
    control.metrics.restores.observe(time.monotonic() - started)
    return state


async def _resume(store: Store, codec: Codec, run: Run, control: Control) -> RunState:
    newest = await newest_valid(store, codec, run)
    control.delta_bytes = newest.folded.delta_bytes
    checkpoint = newest.folded.checkpoint
    if checkpoint is not None and checkpoint.seq != run.head_seq:
        log.error("went back to a valid checkpoint", extra={"run_id": run.run_id, "seq": checkpoint.seq})
        control.fall_back(checkpoint)
    return newest.folded.state


async def _fork(
    store: Store,
    codec: Codec,
    origin: Origin,
    compiled: CompiledWorkflow,
    control: Control,
    *,
    inherits: bool,
) -> RunState:
    """Make a fork's checkpoint 1: the origin's state, changed as asked, as a full snapshot.

    A fork that inherits the keys of unfinished tasks inherits their progress too.
    It is copied before the checkpoint: once that is there, nobody looks at the origin again.
    """
    folded = await fold_at(store, codec, origin.run_id, origin.seq)
    state = fork(compiled, folded.state, origin, utc_now())
    if inherits:
        for task, value in (await open_progress(store, codec, origin.run_id)).items():
            locked = codec.lock_progress(control.run_id, task, value)
            await store.put_progress(control.run_id, control.fence, task, locked)
    metadata: JSONObject = {"origin": origin.checkpoint_id}
    mark = Mark(origin.as_step or "", 0, None, state.next_steps(), metadata)
    control.cut([], state, mark, snapshot=True)
    return state
