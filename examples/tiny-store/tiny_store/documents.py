"""A run as one JSON document, and back.

What a run is made of, and every decision about it, is Cairn's `Ledger`; this store only has to keep one.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any

import orjson

from cairn_runtime.store.base import Checkpoint, Gap, NewRun, Origin, Signal, Wait
from cairn_runtime.store.ledger import Ledger


@dataclass
class Document:
    """What stands in one file."""

    ledger: Ledger
    progress: dict[str, bytes] = field(default_factory=dict)
    change: int = 0
    """Number of the run's last change in this store."""


def pack(document: Document) -> bytes:
    """Write a document."""
    ledger = document.ledger
    body: dict[str, Any] = {column.name: getattr(ledger, column.name) for column in fields(ledger)}
    body["rows"] = list(ledger.rows.values())
    body["signals"] = list(ledger.signals.values())
    body["holds"] = [[seq, child, taken_at] for (seq, child), taken_at in ledger.holds.items()]
    return orjson.dumps(
        {"change": document.change, "progress": document.progress, "ledger": body}, default=_plain
    )


def unpack(raw: bytes) -> Document:
    """Read a document."""
    whole = orjson.loads(raw)
    body = whole["ledger"]
    for moment in ("created_at", "updated_at", "alive_at", "wake_at"):
        body[moment] = _moment(body[moment])
    body["new"] = _new(body["new"])
    body["manifest"], body["annotations"] = b64decode(body["manifest"]), b64decode(body["annotations"])
    body["waits"] = tuple(_wait(wait) for wait in body["waits"])
    body["rows"] = {row.seq: row for row in map(_checkpoint, body["rows"])}
    body["signals"] = {signal.client_id: signal for signal in map(_signal, body["signals"])}
    body["holds"] = {(seq, child): datetime.fromisoformat(at) for seq, child, at in body["holds"]}
    body["gaps"] = [Gap(**gap) for gap in body["gaps"]]
    for name in ("row_writes", "consumed", "pins"):
        body[name] = set(body[name])
    progress = {task: b64decode(value) for task, value in whole["progress"].items()}
    return Document(Ledger(**body), progress, whole["change"])


def _plain(value: object) -> object:
    """Say in JSON what JSON has no word for; dataclasses and times are written as they are."""
    if isinstance(value, bytes):
        return b64encode(value).decode()
    if isinstance(value, set):
        return sorted(value)
    if isinstance(value, tuple):
        return list(value)
    raise TypeError(f"{type(value).__name__} cannot be kept")


def _moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def _new(raw: dict[str, Any]) -> NewRun:
    origin = raw["origin"]
    if origin is not None:
        origin = Origin(**(origin | {"steps": tuple(origin["steps"]), "skip": tuple(origin["skip"])}))
    return NewRun(**(raw | {"origin": origin}))


def _wait(raw: dict[str, Any]) -> Wait:
    return Wait(**(raw | {"deadline": _moment(raw["deadline"]), "until": _moment(raw["until"])}))


def _signal(raw: dict[str, Any]) -> Signal:
    return Signal(**(raw | {"created_at": datetime.fromisoformat(raw["created_at"])}))


def _checkpoint(raw: list[Any]) -> Checkpoint:
    row = Checkpoint(*raw)
    return row._replace(
        next=tuple(row.next), created_at=datetime.fromisoformat(raw[13]), payload=b64decode(raw[-1])
    )
