"""One line of an archive and what it stands for.

Whoever reads a file did not write it: every field has a type, a bound, and is checked before anything is done
with it. Unknown fields are refused, since this version would lose them.
Pure: no I/O.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Literal, TypeAlias

import orjson
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PlainValidator, ValidationError
from pydantic.alias_generators import to_camel

from cairn_runtime.errors import Fault, InvalidInput
from cairn_runtime.model.ids import from_wire, to_wire
from cairn_runtime.model.values import JSONObject
from cairn_runtime.store.base import Checkpoint, NewRun, Origin, Phase, Run
from cairn_runtime.store.rows import origin_out

VERSION = 1
MAX_SEQ = 2**31
MAX_DOCUMENT_BYTES = 4 * 1024**2
"""A manifest, or the notes beside a run."""


def _moment(value: object) -> datetime:
    if not isinstance(value, str):
        raise ValueError("is no moment")  # noqa: TRY004 - pydantic collects ValueError
    return from_wire(value)


def _document(value: dict[str, Any]) -> dict[str, Any]:
    """Refuse what no store could write: nested too deeply, or too large."""
    try:
        size = len(orjson.dumps(value))
    except orjson.JSONEncodeError as error:
        raise ValueError(str(error)) from error
    if size > MAX_DOCUMENT_BYTES:
        raise ValueError(f"has {size} bytes; at most {MAX_DOCUMENT_BYTES}")
    return value


_Id: TypeAlias = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$")]
_Hash: TypeAlias = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
_Name: TypeAlias = Annotated[str, Field(max_length=1024)]
_Words: TypeAlias = Annotated[str, Field(max_length=65536)]
_Seq: TypeAlias = Annotated[int, Field(ge=1, le=MAX_SEQ)]
_Count: TypeAlias = Annotated[int, Field(ge=0, le=2**62)]
_Moment: TypeAlias = Annotated[datetime, PlainValidator(_moment)]
_Bytes: TypeAlias = Annotated[bytes, Field(strict=False)]
"""Base64 text, read by pydantic: more than twice as fast as Python's own."""
_Document: TypeAlias = Annotated[dict[str, Any], AfterValidator(_document)]


class Line(BaseModel):
    """What all lines share."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        extra="forbid",
        frozen=True,
        populate_by_name=True,
        strict=True,
        # Of text in Python too, despite its name.
        val_json_bytes="base64",
    )


class Header(Line):
    """The first line: what this is."""

    cairn: Literal["export"]
    version: Annotated[int, Field(ge=1)]
    release: _Name
    store: _Name
    created_at: _Moment


class OriginLine(Line):
    """Where a fork came from."""

    run: _Id
    seq: _Seq
    checkpoint: _Id
    state_patch: _Document
    as_step: _Name | None
    steps: list[_Name]
    skip: list[_Name]


class RunLine(Line):
    """A run's row."""

    id: _Id
    workflow: Annotated[
        str, Field(max_length=1024, pattern=r"^[^/\x00]{1,253}/[^/\x00]{1,253}/[^/\x00]{1,253}$")
    ]
    thread: _Name
    manifest: _Document
    graph_hash: _Name
    key_base: _Name
    folder: Annotated[str, Field(max_length=4096)] | None
    origin: OriginLine | None
    trace_id: _Name
    spec_version: _Count
    epoch: Annotated[int, Field(ge=0, le=2**53)]
    runner: _Name
    head: _Count
    phase: Phase
    reason: _Name
    message: _Words
    created_at: _Moment
    updated_at: _Moment
    annotations: _Document


class CheckpointLine(Line):
    """A checkpoint with its payload as it was stored."""

    seq: _Seq
    id: _Id
    parent: _Hash
    hash: _Hash
    epoch: Annotated[int, Field(ge=0, le=2**53)]
    write: _Id
    kind: Literal["delta", "snapshot"]
    step: _Name
    visit: _Count
    item: _Count | None
    next: list[_Name]
    metadata: _Document
    created_at: _Moment
    format: Annotated[int, Field(ge=0, le=255)]
    graph: _Name
    digest: _Hash
    payload: _Bytes


class GapLine(Line):
    """What a prune took right before the next checkpoint."""

    first: _Seq
    last: _Seq


class LeftLine(Line):
    """What is not in the file: a run, or some of its checkpoints."""

    run: _Id
    first: _Seq | None = None
    last: _Seq | None = None
    reason: _Name
    message: _Words


class EndLine(Line):
    """The end of a run: what stands beside its history."""

    run: _Id
    pins: list[_Seq]
    progress: Annotated[dict[_Name, _Bytes], Field(max_length=100_000)]


