"""What is in a store, for looking at: runs, checkpoints, states and their differences. Reads only."""

from __future__ import annotations

import heapq
from collections.abc import AsyncIterator
from itertools import count
from shlex import quote
from typing import TypeVar

from cairn_runtime.cli.finding import the_checkpoint, the_run
from cairn_runtime.cli.outputs import Output
from cairn_runtime.cli.stores import existing_store
from cairn_runtime.cli.views import rows, shapes
from cairn_runtime.engine.fold import read_payload
from cairn_runtime.engine.frontier import RunState
from cairn_runtime.engine.history import fold_at, newest_valid
from cairn_runtime.errors import EXIT_DONE
from cairn_runtime.model.ids import short_id
from cairn_runtime.model.values import JSONObject, JSONValue
from cairn_runtime.runner.naming import all_runs, workflow_name
from cairn_runtime.store.base import Checkpoint, Run, Store
from cairn_runtime.store.keys import codec_from_environment

_IN_A_TABLE = 50
_PAGE = 500
_MANY = 2**62
_T = TypeVar("_T")


async def list_runs(
    output: Output, url: str | None, workflow: str, limit: int | None, thread: str = ""
) -> int:
    """List runs, newest first; of one Workflow, or thread, where its name is given.

    Raises:
        RunNotFound: no Workflow of this name has a run.
    """
    async with existing_store(url) as store:
        name = workflow_name(await the_run(store, workflow)) if workflow else ""
        runs = all_runs(store, thread=thread)
        every = (run async for run in runs if not name or workflow_name(run) == name)
        found, more = await _first(every, limit, output)
    if not output.for_people:
        output.document([shapes.run_shape(run) for run in found])
        return EXIT_DONE
    if not found:
        where, how = (f'thread "{thread}" of ', f" --thread {quote(thread)}") if thread else ("", "")
        output.note(f"no runs yet in {where}{store.url}; start one with: cairn run FILE{how}")
        return EXIT_DONE
    output.text(rows.run_lines(found, output.now, output.width))
    _note_more(output, more)
    return EXIT_DONE


async def list_checkpoints(output: Output, url: str | None, who: str, limit: int | None) -> int:
    """List checkpoints, newest first: of a run, or of all."""
    async with existing_store(url) as store:
        if who:
            runs = [await the_run(store, who)]
            every = checkpoints_of(store, runs[0].run_id)
        else:
            runs = [run async for run in all_runs(store)]
            every = _merged(store, runs)
        found, more = await _first(every, limit, output)
    names = {run.run_id: workflow_name(run) for run in runs}
    if not output.for_people:
        output.document([shapes.checkpoint_shape(row, names[row.run_id]) for row in found])
        return EXIT_DONE
    if not found:
        output.note("no checkpoint yet")
        return EXIT_DONE
    output.text(rows.checkpoint_lines(found, output.now, output.width, names=None if who else names))
    _note_more(output, more)
    return EXIT_DONE


async def show_checkpoint(output: Output, url: str | None, text: str) -> int:
    """Show one checkpoint with its events."""
    async with existing_store(url) as store:
        header = await the_checkpoint(store, text)
        run = await store.run(header.run_id)
        checkpoint = await store.checkpoint(header.id)
    events = read_payload(checkpoint, codec_from_environment())["events"]
    listed: list[JSONValue] = events if isinstance(events, list) else []
    if output.for_people:
        output.text(rows.show_lines(checkpoint, run, listed, output.now, output.width))
        return EXIT_DONE
    shape = shapes.checkpoint_shape(checkpoint, workflow_name(run))
    shape |= {
        "metadata": checkpoint.metadata,
        "digest": checkpoint.digest,
        "graphHash": checkpoint.graph_hash,
        "formatVersion": checkpoint.format_version,
        "events": listed,
    }
    output.document(shape)
    return EXIT_DONE


async def show_state(output: Output, url: str | None, who: str, at: str | None) -> int:
    """Show the state of a run at a checkpoint, or at the newest valid one.

    Raises:
        CheckpointCorrupted: it cannot be folded any more.
    """
    async with existing_store(url) as store:
        run = await the_run(store, who)
        if at is None:
            newest, seq = await newest_state(store, run, output)
            state = newest.channels
        else:
            header = await the_checkpoint(store, at, run)
            run = await store.run(header.run_id)
            state, seq = await state_at(store, header), header.seq
    if not output.for_people:
        output.document(state)
        return EXIT_DONE
    where = f"at checkpoint {seq} of {run.head_seq}" if seq else "before its first checkpoint"
    title = f"{workflow_name(run)}, run {short_id(run.run_id)}, {where}: {rows.phase_text(run, output.now)}"
    output.text([title, "", *rows.state_lines(state, output.width)])
    return EXIT_DONE


async def show_difference(output: Output, url: str | None, a: str, b: str) -> int:
    """Show what changed in the state from one checkpoint to another."""
    from cairn_runtime.cli import patches

    async with existing_store(url) as store:
        first = await the_checkpoint(store, a)
        second = await the_checkpoint(store, b, await store.run(first.run_id))
        old, new = await state_at(store, first), await state_at(store, second)
    if not output.for_people:
        output.document(list(patches.patch(old, new)))
        return EXIT_DONE
    lines = rows.change_lines(patches.changes(old, new), output.width)
    output.text(lines or ["(no difference)"])
    return EXIT_DONE


async def state_at(store: Store, header: Checkpoint) -> JSONObject:
    """The channels at one checkpoint."""
    folded = await fold_at(store, codec_from_environment(), header.run_id, header.seq)
    return folded.state.channels


async def newest_state(store: Store, run: Run, output: Output) -> tuple[RunState, int]:
    """A run's state at its newest valid checkpoint and its seq; what had to be passed over is said."""
    if not run.head_seq:
        return RunState(), 0
    newest = await newest_valid(store, codec_from_environment(), run)
    output.note(*(f"warning: passed over: {why}" for why in newest.corrupt))
    at = newest.folded.checkpoint
    return newest.folded.state, at.seq if at else 0


async def checkpoints_of(store: Store, run_id: str) -> AsyncIterator[Checkpoint]:
    """Every checkpoint of a run as a header, newest first."""
    before: int | None = None
    while page := await store.checkpoints(run_id, before=before, limit=_PAGE):
        for row in page:
            yield row
        before = page[-1].seq


async def _merged(store: Store, runs: list[Run]) -> AsyncIterator[Checkpoint]:
    """The checkpoints of several runs, newest first; each run is read only as far as it is needed."""
    order = count()
    heap: list[tuple[float, int, Checkpoint, AsyncIterator[Checkpoint]]] = []

    async def push(rest: AsyncIterator[Checkpoint]) -> None:
        row = await anext(rest, None)
        if row is not None:
            heapq.heappush(heap, (-row.created_at.timestamp(), next(order), row, rest))

    for run in runs:
        await push(checkpoints_of(store, run.run_id))
    while heap:
        _, _, row, rest = heapq.heappop(heap)
        yield row
        await push(rest)


async def _first(found: AsyncIterator[_T], limit: int | None, output: Output) -> tuple[list[_T], bool]:
    """Take as many as are wanted, and tell whether there are more."""
    most = limit or _MANY
    if limit is None and output.for_people:
        most = _IN_A_TABLE
    out: list[_T] = []
    async for one in found:
        if len(out) == most:
            return out, True
        out.append(one)
    return out, False


def _note_more(output: Output, more: bool) -> None:  # noqa: FBT001 - a fact, not a switch
    if more:
        output.note("there are more; --limit 0 lists all")
