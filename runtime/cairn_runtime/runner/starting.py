"""Which run a Workflow goes on with, and how a run is made and ended by whoever is not its runner.

Everything here is steps of one idempotent store call each; after a crash between any two the same request,
made again, comes to the same end.

    end     claim (its runner can write no more) ── commit the row's last change

Who calls: the command line, the supervisor, the library. Nothing here starts a runner.
"""

from __future__ import annotations

import logging
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

from cairn_runtime.errors import Fault, InvalidInput, SpecChanged, Superseded
from cairn_runtime.model.fingerprints import graph_hash
from cairn_runtime.model.ids import new_id, run_id_for, trace_id_for
from cairn_runtime.model.threads import RULE, is_thread, labelled_thread
from cairn_runtime.model.values import JSONObject
from cairn_runtime.model.workflow import Workflow
from cairn_runtime.runner.auditing import note, whoever
from cairn_runtime.runner.naming import all_runs, run_name, workflow_key
from cairn_runtime.store.base import Fence, NewRun, Outcome, Run, Store
from cairn_runtime.store.patience import insist

log = logging.getLogger("cairn.starting")

PATIENCE_SECONDS = 5.0
"""How long a store that does not answer is asked again before a request is given up."""
MAX_MESSAGE = 4096
"""Characters of a reason's text that a row keeps."""
_LOOKED_AT = 1000
"""Newest runs of a thread that are looked through for an unfinished one."""
_CLAIM_TRIES = 5


@dataclass(frozen=True, slots=True)
class Accepted:
    """A Workflow that passed validation, with the document it came from."""

    document: JSONObject
    workflow: Workflow
    folder: str | None = None
    """Absolute path of the folder that holds its code; None where it came without a file."""
    asked_thread: str = ""
    """Name of the thread that was asked for; see `in_thread`."""

    @property
    def key(self) -> str:
        """The key of its runs in a store."""
        return workflow_key(self.workflow.metadata.namespace, self.workflow.metadata.name)

    @property
    def thread(self) -> str:
        """The thread of its runs in a store: the one asked for, else the label's, else the Workflow's own."""
        return self.asked_thread or labelled_thread(self.document) or self.key

    @property
    def graph_hash(self) -> str:
        """What tells whether a run can go on with it."""
        return graph_hash(self.workflow.spec)


def in_thread(accepted: Accepted, name: str | None, path: str) -> Accepted:
    """Let the runs of a Workflow be those of a named thread; None: what its label says.

    Raises:
        InvalidInput: this is no name, found at `path`.
    """
    if name is None:
        return accepted
    if not is_thread(name):
        raise InvalidInput([Fault(path, f'"{name}" {RULE}')])
    return replace(accepted, asked_thread=name)


async def find_or_create(store: Store, accepted: Accepted, *, new: bool = False) -> Run:
    """Answer the unfinished run of this Workflow, thread and spec, or make a new run.

    Raises:
        SpecChanged: the newest run of the thread is unfinished and has another spec.
    """
    if not new:
        run = await unfinished_run(store, accepted)
        if run is not None:
            return run
    return await create_run(store, accepted, os.urandom(16).hex())


async def unfinished_run(store: Store, accepted: Accepted) -> Run | None:
    """The thread's newest unfinished run with this spec; None if all that there is has finished.

    Raises:
        SpecChanged: the newest run is unfinished and has another spec, or its code lies in another folder.
    """
    wanted = (accepted.graph_hash, accepted.folder)
    newest: Run | None = None
    async for run in _newest(store, accepted):
        newest = newest or run
        if not run.finished and (run.graph_hash, run.folder) == wanted:
            return run
    if newest is not None and not newest.finished:
        raise SpecChanged(_changed(newest, accepted))
    return None


