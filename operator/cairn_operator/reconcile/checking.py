"""How the stores are: each is asked every minute how fast it answers, how full it is, and what room it has.

Some stores cannot tell how much room there is (a Postgres role does not see the disk of its server). Whoever
knows it says so in a file beside the URL, `<folder>/<name>/capacity`, e.g. `50Gi`; the room is what is left
of that, where the store itself does not know of less.
A store that does not answer is told to the `Pulse`, which then asks it every second until it does.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from cairn_runtime.errors import CairnError, StoreUnavailable
from cairn_runtime.store.base import Health, Store

log = logging.getLogger("cairn.checking")

CHECK_SECONDS = 60.0
SOON_SECONDS = 5.0
"""When a store is asked again that did not say how it is, such as one that starts beside the operator."""
ANSWER_SECONDS = 30.0
"""How long a store may take to say how it is."""


@dataclass(frozen=True, slots=True)
class Room:
    """What a store said when it was asked last."""

    latency_seconds: float
    used_bytes: int | None
    free_bytes: int | None


@dataclass(frozen=True, slots=True)
class Checks:
    """What was found of each store; one that did not answer is left out."""

    stores: Mapping[str, Store]
    capacity: Callable[[str], int | None]
    """Bytes that a store may have, where somebody said so."""
    lost: Callable[[str, CairnError], None]
    rooms: dict[str, Room] = field(default_factory=dict)

    async def keep_checking(self) -> None:
        """Ask all stores again and again, until cancelled; none waits for another."""
        clock = asyncio.get_running_loop().time
        while True:
            again = clock() + CHECK_SECONDS
            await asyncio.gather(*(self.check(name) for name in self.stores))
            while clock() < again:
                await asyncio.sleep(SOON_SECONDS)
                await asyncio.gather(*(self.check(name) for name in self.stores if name not in self.rooms))

    async def check(self, name: str) -> None:
        """Ask one store."""
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                health = await self.stores[name].check()
        except TimeoutError:
            self._lost(name, StoreUnavailable(f"store {name} did not say in {ANSWER_SECONDS:g} s how it is"))
        except CairnError as error:
            self._lost(name, error)
        else:
            self.rooms[name] = room(health, self.capacity(name))

    def _lost(self, name: str, error: CairnError) -> None:
        known = self.rooms.pop(name, None)
        log.log(
            logging.INFO if known else logging.DEBUG,
            "store was not checked",
            extra={"store": name, "reason": error.reason},
        )
        if isinstance(error, StoreUnavailable):
            self.lost(name, error)


def room(health: Health, capacity: int | None) -> Room:
    """How full a store is, and what is left: of its disk or of what it may have, whichever is less."""
    left = None if capacity is None or health.used_bytes is None else max(capacity - health.used_bytes, 0)
    known = [free for free in (health.free_bytes, left) if free is not None]
    return Room(health.latency_seconds, health.used_bytes, min(known, default=None))
