"""A pass over one Workflow, and the workers that make them.

    take a key ── observe ── decide ── act ── write the status ── show Checkpoints ── give the key back

What goes wrong with one Workflow stays with it: its pass is repeated after a pause of its own. An exception
that nobody foresaw is a line in the log and one more pause, never the end of a worker.
What is only shown must not keep what is done waiting: where the server refuses a status or a Checkpoint
object, the pass counts as made, and the view is tried again later.
What is remembered between passes (`Memory`, budgets, stopwatches) is lost with the process and missed by
nobody: every pass could be the first.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Protocol

from cairn_operator.cluster.errors import ApiConflict, ApiError, ApiGone, ApiRefused
from cairn_operator.reconcile import checks
from cairn_operator.reconcile.act import Actor, Refusal
from cairn_operator.reconcile.decide import Keeping, decide
from cairn_operator.reconcile.observe import Observer
from cairn_operator.reconcile.pulse import Pulse
from cairn_operator.reconcile.state import CreateRun, Plan, StartRunner, World
from cairn_operator.reconcile.workqueue import Key, Queue
from cairn_operator.reconcile.writing import WriteBudget, urgent
from cairn_runtime.errors import CairnError
from cairn_runtime.model.values import JSONObject

log = logging.getLogger("cairn.passes")

NO_TOKEN_SECONDS = 1.0
"""How soon a silent runner is looked at again for which this tick had no replacement left."""
SHOW_AGAIN_SECONDS = 30.0
"""How soon a view is tried again that the server refused."""


@dataclass(frozen=True, slots=True)
class Memory:
    """What the last pass over a Workflow was refused with: people read it in the status."""

    uid: str
    """Whose it is: a Workflow that was made anew under the same name remembers nothing."""
    create_error: tuple[str, str] | None = None
    trouble: tuple[str, str] | None = None


class Troubled(Exception):
    """An action was refused; the same would be refused again at once."""


def _on_its_way(plan: Plan, refusal: Refusal) -> bool:
    """Whether the pass that comes at once has more to say: a start should not wait for a status."""
    starts = any(isinstance(action, CreateRun | StartRunner) for action in plan.actions)
    return starts and refusal == Refusal()


class StatusWriter(Protocol):
    """What a pass writes to the API server after its actions."""

    async def apply_status(
        self, namespace: str, name: str, resource_version: str, status: JSONObject
    ) -> None:
        """Write a status. Raises `ApiConflict` where the object has changed since it was read."""

    async def tell(self, world: World, status: JSONObject) -> None:
        """Emit Kubernetes Events for what changed between the object's status and this one."""


Show = Callable[[World], Awaitable[float | None]]
"""Brings the Checkpoint objects in line; answers after how many seconds it wants to go on."""


