"""Columns of the Postgres store as our rows, and our rows as values of its statements.

JSON is read here and not by the driver, so that it is read as everywhere else.
A checkpoint whose columns say nonsense comes out with what can be read: its hash no longer fits, and whoever
verifies it sees the damage. A run's row that cannot be read is `CheckpointCorrupted`.
Pure: no I/O.
"""

from __future__ import annotations

from typing import Any

import orjson

from cairn_runtime.errors import CheckpointCorrupted
from cairn_runtime.model.values import JSONObject
from cairn_runtime.store.base import (
    FINISHED,
    Checkpoint,
    Fence,
    Gap,
    Head,
    NewRun,
    NewSignal,
    Outcome,
    Run,
    Signal,
    Wait,
)
from cairn_runtime.store.postgres.values import Value
from cairn_runtime.store.rows import annotated, metrics_in, origin_in, origin_out, wait_in, wait_out

MAX_BIGINT = 2**63 - 1
_FINISHED = sorted(FINISHED)


def new_run_values(new: NewRun) -> dict[str, Value]:
    """Write a new run."""
    origin = origin_out(new.origin)
    return {
        "run_id": new.run_id,
        "workflow": new.workflow,
        "thread": new.thread or new.workflow,
        "manifest": _json(new.manifest),
        "graph_hash": new.graph_hash,
        "key_base": new.key_base,
        "folder": new.folder,
        "origin": None if origin is None else _json(origin),
        "trace_id": new.trace_id,
        "spec_version": new.spec_version,
        "epoch": 0,
        "claim_id": "",
        "phase": "Pending",
        "reason": "",
        "annotations": _json(new.annotations),
    }


def one_values(fence: Fence, expected_head: int, checkpoint: Checkpoint) -> dict[str, Value]:
    """Write a commit of one checkpoint."""
    values: dict[str, Any] = checkpoint._asdict()
    values["next"] = _json(checkpoint.next)
    values["metadata"] = _json(checkpoint.metadata)
    values["claim_id"] = fence[1]
    values["expected_head"] = expected_head
    return values


def many_values(
    run_id: str, fence: Fence, expected_head: int, checkpoints: list[Checkpoint], outcome: Outcome | None
) -> dict[str, Value]:
    """Write a commit of checkpoints, column by column."""
    return {
        **row_values(run_id, fence, expected_head, outcome),
        **_columns(checkpoints),
    }


def import_values(
    run_id: str, fence: Fence, expected_head: int, checkpoints: list[Checkpoint], gaps: list[Gap]
) -> dict[str, Value]:
    """Write copies of checkpoints and the gaps between them, column by column."""
    return {
        "run_id": run_id,
        "epoch": fence[0],
        "claim_id": fence[1],
        "expected_head": expected_head,
        "epochs": [row.epoch for row in checkpoints],
        **_columns(checkpoints),
        **gap_values(gaps),
    }


def gap_values(gaps: list[Gap]) -> dict[str, Value]:
    """Write gaps, column by column."""
    return {
        "firsts": [gap.first_seq for gap in gaps],
        "lasts": [gap.last_seq for gap in gaps],
        "befores": [gap.hash_before for gap in gaps],
        "afters": [gap.hash_after for gap in gaps],
    }


def _columns(checkpoints: list[Checkpoint]) -> dict[str, Value]:
    head = checkpoints[-1]
    return {
        "head_seq": head.seq,
        "head_id": head.id,
        "head_hash": head.hash,
        "count": len(checkpoints),
        "bytes": sum(row.size for row in checkpoints),
        "seqs": [row.seq for row in checkpoints],
        "visits": [row.visit for row in checkpoints],
        "items": [row.item for row in checkpoints],
        "format_versions": [row.format_version for row in checkpoints],
        "sizes": [row.size for row in checkpoints],
        "created_ats": [row.created_at for row in checkpoints],
        "ids": [row.id for row in checkpoints],
        "write_ids": [row.write_id for row in checkpoints],
        "parent_hashes": [row.parent_hash for row in checkpoints],
        "hashes": [row.hash for row in checkpoints],
        "graph_hashes": [row.graph_hash for row in checkpoints],
        "digests": [row.digest for row in checkpoints],
        "kinds": [row.kind for row in checkpoints],
        "steps": [row.step for row in checkpoints],
        "nexts": [_json(row.next) for row in checkpoints],
        "metadatas": [_json(row.metadata) for row in checkpoints],
        "payloads": [row.payload for row in checkpoints],
    }


