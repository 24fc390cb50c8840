"""Rows of the Redis store: fields as the server gives them, and ours.

Times are microseconds since 1970 by the server's clock. A checkpoint's header is the JSON list of its columns
but for `run_id` and `payload`; its kind also stands beside it, so that a script knows where folding begins.
What is damaged on the server must not stop the reading of others: a checkpoint that cannot be read comes
out with what can be, so that whoever verifies it sees the damage; a run's row that cannot be read is
`CheckpointCorrupted`.
Pure: no I/O.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import orjson

from cairn_runtime.errors import CheckpointCorrupted
from cairn_runtime.model.ids import from_wire
from cairn_runtime.model.values import JSONObject, JSONValue
from cairn_runtime.store.base import (
    Checkpoint,
    Fence,
    Head,
    NewRun,
    NewSignal,
    Outcome,
    Phase,
    Run,
    Signal,
    Usage,
    Wait,
)
from cairn_runtime.store.redis.replies import Argument
from cairn_runtime.store.rows import (
    metrics_in,
    moment_in,
    moment_out,
    origin_in,
    origin_out,
    wait_in,
    wait_out,
)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_NO_OUTCOME: tuple[Argument, ...] = (b"", b"", b"", b"")
_NOTE = b"note:"
"""Begins the fields of a row that hold notes, one each, so that two who write different ones never meet."""
_KINDS = {"delta": b"d", "snapshot": b"s"}
_SHAPE: tuple[tuple[type, ...], ...] = (
    *((int,), (str,), (str,), (str,), (int,), (str,), (str,), (str,), (int,), (int, type(None)), (list,)),
    *((dict,), (str,), (int,), (str,), (str,), (int,)),
)
"""Types of a header's columns, from `seq` to `size`."""
_EMPTY: dict[type, Callable[[], Any]] = {int: int, str: str, list: list, dict: lambda: {"damaged": True}}
HEAD_FIELDS = (
    *("head", "tip_id", "tip_hash", "epoch", "phase", "at", "alive", "wake", "pending", "deleted"),
)
"""What `heads` reads of a row."""


def moment_of(microseconds: bytes | int) -> datetime:
    """Read a time of the server. Raises `ValueError`."""
    return _EPOCH + int(microseconds) * _MICROSECOND


def microseconds_of(moment: datetime) -> int:
    """Write a time as the server does."""
    return (moment - _EPOCH) // _MICROSECOND


def fence_text(fence: Fence) -> str:
    """Write a fence as its row holds it; a run that nobody claimed holds an empty text."""
    return f"{fence[0]} {fence[1]}"


def checkpoint_arguments(checkpoint: Checkpoint) -> tuple[Argument, ...]:
    """Write a checkpoint as arguments of `commit.lua`: id, kind, header, payload."""
    payload = checkpoint.payload
    if type(payload) is not bytes:
        payload = bytes(cast("bytes", payload))
    return checkpoint.id, _KINDS[checkpoint.kind], orjson.dumps(checkpoint[1:18]), payload


def checkpoint_of(run_id: str, seq: int, header: bytes, payload: bytes | None) -> Checkpoint:
    """Read a checkpoint; one that is damaged has empty values where it cannot be read."""
    try:
        columns = orjson.loads(header)
        following, created_at = tuple(columns[10]), from_wire(columns[12])
        if columns[0] != seq or not _sound(columns):
            raise ValueError("a column has another type")  # noqa: TRY301 - one way out for every damage
    except (ValueError, TypeError, LookupError):
        return _damaged(run_id, seq, header, payload)
    columns[10], columns[12] = following, created_at
    return Checkpoint._make((run_id, *columns, payload))


def _sound(columns: Sequence[Any]) -> bool:
    return len(columns) == len(_SHAPE) and all(
        type(value) in kinds for value, kinds in zip(columns, _SHAPE, strict=True)
    )


