"""The sweep's rounds: read the rows, list, wait, list again, and remove what `sweep` says.

A store that does not answer, or a list that fails, ends the round: the next one is an hour later, and nothing
is in a hurry. Runs in namespaces that this installation does not watch are left alone: their Workflows are
in no list.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from sys import intern

from cairn_operator.cluster.errors import ApiError
from cairn_operator.reconcile.sweep import PATIENCE_SECONDS, Row, Sweep, sweep
from cairn_runtime.errors import CairnError, RunNotFound
from cairn_runtime.model.values import JSONObject
from cairn_runtime.store.audits import new_entry
from cairn_runtime.store.base import Run, Store

log = logging.getLogger("cairn.sweep")

_PAGE = 50
"""Rows of one query: each holds a whole manifest."""
_KEPT = ("installation", "deletionPolicy")


@dataclass(frozen=True, slots=True)
class Sweeper:
    """Removes runs of deleted Workflows."""

    stores: Mapping[str, Store]
    uids: Callable[[], AsyncIterator[str]]
    """A live list of the uids of all watched Workflows."""
    installation: str
    namespaces: tuple[str, ...] = ()
    every_seconds: float = 3600.0
    apart_seconds: float = 600.0
    patience_seconds: float = PATIENCE_SECONDS
    clock: Callable[[], float] = time.monotonic
    between: Callable[[str], None] = field(default=lambda _name: None)
    """Called before each deletion: where a test ends the process."""
    _absent: dict[str, float] = field(default_factory=dict)
    """Since when each Workflow looks deleted; lost with the process, which then waits anew."""

    async def keep_sweeping(self) -> None:
        """Make rounds until cancelled; what goes wrong ends a round only."""
        while True:
            try:
                await self.round()
            except (ApiError, CairnError) as error:
                log.info("sweep was cut short", extra={"reason": error.reason})
            await asyncio.sleep(self.every_seconds)

    async def round(self) -> int:
        """Make one round; answers how many runs were removed.

        Raises:
            ApiError, CairnError: no answer; nothing more was removed.
        """
        rows = {name: rows for name in self.stores if (rows := await self._rows(name))}
        if not any(
            row.annotations.get("deletionPolicy") == "Delete" for kept in rows.values() for row in kept
        ):
            return 0
        before = {uid async for uid in self.uids()}
        await asyncio.sleep(self.apart_seconds)
        now = {uid async for uid in self.uids()}
        plans = {name: self._plan(name, kept, before, now) for name, kept in rows.items()}
        self._remember({uid for plan in plans.values() for uid in plan.absent})
        for name, plan in plans.items():
            for run_id in plan.delete:
                await self._remove(name, run_id)
        return sum(len(plan.delete) for plan in plans.values())

    def _plan(self, name: str, rows: list[Row], before: set[str], now: set[str]) -> Sweep:
        long_ago = self.clock() - self.patience_seconds
        long_gone = {uid for uid, since in self._absent.items() if since <= long_ago}
        plan = sweep(rows, before, now, installation=self.installation, long_gone=long_gone)
        if plan.refused:
            log.warning("sweep was refused", extra={"store": name, "why": plan.refused})
        return plan

    def _remember(self, absent: set[str]) -> None:
        """Keep since when each looks deleted; one that was seen again begins anew."""
        for uid in self._absent.keys() - absent:
            del self._absent[uid]
        for uid in absent:
            self._absent.setdefault(uid, self.clock())

    async def _remove(self, name: str, run_id: str) -> None:
        who = f"operator:{self.installation}"
        await self.stores[name].audit(new_entry(who, "delete", run_id, source=run_id))
        self.between("delete_run")
        try:
            await self.stores[name].delete_run(run_id)
        except RunNotFound:
            return
        log.info("run of a deleted workflow was removed", extra={"store": name, "run_id": run_id})

    async def _rows(self, name: str) -> list[Row]:
        """Read what a store holds of this installation; empty where it does not answer."""
        notes: dict[tuple[object, ...], JSONObject] = {}
        found: list[Row] = []
        try:
            async for run in _pages(self.stores[name]):
                namespace, _, uid = (
                    run.workflow.split("/", 2) if run.workflow.count("/") == 2 else ("", "", "")
                )
                if not uid or (self.namespaces and namespace not in self.namespaces):
                    continue
                values = tuple(run.annotations.get(key) for key in _KEPT)
                if values[0] == self.installation:
                    kept = notes.setdefault(values, dict(zip(_KEPT, values, strict=True)))
                    found.append(Row(run.run_id, intern(uid), kept))
        except CairnError as error:
            log.info("store was not swept", extra={"store": name, "reason": error.reason})
            return []
        return found


async def _pages(store: Store) -> AsyncIterator[Run]:
    before = ""
    while page := await store.runs(limit=_PAGE, before=before):
        for run in page:
            yield run
        before = page[-1].run_id
