"""Forks: a new run that goes on from any checkpoint, with changes or without.

    check (nothing is touched) ── audit ── hold the origin ── claim and end the old run ── create the new one

Each arrow is one idempotent store call: after a crash between any two the same request, made again, comes to
the same end, and until then the old run is unfinished or its head can be forked again.
The new run's checkpoint 1 is written by its own runner; the hold is let go once it is there.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from itertools import islice

from cairn_runtime.engine.compiled import compile_workflow
from cairn_runtime.engine.execute import CodeSource, Executor
from cairn_runtime.engine.forks import fork
from cairn_runtime.engine.history import fold_at
from cairn_runtime.errors import Fault, ManifestInvalid
from cairn_runtime.model.ids import run_id_for, trace_id_for, utc_now
from cairn_runtime.model.values import JSONObject
from cairn_runtime.model.workflow import Workflow
from cairn_runtime.runner.auditing import note
from cairn_runtime.runner.naming import find_checkpoint, workflow_name
from cairn_runtime.runner.session import workflow_of
from cairn_runtime.runner.starting import PATIENCE_SECONDS, Accepted, end_run, take_run
from cairn_runtime.store.audits import word_for_a_fork
from cairn_runtime.store.base import Checkpoint, NewRun, Origin, Outcome, Run, Store
from cairn_runtime.store.codec import Codec
from cairn_runtime.store.patience import insist


@dataclass(frozen=True, slots=True)
class ForkRequest:
    """A new run from a checkpoint, and what is different in it."""

    checkpoint: Checkpoint
    """The origin's header."""
    follow_head: bool = False
    """The origin is whatever the old run's head is once its runner can write no more."""
    state_patch: JSONObject = field(default_factory=dict)
    as_step: str | None = None
    steps: tuple[str, ...] = ()
    skip: tuple[str, ...] = ()
    mended: Accepted | None = None
    """Another manifest to go on with."""
    nonce: str = field(default_factory=lambda: os.urandom(16).hex())
    """Served once: the same nonce again answers the same run."""

    @property
    def origin(self) -> Origin:
        """The origin as the new run's row holds it."""
        row = self.checkpoint
        return Origin(
            row.run_id, row.seq, row.id, dict(self.state_patch), self.as_step, self.steps, self.skip
        )


async def fork_run(store: Store, codec: Codec, request: ForkRequest) -> Run:
    """Make a new run that goes on from a checkpoint; the old one is ended first if it has not finished.

    What cannot be forked is found out before anything is touched.

    Raises:
        CheckpointNotFound: the origin was pruned.
        ManifestInvalid: the patch, the steps or the mended manifest do not fit.
        CheckpointCorrupted, FormatUnknown, KeyMissing: the origin cannot be read.
    """
    parent = await store.run(request.checkpoint.run_id)
    child_id = run_id_for(parent.workflow.rpartition("/")[2], request.nonce)
    _require_same_workflow(parent, request.mended)
    await check_fork(store, codec, parent, request)
    source = f"{parent.run_id}/{request.checkpoint.id}"
    what = word_for_a_fork(request.state_patch)
    await note(store, what, source=source, target=child_id, act=child_id)
    await insist(lambda: store.hold(request.checkpoint.id, child_id), seconds=PATIENCE_SECONDS)
    parent, request = await _stop_parent(store, parent, request, child_id)
    origin = request.origin
    mended = request.mended
    plain_head = origin.plain and origin.seq == parent.head_seq
    new = NewRun(
        run_id=child_id,
        workflow=parent.workflow,
        manifest=mended.document if mended else parent.manifest,
        graph_hash=mended.graph_hash if mended else parent.graph_hash,
        key_base=parent.key_base if plain_head else child_id,
        thread=parent.thread,
        folder=mended.folder if mended else parent.folder,
        origin=origin,
        trace_id=trace_id_for(child_id),
        spec_version=parent.spec_version,
    )
    return await insist(lambda: store.create_run(new), seconds=PATIENCE_SECONDS)


async def _stop_parent(
    store: Store, parent: Run, request: ForkRequest, child_id: str
) -> tuple[Run, ForkRequest]:
    """Take the old run from its runner and end it; only then is its head certain."""
    if parent.finished:
        return parent, request
    parent, fence = await take_run(store, parent)
    if parent.finished:
        return parent, request
    if request.follow_head and parent.head_seq > request.checkpoint.seq:
        head = await find_checkpoint(store, "head", parent)
        await insist(lambda: store.hold(head.id, child_id), seconds=PATIENCE_SECONDS)
        request = replace(request, checkpoint=head)
    outcome = Outcome(
        "Cancelled", "Forked", f"run {child_id} goes on from checkpoint {request.checkpoint.seq}"
    )
    return await end_run(store, parent, fence, outcome), request


async def check_fork(store: Store, codec: Codec, parent: Run, request: ForkRequest) -> None:
    """Make the fork's first state and throw it away: what does not fit is found before anything is touched.

    Raises:
        ManifestInvalid: the patch, the steps or the mended manifest do not fit.
        CheckpointCorrupted, FormatUnknown, KeyMissing, CheckpointNotFound: the origin cannot be read.
        StepUnusable: a reducer's code cannot be loaded.
    """
    mended = request.mended
    workflow = mended.workflow if mended else workflow_of(parent)
    _require_steps(workflow, request)
    folded = await fold_at(store, codec, request.checkpoint.run_id, request.checkpoint.seq)
    executor = Executor(code=CodeSource(mended.folder if mended else parent.folder, workflow.spec.code))
    try:
        fork(compile_workflow(workflow, executor.load_function), folded.state, request.origin, utc_now())
    finally:
        await executor.close()


async def release_hold(store: Store, run: Run) -> None:
    """Let go of a fork's origin once the fork has a checkpoint of its own."""
    if run.origin is not None and run.head_seq > 0:
        await insist(lambda: store.release_hold(run.run_id), seconds=PATIENCE_SECONDS)


def _require_same_workflow(parent: Run, mended: Accepted | None) -> None:
    if mended is None:
        return
    namespace, _, rest = parent.workflow.partition("/")
    meta = mended.workflow.metadata
    if (meta.namespace, meta.name) != (namespace, rest.rpartition("/")[0]):
        what = f'this is Workflow "{meta.name}", but the checkpoint belongs to "{workflow_name(parent)}"'
        raise ManifestInvalid([Fault("metadata.name", what)])


def _require_steps(workflow: Workflow, request: ForkRequest) -> None:
    """Every step that the request names must exist."""
    known = [step.name for step in workflow.spec.steps]
    named = {
        "asStep": [request.as_step] if request.as_step else [],
        "steps": request.steps,
        "skip": request.skip,
    }
    faults = [
        Fault(f"spec.resume.{where}", f'unknown step "{name}"; there is {", ".join(islice(known, 20))}')
        for where, names in named.items()
        for name in names
        if name not in known
    ]
    if faults:
        raise ManifestInvalid(faults)
