"""What a store shows of one run, all of it, so that two moments or two runs can be compared."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from cairn_runtime.errors import RunNotFound
from cairn_runtime.store.base import Checkpoint, Run, Store


async def picture(store: Store, run_id: str) -> dict[str, Any]:
    """Read everything of a run, as it is; of a run that is not there, what its listings still say."""
    try:
        row: Run | None = await store.run(run_id)
        loaded = await store.load(run_id)
    except RunNotFound:
        row, loaded = None, []
    return {
        "row": row,
        "head": (await store.heads([run_id])).get(run_id),
        "loaded": loaded,
        "checkpoints": await store.checkpoints(run_id, limit=10_000),
        "signals": await store.signals(run_id),
        "progress": await store.progress(run_id),
        "pins": await store.pins(run_id),
        "holds": await store.holds(run_id),
        "gaps": await store.gaps(run_id),
        "usage": (await store.usage([run_id])).get(run_id),
    }


def alike(seen: dict[str, Any]) -> dict[str, Any]:
    """Leave out of a picture what differs between two runs that met the same: ids, hashes, bytes, times."""
    row: Run | None = seen["row"]
    return {
        "row": None if row is None else _plain_row(row),
        "loaded": [_plain(checkpoint) for checkpoint in seen["loaded"]],
        "checkpoints": [_plain(checkpoint) for checkpoint in seen["checkpoints"]],
        "signals": [(signal.number, signal.name, signal.value, signal.wait) for signal in seen["signals"]],
        "progress": seen["progress"],
        "pins": seen["pins"],
        "holds": {seq: len(children) for seq, children in seen["holds"].items()},
        "gaps": [(gap.first_seq, gap.last_seq) for gap in seen["gaps"]],
    }


def _plain(checkpoint: Checkpoint) -> tuple[int, int, str, bool]:
    return checkpoint.seq, checkpoint.epoch, checkpoint.kind, checkpoint.payload is None


def _plain_row(row: Run) -> dict[str, Any]:
    own = {"run_id", "claim_id", "head_id", "head_hash", "bytes", "created_at", "updated_at", "heartbeat_at"}
    return {field.name: getattr(row, field.name) for field in fields(row) if field.name not in own}
