"""The pruner's rounds: what `history` lets go is taken from all runs of this installation, finished ones too.

A runner prunes its own run while it runs and at its end. What is left for here: age, which goes on after the
end; runs whose runner was killed, or that were cancelled; pins that were taken away.
Looked at are the runs whose row has changed since the last round, those where age lets go of more by now, and
once a day every run. A Workflow that is there says by its object what counts, since `history` may change at
any time; a run whose Workflow is gone keeps to what its row says. Runs themselves stay, each with its head:
they go with their Workflow (see `sweep`), or by hand.

Ages go by the store's clock: the operator's may be off, and would take what is to stay.
Bounded: a round takes so many checkpoints of a store and leaves the rest to the next, which then comes soon.
Two operators that prune at once, or one that dies in the middle, take nothing that is needed.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from cairn_operator.cluster.errors import ApiError
from cairn_runtime.errors import CairnError, RunNotFound
from cairn_runtime.store.base import Run, Store
from cairn_runtime.store.prunes import prune_run, time_of
from cairn_runtime.store.retention import Policy, policy_of

log = logging.getLogger("cairn.pruning")

MOST = 20_000
"""Checkpoints that one round takes from one store."""
LOOK_AGAIN_SECONDS = 86400.0
"""After so long every run is looked at, whatever is remembered."""
SOON_SECONDS = 1.0


@dataclass(slots=True)
class Known:
    """What is remembered of one store, only to save reads; lost with the process."""

    cursor: str = ""
    began_at: float = 0.0
    waiting: dict[str, None] = field(default_factory=dict)
    """Runs to look at, in order."""
    due: dict[str, datetime] = field(default_factory=dict)
    """When age lets go of more of a run."""


@dataclass(frozen=True, slots=True)
class Pruner:
    """Prunes the runs of one installation."""

    stores: Mapping[str, Store]
    policies: Callable[[], Awaitable[Mapping[str, Policy]]]
    """What each Workflow that is there says now, by its uid: a live list."""
    installation: str
    namespaces: tuple[str, ...] = ()
    every_seconds: float = 3600.0
    most: int = MOST
    clock: Callable[[], float] = time.monotonic
    between: Callable[[str], None] = field(default=lambda _name: None)
    """Called before each batch: where a test ends the process."""
    _known: dict[str, Known] = field(default_factory=dict)

    async def keep_pruning(self) -> None:
        """Make rounds until cancelled; what goes wrong ends a round only."""
        while True:
            try:
                await self.round()
            except ApiError as error:
                log.info("pruning was put off", extra={"reason": error.reason})
            behind = any(known.waiting for known in self._known.values())
            await asyncio.sleep(min(SOON_SECONDS, self.every_seconds) if behind else self.every_seconds)

    async def round(self) -> int:
        """Make one round; answers how many checkpoints went.

        Raises:
            ApiError: the Workflows could not be listed; nothing was removed.
        """
        policies = await self.policies()
        gone = 0
        for name in list(self.stores):
            try:
                gone += await self._prune_store(name, policies)
            except CairnError as error:
                log.info("store was not pruned", extra={"store": name, "reason": error.reason})
        return gone

    async def _prune_store(self, name: str, policies: Mapping[str, Policy]) -> int:
        store, known = self.stores[name], self._known.setdefault(name, Known())
        now = await time_of(store)
        await self._look(store, known, now)
        gone = 0
        while known.waiting and gone < self.most:
            run_id = next(iter(known.waiting))
            # To the end of the line, should it fail: it must not keep the others from their turn.
            del known.waiting[run_id]
            known.waiting[run_id] = None
            taken, whole = await self._prune(
                store, known, run_id, policies, now=now, at_most=self.most - gone
            )
            gone += taken
            if whole:
                del known.waiting[run_id]
        if gone:
            log.info("checkpoints were pruned", extra={"store": name, "checkpoints": gone})
        return gone

    async def _look(self, store: Store, known: Known, now: datetime) -> None:
        """Find the runs that are worth a look."""
        passed = self.clock()
        if passed - known.began_at >= LOOK_AGAIN_SECONDS:
            known.cursor = ""
        if not known.cursor:
            known.began_at = passed
        changed, known.cursor = await store.changed(known.cursor)
        due = [run_id for run_id, at in known.due.items() if at <= now]
        known.waiting |= dict.fromkeys([*changed, *due])

    async def _prune(
        self,
        store: Store,
        known: Known,
        run_id: str,
        policies: Mapping[str, Policy],
        *,
        now: datetime,
        at_most: int,
    ) -> tuple[int, bool]:
        """Prune one run; how many went, and whether that was all."""
        known.due.pop(run_id, None)
        try:
            run = await store.run(run_id)
            if not self._is_ours(run):
                return 0, True
            policy = policies.get(run.workflow.rpartition("/")[2]) or policy_of(run.manifest)
            pruned = await prune_run(
                store, run_id, policy, now, at_most=at_most, between=lambda: self.between("prune")
            )
        except RunNotFound:
            return 0, True
        if pruned.again_at is not None:
            known.due[run_id] = pruned.again_at
        return pruned.checkpoints, pruned.whole

    def _is_ours(self, run: Run) -> bool:
        namespace = run.workflow.partition("/")[0]
        watched = not self.namespaces or namespace in self.namespaces
        return watched and run.annotations.get("installation") == self.installation