def _damaged(run_id: str, seq: int, header: bytes, payload: bytes | None) -> Checkpoint:
    """Keep what can be read of a header."""
    try:
        read = orjson.loads(header)
    except ValueError:
        read = []
    found = read if isinstance(read, list) else []
    columns: list[Any] = [
        found[n] if n < len(found) and type(found[n]) in kinds else _EMPTY[kinds[0]]()
        for n, kinds in enumerate(_SHAPE)
    ]
    columns[0], columns[10], columns[12] = seq, tuple(columns[10]), _EPOCH
    return Checkpoint._make((run_id, *columns, payload))


def entry_of(run_id: str, entry: Sequence[Any]) -> Checkpoint:
    """Read an entry of a run's stream, `[id, [kind, header]]`, as a header without payload."""
    return checkpoint_of(run_id, seq_of(entry), entry[1][1], None)


def usage_of(answer: Sequence[Any], before: int) -> Usage:
    """Read what `usage.lua` counted, behind so many bytes; a moment that is damaged is None."""
    count, size, _, *ends = answer
    oldest, newest = map(_made_at, ends or (b"", b""))
    return Usage(count, before + int(size), oldest, newest)


def _made_at(header: bytes) -> datetime | None:
    try:
        return from_wire(orjson.loads(header)[12])
    except (ValueError, TypeError, LookupError):
        return None


def seq_of(entry: Sequence[Any]) -> int:
    """The seq of an entry of a run's stream."""
    return int(entry[0].partition(b"-")[0])


def new_of(new: NewRun) -> bytes:
    """Write what `create_run` was given, but for the ids."""
    return orjson.dumps(
        {
            "manifest": new.manifest,
            "graph": new.graph_hash,
            "key": new.key_base,
            "folder": new.folder,
            "origin": origin_out(new.origin),
            "trace": new.trace_id,
            "spec": new.spec_version,
        }
    )


def outcome_arguments(outcome: Outcome | None) -> tuple[Argument, ...]:
    """Write an outcome as arguments of `commit.lua`: phase, the rest, the open waits, when to wake."""
    if outcome is None:
        return _NO_OUTCOME
    rest = orjson.dumps([outcome.reason, outcome.message, [wait_out(wait) for wait in outcome.waits]])
    return outcome.phase, rest, _open_waits(outcome.waits), moment_out(outcome.wake_at) or b""


def _open_waits(waits: Sequence[Wait]) -> bytes:
    """Write which approvals may be answered and until when, 0: for ever; of two of one name the later."""
    found: dict[str, int] = {}
    for wait in waits:
        if wait.kind == "approval":
            until = 0 if wait.deadline is None else microseconds_of(wait.deadline)
            known = found.get(wait.name, until)
            found[wait.name] = max(known, until) if known and until else 0
    return orjson.dumps(found) if found else b""


def run_of(run_id: str, fields: Mapping[bytes, bytes]) -> Run:
    """Read a row.

    Raises:
        CheckpointCorrupted: it is damaged.
    """
    try:
        return _run_of(run_id, fields)
    except (ValueError, TypeError, LookupError, AttributeError) as error:
        raise CheckpointCorrupted(f"the row of run {run_id} is damaged: {error!r}") from error


