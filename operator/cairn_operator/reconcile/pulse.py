"""The stores' heads, polled: what rings a Workflow when its run moved, and how long each runner is silent.

Every run that is not finished is looked at each second, many in one statement. A run whose head, phase,
epoch, signals or waking time changed rings its Workflow.
Silence is measured by this process's own stopwatch: how long the run's sign of life has not changed while
every poll of that store was answered. A poll that fails starts all stopwatches of its store again, so an
outage makes nobody look dead.
Where many runs fall silent at once the store is the likelier cause: for a while none of them is replaced.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice

from cairn_operator.reconcile.checks import SILENT_SECONDS
from cairn_operator.reconcile.workqueue import Key
from cairn_runtime.errors import CairnError
from cairn_runtime.store.base import FINISHED, MAX_HEADS, Head, Store

log = logging.getLogger("cairn.pulse")

POLL_SECONDS = 1.0
SUSPECT_SHARE = 0.2
SUSPECT_FEW = 5
"""So many silent runs may always be one lost node."""
SUSPECT_SECONDS = 300.0
"""How long the store is suspected: the fence makes a replacement harmless, waiting for ever is not."""
REPLACEMENTS_A_TICK = 5
TOLD_AFTER_POLLS = 3
"""Polls in a row without an answer before Workflows are rung for it: a blip is not worth 500 statuses."""
_NOBODY = "00000000-0000-0000-0000-000000000000"
"""No run's id: what a store is asked for that has none to tell of, only to see whether it answers."""


@dataclass(slots=True)
class _Watched:
    key: Key
    store: str
    head: Head | None = None
    quiet_since: float = 0.0
    told: bool = False
    """Whether its silence was rung."""
    beats: bool = True
    """Whether it has a runner that must show itself: not while suspended, pending, or between attempts."""


class Pulse:
    """What the last polls have told."""

    def __init__(
        self, stores: Mapping[str, Store], ring: Callable[[Key], None], clock: Callable[[], float]
    ) -> None:
        self._stores = stores
        self._ring = ring
        self._clock = clock
        self._watched: dict[str, _Watched] = {}
        self._suspect_since: dict[str, float] = {}
        self._replacements = REPLACEMENTS_A_TICK
        self.failures: dict[str, int] = {}
        """Polls in a row without an answer, by store."""
        self._outages: dict[str, CairnError] = {}

    def watch(self, run_id: str, key: Key, store: str, *, beats: bool = True) -> None:
        """Look at a run from now on; where no runner `beats`, silence says nothing about the store."""
        known = self._watched.get(run_id)
        if known is None or (known.key, known.store) != (key, store):
            self._watched[run_id] = known = _Watched(key, store, quiet_since=self._clock())
        known.beats = beats

    def leave(self, run_id: str) -> None:
        """Look at it no more: it is finished."""
        self._watched.pop(run_id, None)

    def forget(self, key: Key) -> None:
        """The Workflow is gone."""
        for run_id in [run_id for run_id, watched in self._watched.items() if watched.key == key]:
            del self._watched[run_id]

    def quiet_seconds(self, run_id: str) -> float:
        """How long a run has shown no sign of its runner."""
        watched = self._watched.get(run_id)
        return 0.0 if watched is None else self._clock() - watched.quiet_since

    def suspect(self, store: str) -> bool:
        """Whether the store, and not its runners, is the likely cause of their silence."""
        since = self._suspect_since.get(store)
        return since is not None and self._clock() - since < SUSPECT_SECONDS

    def may_replace(self) -> bool:
        """Take one of the few replacements of this tick; False: there are none left."""
        self._replacements -= 1
        return self._replacements >= 0

    def refill(self) -> None:
        """A tick begins: a few silent runners may be replaced in it."""
        self._replacements = REPLACEMENTS_A_TICK

    def outage(self, store: str) -> CairnError | None:
        """What a store said instead of answering, if it did not answer when it was asked last."""
        return self._outages.get(store)

    def lost(self, store: str, error: CairnError) -> None:
        """Somebody got no answer: until a poll gets one, nobody else needs to wait for it."""
        self._outages[store] = error

    async def poll(self, name: str) -> None:
        """Poll one store once."""
        run_ids = [run_id for run_id, seen in self._watched.items() if seen.store == name]
        if not run_ids and name not in self._outages:
            return
        store = self._stores[name]
        try:
            for chunk in _chunks(run_ids or [_NOBODY]):
                self._see(chunk, await store.heads(chunk))
        except CairnError as error:
            self._lost(name, error)
        else:
            if self.failures.get(name, 0) >= TOLD_AFTER_POLLS:
                self._ring_all(name)
            self.failures[name] = 0
            self._outages.pop(name, None)
        self._suspect(name)

    def _see(self, chunk: list[str], heads: Mapping[str, Head]) -> None:
        now = self._clock()
        for run_id in chunk:
            watched, head = self._watched.get(run_id), heads.get(run_id)
            if watched is None:
                continue  # it was left during the poll
            before, watched.head = watched.head, head
            if head is None or before is None or _alive(head) != _alive(before):
                watched.quiet_since, watched.told = now, False
            if _moved(before, head):
                self._ring(watched.key)
            elif now - watched.quiet_since > SILENT_SECONDS and not watched.told:
                watched.told = True
                self._ring(watched.key)

    def _lost(self, name: str, error: CairnError) -> None:
        self._outages[name] = error
        self.failures[name] = self.failures.get(name, 0) + 1
        if self.failures[name] == 1:
            log.warning("store did not answer a poll", extra={"store": name, "reason": error.reason})
        if self.failures[name] == TOLD_AFTER_POLLS:
            self._ring_all(name)
        now = self._clock()
        for watched in self._watched.values():
            if watched.store == name:
                watched.quiet_since, watched.told = now, False

    def _ring_all(self, name: str) -> None:
        """Let every Workflow with a run in this store tell that it is down, or up again."""
        for key in {watched.key for watched in self._watched.values() if watched.store == name}:
            self._ring(key)

    def _suspect(self, name: str) -> None:
        now = self._clock()
        running = [w for w in self._watched.values() if w.store == name and w.beats and _under_way(w.head)]
        silent = [w for w in running if now - w.quiet_since > SILENT_SECONDS]
        if len(silent) > max(SUSPECT_FEW, SUSPECT_SHARE * len(running)):
            if name not in self._suspect_since:
                log.warning("many runs are silent at once", extra={"store": name, "runs": len(silent)})
            self._suspect_since.setdefault(name, now)
        else:
            self._suspect_since.pop(name, None)


def _under_way(head: Head | None) -> bool:
    return head is not None and head.epoch > 0 and head.phase not in FINISHED


def _alive(head: Head) -> tuple[object, ...]:
    return head.heartbeat_at, head.seq, head.epoch


def _moved(before: Head | None, head: Head | None) -> bool:
    if before is None or head is None:
        return before is not head
    return before._replace(heartbeat_at=None) != head._replace(heartbeat_at=None)


def _chunks(run_ids: list[str]) -> Iterator[list[str]]:
    left = iter(run_ids)
    while chunk := list(islice(left, MAX_HEADS)):
        yield chunk
