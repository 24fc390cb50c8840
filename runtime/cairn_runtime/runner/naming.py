"""From what people type to a row: Workflow names, run ids, checkpoint ids, and parts of them.

    run          digest, team/digest (its newest run) | digest@alice (the newest run of that thread)
                 a run's id | its last 8 characters | a prefix
    checkpoint   an id, its beginning or its end | RUN/SEQ | with a run at hand: SEQ, head, latest, start

What fits nothing is a `NotFound`; what fits several things names them all.
Reads only.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from uuid import uuid5

from cairn_runtime.errors import CheckpointNotFound, Fault, InvalidInput, RunNotFound
from cairn_runtime.model.ids import NAMESPACE
from cairn_runtime.store.base import Checkpoint, Run, Store

SHORT = 8
"""Characters that tell runs apart: a shorter prefix is looked for in all runs, in case several fit."""
_LEAST = 4
_UUID_LENGTH = 36
_PART_OF_ID = re.compile(rf"^[0-9a-f-]{{{_LEAST},{_UUID_LENGTH}}}$")
_SEQ = re.compile(r"^[1-9]\d{0,9}$")
_PAGE = 100


def local_uid(namespace: str, name: str) -> str:
    """A Workflow's uid where no Kubernetes gives it one: the same for the same name, everywhere."""
    return str(uuid5(NAMESPACE, f"{namespace}/{name}"))


def workflow_key(namespace: str, name: str) -> str:
    """The key under which a local Workflow's runs are found: `namespace/name/uid`."""
    return f"{namespace}/{name}/{local_uid(namespace, name)}"


def workflow_name(run: Run) -> str:
    """The name of a run's Workflow, for people: without the namespace where that is `default`."""
    namespace, _, rest = run.workflow.partition("/")
    name = rest.rpartition("/")[0] or rest
    return name if namespace == "default" else f"{namespace}/{name}"


def thread_name(run: Run) -> str:
    """The name of a run's thread; empty where that is its Workflow's own."""
    return "" if run.thread == run.workflow else run.thread


def run_name(run: Run) -> str:
    """What names a run as long as it is the newest: the Workflow, and the thread where that has a name."""
    thread = thread_name(run)
    return f"{workflow_name(run)}@{thread}" if thread else workflow_name(run)


async def find_run(store: Store, text: str) -> Run:
    """Find the run that is meant.

    Raises:
        RunNotFound: none.
        InvalidInput: several; they are named.
    """
    if len(text) == _UUID_LENGTH and _PART_OF_ID.match(text):
        return await store.run(text)
    workflow, at, thread = text.partition("@")
    namespace, slash, name = workflow.rpartition("/")
    named = name and bool(thread) == bool(at)
    prefix = f"{namespace if slash else 'default'}/{name}/"
    newest = await store.runs(workflow=prefix, thread=thread, limit=1) if named else []
    if newest:
        return newest[0]
    found = [run async for run in _fitting(store, text)]
    if len(found) > 1:
        _refuse(text, "runs", [run.run_id for run in found])
    if not found:
        raise RunNotFound(text, f'no Workflow and no run "{text}" in this store; list them with: cairn runs')
    return found[0]


async def find_checkpoint(store: Store, text: str, run: Run | None = None) -> Checkpoint:
    """Find the checkpoint that is meant, as a header; `run` is the one at hand, if any.

    Raises:
        CheckpointNotFound, RunNotFound: none.
        InvalidInput: several; they are named.
    """
    before, slash, last = text.rpartition("/")
    if slash:
        return await find_checkpoint(store, last, await find_run(store, before))
    if run is not None:
        if text in ("head", "latest"):
            return await _at(store, run, run.head_seq)
        if text == "start" or _SEQ.match(text):
            return await _at(store, run, 1 if text == "start" else int(text))
    if not _PART_OF_ID.match(text):
        raise CheckpointNotFound(text)
    found = await store.find_checkpoints(text)
    own = [row for row in found if run is not None and row.run_id == run.run_id]
    if len(own or found) > 1:
        _refuse(text, "checkpoints", [row.id for row in own or found])
    if not found:
        raise CheckpointNotFound(text)
    return (own or found)[0]


async def _at(store: Store, run: Run, seq: int) -> Checkpoint:
    rows = await store.checkpoints(run.run_id, before=seq + 1, limit=1)
    if rows and rows[0].seq == seq:
        return rows[0]
    what = f"has no checkpoint {seq}" if run.head_seq else "has no checkpoint yet"
    gone = "it was pruned, " if 0 < seq <= run.head_seq else ""
    text = f"run {run.run_id} {what}; {gone}list them with: cairn checkpoints {run.run_id}"
    raise CheckpointNotFound(f"{run.run_id}/{seq}", text)


async def _fitting(store: Store, text: str) -> AsyncIterator[Run]:
    """Runs whose Workflow has the name in whatever namespace, else whose id begins or ends with the text."""
    is_id = bool(_PART_OF_ID.match(text))
    names: set[str] = set()
    async for run in all_runs(store):
        _, _, rest = run.workflow.partition("/")
        if rest.rpartition("/")[0] == text:
            if run.workflow not in names:
                names.add(run.workflow)
                yield run
        elif is_id and (run.run_id.startswith(text) or (len(text) == SHORT and run.run_id.endswith(text))):
            yield run
            if len(text) >= SHORT:
                return


async def all_runs(store: Store, workflow: str = "", thread: str = "") -> AsyncIterator[Run]:
    """Every run, newest first, or those of one Workflow key, or of one thread."""
    before = ""
    while rows := await store.runs(workflow=workflow, thread=thread, limit=_PAGE, before=before):
        for run in rows:
            yield run
        before = rows[-1].run_id


def _refuse(text: str, what: str, ids: list[str]) -> None:
    raise InvalidInput([Fault("", f'"{text}" fits several {what}; write more of one: {", ".join(ids)}')])
