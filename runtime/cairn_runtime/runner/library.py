"""Cairn from a program: run Workflows on its event loop, look at their history, answer what they wait for.

    from cairn_runtime import run
    result = await run("digest.yaml", store="sqlite:///digest.db")

`store` is an open store, a URL, or None for what the command line uses too: CAIRN_STORE_URL, else
`sqlite:///.cairn/cairn.db`. A store that came as a URL is opened and closed by the call.
Runs are named as on the command line: by Workflow (its newest run), by Workflow and thread (`digest@alice`),
by id, or by part of one.

Many runs may be under way in one program at once. A call that is cancelled leaves its run where it was saved
last; run the Workflow again and it goes on.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, TypeAlias

from cairn_runtime.engine.history import fold_at, newest_valid
from cairn_runtime.errors import (
    EXIT_STORE_UNAVAILABLE,
    EXIT_SUPERSEDED,
    CheckpointNotFound,
    RunNotFound,
    StoreUnavailable,
    Superseded,
)
from cairn_runtime.model.building import Workflow as Built
from cairn_runtime.model.values import JSONObject, JSONValue, jsonify
from cairn_runtime.model.workflow import Workflow
from cairn_runtime.runner.accepting import accept
from cairn_runtime.runner.answering import open_approval, send_answer, send_signal
from cairn_runtime.runner.forking import ForkRequest, fork_run
from cairn_runtime.runner.inprocess import InProcess
from cairn_runtime.runner.naming import find_checkpoint, find_run
from cairn_runtime.runner.starting import find_or_create, in_thread
from cairn_runtime.runner.watching import Finish
from cairn_runtime.store.base import Checkpoint, Phase, Run, Store, Wait
from cairn_runtime.store.keys import codec_from_environment
from cairn_runtime.store.opening import open_store

__all__ = [
    "HeadOf",
    "RunResult",
    "approve",
    "history",
    "open_store",
    "reject",
    "resume",
    "run",
    "signal",
    "state",
    "stream",
]

DEFAULT_STORE = "sqlite:///.cairn/cairn.db"
_PAGE = 100

AnyWorkflow: TypeAlias = "Built | Workflow | Mapping[str, JSONValue] | Path | str"
AnyStore: TypeAlias = "Store | str | None"


class HeadOf(NamedTuple):
    """A run's newest checkpoint; seq 0 before the first."""

    seq: int
    id: str


@dataclass(frozen=True, slots=True)
class RunResult:
    """A run as it was when nothing more could be done: finished, or waiting for somebody."""

    run: str
    """The run's id."""
    phase: Phase
    state: JSONObject
    """The channels at the head."""
    head: HeadOf
    reason: str
    """Why it failed or was cancelled, as one word; empty where it did not."""
    message: str
    waits: tuple[Wait, ...]
    """What it waits for."""
    checkpoints: int
    """How many it has written, ever."""


async def run(
    workflow: AnyWorkflow,
    *,
    store: AnyStore = None,
    input: Mapping[str, object] | None = None,  # noqa: A002 - the manifest's own word
    new: bool = False,
    thread: str | None = None,
) -> RunResult:
    """Run a Workflow until it is finished or waits for somebody; an unfinished run of the same spec goes on.

    Args:
        workflow: what was built in Python, a manifest's path, the manifest as a dict, or the model.
        store: an open store, a URL, or None for the default.
        input: laid over `spec.input`.
        new: start another run although one is unfinished.
        thread: go on with this thread's run, or begin one in it; None: what the Workflow's label says, else
            the Workflow's own thread. Runs of two threads never meet.

    Raises:
        ManifestInvalid: with every fault.
        InvalidInput: an input is not JSON, or the thread's name is none.
        SpecChanged: an unfinished run has another spec; `new=True` or `resume(..., workflow=...)`.
        Superseded: somebody else runs it now.
        StoreError: the store does not answer, or cannot be used.
    """
    accepted = in_thread(accept(workflow, input), thread, "thread")
    async with _opened(store) as opened:
        return await _driven(opened, await find_or_create(opened, accepted, new=new))