async def create_run(store: Store, accepted: Accepted, nonce: str) -> Run:
    """Make a run; the same nonce again answers the same run."""
    run_id = run_id_for(accepted.key.rpartition("/")[2], nonce)
    new = NewRun(
        run_id=run_id,
        workflow=accepted.key,
        manifest=accepted.document,
        graph_hash=accepted.graph_hash,
        key_base=run_id,
        thread=accepted.thread,
        folder=accepted.folder,
        trace_id=trace_id_for(run_id),
    )
    return await insist(lambda: store.create_run(new), seconds=PATIENCE_SECONDS)


async def cancel_run(store: Store, run: Run, *, message: str = "") -> Run:
    """End a run for good; its runner, if there is one, stops as superseded. A finished run stays as it is.

    Raises:
        Superseded: others claimed the run again and again meanwhile.
    """
    if not run.finished:
        # Of each person a line: what one has asked for may not have come off, and another asks again.
        await note(store, "cancel", source=run.run_id, act=f"{run.run_id}:{whoever()}")
    run, fence = await take_run(store, run)
    if run.finished:
        return run
    return await end_run(
        store, run, fence, Outcome("Cancelled", "Cancelled", message or "cancelled on request")
    )


async def claim_run(store: Store, run_id: str, expected_epoch: int, *, runner: str = "") -> Fence:
    """Claim a run for a new attempt, asking again where the answer was lost.

    Raises:
        Superseded: somebody else has claimed it since.
    """
    claim_id = new_id()
    return await insist(
        lambda: store.claim(run_id, expected_epoch, claim_id, runner), seconds=PATIENCE_SECONDS
    )


async def fail_run(store: Store, run_id: str, fence: Fence, reason: str, message: str) -> bool:
    """Write into the row why the run must stop; False where the fence is not held or the run is finished."""
    run = await row_of(store, run_id)
    if run.fence != fence or run.finished:
        return False
    await end_run(store, run, fence, Outcome("Failed", reason, message[:MAX_MESSAGE]))
    return True


async def take_run(store: Store, run: Run) -> tuple[Run, Fence]:
    """Claim a run from whoever holds it, and read its row as it stays then; a finished one is left alone."""
    for _ in range(_CLAIM_TRIES):
        run = await row_of(store, run.run_id)
        if run.finished:
            return run, run.fence
        try:
            fence = await claim_run(store, run.run_id, run.epoch)
        except Superseded:
            log.info("claim was overtaken", extra={"run_id": run.run_id})
            continue
        return await row_of(store, run.run_id), fence
    raise Superseded(
        run.run_id, f"run {run.run_id} is claimed by others again and again; nothing was changed"
    )


async def row_of(store: Store, run_id: str) -> Run:
    """Read a run's row, with patience."""
    return await insist(lambda: store.run(run_id), seconds=PATIENCE_SECONDS)


async def end_run(store: Store, run: Run, fence: Fence, outcome: Outcome) -> Run:
    """Change a run's row under a fence, with no checkpoint; returns the row as it is then."""
    write_id = new_id()
    await insist(
        lambda: store.commit(run.run_id, fence, run.head_seq, write_id, [], outcome), seconds=PATIENCE_SECONDS
    )
    return await row_of(store, run.run_id)


async def _newest(store: Store, accepted: Accepted) -> AsyncIterator[Run]:
    count = 0
    async for run in all_runs(store, accepted.key, accepted.thread):
        yield run
        count += 1
        if count == _LOOKED_AT:
            return


def _changed(run: Run, accepted: Accepted) -> str:
    """Say what is in the way, and both ways on."""
    name = run_name(run)
    if run.graph_hash != accepted.graph_hash:
        what = "has another spec (steps, state, code, image or input)"
    else:
        what = f"was begun with the code in {run.folder or 'no folder'}"
    return (
        f"run {run.run_id} of {name} is {run.phase} and {what}. Start another run with --new, "
        f"or go on from its newest checkpoint with this file: cairn resume {name} --from head --file FILE"
    )
