"""Rows as JSON and back, and what a call must look like before a store acts on it.

For stores that keep rows as text; all of them write the same shapes, so that a row reads the same everywhere.
Pure: no I/O.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import datetime
from typing import Any

import orjson

from cairn_runtime.errors import CheckpointNotFound, HistoryConflict
from cairn_runtime.model.ids import from_wire, to_wire
from cairn_runtime.model.values import JSONObject, JSONValue
from cairn_runtime.store.base import (
    MAX_HEADS,
    MAX_METRICS_BYTES,
    READ_BYTES,
    READ_ROWS,
    Checkpoint,
    Fence,
    Gap,
    NewSignal,
    Origin,
    Wait,
)


def check_commit(
    run_id: str, fence: Fence, expected_head: int, write_id: str, checkpoints: Sequence[Checkpoint]
) -> None:
    """Refuse a commit whose parts do not belong together: a mistake of the caller, not of the store.

    Raises:
        ValueError: saying which part.
    """
    if not write_id:
        raise ValueError("a commit needs a write_id")
    if checkpoints and checkpoints[0].write_id != write_id:
        # The first one is what a repeated commit is known by; the others may carry ids of their own.
        raise ValueError(
            f"checkpoint {expected_head + 1} of {run_id} carries another write_id than its commit"
        )
    seq = expected_head
    for checkpoint in checkpoints:
        seq += 1
        if checkpoint.seq != seq or checkpoint.run_id != run_id:
            raise ValueError(f"checkpoint {checkpoint.seq} of {checkpoint.run_id} is not {seq} of {run_id}")
        if checkpoint.epoch != fence[0]:
            raise ValueError(f"checkpoint {seq} of {run_id} carries another epoch than its commit")
        if checkpoint.payload is None or checkpoint.size != len(checkpoint.payload):
            raise ValueError(f"checkpoint {seq} of {run_id} has no payload of {checkpoint.size} bytes")


def check_import(
    run_id: str, fence: Fence, expected_head: int, checkpoints: Sequence[Checkpoint], gaps: Sequence[Gap]
) -> None:
    """Refuse copies of checkpoints that are no sequence, or gaps that are not right before a snapshot.

    Raises:
        ValueError: saying which part.
    """
    check_claim(fence[1])
    if not checkpoints:
        raise ValueError("an import needs a checkpoint")
    seq = expected_head
    before: dict[int, int] = {}
    for checkpoint in checkpoints:
        if checkpoint.seq <= seq or checkpoint.run_id != run_id:
            raise ValueError(
                f"checkpoint {checkpoint.seq} of {checkpoint.run_id} does not follow {seq} of {run_id}"
            )
        if checkpoint.kind == "snapshot":
            before[checkpoint.seq - 1] = seq
        seq = checkpoint.seq
        if checkpoint.payload is None or checkpoint.size != len(checkpoint.payload):
            raise ValueError(f"checkpoint {seq} of {run_id} has no payload of {checkpoint.size} bytes")
    for gap in gaps:
        known = before.get(gap.last_seq)
        if known is None or not known < gap.first_seq <= gap.last_seq:
            raise ValueError(f"the gap {gap.first_seq}-{gap.last_seq} of {run_id} is not before a snapshot")


def was_written(checkpoints: Sequence[Checkpoint], stored: Mapping[int, str], head_seq: int) -> bool:
    """Tell whether a commit that moved nothing had been applied before; `stored` maps seqs to write_ids.

    All of it must lie at or before the head: what was not sent before is not there. One checkpoint stored as
    ours is enough, since a prune may have taken others; one that is somebody else's is too much.
    """
    ours = [stored[row.seq] == row.write_id for row in checkpoints if row.seq in stored]
    return checkpoints[-1].seq <= head_seq and bool(ours) and all(ours)


def check_claim(claim_id: str) -> None:
    """Refuse an empty claim_id: it is what a row carries that nobody has claimed.

    Raises:
        ValueError: it is empty.
    """
    if not claim_id:
        raise ValueError("a claim needs a claim_id")


def check_heads(run_ids: Sequence[str]) -> None:
    """Refuse to ask for more runs at once than every store can.

    Raises:
        ValueError: too many.
    """
    if len(run_ids) > MAX_HEADS:
        raise ValueError(f"{len(run_ids)} ids in one call; at most {MAX_HEADS}")


def wait_is_open(waits: Sequence[Wait], signal: NewSignal, now: datetime, answered: Sequence[str]) -> bool:
    """Tell whether a signal finds the wait that it names; one that names none is always queued.

    `answered` are the waits that unconsumed signals name already.
    """
    if not signal.wait:
        return True
    if signal.wait in answered:
        return False
    return any(
        wait.kind == "approval"
        and wait.name == signal.wait
        and (wait.deadline is None or now < wait.deadline)
        for wait in waits
    )


def page_of(rows: Iterable[Checkpoint]) -> Iterator[Checkpoint]:
    """As many of the rows, from the first, as one page of `read` holds."""
    size = 0
    for count, row in enumerate(rows):
        size += row.size
        if count and (count == READ_ROWS or size > READ_BYTES):
            return
        yield row


def absent(run_id: str, seq: int) -> CheckpointNotFound:
    """The error for a seq that a run does not have, or has no more."""
    return CheckpointNotFound(
        f"{run_id}/{seq}", f"run {run_id} has no checkpoint {seq}; it may have been pruned"
    )


def still_held(run_id: str, held: Mapping[int, AbstractSet[str]]) -> HistoryConflict:
    """The error for a run that cannot be deleted, because forks still need a checkpoint of it."""
    seq, children = min(held.items())
    return HistoryConflict(
        f"checkpoint {seq} of run {run_id} is the origin of {', '.join(sorted(children))}, "
        "which has no checkpoint of its own yet; delete or resume that run first"
    )


def annotated(annotations: JSONObject, changes: JSONObject) -> JSONObject:
    """Lay changes over notes; null takes one away."""
    laid = {**annotations, **changes}
    return {name: value for name, value in laid.items() if value is not None}


def metrics_out(metrics: JSONObject | None) -> bytes | None:
    """Write what a heartbeat leaves in the row, or None.

    Raises:
        ValueError: it is too much.
    """
    if metrics is None:
        return None
    text = orjson.dumps(metrics)
    if len(text) > MAX_METRICS_BYTES:
        raise ValueError(f"{len(text)} bytes of metrics; at most {MAX_METRICS_BYTES}")
    return text


def metrics_in(text: bytes | str | None) -> JSONObject:
    """Read the numbers of a row; damaged ones are none, and keep nobody from reading the rest."""
    try:
        found: JSONValue = orjson.loads(text or b"{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def moment_out(moment: datetime | None) -> str | None:
    """Write a moment, or None."""
    return None if moment is None else to_wire(moment)


def moment_in(text: Any) -> datetime | None:  # noqa: ANN401 - JSON or a column
    """Read a moment, or None."""
    return None if text is None else from_wire(text)


def wait_out(wait: Wait) -> JSONObject:
    """Write a wait without what is empty."""
    out: JSONObject = {"task": wait.task, "kind": wait.kind}
    if wait.name:
        out["name"] = wait.name
    if wait.message:
        out["message"] = wait.message
    if wait.schema is not None:
        out["schema"] = wait.schema
    if wait.deadline is not None:
        out["deadline"] = to_wire(wait.deadline)
    if wait.until is not None:
        out["until"] = to_wire(wait.until)
    return out


def wait_in(raw: Any) -> Wait:  # noqa: ANN401 - JSON
    """Read a wait."""
    return Wait(
        task=raw["task"],
        kind=raw["kind"],
        name=raw.get("name", ""),
        message=raw.get("message", ""),
        schema=raw.get("schema"),
        deadline=moment_in(raw.get("deadline")),
        until=moment_in(raw.get("until")),
    )


def origin_out(origin: Origin | None) -> JSONValue:
    """Write where a fork comes from, or null."""
    if origin is None:
        return None
    return {
        "run": origin.run_id,
        "seq": origin.seq,
        "checkpoint": origin.checkpoint_id,
        "statePatch": origin.state_patch,
        "asStep": origin.as_step,
        "steps": list(origin.steps),
        "skip": list(origin.skip),
    }


def origin_in(raw: Any) -> Origin | None:  # noqa: ANN401 - JSON
    """Read where a fork comes from."""
    if raw is None:
        return None
    return Origin(
        run_id=raw["run"],
        seq=raw["seq"],
        checkpoint_id=raw["checkpoint"],
        state_patch=raw["statePatch"],
        as_step=raw["asStep"],
        steps=tuple(raw["steps"]),
        skip=tuple(raw["skip"]),
    )
