"""Carry out a plan, action by action: each is idempotent, and a pass may die between any two.

What an action is refused with is kept for the status of the next pass; it never stops other objects.
A pod is built from the Workflow as Kubernetes has it, and never from what the store keeps.
A pod is made only for a claim of one's own, in the same action: whoever finds a claimed epoch without a pod
claims the next one.
The claim's answer may be lost: the same claim_id is sent again, and the store answers as it did.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol, TypeVar, assert_never

from cairn_operator.cluster.errors import ApiError, NameTaken
from cairn_operator.names import EPOCH_LABEL, RUN_LABEL
from cairn_operator.reconcile import auditing, facts
from cairn_operator.reconcile.state import (
    Action,
    Annotate,
    CreateRun,
    DeletePod,
    DeleteWorkflow,
    EndRun,
    Hold,
    Note,
    Object,
    ReleaseHold,
    StartRunner,
    World,
)
from cairn_operator.resources.pods import Assignment, PodDefaults, runner_pod
from cairn_runtime.errors import CairnError, ManifestInvalid, StoreUnavailable, Superseded
from cairn_runtime.model.ids import new_id
from cairn_runtime.model.values import JSONObject
from cairn_runtime.store.base import Store

log = logging.getLogger("cairn.act")

_TRIES = 3
"""Times that a call without an answer is sent again, byte for byte, before the pass gives up."""
_T = TypeVar("_T")


class Writer(Protocol):
    """What acting asks of the API server; deleting what is gone, or is another by now, is done."""

    async def create(self, manifest: JSONObject) -> JSONObject:
        """Create an object. Raises `NameTaken`, `ApiRefused`, `ApiUnavailable`."""
        ...

    async def read(self, kind: str, namespace: str, name: str) -> JSONObject | None:
        """Read an object, live; None: there is none."""
        ...

    async def delete(
        self,
        kind: str,
        namespace: str,
        name: str,
        uid: str,
        grace_seconds: int | None = None,
        *,
        resource_version: str = "",
    ) -> None:
        """Delete an object by its uid. Raises `ApiConflict` where it is not as it was read."""


@dataclass(slots=True)
class Refusal:
    """What a pass was refused with, for the status of the next one."""

    create_error: tuple[str, str] | None = None
    trouble: tuple[str, str] | None = None
    fenced: bool = False
    """Whether somebody else had claimed the run first; nothing is wrong then."""


@dataclass(frozen=True, slots=True)
class Actor:
    """Acts on one cluster and its stores."""

    writer: Writer
    stores: Mapping[str, Store]
    defaults: PodDefaults
    version: str
    between: Callable[[str], None] = field(default=lambda _name: None)
    """Called before each write with its name: where a test ends the process."""

    async def act(self, world: World, actions: tuple[Action, ...]) -> Refusal:
        """Carry out actions in their order; the first one that is refused ends the pass.

        Raises:
            StoreUnavailable, ApiUnavailable: no answer; the same world is looked at again later.
        """
        for action in actions:
            refusal = await self._carried_out(world, action)
            if refusal is not None:
                return refusal
        return Refusal()

    async def _carried_out(self, world: World, action: Action) -> Refusal | None:
        name = type(action).__name__
        try:
            await self._do(world, action)
        except Superseded:
            log.info("action was overtaken", extra={"action": name, "workflow": world.workflow.key})
            return Refusal(fenced=True)
        except (ApiError, CairnError) as error:
            if error.retryable:
                raise
            log.warning("action was refused", extra={"action": name, "reason": error.reason})
            words = (error.reason, str(error))
            return Refusal(create_error=words) if isinstance(action, StartRunner) else Refusal(trouble=words)
        log.info("acted", extra={"action": name, "workflow": world.workflow.key})
        return None

    async def _do(self, world: World, action: Action) -> None:
        store = self.stores[world.store]
        found = world.workflow
        match action:
            case CreateRun(new):
                self.between("create_run")
                await _insist(lambda: store.create_run(new))
            case Note():
                self.between("audit")
                await _insist(lambda: store.audit(auditing.entry_of(found, action)))
            case Hold(checkpoint_id, child):
                self.between("hold")
                await _insist(lambda: store.hold(checkpoint_id, child))
            case ReleaseHold(child):
                self.between("release_hold")
                await _insist(lambda: store.release_hold(child))
            case EndRun():
                await self._end_run(store, action)
            case Annotate(run_id, changes):
                self.between("annotate")
                await _insist(lambda: store.annotate(run_id, changes))
            case StartRunner():
                await self._start_runner(store, world, action)
            case DeletePod():
                self.between("delete_pod")
                log.info("pod is deleted", extra={"pod": action.name, "why": action.why})
                await self.writer.delete(
                    "Pod", found.namespace, action.name, action.uid, action.grace_seconds
                )
            case DeleteWorkflow():
                self.between("delete_workflow")
                # As it was read: somebody may have asked for a resume this very moment.
                await self.writer.delete(
                    "Workflow",
                    found.namespace,
                    found.name,
                    found.uid,
                    resource_version=found.resource_version,
                )
            case _:
                assert_never(action)

    async def _end_run(self, store: Store, action: EndRun) -> None:
        """Claim, so that nobody else can write, then write the row's last change."""
        run = await store.run(action.run_id)
        if run.finished or run.epoch != action.expected_epoch:
            return
        self.between("claim_to_end")
        claim_id = new_id()
        fence = await _insist(lambda: store.claim(run.run_id, run.epoch, claim_id))
        run = await store.run(run.run_id)
        if run.finished or run.fence != fence:
            return
        self.between("end_run")
        write_id = new_id()
        await _insist(lambda: store.commit(run.run_id, fence, run.head_seq, write_id, [], action.outcome))

    async def _start_runner(self, store: Store, world: World, action: StartRunner) -> None:
        if world.manifest is None:
            # Before the claim: nothing may be claimed without a pod.
            raise ManifestInvalid(list(world.faults))
        self.between("claim")
        claim_id = new_id()
        fence = await _insist(
            lambda: store.claim(action.run_id, action.expected_epoch, claim_id, self.version)
        )
        found = world.workflow
        assignment = Assignment(
            found.namespace,
            found.name,
            found.uid,
            action.run_id,
            fence.epoch,
            fence.claim_id,
            found.generation,
        )
        self.between("create_pod")
        try:
            await self.writer.create(runner_pod(world.manifest, assignment, self.defaults))
        except NameTaken as error:
            if not await self._is_ours(found, assignment):
                raise NameTaken(
                    f"a pod named {assignment.pod_name} is there already and is not this run's"
                ) from error

    async def _is_ours(self, found: Object, assignment: Assignment) -> bool:
        """Whether a pod of that name was made by this very claim, its answer lost."""
        pod = await self.writer.read("Pod", found.namespace, assignment.pod_name)
        meta = facts.part(pod or {}, "metadata")
        labels = facts.part(meta, "labels")
        return (
            facts.is_owned(pod or {}, found.uid)
            and labels.get(RUN_LABEL) == assignment.run_id
            and labels.get(EPOCH_LABEL) == str(assignment.epoch)
        )


async def _insist(call: Callable[[], Awaitable[_T]]) -> _T:
    """Send the same again where no answer came; it is idempotent."""
    for _ in range(_TRIES - 1):
        try:
            return await call()
        except StoreUnavailable:
            continue
    return await call()