def row_values(run_id: str, fence: Fence, expected_head: int, outcome: Outcome | None) -> dict[str, Value]:
    """Write what a commit is guarded by, and its outcome."""
    values: dict[str, Value] = {
        "run_id": run_id,
        "epoch": fence[0],
        "claim_id": fence[1],
        "expected_head": expected_head,
        "finished": _FINISHED,
        "phase": None,
        "reason": None,
        "message": None,
        "waits": None,
        "wake_at": None,
        "consumed": (),
    }
    if outcome is not None:
        values["phase"] = outcome.phase
        values["reason"] = outcome.reason
        values["message"] = _json(outcome.message)
        values["waits"] = _json([wait_out(wait) for wait in outcome.waits])
        values["wake_at"] = outcome.wake_at
        values["consumed"] = outcome.consumed
    return values


def checkpoint_of(run_id: str, row: tuple[Any, ...]) -> Checkpoint:
    """Read a checkpoint from the columns that every statement gives in this order."""
    following, metadata = tuple(orjson.loads(row[10])), orjson.loads(row[11])
    if type(metadata) is not dict:
        metadata = {"damaged": True}
    return Checkpoint._make((run_id, *row[:10], following, metadata, *row[12:]))


def run_of(row: tuple[Any, ...]) -> Run:
    """Read a run from the columns of `run`, which are those of the class.

    Raises:
        CheckpointCorrupted: the row is damaged.
    """
    columns = list(row)
    try:
        columns[3] = orjson.loads(row[3])
        columns[7] = None if row[7] is None else origin_in(orjson.loads(row[7]))
        columns[17] = orjson.loads(row[17])
        columns[18] = waits_of(row[18])
        columns[27] = orjson.loads(row[27])
        columns[28] = metrics_in(row[28])
        return Run(*columns)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise CheckpointCorrupted(f"the row of run {row[0]} is damaged: {error}") from error


def head_of(row: tuple[Any, ...]) -> Head:
    """Read a head from the columns of `heads` behind the run_id."""
    return Head._make(row)


def waits_of(text: bytes) -> tuple[Wait, ...]:
    """Read the waits of a row."""
    return () if text == b"[]" else tuple(wait_in(wait) for wait in orjson.loads(text))


def signal_of(run_id: str, row: tuple[Any, ...]) -> Signal:
    """Read a signal."""
    number, name, value, client_id, wait, created_at = row
    return Signal(run_id, number, name, orjson.loads(value), client_id, wait, created_at)


def beyond(prefix: str) -> str:
    """A text that comes, by its bytes, after all that begin with the prefix."""
    if not prefix or ord(prefix[-1]) >= 0xD7FF:
        return prefix + "\U0010ffff"
    return prefix[:-1] + chr(ord(prefix[-1]) + 1)


def annotation_values(run: int, noted: bytes, changes: JSONObject) -> dict[str, Value]:
    """Write the notes of a run with changes laid over them."""
    return {"run": run, "annotations": _json(annotated(orjson.loads(noted), changes))}


def new_signal_values(signal: NewSignal) -> dict[str, Value]:
    """Write a signal."""
    return {
        "name": signal.name,
        "value": _json(signal.value),
        "client_id": signal.client_id,
        "wait": signal.wait,
    }


def _json(value: Any) -> str:  # noqa: ANN401 - any JSON
    return orjson.dumps(value).decode()
