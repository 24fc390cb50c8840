"""Which Checkpoint objects a Workflow shows: a view of the store, decided without I/O.

Shown are the newest `keepLast` checkpoints over all runs of the Workflow, at most 50, and the pinned ones; an
object that fell out of that is deleted, which harms nothing; so is a copy that somebody has made of one.

Pins are said in two places: by the annotation `cairn.dev/pin` on an object, and in the store (`cairn pin`).
A note on the object (`cairn.dev/pinned`) keeps on what both agreed last, so that it can be told who spoke
since; whoever did wins, and then both are brought in line:

    note    annotation    store
    true    true          pinned        nothing to do
    true    taken away    pinned        a person lets it go: it goes in the store
    true    true          not pinned    it was let go in the store: annotation and note go
    none    true          not pinned    a person pins it: it is pinned in the store, and noted
    none    none          pinned        it was pinned in the store: annotation and note are set
    any     false         pinned        a person lets it go, in so many words
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
    """Value of the annotation that people set."""
    noted: str | None = None
    """Value of our own note beside it."""
    run_id: str = ""
    resource_version: str = ""
    pinned_by: str = ""
    """The program that set the annotation."""


@dataclass(frozen=True, slots=True)
class Projection:
    """What brings the objects in line with the store."""

    create: tuple[Checkpoint, ...] = ()
    """Newest first, so that a pass that dies early has shown what people look for."""
    delete: tuple[Shown, ...] = ()
    pin: tuple[Shown, ...] = ()
    unpin: tuple[Shown, ...] = ()
    mark: tuple[tuple[Shown, bool], ...] = ()
    """Objects whose annotation and note are to say whether they are pinned."""

    def __bool__(self) -> bool:
        """Whether there is anything to do."""
        return bool(self.create or self.delete or self.pin or self.unpin or self.mark)


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
    pins = {key: is_pinned(item, stored=key in kept) for key, item in objects.items()}
    wanted = {row.id: row for row in islice(newest, min(keep_last, MAX_SHOWN))}
    wanted |= {
        row.id: row for row in islice((row for row in kept.values() if pins.get(row.id, True)), MAX_PINNED)
    }
    stays = {key: item for key, item in objects.items() if key in wanted or pins[key]}
    return Projection(
        create=tuple(
            sorted((row for row in wanted.values() if row.id not in objects), key=_age, reverse=True)
        ),
        delete=(*(item for key, item in objects.items() if key not in stays), *copies),
        pin=tuple(objects[key] for key, pinned in sorted(pins.items()) if pinned and key not in kept),
        unpin=tuple(objects[key] for key, pinned in sorted(pins.items()) if not pinned and key in kept),
        mark=tuple(
            (item, pins[key])
            for key, item in stays.items()
            if not says(item.pin, item.noted, pinned=pins[key])
        ),
    )


def is_pinned(item: Shown, *, stored: bool) -> bool:
    """Whether a checkpoint is to be pinned: who changed something since both agreed is right."""
    if item.noted is None:
        return {"true": True, "false": False}.get(item.pin or "", stored)
    wish, before = item.pin == "true", item.noted == "true"
    return wish if wish != before else stored


def says(pin: str | None, noted: str | None, *, pinned: bool) -> bool:
    """Whether annotation and note say this already; any other word in the annotation is nobody's business."""
    if pinned:
        return (pin, noted) == ("true", "true")
    return noted is None and pin not in ("true", "false")


def _age(row: Checkpoint) -> tuple[object, int]:
    return row.created_at, row.seq
