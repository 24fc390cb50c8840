"""One call, as a store is asked it and as the model is told it; both must give the same answer.

A call is made once and can be sent as often as the network likes, byte for byte.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from cairn_runtime.model.values import JSONObject
from cairn_runtime.store.base import Checkpoint, Fence, Gap, NewRun, NewSignal, Outcome, Store, Swap
from cairn_runtime.store.contract.model import Model


def _itself(answer: Any) -> object:  # noqa: ANN401 - whatever a store answers
    return answer


@dataclass(frozen=True, slots=True)
class Call:
    """A call for both sides."""

    ask: Callable[[Store], Coroutine[Any, Any, object]]
    tell: Callable[[Model], object]
    run_id: str = ""
    """The run that it may change; empty: it may be any."""
    plain: Callable[[Any], object] = _itself
    """Makes of a store's answer what the model answers."""


def creating(new: NewRun) -> Call:
    """Create a run, or one that is there, or one that was deleted."""
    return Call(
        lambda store: store.create_run(new),
        lambda model: model.create(new),
        new.run_id,
        lambda run: (run.run_id, run.workflow, run.graph_hash),
    )


def claiming(run_id: str, expected_epoch: int, claim_id: str, runner: str) -> Call:
    """Claim a run."""
    return Call(
        lambda store: store.claim(run_id, expected_epoch, claim_id, runner),
        lambda model: model.claim(run_id, expected_epoch, claim_id, runner),
        run_id,
    )


def committing(
    run_id: str, fence: Fence, head: int, rows: list[Checkpoint], change: tuple[str, Outcome | None]
) -> Call:
    """Commit checkpoints, or none; `change` is the write_id with the outcome."""
    write_id, outcome = change
    return Call(
        lambda store: store.commit(run_id, fence, head, write_id, rows, outcome),
        lambda model: model.commit(run_id, fence, head, rows, change),
        run_id,
    )


def bringing(new: NewRun, fence: Fence) -> Call:
    """Make the row of a run that comes from another store."""
    return Call(
        lambda store: store.import_run(new, fence),
        lambda model: model.bring(new, fence),
        new.run_id,
        lambda run: (run.workflow, run.fence),
    )


def bringing_rows(run_id: str, fence: Fence, head: int, rows: list[Checkpoint], gaps: list[Gap]) -> Call:
    """Bring copies of checkpoints, with the gaps between them."""
    return Call(
        lambda store: store.import_checkpoints(run_id, fence, head, rows, gaps),
        lambda model: model.bring_rows(run_id, fence, head, rows),
        run_id,
    )


def beating(run_id: str, fence: Fence, metrics: JSONObject | None = None) -> Call:
    """Say that the holder lives, with its numbers or without."""
    return Call(
        lambda store: store.heartbeat(run_id, fence, metrics),
        lambda model: model.beat(run_id, fence, metrics),
        run_id,
        lambda beat: beat.signals_pending,
    )


def progressing(run_id: str, fence: Fence, task: str, value: bytes) -> Call:
    """Keep a task's progress."""
    return Call(
        lambda store: store.put_progress(run_id, fence, task, value),
        lambda model: model.put_progress(run_id, fence, task, value),
        run_id,
    )


def noting(run_id: str, changes: JSONObject) -> Call:
    """Set notes beside a run."""
    return Call(
        lambda store: store.annotate(run_id, changes),
        lambda model: model.annotate(run_id, changes),
        run_id,
    )


def sending(run_id: str, signal: NewSignal) -> Call:
    """Send a signal or an answer."""
    return Call(
        lambda store: store.send(run_id, signal),
        lambda model: model.send(run_id, signal),
        run_id,
        lambda stored: stored.number,
    )


def pinning(checkpoint_id: str, *, pinned: bool) -> Call:
    """Pin a checkpoint or let it go."""
    return Call(
        lambda store: store.pin(checkpoint_id, pinned=pinned),
        lambda model: model.pin(checkpoint_id, pinned=pinned),
    )


def holding(checkpoint_id: str, child: str) -> Call:
    """Hold a checkpoint for a child."""
    return Call(
        lambda store: store.hold(checkpoint_id, child),
        lambda model: model.hold(checkpoint_id, child),
    )


def releasing(child: str) -> Call:
    """Let go of what a child holds."""
    return Call(lambda store: store.release_hold(child), lambda model: model.release(child))


def pruning(run_id: str, drop: list[int]) -> Call:
    """Drop seqs."""
    return Call(lambda store: store.prune(run_id, drop), lambda model: model.prune(run_id, drop), run_id)


def swapping(run_id: str, swaps: list[Swap]) -> Call:
    """Put other bytes in the place of payloads."""
    return Call(
        lambda store: store.swap_payloads(run_id, swaps),
        lambda model: model.swap(run_id, swaps),
        run_id,
    )


def swapping_progress(run_id: str, task: str, old: bytes, new: bytes) -> Call:
    """Put other bytes in the place of a task's progress."""
    return Call(
        lambda store: store.swap_progress(run_id, task, old, new),
        lambda model: model.swap_progress(run_id, task, old, new),
        run_id,
    )


def deleting(run_id: str) -> Call:
    """Delete a run."""
    return Call(lambda store: store.delete_run(run_id), lambda model: model.delete(run_id))


def loading(run_id: str, seq: int | None) -> Call:
    """Load what a checkpoint is folded from."""
    return Call(lambda store: store.load(run_id, seq), lambda model: model.load(run_id, seq), run_id)
