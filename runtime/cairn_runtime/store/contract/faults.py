"""A bad network in front of a store: what can happen to one call between its caller and the store.

`FaultyStore` is a plain store around another one.
Its next call meets the fault that it was told with `strike`; all other calls pass as they are.
A copy that is still on its way arrives when the test says so, with `deliver`: after a repetition, after
other commits, after another claim.
Nothing here decides what is right; that stands in the tests and in the model.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from enum import Enum
from typing import Any, TypeVar

from cairn_runtime.errors import CairnError, StoreUnavailable
from cairn_runtime.model.values import JSONObject
from cairn_runtime.store.base import (
    Beat,
    Checkpoint,
    Entry,
    Fence,
    Gap,
    Head,
    Health,
    NewEntry,
    NewRun,
    NewSignal,
    Outcome,
    Run,
    Signal,
    Store,
    Swap,
    Usage,
)

T = TypeVar("T")


class Fault(Enum):
    """What becomes of a call, and what its caller hears."""

    LOST = "the connection was lost before the call"
    """Not executed; `StoreUnavailable`."""
    UNANSWERED = "the connection was lost before the reply"
    """Executed; `StoreUnavailable`."""
    TWICE = "the call was delivered twice"
    """Executed twice; the second answer, as a client library gives that repeats what got no reply."""
    COPIED = "the call was delivered, and a copy of it is still on the way"
    """Executed and answered; executed again with `deliver`."""
    DELAYED = "the call is still on the way and its caller gave up"
    """`StoreUnavailable`; executed with `deliver`."""


class FaultyStore:
    """A store behind a bad network."""

    def __init__(self, store: Store) -> None:
        self.store = store
        """May be replaced, e.g. by another opening of the same place."""
        self._fault: Fault | None = None
        self._on_the_way: list[Callable[[], Awaitable[object]]] = []

    def strike(self, fault: Fault | None) -> None:
        """Let this happen to the next call."""
        self._fault = fault

    async def deliver(self) -> list[object]:
        """Let all copies arrive, in the order they were sent; answers what they were told, or the errors."""
        copies, self._on_the_way = self._on_the_way, []
        heard: list[object] = []
        for copy in copies:
            try:
                heard.append(await copy())
            except CairnError as error:
                heard.append(error)
        return heard

    async def _carry(self, call: Callable[[], Awaitable[T]]) -> T:
        """Carry one call to the store, or not."""
        fault, self._fault = self._fault, None
        if fault in (Fault.COPIED, Fault.DELAYED):
            self._on_the_way.append(call)
        if fault in (Fault.LOST, Fault.DELAYED):
            raise StoreUnavailable(fault.value)
        if fault in (Fault.TWICE, Fault.UNANSWERED):
            with suppress(CairnError):
                await call()
        if fault is Fault.UNANSWERED:
            raise StoreUnavailable(fault.value)
        return await call()

    @property
    def url(self) -> str:
        """The address of the store behind."""
        return self.store.url

    async def open(self) -> None:
        """Open the store behind."""
        await self._carry(self.store.open)

    async def close(self) -> None:
        """Close the store behind; this meets no fault."""
        await self.store.close()

    async def migrate(self) -> int:
        """Carry `migrate`."""
        return await self._carry(self.store.migrate)

    async def check(self) -> Health:
        """Carry `check`."""
        return await self._carry(self.store.check)

    async def create_run(self, new: NewRun) -> Run:
        """Carry `create_run`."""
        return await self._carry(lambda: self.store.create_run(new))

    async def run(self, run_id: str) -> Run:
        """Carry `run`."""
        return await self._carry(lambda: self.store.run(run_id))

    async def runs(
        self, *, workflow: str = "", thread: str = "", limit: int = 100, before: str = ""
    ) -> list[Run]:
        """Carry `runs`."""
        asked: dict[str, Any] = {"workflow": workflow, "thread": thread, "limit": limit, "before": before}
        return await self._carry(lambda: self.store.runs(**asked))

    async def claim(self, run_id: str, expected_epoch: int, claim_id: str, runner: str = "") -> Fence:
        """Carry `claim`."""
        return await self._carry(lambda: self.store.claim(run_id, expected_epoch, claim_id, runner))

    async def heads(self, run_ids: list[str]) -> dict[str, Head]:
        """Carry `heads`."""
        return await self._carry(lambda: self.store.heads(run_ids))

    async def changed(self, cursor: str) -> tuple[list[str], str]:
        """Carry `changed`."""
        return await self._carry(lambda: self.store.changed(cursor))

    async def commit(
        self,
        run_id: str,
        fence: Fence,
        expected_head: int,
        write_id: str,
        checkpoints: list[Checkpoint],
        outcome: Outcome | None = None,
    ) -> None:
        """Carry `commit`."""
        sent = (run_id, fence, expected_head, write_id, checkpoints, outcome)
        await self._carry(lambda: self.store.commit(*sent))

    async def annotate(self, run_id: str, changes: JSONObject) -> None:
        """Carry `annotate`."""
        await self._carry(lambda: self.store.annotate(run_id, changes))

    async def heartbeat(self, run_id: str, fence: Fence, metrics: JSONObject | None = None) -> Beat:
        """Carry `heartbeat`."""
        return await self._carry(lambda: self.store.heartbeat(run_id, fence, metrics))

    async def checkpoints(
        self, run_id: str, *, before: int | None = None, limit: int = 100
    ) -> list[Checkpoint]:
        """Carry `checkpoints`."""
        return await self._carry(lambda: self.store.checkpoints(run_id, before=before, limit=limit))

    async def checkpoint(self, checkpoint_id: str) -> Checkpoint:
        """Carry `checkpoint`."""
        return await self._carry(lambda: self.store.checkpoint(checkpoint_id))

    async def find_checkpoints(self, prefix: str) -> list[Checkpoint]:
        """Carry `find_checkpoints`."""
        return await self._carry(lambda: self.store.find_checkpoints(prefix))

    async def load(self, run_id: str, seq: int | None = None) -> list[Checkpoint]:
        """Carry `load`."""
        return await self._carry(lambda: self.store.load(run_id, seq))

    async def read(self, run_id: str, *, after: int = 0) -> list[Checkpoint]:
        """Carry `read`."""
        return await self._carry(lambda: self.store.read(run_id, after=after))

    async def import_run(self, new: NewRun, fence: Fence) -> Run:
        """Carry `import_run`."""
        return await self._carry(lambda: self.store.import_run(new, fence))

    async def import_checkpoints(
        self, run_id: str, fence: Fence, expected_head: int, checkpoints: list[Checkpoint], gaps: list[Gap]
    ) -> None:
        """Carry `import_checkpoints`."""
        sent = (run_id, fence, expected_head, checkpoints, gaps)
        await self._carry(lambda: self.store.import_checkpoints(*sent))

    async def put_progress(self, run_id: str, fence: Fence, task: str, value: bytes) -> None:
        """Carry `put_progress`."""
        await self._carry(lambda: self.store.put_progress(run_id, fence, task, value))

    async def progress(self, run_id: str) -> dict[str, bytes]:
        """Carry `progress`."""
        return await self._carry(lambda: self.store.progress(run_id))

    async def send(self, run_id: str, signal: NewSignal) -> Signal:
        """Carry `send`."""
        return await self._carry(lambda: self.store.send(run_id, signal))

    async def signals(self, run_id: str) -> list[Signal]:
        """Carry `signals`."""
        return await self._carry(lambda: self.store.signals(run_id))

    async def pin(self, checkpoint_id: str, *, pinned: bool) -> None:
        """Carry `pin`."""
        await self._carry(lambda: self.store.pin(checkpoint_id, pinned=pinned))

    async def pins(self, run_id: str) -> set[int]:
        """Carry `pins`."""
        return await self._carry(lambda: self.store.pins(run_id))

    async def hold(self, checkpoint_id: str, child_run_id: str) -> None:
        """Carry `hold`."""
        await self._carry(lambda: self.store.hold(checkpoint_id, child_run_id))

    async def release_hold(self, child_run_id: str) -> None:
        """Carry `release_hold`."""
        await self._carry(lambda: self.store.release_hold(child_run_id))

    async def holds(self, run_id: str) -> dict[int, set[str]]:
        """Carry `holds`."""
        return await self._carry(lambda: self.store.holds(run_id))

    async def prune(self, run_id: str, drop: list[int]) -> int:
        """Carry `prune`."""
        return await self._carry(lambda: self.store.prune(run_id, drop))

    async def swap_payloads(self, run_id: str, swaps: list[Swap]) -> int:
        """Carry `swap_payloads`."""
        return await self._carry(lambda: self.store.swap_payloads(run_id, swaps))

    async def swap_progress(self, run_id: str, task: str, old: bytes, new: bytes) -> bool:
        """Carry `swap_progress`."""
        return await self._carry(lambda: self.store.swap_progress(run_id, task, old, new))

    async def gaps(self, run_id: str) -> list[Gap]:
        """Carry `gaps`."""
        return await self._carry(lambda: self.store.gaps(run_id))

    async def usage(self, run_ids: list[str]) -> dict[str, Usage]:
        """Carry `usage`."""
        return await self._carry(lambda: self.store.usage(run_ids))

    async def audit(self, entry: NewEntry) -> Entry:
        """Carry `audit`."""
        return await self._carry(lambda: self.store.audit(entry))

    async def audits(self, *, after: int = 0, limit: int = 1000) -> list[Entry]:
        """Carry `audits`."""
        return await self._carry(lambda: self.store.audits(after=after, limit=limit))

    async def delete_run(self, run_id: str) -> bool:
        """Carry `delete_run`."""
        return await self._carry(lambda: self.store.delete_run(run_id))
