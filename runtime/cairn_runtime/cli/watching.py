"""`cairn watch`: follow a run until it is finished, and its fork if it was forked."""

from __future__ import annotations

import asyncio

from cairn_runtime.cli.finding import the_checkpoint, the_run
from cairn_runtime.cli.following import Follower
from cairn_runtime.cli.hints import Hints, store_words
from cairn_runtime.cli.outputs import Output
from cairn_runtime.cli.stores import existing_store
from cairn_runtime.cli.views import lines, rows, shapes
from cairn_runtime.errors import EXIT_DONE, EXIT_FAILED
from cairn_runtime.model.ids import short_id
from cairn_runtime.runner.naming import run_name, workflow_name
from cairn_runtime.store.base import Checkpoint, Run, Store
from cairn_runtime.store.rows import wait_out

LOOK_SECONDS = 0.3


async def follow(output: Output, url: str | None, who: str, since: str | None) -> int:
    """Tell every checkpoint and every change of phase; the exit code says how the run ended."""
    async with existing_store(url) as store:
        run = await the_run(store, who)
        start = 0 if since in (None, "0") else (await the_checkpoint(store, since or "", run)).seq
        while True:
            named = who in (workflow_name(run), run_name(run))
            hints = Hints(who if named else short_id(run.run_id), "", more=store_words(url))
            run = await _follow_one(output, Follower(store, run.run_id, start), run, hints)
            fork = await _fork_of(store, run)
            if fork is None:
                return EXIT_DONE if run.phase == "Succeeded" else EXIT_FAILED
            run, start = fork, 0


async def _follow_one(output: Output, follower: Follower, run: Run, hints: Hints) -> Run:
    """Follow one run to its end."""
    if output.for_people:
        output.text([f"{workflow_name(run)}, run {short_id(run.run_id)}"])
    told = None
    while True:
        run, fresh = await follower.look()
        for checkpoint in fresh:
            _tell_checkpoint(output, run, checkpoint)
        status = (run.phase, run.reason, run.waits, rows.runner_gone(run, output.now).partition(" for ")[0])
        if status != told:
            _tell_run(output, run, hints)
            told = status
        if run.finished:
            return run
        await asyncio.sleep(LOOK_SECONDS)


def _tell_checkpoint(output: Output, run: Run, checkpoint: Checkpoint) -> None:
    if output.for_people:
        output.text([lines.checkpoint_line(checkpoint, output.now)])
    else:
        output.line({"type": "checkpoint", **shapes.checkpoint_shape(checkpoint, workflow_name(run))})


def _tell_run(output: Output, run: Run, hints: Hints) -> None:
    if output.for_people:
        waits = rows.wait_lines(run.waits, hints.who, output.now, hints.more)
        output.text([lines.run_line(run, output.now), *(f"  {line}" for line in waits)])
    else:
        output.line({"type": "run", **shapes.run_shape(run), "waits": [wait_out(wait) for wait in run.waits]})


async def _fork_of(store: Store, run: Run) -> Run | None:
    """The run that took this one's place, where it ended for that."""
    if run.reason != "Forked":
        return None
    newest = await store.runs(workflow=run.workflow, thread=run.thread, limit=1)
    return newest[0] if newest and newest[0].run_id != run.run_id else None