async def stream(
    workflow: AnyWorkflow,
    *,
    store: AnyStore = None,
    input: Mapping[str, object] | None = None,  # noqa: A002 - the manifest's own word
    new: bool = False,
    thread: str | None = None,
) -> AsyncGenerator[Checkpoint, None]:
    """Run a Workflow like `run`, and give the header of each checkpoint once it is committed.

    Leaving the loop early ends the run's tasks here; what was committed stays.

    Raises:
        As `run`.
    """
    accepted = in_thread(accept(workflow, input), thread, "thread")
    async with _opened(store) as opened:
        row = await find_or_create(opened, accepted, new=new)
        saved = asyncio.Event()
        job = InProcess(opened, row, on_saved=lambda _: saved.set())
        watching = asyncio.ensure_future(job.watch())
        watching.add_done_callback(lambda _: saved.set())
        try:
            seen = row.head_seq
            over = False
            while not over:
                await saved.wait()
                saved.clear()
                over = watching.done()
                for checkpoint in await _since(opened, row.run_id, seen):
                    seen = checkpoint.seq
                    yield checkpoint
            _raise_unless_told(job, watching.result())
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)


async def resume(  # noqa: PLR0913 - the verb's own options, all by name
    run_or_checkpoint: str,
    *,
    store: AnyStore = None,
    patch: Mapping[str, object] | None = None,
    as_step: str | None = None,
    steps: Iterable[str] = (),
    skip: Iterable[str] = (),
    workflow: AnyWorkflow | None = None,
) -> RunResult:
    """Fork a new run from a checkpoint, or from the head of a run, and run it.

    Args:
        run_or_checkpoint: a checkpoint (id, part of one, `RUN/SEQ`), or a run or Workflow: its head.
        store: an open store, a URL, or None for the default.
        patch: channels to set in the new run.
        as_step: the patch counts as written by this step, which counts as done.
        steps: start at these steps instead of where the run was.
        skip: these steps count as done once.
        workflow: a mended manifest to go on with.

    Raises:
        NotFound: no such run or checkpoint.
        ManifestInvalid: patch, steps or manifest do not fit; nothing was touched.
        As `run`.
    """
    async with _opened(store) as opened:
        checkpoint, follow_head = await _origin(opened, run_or_checkpoint)
        request = ForkRequest(
            checkpoint,
            follow_head=follow_head,
            state_patch={name: jsonify(value, name) for name, value in (patch or {}).items()},
            as_step=as_step,
            steps=tuple(steps),
            skip=tuple(skip),
            mended=None if workflow is None else accept(workflow),
        )
        return await _driven(opened, await fork_run(opened, codec_from_environment(), request))


async def state(run_id: str, *, store: AnyStore = None, at: str | int | None = None) -> JSONObject:
    """Read a run's channels, at its newest valid checkpoint or at a given one.

    Args:
        run_id: a run or a Workflow.
        store: an open store, a URL, or None for the default.
        at: a checkpoint's id, part of one, or its number in the run.

    Raises:
        NotFound: no such run or checkpoint.
        PayloadError: it cannot be read.
    """
    async with _opened(store) as opened:
        row = await find_run(opened, run_id)
        if at is None:
            return await _channels(opened, row)
        checkpoint = await find_checkpoint(opened, str(at), row)
        return (
            await fold_at(opened, codec_from_environment(), checkpoint.run_id, checkpoint.seq)
        ).state.channels


async def history(run_id: str, *, store: AnyStore = None) -> AsyncGenerator[Checkpoint, None]:
    """Give the headers of a run's checkpoints, newest first.

    Raises:
        RunNotFound: no such run or Workflow.
    """
    async with _opened(store) as opened:
        row = await find_run(opened, run_id)
        before: int | None = None
        while rows := await opened.checkpoints(row.run_id, before=before, limit=_PAGE):
            for checkpoint in rows:
                yield checkpoint
            before = rows[-1].seq


