"""A Checkpoint object: what kubectl shows of a checkpoint, made of its header."""

from __future__ import annotations

from cairn_operator.names import (
    API_VERSION,
    CHECKPOINT_KIND,
    ORIGIN_ANNOTATION,
    PIN_ANNOTATION,
    PINNED_ANNOTATION,
    RUN_LABEL,
    WORKFLOW_LABEL,
)
from cairn_operator.resources.checkpoints import MAX_NEXT
from cairn_operator.resources.pods import owner
from cairn_runtime.model.ids import short_id, to_wire
from cairn_runtime.model.values import JSONObject
from cairn_runtime.store.base import Checkpoint

_SHOWN_NEXT = 3
_UNITS = ("B", "KiB", "MiB", "GiB")
_KIB = 1024
_MAX_ID = 64


def checkpoint_object(
    row: Checkpoint, namespace: str, workflow: str, workflow_uid: str, *, pinned: bool
) -> JSONObject:
    """Build the object of a checkpoint; `row` needs no payload."""
    following = list(dict.fromkeys(row.next))
    spec: JSONObject = {
        "workflow": workflow,
        "run": row.run_id,
        "runText": short_id(row.run_id),
        "seq": row.seq,
        "id": row.id,
        "step": row.step,
        "visit": row.visit,
        "next": [*following[:MAX_NEXT]],
        "nextText": next_text(following),
        "bytes": row.size,
        "size": size_text(row.size),
        "hash": row.hash,
        "parent": row.parent_hash,
        "createdAt": to_wire(row.created_at),
        "epoch": row.epoch,
        "kind": row.kind,
    }
    if row.item is not None:
        spec["item"] = row.item
    return {
        "apiVersion": API_VERSION,
        "kind": CHECKPOINT_KIND,
        "metadata": {
            "name": f"{workflow}-{short_id(row.run_id)}-{row.seq}",
            "namespace": namespace,
            "labels": {WORKFLOW_LABEL: workflow, RUN_LABEL: row.run_id},
            "annotations": {
                **({PIN_ANNOTATION: "true", PINNED_ANNOTATION: "true"} if pinned else {}),
                **_origin(row),
            },
            "ownerReferences": [owner(workflow, workflow_uid)],
        },
        "spec": spec,
    }


def _origin(row: Checkpoint) -> JSONObject:
    """Where a fork comes from; its first checkpoint tells."""
    origin = row.metadata.get("origin")
    first = row.seq == 1 and isinstance(origin, str) and len(origin) <= _MAX_ID
    return {ORIGIN_ANNOTATION: origin} if first else {}


def next_text(names: list[str]) -> str:
    """`draft, count` or `draft, count, check +3`."""
    more = len(names) - _SHOWN_NEXT
    return ", ".join(names[:_SHOWN_NEXT]) + (f" +{more}" if more > 0 else "")


def size_text(size_bytes: int) -> str:
    """`312 B`, `1.2 KiB`."""
    size = float(size_bytes)
    for unit in _UNITS:
        if size < _KIB or unit == _UNITS[-1]:
            break
        size /= _KIB
    return f"{size_bytes} B" if unit == "B" else f"{size:.1f} {unit}"
