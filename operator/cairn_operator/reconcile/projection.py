"""Which Checkpoint objects a Workflow shows: a view of the store, decided without I/O.

Shown are the newest `keepLast` checkpoints over all runs of the Workflow, at most 50, and the pinned ones; an
object that fell out of that is deleted, which harms nothing; so is a copy that somebody has made of one.
A person pins with the annotation `cairn.dev/pin`: `true` pins the checkpoint in the store, `false` lets it
go, none leaves it as it is, because it may have been pinned elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice

from cairn_runtime.store.base import Checkpoint

MAX_SHOWN = 50
MAX_PINNED = 200
"""Pinned checkpoints that are shown beside the newest: each is an object in the API server."""


@dataclass(frozen=True, slots=True)
class Shown:
    """A Checkpoint object as the API server has it."""

    name: str
    uid: str
    checkpoint_id: str
    pin: str | None = None
    """Value of the annotation."""


@dataclass(frozen=True, slots=True)
class Projection:
    """What brings the objects in line with the store."""

    create: tuple[Checkpoint, ...] = ()
    """Newest first, so that a pass that dies early has shown what people look for."""
    delete: tuple[Shown, ...] = ()
    pin: tuple[str, ...] = ()
    unpin: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        """Whether there is anything to do."""
        return bool(self.create or self.delete or self.pin or self.unpin)


def project(
    newest: Iterable[Checkpoint], pinned: Iterable[Checkpoint], shown: Iterable[Shown], *, keep_last: int
) -> Projection:
    """Compare what is shown with what is there.

    `newest` are headers over the Workflow's runs, newest first; `pinned` those that the store keeps for ever.
    """
    listed = sorted(shown, key=lambda item: item.name, reverse=True)
    objects = {item.checkpoint_id: item for item in listed}
    copies = [item for item in listed if objects[item.checkpoint_id] is not item]
    kept = {row.id: row for row in pinned}
    asked = {item.checkpoint_id for item in objects.values() if item.pin == "true"}
    refused = {item.checkpoint_id for item in objects.values() if item.pin == "false"}
    wanted = {row.id: row for row in islice(newest, min(keep_last, MAX_SHOWN))}
    wanted |= {
        row.id: row for row in islice((row for row in kept.values() if row.id not in refused), MAX_PINNED)
    }
    return Projection(
        create=tuple(
            sorted((row for row in wanted.values() if row.id not in objects), key=_age, reverse=True)
        ),
        delete=(
            *(item for key, item in objects.items() if key not in wanted and key not in asked),
            *copies,
        ),
        pin=tuple(sorted(asked - kept.keys())),
        unpin=tuple(sorted(refused & kept.keys())),
    )


def _age(row: Checkpoint) -> tuple[object, int]:
    return row.created_at, row.seq