async def signal(
    run_id: str, name: str, value: object = None, *, store: AnyStore = None, client_id: str | None = None
) -> None:
    """Send a named signal; it is kept until something waits for it. The same client_id is sent once.

    Raises:
        InvalidInput: the value is not what the open wait asks for.
        WaitClosed: the run is finished.
        RunNotFound: no such run or Workflow.
    """
    async with _opened(store) as opened:
        row = await find_run(opened, run_id)
        await send_signal(opened, row, name, jsonify(value), client_id=client_id)


async def approve(
    run_id: str, step: str = "", *, value: object = None, by: str = "", store: AnyStore = None
) -> None:
    """Say yes to an approval; `step` may be left out where only one is open.

    Raises:
        WaitClosed: nothing of this name waits for an approval.
        InvalidInput: several do, or the value is not what it asks for.
        RunNotFound: no such run or Workflow.
    """
    await _answer(run_id, step, store, approved=True, value=value, by=by)


async def reject(
    run_id: str, step: str = "", *, value: object = None, by: str = "", store: AnyStore = None
) -> None:
    """Say no to an approval; see `approve`."""
    await _answer(run_id, step, store, approved=False, value=value, by=by)


async def _answer(run_id: str, step: str, store: AnyStore, *, approved: bool, value: object, by: str) -> None:
    async with _opened(store) as opened:
        row = await find_run(opened, run_id)
        wait = open_approval(row, step)
        await send_answer(opened, row, wait, approved=approved, value=jsonify(value), by=by)


@asynccontextmanager
async def _opened(store: AnyStore) -> AsyncIterator[Store]:
    """Use the caller's store, or open one and close it."""
    if store is not None and not isinstance(store, str):
        yield store
        return
    opened = await open_store(store or os.environ.get("CAIRN_STORE_URL") or DEFAULT_STORE)
    try:
        yield opened
    finally:
        await opened.close()


async def _driven(store: Store, row: Run) -> RunResult:
    job = InProcess(store, row)
    finish = await job.watch()
    _raise_unless_told(job, finish)
    row = finish.run
    return RunResult(
        run=row.run_id,
        phase=row.phase,
        state=await _channels(store, row),
        head=HeadOf(row.head_seq, row.head_id),
        reason=row.reason,
        message=row.message,
        waits=row.waits,
        checkpoints=row.checkpoints,
    )


def _raise_unless_told(job: InProcess, finish: Finish) -> None:
    """Raise what ended the run here, unless the run's own row says it."""
    if finish.exit_code == EXIT_SUPERSEDED:
        raise job.error or Superseded(job.run_id, finish.message)
    if finish.run.finished:
        return
    if job.error is not None:
        raise job.error
    if finish.exit_code == EXIT_STORE_UNAVAILABLE:
        raise StoreUnavailable(finish.message)


async def _channels(store: Store, row: Run) -> JSONObject:
    if row.head_seq == 0:
        return {}
    return (await newest_valid(store, codec_from_environment(), row)).folded.state.channels


async def _since(store: Store, run_id: str, seq: int) -> list[Checkpoint]:
    """Headers of the checkpoints after `seq`, ascending."""
    found: list[Checkpoint] = []
    before: int | None = None
    while rows := await store.checkpoints(run_id, before=before, limit=_PAGE):
        found += [row for row in rows if row.seq > seq]
        before = rows[-1].seq
        if before <= seq + 1:
            break
    return found[::-1]


async def _origin(store: Store, text: str) -> tuple[Checkpoint, bool]:
    """The checkpoint that is meant; for a run its head, wherever that is when the run is stopped."""
    try:
        row = await find_run(store, text)
    except RunNotFound:
        return await _checkpoint(store, text), False
    return await find_checkpoint(store, "head", row), True


async def _checkpoint(store: Store, text: str) -> Checkpoint:
    try:
        return await find_checkpoint(store, text)
    except CheckpointNotFound:
        raise CheckpointNotFound(text, f'no run, Workflow or checkpoint "{text}" in this store') from None
