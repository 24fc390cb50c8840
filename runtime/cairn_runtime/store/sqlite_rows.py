"""Rows of the SQLite store as tuples and as ours.

A row that was damaged on the disk must not stop the reading of others: a checkpoint with columns that are no
JSON or no time comes out with what can be read, and its hash no longer fits, so that whoever verifies it sees
the damage; a run whose row cannot be read is `CheckpointCorrupted`.
Pure: no I/O.
"""

from __future__ import annotations

from dataclasses import fields
from datetime import UTC, datetime
from itertools import product
from typing import Any, TypeVar

import orjson

from cairn_runtime.errors import CheckpointCorrupted
from cairn_runtime.model.ids import from_wire, to_wire
from cairn_runtime.store.base import Checkpoint, Head, NewRun, Origin, Outcome, Run, Signal, Usage, Wait
from cairn_runtime.store.rows import (
    metrics_in,
    moment_in,
    moment_out,
    origin_in,
    origin_out,
    wait_in,
    wait_out,
)

SEQ_BITS = 32
MAX_SEQ = 2**SEQ_BITS - 1
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_Default = TypeVar("_Default", datetime, None)


_NUMBER, _TEXT = (int,), (str,)
_KINDS: tuple[tuple[type, ...], ...] = (
    *(_NUMBER, _TEXT, _TEXT, _TEXT, _NUMBER, _TEXT, _TEXT, _TEXT, _NUMBER, (int, type(None)), _TEXT, _TEXT),
    *(_TEXT, _NUMBER, _TEXT, _TEXT, _NUMBER, (bytes, type(None))),
)
"""Types of a checkpoint's columns: SQLite gives whatever a row says, whatever the table says."""
_SOUND = frozenset(product(*_KINDS))
_RUN_NUMBERS = frozenset(
    ["spec_version", "epoch", "head_seq", "checkpoints", "bytes", "signals_pending"],
)
_RUN_COLUMNS = tuple(field.name for field in fields(Run))
"""The statement `run` gives the columns in the order of the class."""


def key_range(run: int) -> dict[str, int]:
    """The keys of a run's checkpoints: the first possible and the last."""
    return {"first": run << SEQ_BITS, "last": (run << SEQ_BITS) + MAX_SEQ}


def checkpoint_row(run: int, checkpoint: Checkpoint) -> tuple[Any, ...]:
    """Write a checkpoint as the columns of its table."""
    return (
        (run << SEQ_BITS) + checkpoint.seq,
        *checkpoint[2:11],
        orjson.dumps(checkpoint.next).decode(),
        orjson.dumps(checkpoint.metadata).decode(),
        to_wire(checkpoint.created_at),
        *checkpoint[14:],
    )


def checkpoint_of(run_id: str, row: tuple[Any, ...]) -> Checkpoint:
    """Read a checkpoint from the columns of its table."""
    if tuple(map(type, row)) not in _SOUND:
        row = tuple(_usable(kinds, value) for kinds, value in zip(_KINDS, row, strict=True))
    try:
        following, metadata = tuple(orjson.loads(row[10])), orjson.loads(row[11])
        created_at = from_wire(row[12])
        if type(metadata) is not dict:
            raise ValueError("metadata is no object")  # noqa: TRY301 - one way out for every damaged column
    except (ValueError, TypeError):
        following, metadata, created_at = (), {"damaged": True}, _EPOCH
    columns = (run_id, row[0] & MAX_SEQ, *row[1:10], following, metadata, created_at, *row[13:])
    return Checkpoint._make(columns)


def _usable(kinds: tuple[type, ...], value: object) -> object:
    """Put an empty value in the place of one whose type was damaged."""
    return value if type(value) in kinds else kinds[0]()


def usage_of(row: tuple[Any, ...]) -> Usage:
    """Read what `usage` counted; a moment that is damaged is None."""
    count, size, *moments = row
    oldest, newest = (moment_or(None, moment) for moment in moments)
    return Usage(int(count), int(size), oldest, newest)


