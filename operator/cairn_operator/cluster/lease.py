"""The Lease: which of several operators makes passes, told by the API server.

    free, or its holder silent for its own duration ── take ──> ours ── renew, renew, ... ──> lost
         ^                                                        │ give back
         └────────────────────────────────────────────────────────┘

No two clocks are compared: a holder is silent if the object has not changed for as long as it says, by this
process's monotonic clock, since we first saw it so. We count ourselves out earlier than others may count us
out: from the moment at which the last good renewal was *sent*.
Two that believe they hold it do no harm, because every write to a run is fenced; the Lease only saves work.
The generated client has a LeaseLock; it sends an argument that the client refuses (37.0.2).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from cairn_operator.cluster.errors import ApiConflict, ApiError, ApiGone, NameTaken
from cairn_runtime.model.ids import to_wire, utc_now
from cairn_runtime.model.values import JSONObject

log = logging.getLogger("cairn.lease")

DURATION_SECONDS = 15.0
"""How long others wait for a sign of the holder before they take its place."""
GIVE_UP_SECONDS = 10.0
"""How long after its last renewal the holder itself stops."""
RENEW_SECONDS = 3.0


class Leases(Protocol):
    """What the Lease asks of the API server."""

    async def read(self, kind: str, namespace: str, name: str) -> JSONObject | None:
        """Read an object; None: there is none."""
        ...

    async def create(self, manifest: JSONObject) -> JSONObject:
        """Create an object. Raises `NameTaken`."""
        ...

    async def replace(self, manifest: JSONObject) -> JSONObject:
        """Replace an object as it was read. Raises `ApiConflict`, `ApiGone`."""
        ...


@dataclass(slots=True)
class Lease:
    """One operator's view of the Lease."""

    api: Leases
    namespace: str
    name: str
    identity: str
    clock: Callable[[], float]
    now: Callable[[], datetime] = utc_now
    answered_at: float | None = field(default=None, init=False)
    """When the API server last answered about it; what readiness looks at."""
    _seen: dict[str, Any] | None = field(default=None, init=False)
    _seen_at: float = field(default=0.0, init=False)
    _held_until: float = field(default=float("-inf"), init=False)

    @property
    def held(self) -> bool:
        """Whether it is ours, as far as we may still believe it."""
        return self.clock() < self._held_until

    @property
    def holder(self) -> str:
        """Who held it when it was read last."""
        return str(self._spec().get("holderIdentity") or "")

    async def wait(self) -> None:
        """Wait until it is ours; an API server without answer is asked again."""
        while True:
            if await self._tried():
                return
            await asyncio.sleep(RENEW_SECONDS)

    async def keep(self) -> None:
        """Renew it for as long as it is ours; returns when it is not any more."""
        while self.held:
            await asyncio.sleep(RENEW_SECONDS)
            try:
                async with asyncio.timeout(max(self._held_until - self.clock(), 0.0)):
                    await self._tried()
            except TimeoutError:
                break
        log.warning("lease is lost", extra={"holder": self.holder})

    async def give_back(self) -> None:
        """Let the next one have it at once; what goes wrong here, time mends."""
        if not self.held or self._seen is None:
            return
        self._held_until = float("-inf")
        try:
            await self.api.replace(self._written({"holderIdentity": "", "leaseDurationSeconds": 1}))
        except ApiError as error:
            log.info("lease was not given back", extra={"reason": error.reason})

    async def _tried(self) -> bool:
        """Take or renew it once; tells whether it is ours."""
        try:
            return await self._try()
        except ApiError as error:
            log.info("lease could not be asked for", extra={"reason": error.reason})
            return self.held

    async def _try(self) -> bool:
        begin = self.clock()
        if not self.held:
            self._look(await self.api.read("Lease", self.namespace, self.name))
            self.answered_at = self.clock()
            if self._seen is not None and not self._free():
                return False
        try:
            self._look(await self._write())
        except (ApiConflict, ApiGone, NameTaken):
            self._look(await self.api.read("Lease", self.namespace, self.name))
            self.answered_at = self.clock()
            if self.holder != self.identity:
                self._held_until = float("-inf")
            # Else it was ourselves: a write of ours was carried out and its answer lost.
            return self.held
        self.answered_at = self.clock()
        self._held_until = begin + GIVE_UP_SECONDS
        return True

    async def _write(self) -> JSONObject:
        if self._seen is None:
            meta: JSONObject = {"name": self.name, "namespace": self.namespace}
            return await self.api.create(self._manifest(meta, self._taken()))
        return await self.api.replace(self._written(self._taken()))

    def _taken(self) -> JSONObject:
        """The part of the spec that says that it is ours from now on."""
        before, moment = self._spec(), to_wire(self.now())
        same = before.get("holderIdentity") == self.identity
        changes = int(before.get("leaseTransitions") or 0) + (not same)
        return {
            "holderIdentity": self.identity,
            "leaseDurationSeconds": round(DURATION_SECONDS),
            "acquireTime": before.get("acquireTime") or moment if same else moment,
            "renewTime": moment,
            "leaseTransitions": changes,
        }

    def _written(self, changes: JSONObject) -> JSONObject:
        meta = (self._seen or {}).get("metadata") or {}
        return self._manifest(meta, {**self._spec(), **changes})

    def _manifest(self, metadata: JSONObject, spec: JSONObject) -> JSONObject:
        return {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": metadata,
            "spec": spec,
        }

    def _look(self, found: JSONObject | None) -> None:
        """Remember what it looks like, and since when."""
        if self._version(found) != self._version(self._seen) or self._seen is None:
            self._seen_at = self.clock()
        self._seen = found

    def _free(self) -> bool:
        """Whether nobody holds it, or its holder is silent for as long as it says itself."""
        if self.holder in ("", self.identity):
            return True
        seconds = self._spec().get("leaseDurationSeconds")
        duration = float(seconds) if isinstance(seconds, int) else DURATION_SECONDS
        return self.clock() - self._seen_at >= duration

    def _spec(self) -> dict[str, Any]:
        spec = (self._seen or {}).get("spec")
        return spec if isinstance(spec, dict) else {}

    @staticmethod
    def _version(found: JSONObject | None) -> object:
        meta = (found or {}).get("metadata")
        return meta.get("resourceVersion") if isinstance(meta, dict) else None