class Reconciler:
    """Makes passes over the Workflows that are rung."""

    def __init__(  # noqa: PLR0913 - wired in one place, by the process
        self,
        observer: Observer,
        actor: Actor,
        writer: StatusWriter,
        pulse: Pulse,
        queue: Queue,
        *,
        keeping: Keeping,
        show: Show,
    ) -> None:
        self._observer = observer
        self._actor = actor
        self._writer = writer
        self._pulse = pulse
        self._queue = queue
        self._keeping = keeping
        self._show = show
        self._budget = WriteBudget(time.monotonic)
        self._memories: dict[Key, Memory] = {}
        self.on_pass: Callable[[Key, World, Plan, Refusal, float], None] | None = None
        """Called after each pass with the seconds that it took: what metrics count."""
        self.on_end: Callable[[Key, str], None] | None = None
        """Called with a constant word when a Workflow is `Gone`, or its pass failed for a reason."""

    async def work(self) -> None:
        """Make passes until cancelled; several workers may share one queue."""
        while True:
            key = await self._queue.take()
            try:
                self._queue.done(key, await self.look_at(key))
            except asyncio.CancelledError:
                self._queue.done(key, 0.0)
                raise
            except (CairnError, ApiError) as error:
                log.info("pass is repeated", extra={"workflow": "/".join(key), "reason": error.reason})
                self._failed(key, error.reason)
            except Troubled:
                self._failed(key, "Troubled")
            except Exception:
                log.exception("pass failed", extra={"workflow": "/".join(key)})
                self._failed(key, "Unforeseen")

    def _failed(self, key: Key, reason: str) -> None:
        self._queue.done(key, failed=True)
        if self.on_end is not None:
            self.on_end(key, reason)

    async def look_at(self, key: Key) -> float | None:
        """Make one pass; answers after how many seconds to make the next, None: when somebody rings.

        Raises:
            ApiError, CairnError: no answer; try again after a pause.
            Troubled: something was refused; it is written down, and tried again after a pause.
        """
        begin = time.monotonic()
        world = await self._observer.observe(key.namespace, key.name)
        if world is None:
            self._forget(key)
            return None
        world = self._remembered(key, world)
        plan = decide(world, self._keeping)
        if self._needs_token(world, plan) and not self._pulse.may_replace():
            return NO_TOKEN_SECONDS
        refusal = await self._actor.act(world, plan.actions)
        started = any(isinstance(action, StartRunner) for action in plan.actions)
        create_error = None if started else world.create_error
        self._memories[key] = Memory(
            world.workflow.uid, refusal.create_error or create_error, refusal.trouble
        )
        wait = None if _on_its_way(plan, refusal) else await self._told(key, world, plan.status)
        news = plan.actions or world.trouble is not None
        again = 0.0 if news and refusal.trouble is None else plan.again_seconds
        later = await self._shown(key, world) if not plan.actions else None
        if self.on_pass is not None:
            self.on_pass(key, world, plan, refusal, time.monotonic() - begin)
        if refusal.trouble is not None:
            raise Troubled(refusal.trouble[0])
        return min((s for s in (again, wait, later) if s is not None), default=None)

    def _needs_token(self, world: World, plan: Plan) -> bool:
        pod = checks.runner_pod(world)
        starts = any(isinstance(action, StartRunner) for action in plan.actions)
        return starts and pod is not None and checks.silent(world, pod)

    def _remembered(self, key: Key, world: World) -> World:
        """Add what this process has seen over time, and go on seeing it."""
        uid, run = world.workflow.uid, world.run
        if (memory := self._memories.get(key, Memory(uid))).uid != uid:
            self._forget(key)
            memory = Memory(uid)
        self._memories[key] = memory
        if run is not None and run.finished:
            self._pulse.leave(run.run_id)
        elif run is not None:
            beats = checks.beats(world, checks.runner_pod(world))
            self._pulse.watch(run.run_id, key, world.store, beats=beats)
        return replace(
            world,
            quiet_seconds=self._pulse.quiet_seconds(run.run_id) if run is not None else 0.0,
            suspect=self._pulse.suspect(world.store),
            create_error=memory.create_error if checks.runner_pod(world) is None else None,
            trouble=memory.trouble,
        )

    def _forget(self, key: Key) -> None:
        self._memories.pop(key, None)
        self._budget.forget(key)
        self._pulse.forget(key)
        if self.on_end is not None:
            self.on_end(key, "Gone")

    async def _told(self, key: Key, world: World, status: JSONObject) -> float | None:
        """Write the status; one that is refused for good is tried again later, and holds nothing up."""
        try:
            return await self._write(key, world, status)
        except ApiRefused as error:
            return self._refused(key, "status", error)

    async def _shown(self, key: Key, world: World) -> float | None:
        """Bring the Checkpoint objects in line; where that fails it is tried again later."""
        try:
            return await self._show(world)
        except (ApiError, CairnError) as error:
            return self._refused(key, "checkpoints", error)

    def _refused(self, key: Key, view: str, error: ApiError | CairnError) -> float:
        where = {"workflow": "/".join(key), "view": view}
        log.warning("view was not shown", extra={**where, "reason": error.reason, "why": str(error)})
        if self.on_end is not None:
            self.on_end(key, error.reason)
        return SHOW_AGAIN_SECONDS

    async def _write(self, key: Key, world: World, status: JSONObject) -> float | None:
        """Write the status if it changed and may be written; answers how long it must wait, if it must."""
        found = world.workflow
        if status == found.status:
            return None
        wait = self._budget.wait_seconds(key, urgent=urgent(found.status, status))
        if wait > 0.0:
            return wait
        begin = time.monotonic()
        try:
            await self._writer.apply_status(found.namespace, found.name, found.resource_version, status)
        except ApiGone:
            return None
        except ApiConflict:
            return 0.0
        self._budget.written(key, time.monotonic() - begin)
        await self._writer.tell(world, status)
        return None