def run_columns(new: NewRun, now: datetime) -> dict[str, Any]:
    """Write a new run as the named values of `create_run`."""
    origin = origin_out(new.origin)
    return {
        "run_id": new.run_id,
        "workflow": new.workflow,
        "thread": new.thread or new.workflow,
        "manifest": orjson.dumps(new.manifest).decode(),
        "graph_hash": new.graph_hash,
        "key_base": new.key_base,
        "folder": new.folder,
        "origin": None if origin is None else orjson.dumps(origin).decode(),
        "trace_id": new.trace_id,
        "spec_version": new.spec_version,
        "now": to_wire(now),
        "annotations": orjson.dumps(new.annotations).decode(),
    }


def run_of(row: tuple[Any, ...]) -> Run:
    """Read a run from the columns of `run`.

    Raises:
        CheckpointCorrupted: the row is damaged.
    """
    columns = dict(zip(_RUN_COLUMNS, row, strict=True))
    try:
        origin = columns["origin"]
        columns["manifest"] = orjson.loads(columns["manifest"])
        columns["origin"] = None if origin is None else origin_in(orjson.loads(origin))
        columns["waits"] = waits_of(row[0], columns["waits"])
        columns["annotations"] = orjson.loads(columns["annotations"])
        columns["metrics"] = metrics_in(columns["metrics"])
        for name in ("wake_at", "created_at", "updated_at", "heartbeat_at"):
            columns[name] = moment_in(columns[name])
        _check_types(columns)
        return Run(**columns)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise CheckpointCorrupted(f"the row of run {row[0]} is damaged: {error}") from error


def _check_types(columns: dict[str, Any]) -> None:
    """Refuse a row with a column of another type. Raises `TypeError`."""
    for name, value in columns.items():
        kinds = _NUMBER if name in _RUN_NUMBERS else (str, datetime, type(None), dict, tuple, Origin)
        if type(value) not in kinds:
            raise TypeError(f"{name} is {type(value).__name__}")


def head_of(run_id: str, row: tuple[Any, ...]) -> Head:
    """Read a head from the columns of `head`. Raises `CheckpointCorrupted`."""
    seq, id_, hash_, epoch, phase, updated_at, heartbeat_at, wake_at, pending = row
    try:
        if tuple(map(type, row[:6])) != (int, str, str, int, str, str):
            raise TypeError("a column has another type")  # noqa: TRY301 - one way out for every damaged column
        moments = (from_wire(updated_at), moment_in(heartbeat_at), moment_in(wake_at))
        return Head(seq, id_, hash_, epoch, phase, *moments, int(pending))
    except (ValueError, TypeError) as error:
        raise CheckpointCorrupted(f"the row of run {run_id} is damaged: {error}") from error


def waits_of(run_id: str, text: str) -> tuple[Wait, ...]:
    """Read the waits of a row. Raises `CheckpointCorrupted`."""
    if text == "[]":
        return ()
    try:
        return tuple(wait_in(wait) for wait in orjson.loads(text))
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise CheckpointCorrupted(f"the waits of run {run_id} are damaged: {error}") from error


def moment_or(default: _Default, text: Any) -> datetime | _Default:  # noqa: ANN401 - a column
    """Read a moment; a damaged one is the default."""
    try:
        return from_wire(text)
    except (ValueError, TypeError):
        return default


def outcome_columns(outcome: Outcome) -> dict[str, Any]:
    """Write an outcome as the named values of `set_outcome`."""
    return {
        "phase": outcome.phase,
        "reason": outcome.reason,
        "message": outcome.message,
        "waits": orjson.dumps([wait_out(wait) for wait in outcome.waits]).decode(),
        "wake_at": moment_out(outcome.wake_at),
    }


def signal_of(run_id: str, row: tuple[Any, ...]) -> Signal:
    """Read a signal from the columns of its table."""
    number, name, value, client_id, wait, created_at = row
    try:
        return Signal(run_id, number, name, orjson.loads(value), client_id, wait, from_wire(created_at))
    except (ValueError, TypeError) as error:
        raise CheckpointCorrupted(f"signal {number} of run {run_id} is damaged: {error}") from error
