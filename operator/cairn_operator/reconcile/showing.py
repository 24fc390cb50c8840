"""Bring the Checkpoint objects of a Workflow in line with its store, and pins from the objects into it.

Objects follow the head at most every five seconds, straight to the newest: a run of a thousand steps a second
makes ten objects, not a thousand. Those of a run that has ended are shown at once: whoever waited for its end
looks at them next. A pin that a person set goes into the store at once, and so does one that they took away;
what a person deleted comes back with the next look. What changed in the store without a new checkpoint (a
pin, a prune) is seen after some minutes.
The store is written first and the object noted after it: a pass that dies between has said nothing false.
What was shown is remembered only to save reads; each call could be the first.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from cairn_operator.cluster.errors import ApiGone, NameTaken
from cairn_operator.names import CHECKPOINT_KIND, PIN_ANNOTATION, PINNED_ANNOTATION, WORKFLOW_LABEL
from cairn_operator.reconcile import auditing, facts
from cairn_operator.reconcile.projection import MAX_PINNED, MAX_SHOWN, Projection, Shown, project
from cairn_operator.reconcile.state import World
from cairn_operator.resources.views import checkpoint_object
from cairn_runtime.errors import CheckpointNotFound, RunNotFound
from cairn_runtime.model.values import JSONObject
from cairn_runtime.store.audits import new_entry
from cairn_runtime.store.base import Checkpoint, Store

log = logging.getLogger("cairn.showing")

PAUSE_SECONDS = 5.0
LOOK_AGAIN_SECONDS = 300.0
"""After so long a pass looks even where the head has not moved."""
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

    async def annotate(
        self, kind: str, namespace: str, name: str, resource_version: str, changes: Mapping[str, str | None]
    ) -> None:
        """Change annotations of an object as it was read. Raises `ApiConflict`, `ApiGone`."""


@dataclass(slots=True)
class Showing:
    """Shows the checkpoints of Workflows."""

    objects: Objects
    stores: Mapping[str, Store]
    clock: Callable[[], float]
    between: Callable[[str], None] = field(default=lambda _name: None)
    """Called before each write with its name: where a test ends the process."""
    _shown: dict[str, tuple[str, float]] = field(default_factory=dict)
    """By the Workflow's uid: the head that was shown last, and when."""
    _touched: set[str] = field(default_factory=set)
    """Those to be looked at at once."""
    _stirred: set[str] = field(default_factory=set)
    """Those to be looked at when it is time."""

    def touch(self, uid: str, *, at_once: bool) -> None:
        """Somebody pinned a Checkpoint object of this Workflow, or one is gone: not only by our own hand."""
        (self._touched if at_once else self._stirred).add(uid)

    def forget(self, uid: str) -> None:
        """The Workflow is gone."""
        self._shown.pop(uid, None)
        self._touched.discard(uid)
        self._stirred.discard(uid)

    async def show(self, world: World) -> float | None:
        """Bring the objects in line, if it is time; answers after how many seconds it will be.

        Raises:
            ApiError, CairnError: refused, or no answer; the next call goes on from there.
        """
        run, uid = world.run, world.workflow.uid
        if run is None or world.store_error is not None:
            return None
        head, at = self._shown.get(uid, ("", -LOOK_AGAIN_SECONDS))
        since = self.clock() - at
        if uid not in self._touched:
            nothing_new = head == run.head_id and (since < LOOK_AGAIN_SECONDS or not run.head_id)
            if nothing_new and uid not in self._stirred:
                return None
            if since < PAUSE_SECONDS and not (run.finished and head != run.head_id):
                return PAUSE_SECONDS - since
        self._touched.discard(uid)
        self._stirred.discard(uid)
        try:
            await self._bring(world, self.stores[world.store])
        except BaseException:
            self._stirred.add(uid)
            self._shown[uid] = ("", self.clock())
            raise
        self._shown[uid] = (run.head_id, self.clock())
        return None

    async def _bring(self, world: World, store: Store) -> None:
        found = world.workflow
        listed = await self.objects.checkpoints(found.namespace, f"{WORKFLOW_LABEL}={found.name}")
        shown = [facts.shown_checkpoint(item) for item in listed if facts.is_owned(item, found.uid)]
        newest, pinned = await self._rows(world, store, shown)
        keep_last = world.manifest.spec.checkpoint.history.keep_last if world.manifest else MAX_SHOWN
        plan = project(newest, pinned, shown, keep_last=keep_last)
        refused = await self._pin(world, store, plan)
        await self._carry_out(world, plan, {row.id for row in pinned})
        for item in shown:
            if item.checkpoint_id in refused:
                await self._delete(world, item)
        for item, is_pinned in plan.mark:
            if item.checkpoint_id not in refused:
                await self._mark(world, item, pinned=is_pinned)

    async def _pin(self, world: World, store: Store, plan: Projection) -> set[str]:
        """Pin and unpin in the store; answers the ids that are none of this Workflow's checkpoints."""
        refused: set[str] = set()
        for what, item in [*(("pin", item) for item in plan.pin), *(("unpin", item) for item in plan.unpin)]:
            try:
                row = await _own(store, world.workflow.key, item.checkpoint_id)
                # An object as it was read is one act: whoever asks anew has changed it.
                act = f"{item.uid}:{item.resource_version}"
                who = auditing.asker(world.workflow, item.pinned_by)
                self.between("audit")
                await store.audit(new_entry(who, what, act, source=f"{row.run_id}/{row.id}"))
                self.between(what)
                await store.pin(row.id, pinned=what == "pin")
            except CheckpointNotFound:
                log.info("pin of a checkpoint that is not there", extra={"checkpoint": item.checkpoint_id})
                refused.add(item.checkpoint_id)
        return refused

    async def _carry_out(self, world: World, plan: Projection, pinned: set[str]) -> None:
        found = world.workflow
        for row in plan.create:
            made = checkpoint_object(row, found.namespace, found.name, found.uid, pinned=row.id in pinned)
            self.between("create_checkpoint")
            try:
                await self.objects.create(made)
            except NameTaken:
                # Ours from a pass whose list was older, or a stranger's: a view is not worth a quarrel.
                log.info("checkpoint object is there already", extra={"checkpoint": row.id})
        for item in plan.delete:
            await self._delete(world, item)

    async def _delete(self, world: World, item: Shown) -> None:
        self.between("delete_checkpoint")
        await self.objects.delete(CHECKPOINT_KIND, world.workflow.namespace, item.name, item.uid)

    async def _mark(self, world: World, item: Shown, *, pinned: bool) -> None:
        """Say on the object whether it is pinned, and that both agree."""
        value = "true" if pinned else None
        changes = {PIN_ANNOTATION: value, PINNED_ANNOTATION: value}
        self.between("mark_checkpoint")
        try:
            await self.objects.annotate(
                CHECKPOINT_KIND, world.workflow.namespace, item.name, item.resource_version, changes
            )
        except ApiGone:
            return

    async def _rows(
        self, world: World, store: Store, shown: list[Shown]
    ) -> tuple[list[Checkpoint], list[Checkpoint]]:
        """Headers of the newest checkpoints over the Workflow's runs, and of the pinned ones."""
        newest: list[Checkpoint] = []
        runs = [run.run_id for run in await store.runs(workflow=world.workflow.key, limit=_RUNS)]
        for run_id in runs:
            if len(newest) < MAX_SHOWN:
                newest += await store.checkpoints(run_id, limit=MAX_SHOWN - len(newest))
        # A pinned one stays shown however many runs came after its own.
        older = sorted({item.run_id for item in shown if item.noted == "true"} - {*runs, ""})
        runs += [run_id for run_id in older if await _is_own(store, world.workflow.key, run_id)]
        return newest, [row for run_id in runs for row in await _pinned(store, run_id)]


async def _pinned(store: Store, run_id: str) -> list[Checkpoint]:
    out: list[Checkpoint] = []
    for seq in sorted(await store.pins(run_id), reverse=True)[:MAX_PINNED]:
        out += [row for row in await store.checkpoints(run_id, before=seq + 1, limit=1) if row.seq == seq]
    return out


async def _is_own(store: Store, workflow: str, run_id: str) -> bool:
    """Whether a run is this Workflow's: anybody may write an object that says so."""
    try:
        return (await store.run(run_id)).workflow == workflow
    except RunNotFound:
        return False


async def _own(store: Store, workflow: str, identity: str) -> Checkpoint:
    """Find a checkpoint of this Workflow.

    Raises:
        CheckpointNotFound: an object names what is none of them.
    """
    for row in await store.find_checkpoints(identity):
        if row.id == identity and await _is_own(store, workflow, row.run_id):
            return row
    raise CheckpointNotFound(identity)
