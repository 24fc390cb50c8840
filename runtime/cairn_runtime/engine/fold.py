"""Folding: from a run's checkpoints to its state, the inverse of what the engine wrote.

Pure: rows in, state out. Which rows to read, and from which store, is the caller's matter.
A checkpoint is valid when it and all that it is folded from are intact; whatever is not raises
`CheckpointCorrupted` naming the seq, and the caller folds to an earlier one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cairn_runtime.engine.apply import apply
from cairn_runtime.engine.frontier import RunState
from cairn_runtime.errors import CheckpointCorrupted
from cairn_runtime.model.values import JSONObject
from cairn_runtime.store.base import Checkpoint
from cairn_runtime.store.chain import verify_checkpoint
from cairn_runtime.store.codec import Codec


@dataclass(frozen=True, slots=True)
class Folded:
    """A run's state at a checkpoint, and what was read for it."""

    state: RunState
    checkpoint: Checkpoint | None
    """The checkpoint it was folded to; None for an empty history."""
    delta_bytes: int
    """Stored bytes of the deltas since the last snapshot."""


def fold(rows: Sequence[Checkpoint], codec: Codec) -> Folded:
    """Fold a snapshot (or checkpoint 1) and the deltas after it, ascending.

    Raises:
        CheckpointCorrupted: a row is not what was written, or one is missing.
        FormatUnknown: a newer release wrote it.
        KeyMissing: it is encrypted with a key that is not at hand.
    """
    state = RunState()
    delta_bytes = 0
    before: Checkpoint | None = None
    for row in rows:
        _require_following(before, row)
        state = fold_one(state, row, codec)
        delta_bytes = 0 if row.kind == "snapshot" else delta_bytes + row.size
        before = row
    return Folded(state, before, delta_bytes)


def fold_one(state: RunState, row: Checkpoint, codec: Codec) -> RunState:
    """Fold one more checkpoint; `state` is used up."""
    data = read_payload(row, codec)
    try:
        if row.kind == "snapshot":
            return RunState.from_json(data["state"])  # type: ignore[arg-type]
        for event in data["events"]:  # type: ignore[union-attr]
            apply(state, event)  # type: ignore[arg-type]
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        where = f"checkpoint {row.seq} of run {row.run_id}"
        text = f"{where} does not fit its history: {type(error).__name__}: {error}"
        raise CheckpointCorrupted(text, seq=row.seq) from error
    return state


def read_payload(row: Checkpoint, codec: Codec) -> JSONObject:
    """Decode a checkpoint's payload after checking header and digest: `{events: [...], state?: {...}}`."""
    try:
        verify_checkpoint(row)
        return codec.decode_checkpoint(row)
    except CheckpointCorrupted as error:
        raise CheckpointCorrupted(
            f"checkpoint {row.seq} of run {row.run_id}: {error.message}", seq=row.seq
        ) from error


def _require_following(before: Checkpoint | None, row: Checkpoint) -> None:
    if before is None:
        if row.kind != "snapshot" and row.seq != 1:
            text = f"checkpoint {row.seq} of run {row.run_id} lacks the snapshot it is folded from"
            raise CheckpointCorrupted(text, seq=row.seq)
    elif row.seq != before.seq + 1 or row.parent_hash != before.hash:
        text = f"checkpoint {row.seq} of run {row.run_id} does not follow {before.seq}"
        raise CheckpointCorrupted(text, seq=row.seq)
