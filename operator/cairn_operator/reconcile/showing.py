"""Bring the Checkpoint objects of a Workflow in line with its store, and pins from the objects into it.

Objects follow the head at most every five seconds, straight to the newest: a run of a thousand steps a second
makes ten objects, not a thousand. A pin that a person set goes into the store at once.
What was shown is remembered only to save reads; each call could be the first.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from cairn_operator.cluster.errors import NameTaken
from cairn_operator.names import CHECKPOINT_KIND, WORKFLOW_LABEL
from cairn_operator.reconcile import facts
from cairn_operator.reconcile.projection import MAX_PINNED, MAX_SHOWN, Projection, Shown, project
from cairn_operator.reconcile.state import World
from cairn_operator.resources.views import checkpoint_object
from cairn_runtime.errors import CheckpointNotFound
from cairn_runtime.model.values import JSONObject
from cairn_runtime.store.base import Checkpoint, Run, Store

log = logging.getLogger("cairn.showing")

PAUSE_SECONDS = 5.0
_RUNS = 10
"""Newest runs of a Workflow whose checkpoints are shown."""


class Objects(Protocol):
    """What showing asks of the API server."""

    async def checkpoints(self, namespace: str, selector: str) -> list[JSONObject]:
        """List Checkpoint objects by label, live."""
        ...

    async def create(self, manifest: JSONObject) -> JSONObject:
        """Create an object. Raises `NameTaken`."""
        ...

    async def delete(
        self, kind: str, namespace: str, name: str, uid: str, grace_seconds: int | None = None
    ) -> None:
        """Delete an object by its uid."""


@dataclass(slots=True)
class Showing:
    """Shows the checkpoints of Workflows."""

    objects: Objects
    stores: Mapping[str, Store]
    clock: Callable[[], float]
    _shown: dict[str, tuple[str, float]] = field(default_factory=dict)
    """By the Workflow's uid: the head that was shown last, and when."""
    _touched: set[str] = field(default_factory=set)

    def touch(self, uid: str) -> None:
        """Somebody changed or deleted a Checkpoint object of this Workflow."""
        self._touched.add(uid)

    def forget(self, uid: str) -> None:
        """The Workflow is gone."""
        self._shown.pop(uid, None)
        self._touched.discard(uid)

    async def show(self, world: World) -> float | None:
        """Bring the objects in line, if it is time; answers after how many seconds it will be.

        Raises:
            ApiError, CairnError: refused, or no answer; the next call goes on from there.
        """
        run, uid = world.run, world.workflow.uid
        if run is None or world.store_error is not None:
            return None
        head, at = self._shown.get(uid, ("", -PAUSE_SECONDS))
        if uid not in self._touched:
            if head == run.head_id:
                return None
            left = at + PAUSE_SECONDS - self.clock()
            if left > 0:
                return left
        self._touched.discard(uid)
        try:
            await self._bring(world, self.stores[world.store])
        except BaseException:
            self._touched.add(uid)
            raise
        self._shown[uid] = (run.head_id, self.clock())
        return None

    async def _bring(self, world: World, store: Store) -> None:
        found = world.workflow
        listed = await self.objects.checkpoints(found.namespace, f"{WORKFLOW_LABEL}={found.name}")
        shown = [facts.shown_checkpoint(item) for item in listed if facts.is_owned(item, found.uid)]
        newest, pinned = await self._rows(world, store)
        keep_last = world.manifest.spec.checkpoint.history.keep_last if world.manifest else MAX_SHOWN
        plan = project(newest, pinned, shown, keep_last=keep_last)
        for identity, wanted in [(i, True) for i in plan.pin] + [(i, False) for i in plan.unpin]:
            try:
                await store.pin(identity, pinned=wanted)
            except CheckpointNotFound:
                log.info("pin of a checkpoint that is gone", extra={"checkpoint": identity})
        await self._carry_out(world, plan, {row.id for row in pinned})

    async def _carry_out(self, world: World, plan: Projection, pinned: set[str]) -> None:
        found = world.workflow
        for row in plan.create:
            made = checkpoint_object(row, found.namespace, found.name, found.uid, pinned=row.id in pinned)
            try:
                await self.objects.create(made)
            except NameTaken:
                # Ours from a pass whose list was older, or a stranger's: a view is not worth a quarrel.
                log.info("checkpoint object is there already", extra={"checkpoint": row.id})
        for item in plan.delete:
            await self._delete(world, item)

    async def _delete(self, world: World, item: Shown) -> None:
        await self.objects.delete(CHECKPOINT_KIND, world.workflow.namespace, item.name, item.uid)

    async def _rows(self, world: World, store: Store) -> tuple[list[Checkpoint], list[Checkpoint]]:
        """Headers of the newest checkpoints over the Workflow's runs, and of the pinned ones."""
        newest: list[Checkpoint] = []
        pinned: list[Checkpoint] = []
        for run in await store.runs(workflow=world.workflow.key, limit=_RUNS):
            if len(newest) < MAX_SHOWN:
                newest += await store.checkpoints(run.run_id, limit=MAX_SHOWN - len(newest))
            pinned += await _pinned(store, run)
        return newest, pinned


async def _pinned(store: Store, run: Run) -> list[Checkpoint]:
    out: list[Checkpoint] = []
    for seq in sorted(await store.pins(run.run_id), reverse=True)[:MAX_PINNED]:
        out += [row for row in await store.checkpoints(run.run_id, before=seq + 1, limit=1) if row.seq == seq]
    return out
