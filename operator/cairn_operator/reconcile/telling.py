"""What a pass writes to the API server after its actions: the status, and Kubernetes Events of its changes.

The status comes first and decides; an Event that could not be written is a line in the log.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from cairn_operator.cluster.errors import ApiError, NameTaken
from cairn_operator.reconcile.state import World
from cairn_operator.resources.events import Regarding, events_of
from cairn_runtime.model.values import JSONObject

log = logging.getLogger("cairn.telling")


class Statuses(Protocol):
    """What telling asks of the API server."""

    async def apply_status(
        self, namespace: str, name: str, resource_version: str, status: JSONObject
    ) -> None:
        """Write a status. Raises `ApiConflict`, `ApiGone`."""

    async def create(self, manifest: JSONObject) -> JSONObject:
        """Create an object. Raises `NameTaken`."""
        ...


@dataclass(frozen=True, slots=True)
class Telling:
    """Writes statuses and Events."""

    api: Statuses
    identity: str
    between: Callable[[str], None] = field(default=lambda _name: None)
    """Called before each write with its name: where a test ends the process."""

    async def apply_status(
        self, namespace: str, name: str, resource_version: str, status: JSONObject
    ) -> None:
        """Write a status. Raises `ApiConflict` where the object has changed since it was read."""
        self.between("status")
        await self.api.apply_status(namespace, name, resource_version, status)

    async def tell(self, world: World, status: JSONObject) -> None:
        """Emit Events for what changed between the object's status and this one."""
        found = world.workflow
        regarding = Regarding(found.namespace, found.name, found.uid, found.resource_version)
        told = events_of(regarding, found.status, status, reporter=self.identity, now=world.now)
        for event in told:
            self.between("event")
            try:
                await self.api.create(event)
            except NameTaken:
                continue
            except ApiError as error:
                log.info("event was not written", extra={"workflow": found.key, "reason": error.reason})
