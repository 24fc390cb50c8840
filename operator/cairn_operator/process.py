"""One operator process: everything wired, and its life from start to end.

    connect ── wait for the Lease ── on duty ──┬── Lease lost: off duty at once, wait again
                                               └── told to stop: off duty, give the Lease back, end

On duty are the watches, the workers and the rounds. Going off duty cancels a pass wherever it stands: each
prefix of a pass is a legal start for the next one, here or in another process.
The probes answer from the first moment to the last.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import time
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

from cairn_operator.cluster.client import Cluster
from cairn_operator.cluster.lease import Lease
from cairn_operator.handlers.doorbells import Ring
from cairn_operator.handlers.watches import Watches
from cairn_operator.names import CHECKPOINT_KIND, WORKFLOW_KIND
from cairn_operator.reconcile.act import Actor, Refusal
from cairn_operator.reconcile.checking import Checks
from cairn_operator.reconcile.decide import Keeping
from cairn_operator.reconcile.freshness import Freshness
from cairn_operator.reconcile.observe import Observer
from cairn_operator.reconcile.passes import Reconciler
from cairn_operator.reconcile.pruning import Pruner
from cairn_operator.reconcile.pulse import Pulse
from cairn_operator.reconcile.rounds import Listing, Rounds
from cairn_operator.reconcile.showing import Showing
from cairn_operator.reconcile.state import Plan, World
from cairn_operator.reconcile.stores import Stores
from cairn_operator.reconcile.sweeping import Sweeper
from cairn_operator.reconcile.telling import Telling
from cairn_operator.reconcile.workqueue import Key, Queue
from cairn_operator.resources.pods import PodDefaults
from cairn_operator.settings import DieAt, Settings
from cairn_operator.telemetry.metrics import Gauges, Metrics
from cairn_operator.telemetry.probes import Signs, probes, serve

log = logging.getLogger("cairn.process")

KINDS = (WORKFLOW_KIND, "Pod", CHECKPOINT_KIND)
_LATE_SECONDS = 60.0
"""How long after a full list a watch must have borne it out."""
_KILLED = 128 + signal.SIGKILL
_OLD_LISTS = 3
"""After so many full lists that a watch did not bear out, the process is given up."""


class Operator:
    """One process's operator."""

    def __init__(
        self, settings: Settings, cluster: Cluster, version: str, *, hide: Callable[[str], None]
    ) -> None:
        self._settings = settings
        self._stopping = asyncio.Event()
        self._on_duty = False
        self._uids: dict[Key, str] = {}
        self._lease = Lease(
            cluster, settings.lease_namespace, settings.lease, settings.identity, time.monotonic
        )
        self._between = FaultPoint(settings.die_at) if settings.die_at is not None else _nothing
        self._stores = Stores(settings.stores, hide=hide)
        self._queue = Queue()
        self._pulse = Pulse(self._stores, self._queue.ring, time.monotonic)
        self._checks = Checks(self._stores, self._stores.capacity, self._pulse.lost)
        self._freshness = Freshness(time.monotonic)
        self._showing = Showing(cluster, self._stores, time.monotonic, self._between)
        self._reconciler = self._make_reconciler(cluster, version)
        self._watches = Watches(self._ring, asyncio.get_running_loop(), settings.namespaces)
        self._rounds = self._make_rounds(cluster)
        self._metrics = Metrics(
            Gauges(
                queue_depth=lambda: len(self._queue),
                watch_ages=self._freshness.ages,
                watch_restarts=lambda: self._watches.restarts,
                active=lambda: self._on_duty,
                open_stores=lambda: {name: self._stores.is_open(name) for name in self._stores},
                lost_stores=lambda: {name for name in self._stores if self._pulse.outage(name) is not None},
                rooms=lambda: self._checks.rooms,
                api_writes=lambda: cluster.writes,
            )
        )
        self._reconciler.on_pass, self._reconciler.on_end = self._count_pass, self._count_end

    def stop(self) -> None:
        """End as soon as it can be done well."""
        self._stopping.set()

    async def run(self) -> None:
        """Wait for the Lease, be on duty while it is ours, until stopped.

        Raises:
            OSError: the port of the probes is taken.
        """
        async with AsyncExitStack() as stack:
            served = await serve(probes(self._signs(), self._metrics.text), self._settings.port)
            stack.push_async_callback(served.cleanup)
            stack.push_async_callback(self._stores.close)
            stack.push_async_callback(self._watches.stop)
            while not self._stopping.is_set():
                if await self._unless_stopped(self._lease.wait()):
                    log.info("lease is held", extra={"identity": self._settings.identity})
                    await self._duty()
            await self._lease.give_back()

    async def _duty(self) -> None:
        """Do the work until the Lease is lost or we are stopped. An unforeseen exception ends the process."""
        self._on_duty = True
        for kind in KINDS:
            self._freshness.expect(kind)
        self._watches.start()
        rounds = asyncio.create_task(self._rounds.run())
        keeping = asyncio.create_task(self._lease.keep())
        stopping = asyncio.create_task(self._stopping.wait())
        try:
            await asyncio.wait({rounds, keeping, stopping}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._on_duty = False
            self._metrics.off_duty()
            self._checks.rooms.clear()
            self._watches.end()
            for task in (rounds, stopping, keeping):
                task.cancel()
            await asyncio.gather(rounds, stopping, keeping, return_exceptions=True)
        if not rounds.cancelled() and (error := rounds.exception()) is not None:
            raise error

    async def _unless_stopped(self, waiting: Coroutine[None, None, None]) -> bool:
        """Wait for something, but not longer than until we are stopped; tells whether it came."""
        task = asyncio.create_task(waiting)
        stopping = asyncio.create_task(self._stopping.wait())
        await asyncio.wait({task, stopping}, return_when=asyncio.FIRST_COMPLETED)
        came = task.done() and not self._stopping.is_set()
        task.cancel()
        stopping.cancel()
        await asyncio.gather(task, stopping, return_exceptions=True)
        return came

    # -- wiring ----------------------------------------------

    def _make_reconciler(self, cluster: Cluster, version: str) -> Reconciler:
        settings = self._settings
        defaults = PodDefaults(settings.image, settings.pull_policy, keys_secret=settings.keys_secret)
        return Reconciler(
            Observer(cluster, self._stores, settings.installation, self._pulse, self._stores.allows),
            Actor(cluster, self._stores, defaults, version, self._between),
            Telling(cluster, settings.identity, self._between),
            self._pulse,
            self._queue,
            keeping=Keeping(settings.installation, settings.finished_pods, settings.finished_pods_seconds),
            show=self._showing.show,
        )

    def _make_rounds(self, cluster: Cluster) -> Rounds:
        settings = self._settings
        listing = Listing(cluster, settings.namespaces)
        return Rounds(
            reconciler=self._reconciler,
            queue=self._queue,
            pulse=self._pulse,
            stores=self._stores,
            sweeper=Sweeper(
                self._stores,
                listing.uids,
                settings.installation,
                settings.namespaces,
                settings.sweep_seconds,
                settings.sweep_apart_seconds,
                settings.sweep_patience_seconds,
                between=self._between,
            ),
            checks=self._checks,
            pruner=Pruner(
                self._stores,
                listing.policies,
                settings.installation,
                settings.namespaces,
                settings.prune_seconds,
                between=self._between,
            ),
            listing=listing,
            freshness=self._freshness,
            restart_watches=self._watches.restart,
            workers=settings.workers,
            list_seconds=settings.list_seconds,
        )

    def _signs(self) -> Signs:
        return Signs(
            active=lambda: self._on_duty,
            watch_ages=self._freshness.ages,
            api_age=self._api_age,
            late_watch_seconds=self._settings.list_seconds + _LATE_SECONDS,
            oldest_watch_seconds=_OLD_LISTS * self._settings.list_seconds + _LATE_SECONDS,
            watched=WORKFLOW_KIND,
        )

    def _api_age(self) -> float | None:
        answered_at = self._lease.answered_at
        return None if answered_at is None else time.monotonic() - answered_at

    # -- what is told ----------------------------------------------

    def _ring(self, ring: Ring) -> None:
        self._freshness.told(ring.kind, ring.version)
        if ring.kind == CHECKPOINT_KIND:
            if not ring.news:
                return  # we wrote it ourselves: a pass for each would make the next ones
            self._showing.touch(ring.owner_uid, at_once=ring.news == "pin")
        if ring.key.name:
            self._queue.ring(ring.key)

    def _count_pass(self, key: Key, world: World, plan: Plan, refusal: Refusal, seconds: float) -> None:
        self._uids[key] = world.workflow.uid
        self._metrics.count_pass(key, world, plan, refusal, seconds)

    def _count_end(self, key: Key, reason: str) -> None:
        if reason == "Gone" and (uid := self._uids.pop(key, None)) is not None:
            self._showing.forget(uid)
        self._metrics.count_end(key, reason)


@dataclass(slots=True)
class FaultPoint:
    """Ends this process before a write of a name, as a crash would: what a test asks for."""

    at: DieAt
    _seen: int = field(default=0)

    def __call__(self, name: str) -> None:
        """A write of this name comes next."""
        self._seen += name == self.at.name
        if name == self.at.name and self._seen == self.at.count:
            os.kill(os.getpid(), signal.SIGKILL)
            # The first process of a container is not killed by its own signal; this ends it as abruptly.
            os._exit(_KILLED)


def _nothing(_name: str) -> None:
    """Let every write happen."""
