"""What an active operator does beside watching: rounds that find what no bell has told.

    workers      make passes over the keys that are due
    lists        ring every Workflow, every few minutes, and hold the watches against what is there
    polls        ask each store once a second for the heads of its unfinished runs
    stores       open what can be opened
    sweep        removes runs of deleted Workflows
    checks       ask each store every minute how it is
    prunes       takes the checkpoints that `history` lets go

All of it runs while this process holds the Lease, and ends at once when it does not any more.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any, Protocol

from cairn_operator.cluster.errors import ApiError, ApiUnreadable
from cairn_operator.names import WORKFLOW_KIND
from cairn_operator.reconcile.checking import Checks
from cairn_operator.reconcile.freshness import Freshness, number_of
from cairn_operator.reconcile.passes import Reconciler
from cairn_operator.reconcile.pruning import Pruner
from cairn_operator.reconcile.pulse import POLL_SECONDS, Pulse
from cairn_operator.reconcile.stores import Stores
from cairn_operator.reconcile.sweeping import Sweeper
from cairn_operator.reconcile.workqueue import Key, Queue
from cairn_runtime.model.durations import MAX_SECONDS
from cairn_runtime.model.values import JSONObject
from cairn_runtime.store.retention import Policy, policy_of

log = logging.getLogger("cairn.rounds")

_LIST_AGAIN_SECONDS = 5.0
"""How soon a list is tried again that failed."""
_LOOK_SECONDS = 10.0
_EVERYTHING = Policy(2**31, MAX_SECONDS)
"""What is kept of a Workflow that nobody can read: it may say so."""


class Lister(Protocol):
    """What the rounds ask of the API server."""

    def listed(
        self, kind: str, namespace: str, selector: str = "", *, whole: bool = True
    ) -> AsyncIterator[JSONObject]:
        """List objects page by page, or only their metadata."""
        ...

    async def read(self, kind: str, namespace: str, name: str) -> JSONObject | None:
        """Read an object, live; None: there is none."""
        ...


@dataclass(frozen=True, slots=True)
class Listing:
    """Live lists of all watched Workflows."""

    lister: Lister
    namespaces: tuple[str, ...] = ()

    async def metadata(self) -> AsyncIterator[dict[str, Any]]:
        """The metadata of each."""
        for namespace in self.namespaces or ("",):
            async for found in self.lister.listed(WORKFLOW_KIND, namespace, whole=False):
                meta = found.get("metadata")
                if isinstance(meta, dict):
                    yield meta

    async def uids(self) -> AsyncIterator[str]:
        """The uid of each."""
        async for meta in self.metadata():
            yield str(meta.get("uid"))

    async def policies(self) -> dict[str, Policy]:
        """What each says now about its checkpoints, by uid.

        They are read one by one: a page of the largest would be gigabytes, and one that nobody can read would
        hide it.
        """
        return {str(meta.get("uid")): await self._policy(meta) async for meta in self.metadata()}

    async def _policy(self, meta: dict[str, Any]) -> Policy:
        try:
            found = await self.lister.read(WORKFLOW_KIND, str(meta.get("namespace")), str(meta.get("name")))
        except ApiUnreadable:
            return _EVERYTHING
        return policy_of(found or {})


@dataclass(frozen=True, slots=True)
class Rounds:
    """All that is done again and again."""

    reconciler: Reconciler
    queue: Queue
    pulse: Pulse
    stores: Stores
    sweeper: Sweeper
    checks: Checks
    pruner: Pruner
    listing: Listing
    freshness: Freshness
    restart_watches: Callable[[str], None]
    workers: int
    list_seconds: float

    async def run(self) -> None:
        """Go on until cancelled. An exception that nobody foresaw ends all of it."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.stores.keep_open())
            await self.stores.ready()
            group.create_task(self.keep_listing())
            group.create_task(self.keep_polling())
            group.create_task(self.keep_watching())
            group.create_task(self.sweeper.keep_sweeping())
            group.create_task(self.checks.keep_checking())
            group.create_task(self.pruner.keep_pruning())
            for _ in range(self.workers):
                group.create_task(self.reconciler.work())

    async def keep_listing(self) -> None:
        """Ring every Workflow every few minutes."""
        while True:
            try:
                await self.ring_all()
            except ApiError as error:
                log.warning(
                    "workflows could not be listed", extra={"reason": error.reason, "why": str(error)}
                )
                await asyncio.sleep(_LIST_AGAIN_SECONDS)
            else:
                await asyncio.sleep(self.list_seconds)

    async def ring_all(self) -> None:
        """Ring every Workflow, and remember what the watches should have told by now."""
        newest = 0
        async for meta in self.listing.metadata():
            self.queue.ring(Key(str(meta.get("namespace")), str(meta.get("name"))))
            newest = max(newest, number_of(meta.get("resourceVersion")))
        self.freshness.listed(WORKFLOW_KIND, newest)

    async def keep_polling(self) -> None:
        """Poll each store once a second; one that hangs delays only its own polls."""
        under_way: dict[str, asyncio.Task[None]] = {}
        async with asyncio.TaskGroup() as group:
            while True:
                self.pulse.refill()
                for name in self.stores:
                    if name not in under_way or under_way[name].done():
                        under_way[name] = group.create_task(self.pulse.poll(name))
                await asyncio.sleep(POLL_SECONDS)

    async def keep_watching(self) -> None:
        """Start the watches again when they do not tell what a list has shown."""
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            if self.freshness.behind(WORKFLOW_KIND):
                self.restart_watches("a list has shown what they have not told")
                self.freshness.again(WORKFLOW_KIND)
