"""What stays in a store and what goes: `prune`, `pin`, `unpin`, `release`, `delete`.

Policies are the store's room; here it is found out what is meant, and said what became of it.
"""

from __future__ import annotations

import sys
from typing import NamedTuple

from cairn_runtime.cli.finding import the_checkpoint, the_runs
from cairn_runtime.cli.histories import newest_state
from cairn_runtime.cli.inputs import refuse
from cairn_runtime.cli.outputs import Output, write
from cairn_runtime.cli.stores import existing_store
from cairn_runtime.cli.verbs.finishing import finish
from cairn_runtime.cli.views import rows, shapes
from cairn_runtime.cli.views.units import counted, size
from cairn_runtime.errors import (
    EXIT_DONE,
    EXIT_FAILED,
    CheckpointCorrupted,
    HistoryConflict,
    InvalidInput,
    RunNotFound,
)
from cairn_runtime.model.durations import parse_duration
from cairn_runtime.model.ids import short_id, utc_now
from cairn_runtime.model.values import JSONObject, JSONValue
from cairn_runtime.runner.auditing import note
from cairn_runtime.runner.naming import all_runs, workflow_name
from cairn_runtime.store.base import Run, Store
from cairn_runtime.store.prunes import Pruned, prune_run, time_of
from cairn_runtime.store.retention import NOTHING_BUT_THE_HEAD, Policy, policy_of

_SHOWN = 20
"""Runs that are named to people; a document names all."""


class Wish(NamedTuple):
    """What stands in place of each run's own policy."""

    keep_last: int | None
    max_age_seconds: float | None
    dry_run: bool

    def policy(self, run: Run) -> Policy:
        """What counts for one run."""
        own = policy_of(run.manifest)
        return Policy(
            own.keep_last if self.keep_last is None else self.keep_last,
            own.max_age_seconds if self.max_age_seconds is None else self.max_age_seconds,
        )


def wish(keep_last: int | None, max_age: str, *, dry_run: bool) -> Wish:
    """Read what was typed. Raises `InvalidInput`."""
    if not max_age:
        return Wish(keep_last, None, dry_run)
    try:
        return Wish(keep_last, parse_duration(max_age), dry_run)
    except ValueError as error:
        refuse("--max-age", str(error))


async def prune(output: Output, url: str | None, who: str, wish: Wish) -> int:
    """Prune runs, each by its policy; a run that is deleted meanwhile is left out."""
    done: list[tuple[Run, Pruned]] = []
    async with existing_store(url) as store:
        found = await the_runs(store, who) if who else [run async for run in all_runs(store)]
        if not wish.dry_run:
            await note(store, "prune", source=found[0].workflow if who and found else "every run")
        now = await time_of(store)
        for run in found:
            try:
                pruned = await prune_run(store, run.run_id, wish.policy(run), now, dry_run=wish.dry_run)
            except RunNotFound:
                continue
            if pruned.checkpoints:
                done.append((run, pruned))
    checkpoints, freed = sum(p.checkpoints for _, p in done), sum(p.bytes for _, p in done)
    if not output.for_people:
        parts: list[JSONValue] = [_pruned_shape(run, pruned) for run, pruned in done]
        output.document({"dryRun": wish.dry_run, "checkpoints": checkpoints, "bytes": freed, "runs": parts})
        return EXIT_DONE
    verb = "would prune" if wish.dry_run else "pruned"
    of = f" of {counted(len(done), 'run')}" if done else ""
    output.text([f"{verb} {counted(checkpoints, 'checkpoint')}, {size(freed)},{of}".rstrip(",")])
    if len(found) > 1:
        output.text(_pruned_line(run, pruned) for run, pruned in done[:_SHOWN])
    return EXIT_DONE


def _pruned_shape(run: Run, pruned: Pruned) -> JSONObject:
    return {
        "run": run.run_id,
        "workflow": workflow_name(run),
        "checkpoints": pruned.checkpoints,
        "bytes": pruned.bytes,
        "left": pruned.left,
        "leftBytes": pruned.left_bytes,
    }


def _pruned_line(run: Run, pruned: Pruned) -> str:
    gone = f"{pruned.checkpoints} ({size(pruned.bytes)})"
    return f"  {_name(run)}: {gone}; {pruned.left} left ({size(pruned.left_bytes)})"


def _name(run: Run) -> str:
    return f"{workflow_name(run)}, run {short_id(run.run_id)}"


async def pin(output: Output, url: str | None, text: str, *, pinned: bool) -> int:
    """Pin a checkpoint, or let it go."""
    async with existing_store(url) as store:
        checkpoint = await the_checkpoint(store, text)
        await note(store, "pin" if pinned else "unpin", source=f"{checkpoint.run_id}/{checkpoint.id}")
        await store.pin(checkpoint.id, pinned=pinned)
        run = await store.run(checkpoint.run_id)
    if not output.for_people:
        output.document(shapes.checkpoint_shape(checkpoint, workflow_name(run)) | {"pinned": pinned})
        return EXIT_DONE
    output.text([f"{'pinned' if pinned else 'unpinned'} checkpoint {checkpoint.seq} of {_name(run)}"])
    return EXIT_DONE