def _run_of(run_id: str, fields: Mapping[bytes, bytes]) -> Run:
    new = orjson.loads(fields[b"new"])
    outcome = fields[b"outcome"]
    reason, message, waits = orjson.loads(outcome) if outcome else ("", "", [])
    if not isinstance(new["manifest"], dict):
        raise TypeError("the manifest is no object")
    return Run(
        run_id=run_id,
        workflow=fields[b"workflow"].decode(),
        thread=fields[b"thread"].decode(),
        manifest=new["manifest"],
        graph_hash=new["graph"],
        key_base=new["key"],
        folder=new["folder"],
        origin=origin_in(new["origin"]),
        trace_id=new["trace"],
        spec_version=new["spec"],
        epoch=int(fields[b"epoch"]),
        claim_id=fields[b"claim"].decode(),
        head_seq=int(fields[b"head"]),
        head_id=fields[b"tip_id"].decode(),
        head_hash=fields[b"tip_hash"].decode(),
        phase=cast("Phase", fields[b"phase"].decode()),
        reason=reason,
        message=message,
        waits=tuple(wait_in(wait) for wait in waits),
        wake_at=moment_in(fields[b"wake"].decode() or None),
        checkpoints=int(fields[b"checkpoints"]),
        bytes=int(fields[b"bytes"]),
        signals_pending=int(fields[b"pending"]),
        created_at=moment_of(fields[b"created"]),
        updated_at=moment_of(fields[b"at"]),
        heartbeat_at=_alive(fields.get(b"alive")),
        runner=fields[b"runner"].decode(),
        annotations=_notes_in(fields),
        metrics=metrics_in(fields.get(b"metrics")),
    )


def head_of(run_id: str, values: Sequence[bytes | None]) -> Head | None:
    """Read the values of `HEAD_FIELDS`; None for a run that is not there.

    Raises:
        CheckpointCorrupted: the row is damaged.
    """
    *known, alive, wake, pending, deleted = values
    if deleted is not None or all(value is None for value in values):
        return None
    try:
        seq, id_, hash_, epoch, phase, at = (cast("bytes", value).decode() for value in known)
        return Head(
            seq=int(seq),
            id=id_,
            hash=hash_,
            epoch=int(epoch),
            phase=cast("Phase", phase),
            updated_at=moment_of(int(at)),
            heartbeat_at=_alive(alive),
            wake_at=from_wire(wake.decode()) if wake else None,
            signals_pending=int(pending or 0),
        )
    except (ValueError, AttributeError) as error:
        raise CheckpointCorrupted(f"the row of run {run_id} is damaged: {error}") from error


def _alive(value: bytes | None) -> datetime | None:
    return None if value is None else moment_of(value)


def notes_out(notes: Mapping[str, JSONValue]) -> list[Argument]:
    """Write notes as fields of a row, each with its value."""
    return [part for name, value in notes.items() for part in (_NOTE + name.encode(), orjson.dumps(value))]


def note_fields(names: Iterable[str]) -> list[Argument]:
    """The fields that hold some notes."""
    return [_NOTE + name.encode() for name in names]


def _notes_in(fields: Mapping[bytes, bytes]) -> JSONObject:
    return {
        field[len(_NOTE) :].decode(): orjson.loads(value)
        for field, value in fields.items()
        if field.startswith(_NOTE)
    }


def fields_of(flat: Sequence[bytes]) -> dict[bytes, bytes]:
    """Read the answer of HGETALL."""
    return dict(zip(flat[::2], flat[1::2], strict=True))


def signal_text(signal: NewSignal) -> bytes:
    """Write a signal for `send.lua`."""
    return orjson.dumps([signal.name, signal.value, signal.client_id, signal.wait])


def signal_of(run_id: str, number: int, record: bytes | None) -> Signal:
    """Read a stored signal: when it came, and what it was.

    Raises:
        CheckpointCorrupted: it is damaged.
    """
    try:
        at, _, text = (record or b"").partition(b" ")
        name, value, client_id, wait = orjson.loads(text)
        return Signal(run_id, number, name, value, client_id, wait, moment_of(at))
    except (ValueError, TypeError) as error:
        raise CheckpointCorrupted(f"signal {number} of run {run_id} is damaged: {error}") from error


def member_of(run_id: str, workflow: str, thread: str) -> bytes:
    """Write a run as a member of the index."""
    return orjson.dumps([run_id, workflow, thread])


def run_in(member: bytes) -> str:
    """The run that a member of the index names."""
    return cast("str", orjson.loads(member)[0])