class Trailer(Line):
    """The last line: that nothing is missing."""

    runs: _Count
    checkpoints: _Count
    left: _Count
    sha256: _Hash


KINDS: Mapping[str, type[Line]] = {
    "header": Header,
    "run": RunLine,
    "checkpoint": CheckpointLine,
    "gap": GapLine,
    "left": LeftLine,
    "end": EndLine,
    "trailer": Trailer,
}


def read_line(raw: bytes, number: int) -> Line:
    """Read a line.

    Raises:
        InvalidInput: it is none, and where.
    """
    try:
        found = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise InvalidInput([Fault(f"line {number}", f"is no JSON: {error.msg}")]) from None
    kind = next(iter(found), "") if isinstance(found, dict) and len(found) == 1 else ""
    if kind not in KINDS:
        raise InvalidInput([Fault(f"line {number}", "is no line of an export")])
    try:
        return KINDS[kind].model_validate(found[kind])
    except ValidationError as error:
        faults = [
            Fault(f"line {number}: {'.'.join(map(str, (kind, *one['loc'])))}", one["msg"])
            for one in error.errors(include_input=False, include_url=False)[:5]
        ]
        raise InvalidInput(faults) from None


def write_line(kind: str, body: JSONObject) -> bytes:
    """Write a line."""
    return orjson.dumps({kind: body}, option=orjson.OPT_APPEND_NEWLINE)


def header_of(store: str, release: str, now: datetime) -> JSONObject:
    """Write the first line's content."""
    return {
        "cairn": "export",
        "version": VERSION,
        "release": release,
        "store": store,
        "createdAt": to_wire(now),
    }


def run_out(run: Run) -> JSONObject:
    """Write a run's row."""
    return {
        "id": run.run_id,
        "workflow": run.workflow,
        "thread": run.thread,
        "manifest": run.manifest,
        "graphHash": run.graph_hash,
        "keyBase": run.key_base,
        "folder": run.folder,
        "origin": origin_out(run.origin),
        "traceId": run.trace_id,
        "specVersion": run.spec_version,
        "epoch": run.epoch,
        "runner": run.runner,
        "head": run.head_seq,
        "phase": run.phase,
        "reason": run.reason,
        "message": run.message,
        "createdAt": to_wire(run.created_at),
        "updatedAt": to_wire(run.updated_at),
        "annotations": run.annotations,
    }


def new_of(line: RunLine, *, namespace: str, annotations: JSONObject) -> NewRun:
    """Read a run's row, to be made in a namespace of its own where one is given."""
    workflow, thread = line.workflow, line.thread
    if namespace:
        workflow = f"{namespace}/{line.workflow.partition('/')[2]}"
        thread = workflow if line.thread == line.workflow else line.thread
    origin = line.origin
    return NewRun(
        run_id=line.id,
        workflow=workflow,
        manifest=line.manifest,
        graph_hash=line.graph_hash,
        key_base=line.key_base,
        thread=thread,
        folder=line.folder,
        origin=None if origin is None else _origin_in(origin),
        trace_id=line.trace_id,
        spec_version=line.spec_version,
        annotations=annotations,
    )


def _origin_in(line: OriginLine) -> Origin:
    return Origin(
        line.run,
        line.seq,
        line.checkpoint,
        line.state_patch,
        line.as_step,
        tuple(line.steps),
        tuple(line.skip),
    )


def checkpoint_out(row: Checkpoint) -> JSONObject:
    """Write a checkpoint with its payload."""
    return {
        "seq": row.seq,
        "id": row.id,
        "parent": row.parent_hash,
        "hash": row.hash,
        "epoch": row.epoch,
        "write": row.write_id,
        "kind": row.kind,
        "step": row.step,
        "visit": row.visit,
        "item": row.item,
        "next": list(row.next),
        "metadata": row.metadata,
        "createdAt": to_wire(row.created_at),
        "format": row.format_version,
        "graph": row.graph_hash,
        "digest": row.digest,
        "payload": b64encode(row.payload or b"").decode(),
    }


def checkpoint_in(run_id: str, line: CheckpointLine) -> Checkpoint:
    """Read a checkpoint."""
    return Checkpoint(
        run_id=run_id,
        seq=line.seq,
        id=line.id,
        parent_hash=line.parent,
        hash=line.hash,
        epoch=line.epoch,
        write_id=line.write,
        kind=line.kind,
        step=line.step,
        visit=line.visit,
        item=line.item,
        next=tuple(line.next),
        metadata=line.metadata,
        created_at=line.created_at,
        format_version=line.format,
        graph_hash=line.graph,
        digest=line.digest,
        size=len(line.payload),
        payload=line.payload,
    )
