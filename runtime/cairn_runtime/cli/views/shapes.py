"""The JSON that programs read: one function per shape, stable from the first release; pure.

A key is never renamed or taken away; adding one is allowed.
Moments are RFC 3339 in UTC, sizes bytes, ids whole.
"""

from __future__ import annotations

from collections.abc import Iterable

from cairn_runtime.errors import CairnError, Fault, InvalidInput
from cairn_runtime.model.ids import to_wire, trace_id_for
from cairn_runtime.model.values import JSONObject, JSONValue
from cairn_runtime.runner.naming import thread_name, workflow_name
from cairn_runtime.store.base import Checkpoint, Run
from cairn_runtime.store.rows import origin_out, wait_out


def checkpoint_shape(checkpoint: Checkpoint, workflow: str) -> JSONObject:
    """A checkpoint; `workflow` is its name."""
    return {
        "id": checkpoint.id,
        "run": checkpoint.run_id,
        "workflow": workflow,
        "seq": checkpoint.seq,
        "step": checkpoint.step,
        "visit": checkpoint.visit,
        "item": checkpoint.item,
        "next": list(checkpoint.next),
        "kind": checkpoint.kind,
        "bytes": checkpoint.size,
        "hash": checkpoint.hash,
        "parent": checkpoint.parent_hash,
        "epoch": checkpoint.epoch,
        "createdAt": to_wire(checkpoint.created_at),
    }


def run_shape(run: Run) -> JSONObject:
    """A run, as lists show it."""
    return {
        "run": run.run_id,
        "workflow": workflow_name(run),
        "thread": thread_name(run) or None,
        "phase": run.phase,
        "epoch": run.epoch,
        "head": head_shape(run),
        "origin": origin_out(run.origin),
        "reason": run.reason,
        "traceId": trace_id_for(run.run_id),
        "createdAt": to_wire(run.created_at),
        "updatedAt": to_wire(run.updated_at),
    }


def ended_shape(run: Run, state: JSONObject, *, restarts: int) -> JSONObject:
    """What `run` and `resume` say at the end; a failed run brings its error along."""
    out: JSONObject = {
        "run": run.run_id,
        "thread": thread_name(run) or None,
        "phase": run.phase,
        "state": state,
        "head": head_shape(run),
        "checkpoints": run.checkpoints,
        "restarts": restarts,
        "reason": run.reason,
        "waits": [wait_out(wait) for wait in run.waits],
    }
    if run.phase == "Failed":
        out["error"] = error_shape(run.reason, run.message, ())
    return out


def head_shape(run: Run) -> JSONObject:
    """The newest checkpoint of a run; seq 0 and an empty id before the first."""
    return {"seq": run.head_seq, "id": run.head_id}


def error_shape(reason: str, message: str, faults: Iterable[Fault]) -> JSONObject:
    """What is inside `error`."""
    return {"reason": reason, "message": message, "faults": fault_shapes(faults)}


def fault_shapes(faults: Iterable[Fault]) -> list[JSONValue]:
    """Faults with their paths."""
    return [{"path": fault.path, "message": fault.message} for fault in faults]


def error_document(error: CairnError) -> JSONObject:
    """The whole document for an error of ours."""
    faults = error.faults if isinstance(error, InvalidInput) else ()
    return {"error": error_shape(error.reason, error.message, faults)}