async def release(output: Output, url: str | None, who: str) -> int:
    """Leave finished runs their head and what it is folded from, and hand that back with its state.

    Raises:
        InvalidInput: a run is not finished; nothing was removed.
        CheckpointCorrupted: the head cannot be read; what it could be told from stays.
    """
    async with existing_store(url) as store:
        found = await the_runs(store, who)
        unfinished = [run for run in found if not run.finished]
        if unfinished:
            run = unfinished[0]
            raise InvalidInput(f"{_name(run)} is {run.phase}; end it first with: cairn cancel {run.run_id}")
        out: list[JSONValue] = []
        for run in found:
            newest, seq = await newest_state(store, run, output)
            if seq != run.head_seq:
                raise CheckpointCorrupted(
                    f"the head of {_name(run)} is not intact; nothing of it was removed"
                )
            state = newest.channels
            await note(store, "release", source=run.run_id)
            pruned = await prune_run(store, run.run_id, NOTHING_BUT_THE_HEAD, utc_now())
            out.append(await _released_shape(store, run, pruned, state))
            if output.for_people:
                output.text(_released_lines(run, pruned, await store.pins(run.run_id)))
                output.text(rows.state_lines(state, output.width))
    if not output.for_people:
        output.document({"released": out})
    return EXIT_DONE


async def _released_shape(store: Store, run: Run, pruned: Pruned, state: JSONObject) -> JSONObject:
    head = await store.checkpoints(run.run_id, limit=1)
    checkpoint: JSONValue = shapes.checkpoint_shape(head[0], workflow_name(run)) if head else None
    return {**_pruned_shape(run, pruned), "phase": run.phase, "checkpoint": checkpoint, "state": state}


def _released_lines(run: Run, pruned: Pruned, pins: set[int]) -> list[str]:
    gone = f"{counted(pruned.checkpoints, 'checkpoint')} went, {size(pruned.bytes)}"
    lines = [f"released {_name(run)}: {gone}; the last is {run.head_seq}"]
    if pins:
        lines.append(f"pinned, and so kept: {', '.join(map(str, sorted(pins)))}; let go with: cairn unpin")
    return lines


def delete(output: Output, url: str | None, who: str, *, yes: bool) -> int:
    """Remove runs for good; asks before it does.

    Raises:
        InvalidInput: nobody is there to ask, and `--yes` was not said.
    """
    if not yes and not (sys.stdin.isatty() and output.for_people):
        refuse("--yes", "is needed where nobody can be asked: what is deleted does not come back")
    return finish(_delete(output, url, who, yes=yes))


async def _delete(output: Output, url: str | None, who: str, *, yes: bool) -> int:
    deleted: list[Run] = []
    kept: list[tuple[Run, HistoryConflict]] = []
    async with existing_store(url) as store:
        found = await the_runs(store, who)
        if not yes and not _agreed(found):
            output.note("nothing was deleted")
            return EXIT_FAILED
        # Newest first, so that a fork goes before the run that it holds.
        for run in found:
            await note(store, "delete", source=run.run_id)
            try:
                if await store.delete_run(run.run_id):
                    deleted.append(run)
            except HistoryConflict as error:
                kept.append((run, error))
    if not output.for_people:
        output.document(_deleted_document(deleted, kept))
    else:
        output.text(f"deleted {_name(run)}" for run in deleted)
        output.note(*(f"kept {_name(run)}: {error.message}" for run, error in kept))
    return EXIT_FAILED if kept else EXIT_DONE


def _agreed(found: list[Run]) -> bool:
    """Ask on the terminal."""
    lines = [f"  {_name(run)}, {run.phase}, {counted(run.checkpoints, 'checkpoint')}" for run in found]
    more = [f"  and {len(lines) - _SHOWN} more"] if len(lines) > _SHOWN else []
    text = "\n".join([f"delete {counted(len(found), 'run')}, for good:", *lines[:_SHOWN], *more])
    write(sys.stderr, f"{text}\nyes or no? ")
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _deleted_document(deleted: list[Run], kept: list[tuple[Run, HistoryConflict]]) -> JSONObject:
    gone: list[JSONValue] = [{"run": run.run_id, "workflow": workflow_name(run)} for run in deleted]
    left: list[JSONValue] = [
        {"run": run.run_id, "workflow": workflow_name(run), "reason": error.reason, "message": error.message}
        for run, error in kept
    ]
    return {"deleted": gone, "kept": left}
