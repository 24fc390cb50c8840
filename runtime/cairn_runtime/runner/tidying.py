"""A run that tidies up behind itself: what `history` lets go is pruned while it runs, and at its end.

No commit waits for it: it goes on beside the loop, one batch at a time, and when the store does not answer it
is left for later.
A prune needs no fence. Whoever was superseded takes nothing that is wanted: what it lets go, a longer history
lets go too, and the store never takes what is needed.

Something can only go when a snapshot lies before the oldest step that is kept, so that is when it looks: at
each snapshot, and when as many steps have ended after one as are kept. It then goes if it is a tenth of what
stays or more.
What this runner has committed it knows by heart. What was there before is read once, with the first prune.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Sequence

from cairn_runtime.errors import CairnError
from cairn_runtime.model.ids import utc_now
from cairn_runtime.store.base import Checkpoint, Store
from cairn_runtime.store.prunes import BATCH, prune_run, time_of
from cairn_runtime.store.retention import Entry, Policy, Walk, entry_of

log = logging.getLogger("cairn.tidying")

WORTH = 0.1
"""Share of what stays from which a prune is worth its while."""
LOOK = 0.01
"""Share of what is known that must be new before all of it is looked at again."""
FINISH_SECONDS = 2.0
"""How long a runner whose run is over, waits or was drained goes on tidying; others do the rest."""


class Tidying:
    """Prunes one run while one runner runs it."""

    def __init__(self, store: Store, run_id: str, policy: Policy, *, head_seq: int) -> None:
        self._store = store
        self._run_id = run_id
        self._policy = policy
        self._known: dict[int, Entry] = {}
        """What this runner committed and has not pruned, ascending."""
        self._unread = head_seq > 0
        """Whether there is more than what is known."""
        self._visits: dict[str, int] = {}
        self._steps = 0
        """Visits of steps that were seen."""
        self._turns: deque[int] = deque()
        """For each snapshot how many steps will have been seen when all that are kept lie behind it."""
        self._turn = False
        """Whether more may go than at the last look."""
        self._unseen = 0
        """Checkpoints since the last look."""
        self._pruning: asyncio.Task[None] | None = None

    def saw(self, committed: Sequence[Checkpoint]) -> None:
        """Take note of what has just become durable; called after every commit, on the loop's thread."""
        for checkpoint in committed:
            self._note(entry_of(checkpoint))
        if self._turn and self._pruning is None and self._unseen >= LOOK * len(self._known):
            self._turn, self._unseen = False, 0
            if self._is_worth_it():
                self._pruning = asyncio.get_running_loop().create_task(self._prune())

    def _note(self, entry: Entry) -> None:
        """Take note of one, and whether more may go now than before."""
        self._known[entry.seq] = entry
        self._unseen += 1
        self._steps += self._visits.get(entry.step) != entry.visit
        self._visits[entry.step] = entry.visit
        while self._turns and self._steps >= self._turns[0]:
            self._turn = True
            self._turns.popleft()
        if entry.kind == "snapshot":
            self._turn = True
            self._turns.append(self._steps + self._policy.keep_last)
        # One step sooner too: the newest may have ended already.
        self._turn = self._turn or bool(self._turns and self._steps == self._turns[0] - 1)

    async def finish(self) -> None:
        """Let go of all that may go, within some seconds."""
        try:
            async with asyncio.timeout(FINISH_SECONDS):
                if self._pruning is not None:
                    await self._pruning
                if self._unread or self._going():
                    await self._prune()
        except TimeoutError:
            log.info("pruning was left for later", extra={"run_id": self._run_id})

    async def close(self) -> None:
        """Leave nothing running behind."""
        if self._pruning is not None:
            self._pruning.cancel()
            await asyncio.gather(self._pruning, return_exceptions=True)

    def _is_worth_it(self) -> bool:
        going = sum(entry.size for entry in self._going())
        return going > 0 and going >= WORTH * (sum(entry.size for entry in self._known.values()) - going)

    def _going(self) -> list[Entry]:
        walk = Walk(self._policy, utc_now())
        return [entry for entry in reversed(self._known.values()) if walk.goes(entry)]

    async def _prune(self) -> None:
        """Prune once; a store that does not answer, or a run that is gone, is nothing to stop for."""
        try:
            if self._unread:
                # Others wrote it, by clocks of their own.
                await prune_run(self._store, self._run_id, self._policy, await time_of(self._store))
                self._unread = False
            await self._prune_known()
        except CairnError as error:
            facts = {"run_id": self._run_id, "reason": error.reason, "error": error.message}
            log.info("pruning was put off", extra=facts)
        finally:
            self._pruning = None

    async def _prune_known(self) -> None:
        going = [entry.seq for entry in self._going()]
        for start in range(0, len(going), BATCH):
            batch = going[start : start + BATCH]
            await self._store.prune(self._run_id, batch)
            for seq in batch:
                self._known.pop(seq, None)
