"""Reading a run's state back from a store: at a checkpoint, or at the newest one that is valid.

The rim around `fold`: which rows to load, and what to do when one of them is corrupt.
Only corruption is passed over; an unknown format or a missing key stops the reader, because there the history
is sound and going back would lose it.
"""

from __future__ import annotations

import logging
from typing import NamedTuple

import orjson

from cairn_runtime.engine.fold import Folded, fold
from cairn_runtime.errors import CheckpointCorrupted, CheckpointNotFound
from cairn_runtime.store.base import Run, Store
from cairn_runtime.store.codec import Codec

log = logging.getLogger("cairn.history")


class Newest(NamedTuple):
    """The newest valid state of a run, and what had to be passed over to reach it."""

    folded: Folded
    corrupt: tuple[str, ...]
    """Why each newer checkpoint was passed over; empty where the head is valid."""


async def fold_at(store: Store, codec: Codec, run_id: str, seq: int) -> Folded:
    """Fold a run's state at one checkpoint.

    Raises:
        CheckpointNotFound: it was pruned, or never was.
        CheckpointCorrupted: it, or what it is folded from, is not intact.
    """
    rows = await store.load(run_id, seq)
    if not rows or rows[-1].seq != seq:
        raise CheckpointNotFound(f"{run_id}/{seq}", f"run {run_id} has no checkpoint {seq}")
    return fold(rows, codec)


async def newest_valid(store: Store, codec: Codec, run: Run) -> Newest:
    """Fold the newest valid checkpoint of a run that has any.

    Raises:
        CheckpointCorrupted: none is valid. The run stops; it never starts again from nothing.
    """
    seq = run.head_seq
    corrupt: list[str] = []
    while seq > 0:
        try:
            return Newest(await fold_at(store, codec, run.run_id, seq), tuple(corrupt))
        except CheckpointNotFound:
            seq = await _newest_below(store, run.run_id, seq)
        except CheckpointCorrupted as error:
            facts = {"run_id": run.run_id, "seq": error.seq, "error": error.message}
            log.error("checkpoint was corrupt", extra=facts)  # noqa: TRY400 - a traceback says no more
            corrupt.append(error.message)
            # What is folded from the bad row is bad too, so go on below it.
            seq = min(error.seq or seq, seq) - 1
    text = f"run {run.run_id} has no valid checkpoint: {'; '.join(corrupt[:3]) or 'none is there'}"
    raise CheckpointCorrupted(text)


async def _newest_below(store: Store, run_id: str, seq: int) -> int:
    """The next checkpoint that is there, or 0: a prune may have taken a hundred thousand in a row."""
    rows = await store.checkpoints(run_id, before=seq, limit=1)
    return rows[0].seq if rows else 0


async def open_progress(store: Store, codec: Codec, run_id: str) -> dict[str, bytes]:
    """Read the progress of a run's tasks; what is corrupt is left out, and its task begins at its beginning.

    Raises:
        KeyMissing, NotEncrypted: see `Codec.open_progress`.
    """
    found: dict[str, bytes] = {}
    for task, stored in (await store.progress(run_id)).items():
        try:
            opened = codec.open_progress(run_id, task, stored)
            orjson.loads(opened)
            found[task] = opened
        except (CheckpointCorrupted, orjson.JSONDecodeError) as error:
            facts = {"run_id": run_id, "task": task, "error": str(error)}
            log.error("progress was corrupt", extra=facts)  # noqa: TRY400 - a traceback says no more
    return found
