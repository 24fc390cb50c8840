"""When events become a checkpoint (policy), and what waits for it to be durable (durability).

`cut` asks the policy and makes a checkpoint of the events so far; `save` makes checkpoints durable: at once
under
`sync`, beside the running tasks under `async`, at the end under `exit`.
Whatever the Workflow says, all is cut and saved when the run ends, waits or is drained, and before a task is
told that its mid-step checkpoint is committed.
The row of the run changes in the same commit as the checkpoints that changed its phase or its waits, and a
signal is used up in the commit of what it led to.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

import orjson

from cairn_runtime.engine import waits
from cairn_runtime.engine.apply import Event
from cairn_runtime.engine.compiled import CompiledWorkflow
from cairn_runtime.engine.control import Control, Mark
from cairn_runtime.engine.frontier import RunState
from cairn_runtime.engine.tracing import Tracer
from cairn_runtime.model.values import JSONObject
from cairn_runtime.store.base import Outcome, Phase, Wait

QUEUE_BOUND = 64
"""Under `async`: so many checkpoints at most are cut and not durable; then the loop waits."""
FLUSH_BYTES = 4 * 1024 * 1024
"""Events above this are cut into a checkpoint whatever the policy says, so that none grows without bound."""


@dataclass(frozen=True, slots=True)
class Ending:
    """Why the loop stops: the phase of the run, and whether it was drained on the way."""

    phase: Phase
    reason: str = ""
    message: str = ""
    drained: bool = False


class Saving:
    """What one loop has decided and not yet made durable."""

    def __init__(
        self,
        workflow: CompiledWorkflow,
        state: RunState,
        events: list[Event],
        control: Control,
        *,
        times_out_at: datetime | None,
        on_saved: Callable[[], None],
    ) -> None:
        self.control = control
        self.events = events
        self.consumed: list[int] = []
        self.confirm: list[asyncio.Future[None]] = []
        self.on_behind: Callable[[], None] | None = None
        """Called when a save beside the tasks is over, well or not."""
        self.tracer: Tracer | None = None
        self._workflow = workflow
        self._state = state
        self._times_out_at = times_out_at
        self._on_saved = on_saved
        policy = workflow.checkpoint
        self._policy = policy.policy
        self._interval = policy.interval
        self._durability = policy.durability
        self._metadata: dict[str, JSONObject] = {
            name: {**policy.metadata, **step.spec.metadata} for name, step in workflow.steps.items()
        }
        self._stand: tuple[str, int, int | None] = ("", 0, None)
        self._row: tuple[Phase, tuple[Wait, ...]] | None = None
        self._asked = False
        self._weighed = self._weight = 0
        self._last_cut = time.monotonic()
        self._behind: asyncio.Task[None] | None = None

    # -- cutting ----------------------------------------------

    def stand_at(self, step: str, visit: int, item: int | None) -> None:
        """Name the task that ended last: the next checkpoint carries its name."""
        self._stand = (step, visit, item)

    def ask(self, confirm: asyncio.Future[None]) -> None:
        """Cut at the next chance, and answer once it is durable."""
        self.confirm.append(confirm)
        self._asked = True

    def due_at(self) -> float | None:
        """When (monotonic) the policy asks for a checkpoint by itself; None: not by itself."""
        if self._policy != "Interval" or not self.events:
            return None
        return self._last_cut + self._interval

    def cut(self, *, force: bool = False) -> bool:
        """Make a checkpoint of the events so far, if anything asks for it; answers whether it did.

        Raises:
            CheckpointTooLarge: they are over the bound of one checkpoint.
        """
        if not self.events or not (force or self._policy == "EveryStep" or self._due()):
            return False
        step, visit, item = self._stand
        metadata = self._metadata.get(step, {})
        mark = Mark(step, visit, item, self._state.next_steps(), metadata)
        self.control.cut(self.events, self._state, mark)
        self.events.clear()
        self._weighed = self._weight = 0
        self._asked = False
        self._last_cut = time.monotonic()
        return True

    def _due(self) -> bool:
        if self._asked or not self.control.head_seq or self._state.failure is not None:
            return True
        self._weight += len(orjson.dumps(self.events[self._weighed :]))
        self._weighed = len(self.events)
        if self._weight > FLUSH_BYTES:
            return True
        if self._policy == "Interval":
            return time.monotonic() - self._last_cut >= self._interval
        return self._policy == "Barrier" and any(map(self._is_barrier, self.events))

    def _is_barrier(self, event: Event) -> bool:
        if event[0] == "parked":
            return True
        return event[0] in ("ready", "enter") and self._workflow.steps[event[1]].joins

    # -- saving ----------------------------------------------

    async def save(self, ending: Ending | None) -> None:
        """Make it durable as the Workflow asks, then let those who asked for it go on. Raises like
        `Control.save`.
        """
        must_wait = ending is not None or bool(self.confirm)
        if self._durability != "exit" or must_wait or self.consumed:
            outcome = self._outcome(ending)
            if self._durability == "async" and not must_wait:
                await self._write_behind(outcome)
            elif outcome is not None or self.control.unsaved:
                await self.write(outcome)
        if self.confirm:
            for confirm in self.confirm:
                if not confirm.done():
                    confirm.set_result(None)
            self.confirm.clear()

    async def write(self, outcome: Outcome | None = None) -> None:
        """Make all that was cut durable now. Raises like `Control.save`."""
        if self._behind is not None:
            behind, self._behind = self._behind, None
            await behind
        await self._save(outcome)

    def check(self) -> None:
        """Raise what a save beside the tasks has met."""
        if self._behind is not None and self._behind.done():
            self._behind.result()

    async def close(self) -> None:
        """Let nobody wait for what will not come, and leave no save behind."""
        for confirm in self.confirm:
            confirm.cancel()
        if self._behind is not None:
            self._behind.cancel()
            await asyncio.gather(self._behind, return_exceptions=True)

    async def _write_behind(self, outcome: Outcome | None) -> None:
        """Let a save go on beside the tasks; wait only where too much is not durable yet."""
        behind = self._behind
        if behind is not None and (
            behind.done() or outcome is not None or self.control.unsaved >= QUEUE_BOUND
        ):
            self._behind = None
            await behind
        if self._behind is None and (outcome is not None or self.control.unsaved):
            self._behind = asyncio.get_running_loop().create_task(self._save(outcome))
            self._behind.add_done_callback(self._behind_ended)

    def _behind_ended(self, _: asyncio.Task[None]) -> None:
        if self.on_behind is not None:
            self.on_behind()

    async def _save(self, outcome: Outcome | None) -> None:
        if self.tracer is None:
            await self.control.save(outcome)
        else:
            with self.tracer.saving():
                await self.control.save(outcome)
        self._on_saved()

    def _outcome(self, ending: Ending | None) -> Outcome | None:
        """The row's change, where phase or waits are not what the row says, or signals were used up."""
        state = self._state
        phase: Phase = ending.phase if ending else "Running"
        open_waits = tuple(task.wait for task in state.parked() if task.wait) if state.waiting else ()
        row = (phase, open_waits)
        if row == self._row and not self.consumed and (ending is None or phase == "Waiting"):
            return None
        self._row = row
        consumed = tuple(self.consumed)
        self.consumed.clear()
        if ending is None:
            return Outcome(phase, waits=row[1], wake_at=self._wake_at(), consumed=consumed)
        if phase in ("Succeeded", "Failed"):
            return Outcome(phase, ending.reason, ending.message, consumed=consumed)
        return Outcome(phase, ending.reason, ending.message, row[1], self._wake_at(), consumed)

    def _wake_at(self) -> datetime | None:
        """When a parked run is due by itself; its own timeout counts too."""
        moments = (waits.wake_at(self._state.parked()), self._times_out_at)
        return min((moment for moment in moments if moment is not None), default=None)
