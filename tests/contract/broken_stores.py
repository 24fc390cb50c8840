"""Stores that break one rule each, so that the suite can show that it notices.

Each is the memory store with one mistake that somebody could make; `BROKEN` names the test of the contract
that must fall for it, whatever others fall as well.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from cairn_runtime.errors import (
    CheckpointNotFound,
    HistoryConflict,
    RunNotFound,
    StoreUnavailable,
    Superseded,
    WaitClosed,
)
from cairn_runtime.store.base import FINISHED, Beat, Fence, Gap, Usage
from cairn_runtime.store.ledger import Ledger
from cairn_runtime.store.memory import MemoryStore
from cairn_runtime.store.pruning import droppable


class Broken(MemoryStore):
    """What the broken ones share: a way to a run's ledger that asks nothing."""

    def ledger(self, run_id: str) -> Ledger:
        return self._place.ledgers[run_id]


# -- the fence ----------------------------------------------------------------------------------------


class _EpochOnly(Ledger):
    """Compares epochs and forgets the claim."""

    __slots__ = ()

    def check_fence(self, fence):
        super().check_fence(Fence(fence[0], self.claim_id))

    def may_commit(self, fence, expected_head, write_id, checkpoints):
        return super().may_commit(Fence(fence[0], self.claim_id), expected_head, write_id, checkpoints)


class _ClaimOnly(_EpochOnly):
    """Compares claims and forgets the epoch."""

    __slots__ = ()

    def check_fence(self, fence):
        Ledger.check_fence(self, Fence(self.epoch, fence[1]))

    def may_commit(self, fence, expected_head, write_id, checkpoints):
        return Ledger.may_commit(self, Fence(self.epoch, fence[1]), expected_head, write_id, checkpoints)


class WithLedger(Broken):
    """Makes its runs with another ledger."""

    kind: type[Ledger] = Ledger

    async def create_run(self, new):
        await super().create_run(new)
        ledger = self.ledger(new.run_id)
        if type(ledger) is not self.kind:
            made = self.kind.begin(new, ledger.created_at)
            self._place.ledgers[new.run_id] = made
        return self.ledger(new.run_id).row


class FenceOfEpochs(WithLedger):
    kind = _EpochOnly


class FenceOfClaims(WithLedger):
    kind = _ClaimOnly


class FenceForNobody(Broken):
    """Takes the empty claim of an unclaimed run for a fence."""

    async def commit(self, run_id, fence, expected_head, write_id, checkpoints, outcome=None):
        ledger = self.ledger(run_id) if run_id in self._place.ledgers else None
        if ledger is not None and fence == Fence(0, "") and not ledger.claim_id:
            ledger.apply_commit(write_id, checkpoints, outcome, self._clock())
            return
        await super().commit(run_id, fence, expected_head, write_id, checkpoints, outcome)


class HeartbeatForAnybody(Broken):
    async def heartbeat(self, run_id, fence, metrics=None):
        ledger = self._place.ledger(run_id)
        ledger.alive_at = now = self._clock()
        return Beat(ledger.signals_pending, now)


class ProgressForAnybody(Broken):
    async def put_progress(self, run_id, fence, task, value):
        self._place.ledger(run_id)
        self._place.progress.setdefault(run_id, {})[task] = value


class ClaimTwiceRaisesTwice(Broken):
    """Does not know its own claim again."""

    async def claim(self, run_id, expected_epoch, claim_id, runner=""):
        ledger = self._place.rows(run_id)
        if ledger is not None and ledger.claim_id == claim_id:
            ledger.apply_claim(claim_id, runner, self._clock())
            return ledger.row.fence
        return await super().claim(run_id, expected_epoch, claim_id, runner)


class ClaimTwiceIsSuperseded(Broken):
    async def claim(self, run_id, expected_epoch, claim_id, runner=""):
        ledger = self._place.rows(run_id)
        if ledger is not None and ledger.claim_id == claim_id:
            raise Superseded(run_id)
        return await super().claim(run_id, expected_epoch, claim_id, runner)


class ClaimOnAnyEpoch(Broken):
    async def claim(self, run_id, expected_epoch, claim_id, runner=""):
        ledger = self._place.rows(run_id)
        epoch = expected_epoch if ledger is None else ledger.epoch
        return await super().claim(run_id, epoch, claim_id, runner)


class ClaimOnLaterEpochs(Broken):
    """Refuses epochs that have passed and takes those to come."""

    async def claim(self, run_id, expected_epoch, claim_id, runner=""):
        ledger = self._place.rows(run_id)
        epoch = expected_epoch if ledger is None else min(ledger.epoch, expected_epoch)
        return await super().claim(run_id, epoch, claim_id, runner)


class ClaimWithoutAName(Broken):
    async def claim(self, run_id, expected_epoch, claim_id, runner=""):
        return await super().claim(run_id, expected_epoch, claim_id or "nobody", runner)


class ClaimResetsTheRow(Broken):
    async def claim(self, run_id, expected_epoch, claim_id, runner=""):
        fence = await super().claim(run_id, expected_epoch, claim_id, runner)
        self.ledger(run_id).phase = "Pending"
        return fence


class ClaimForgetsTheRunner(Broken):
    async def claim(self, run_id, expected_epoch, claim_id, runner=""):
        fence = await super().claim(run_id, expected_epoch, claim_id, runner)
        self.ledger(run_id).runner = runner
        return fence


class ClaimChecksThenWrites(Broken):
    """Looks, waits for the disk, and writes: two claims meet in between."""

    async def claim(self, run_id, expected_epoch, claim_id, runner=""):
        ledger = self._place.ledger(run_id)
        if ledger.may_claim(expected_epoch, claim_id):
            await asyncio.sleep(0)
            ledger.apply_claim(claim_id, runner, self._clock())
        return Fence(ledger.epoch, claim_id)


class RemembersOldClaims(Broken):
    """Gives a fence back to whoever had one, also after it was lost."""

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        self.given: dict[str, Fence] = {}

    async def claim(self, run_id, expected_epoch, claim_id, runner=""):
        if claim_id in self.given and self._place.rows(run_id) is not None:
            return self.given[claim_id]
        self.given[claim_id] = await super().claim(run_id, expected_epoch, claim_id, runner)
        return self.given[claim_id]


# -- commits --------------------------------------------------------------------------------------------


class _AnyHead(Ledger):
    """Does not compare heads."""

    __slots__ = ()

    def may_commit(self, fence, expected_head, write_id, checkpoints):
        return super().may_commit(fence, self.head_seq, write_id, checkpoints)


class _HeadAtLeast(Ledger):
    """Takes a commit beyond the head, leaving a hole."""

    __slots__ = ()

    def may_commit(self, fence, expected_head, write_id, checkpoints):
        return super().may_commit(fence, min(expected_head, self.head_seq), write_id, checkpoints)


class _NeverAgain(Ledger):
    """Does not know a commit again that was applied."""

    __slots__ = ()

    def may_commit(self, fence, expected_head, write_id, checkpoints):
        if not super().may_commit(fence, expected_head, write_id, checkpoints):
            raise Superseded(self.new.run_id)
        return True


class _KnowsTheLastOnly(Ledger):
    """Knows a commit again only as long as none followed."""

    __slots__ = ()

    def may_commit(self, fence, expected_head, write_id, checkpoints):
        again = not super().may_commit(fence, expected_head, write_id, checkpoints)
        if again and checkpoints and checkpoints[-1].seq != self.head_seq:
            raise Superseded(self.new.run_id)
        return not again


class _KnowsTheFirstOnly(Ledger):
    """Takes any commit for its own whose first checkpoint is."""

    __slots__ = ()

    def may_commit(self, fence, expected_head, write_id, checkpoints):
        first = checkpoints[0] if checkpoints else None
        if first is not None and first.seq in self.rows and self.rows[first.seq].write_id == write_id:
            return False
        return super().may_commit(fence, expected_head, write_id, checkpoints)


class _KnowsAnyOne(Ledger):
    """Takes any commit for its own of which one checkpoint is, whoever wrote the others."""

    __slots__ = ()

    def may_commit(self, fence, expected_head, write_id, checkpoints):
        mine = [seq for row in checkpoints if (seq := row.seq) in self.rows and self.rows[seq] == row]
        if mine and checkpoints[-1].seq <= self.head_seq:
            return False
        return super().may_commit(fence, expected_head, write_id, checkpoints)


class _PrunedIsOurs(Ledger):
    """Takes a place that was pruned for a proof."""

    __slots__ = ()

    def may_commit(self, fence, expected_head, write_id, checkpoints):
        if checkpoints and expected_head < self.head_seq and expected_head + 1 not in self.rows:
            return False
        return super().may_commit(fence, expected_head, write_id, checkpoints)


class _RowChangesAgain(Ledger):
    """Keeps no write_id of a commit without checkpoints."""

    __slots__ = ()

    def may_commit(self, fence, expected_head, write_id, checkpoints):
        self.row_writes.clear()
        return super().may_commit(fence, expected_head, write_id, checkpoints)


class CommitOnAnyHead(WithLedger):
    kind = _AnyHead


class CommitBeyondTheHead(WithLedger):
    kind = _HeadAtLeast


class CommitAgainIsSuperseded(WithLedger):
    kind = _NeverAgain


class CommitAgainIsForgotten(WithLedger):
    kind = _KnowsTheLastOnly


class CommitKnownByItsFirst(WithLedger):
    kind = _KnowsTheFirstOnly


class CommitKnownByAnyOne(WithLedger):
    kind = _KnowsAnyOne


class CommitKnownByAHole(WithLedger):
    kind = _PrunedIsOurs


class RowChangeAgainIsApplied(WithLedger):
    kind = _RowChangesAgain


class CommitAgainCountsTwice(Broken):
    async def commit(self, run_id, fence, expected_head, write_id, checkpoints, outcome=None):
        await super().commit(run_id, fence, expected_head, write_id, checkpoints, outcome)
        self.ledger(run_id).checkpoints += len(checkpoints) if expected_head < 1 else 0


class CommitAgainUsesSignals(Broken):
    """Applies the outcome of a commit that it knows again."""

    async def commit(self, run_id, fence, expected_head, write_id, checkpoints, outcome=None):
        await super().commit(run_id, fence, expected_head, write_id, checkpoints, outcome)
        if outcome is not None:
            numbers = {signal.number for signal in self.ledger(run_id).signals.values()}
            self.ledger(run_id).consumed |= numbers & set(outcome.consumed)


class CommitInTwoSteps(Broken):
    """Changes the row first and then looks whether the checkpoints fit."""

    async def commit(self, run_id, fence, expected_head, write_id, checkpoints, outcome=None):
        ledger = self._place.rows(run_id)
        if ledger is not None and ledger.row.fence == fence and checkpoints and outcome is not None:
            ledger.consumed |= {n for n in outcome.consumed if n <= len(ledger.signals)}
        await super().commit(run_id, fence, expected_head, write_id, checkpoints, outcome)


class CommitChecksThenWrites(Broken):
    """Looks, waits for the disk, and writes: another commit, a claim or a deletion comes in between."""

    async def commit(self, run_id, fence, expected_head, write_id, checkpoints, outcome=None):
        ledger = self._place.ledger(run_id)
        if ledger.may_commit(fence, expected_head, write_id, checkpoints):
            await asyncio.sleep(0)
            for checkpoint in checkpoints:
                self._place.checkpoints[checkpoint.id] = checkpoint
            ledger.apply_commit(write_id, checkpoints, outcome, self._clock())
            self._place.touch(run_id)


class CommitMakesTheRow(Broken):
    """Writes for a run that it does not know."""

    async def commit(self, run_id, fence, expected_head, write_id, checkpoints, outcome=None):
        try:
            await super().commit(run_id, fence, expected_head, write_id, checkpoints, outcome)
        except RunNotFound:
            return


class CommitWithoutTheOutcome(Broken):
    async def commit(self, run_id, fence, expected_head, write_id, checkpoints, outcome=None):
        lost = None if outcome is None else replace(outcome, waits=(), wake_at=None)
        await super().commit(run_id, fence, expected_head, write_id, checkpoints, lost)


class CommitWithoutOutcomeMeansRunning(Broken):
    async def commit(self, run_id, fence, expected_head, write_id, checkpoints, outcome=None):
        await super().commit(run_id, fence, expected_head, write_id, checkpoints, outcome)
        if outcome is None:
            self.ledger(run_id).phase = "Running"


class CommitIsNoHeartbeat(Broken):
    async def commit(self, run_id, fence, expected_head, write_id, checkpoints, outcome=None):
        ledger = self._place.rows(run_id)
        alive_at = None if ledger is None else ledger.alive_at
        await super().commit(run_id, fence, expected_head, write_id, checkpoints, outcome)
        self.ledger(run_id).alive_at = alive_at


class CommitOfAnything(Broken):
    """Takes a batch that does not belong together."""

    async def commit(self, run_id, fence, expected_head, write_id, checkpoints, outcome=None):
        try:
            await super().commit(run_id, fence, expected_head, write_id, checkpoints, outcome)
        except ValueError:
            return


class CommitOverAnId(Broken):
    async def commit(self, run_id, fence, expected_head, write_id, checkpoints, outcome=None):
        try:
            await super().commit(run_id, fence, expected_head, write_id, checkpoints, outcome)
        except HistoryConflict:
            ledger = self.ledger(run_id)
            ledger.apply_commit(write_id, checkpoints, outcome, self._clock())


class PayloadsMended(Broken):
    """Gives back other bytes than it was given."""

    async def load(self, run_id, seq=None):
        rows = await super().load(run_id, seq)
        return [row._replace(payload=bytes(row.payload or b"").rstrip(b"\0x\xff")) for row in rows]


class MicrosecondsLost(Broken):
    async def commit(self, run_id, fence, expected_head, write_id, checkpoints, outcome=None):
        cut = [row._replace(created_at=row.created_at.replace(microsecond=0)) for row in checkpoints]
        await super().commit(run_id, fence, expected_head, write_id, cut, outcome)


class NumbersRounded(Broken):
    """Keeps metadata in a column that knows numbers of its own."""

    async def load(self, run_id, seq=None):
        def plain(value: Any) -> Any:
            if isinstance(value, float) and value.is_integer():
                return int(value)
            if isinstance(value, list):
                return [plain(item) for item in value]
            return {k: plain(v) for k, v in value.items()} if isinstance(value, dict) else value

        return [row._replace(metadata=plain(row.metadata)) for row in await super().load(run_id, seq)]


class NoZeroCharacter(Broken):
    """Keeps text where a zero character cannot stand."""

    async def send(self, run_id, signal):
        if "\\x00" in repr(signal.value):
            raise StoreUnavailable("invalid text")
        return await super().send(run_id, signal)


# -- signals --------------------------------------------------------------------------------------------


class SignalTwice(Broken):
    """Does not know a client_id again."""

    async def send(self, run_id, signal):
        ledger = self._place.rows(run_id)
        if ledger is not None and signal.client_id in ledger.signals and not signal.wait:
            signal = replace(signal, client_id=f"{signal.client_id}+")
        return await super().send(run_id, signal)


class SignalAgainIsRefused(Broken):
    async def send(self, run_id, signal):
        ledger = self._place.rows(run_id)
        if ledger is not None and ledger.phase in FINISHED:
            raise WaitClosed(f"{run_id} is {ledger.phase}")
        return await super().send(run_id, signal)


class SignalOfAnyRun(Broken):
    """Knows client_ids in the whole store, not in each run."""

    async def send(self, run_id, signal):
        self._place.ledger(run_id)
        for ledger in self._place.ledgers.values():
            if signal.client_id in ledger.signals:
                return ledger.signals[signal.client_id]
        return await super().send(run_id, signal)


class SignalIntoAFinishedRun(Broken):
    async def send(self, run_id, signal):
        ledger = self._place.ledger(run_id)
        if ledger.phase in FINISHED and signal.client_id not in ledger.signals:
            return ledger.apply_send(signal, self._clock())
        return await super().send(run_id, signal)


class SignalIntoAClosedWait(Broken):
    async def send(self, run_id, signal):
        try:
            return await super().send(run_id, signal)
        except WaitClosed:
            ledger = self.ledger(run_id)
            if ledger.phase in FINISHED or any(other.wait == signal.wait for other in ledger.pending):
                raise
            return ledger.apply_send(signal, self._clock())


class SignalAfterTheDeadline(Broken):
    """Has a clock that stands still when deadlines are asked for."""

    async def send(self, run_id, signal):
        clock, self._clock = self._clock, lambda: datetime(2000, 1, 1, tzinfo=UTC)
        try:
            return await super().send(run_id, signal)
        finally:
            self._clock = clock


class TwoAnswersToOneWait(Broken):
    async def send(self, run_id, signal):
        ledger = self._place.rows(run_id)
        if ledger is not None and signal.wait and any(o.wait == signal.wait for o in ledger.pending):
            return ledger.apply_send(signal, self._clock())
        return await super().send(run_id, signal)


class OneAnswerForEver(Broken):
    """Counts answers that were used up as well."""

    async def send(self, run_id, signal):
        ledger = self._place.rows(run_id)
        sent = () if ledger is None or not signal.wait else ledger.signals.values()
        if any(other.wait == signal.wait and other.client_id != signal.client_id for other in sent):
            raise WaitClosed(f"{run_id} does not wait for {signal.wait}")
        return await super().send(run_id, signal)


class SignalsNewestFirst(Broken):
    async def signals(self, run_id):
        return (await super().signals(run_id))[::-1]


class SignalsOverwritten(Broken):
    """Numbers signals by how many are pending, not by how many there ever were."""

    async def send(self, run_id, signal):
        stored = await super().send(run_id, signal)
        return replace(stored, number=self.ledger(run_id).signals_pending)


class SignalChangesNothing(Broken):
    """Does not mark the run changed."""

    async def send(self, run_id, signal):
        touch, self._place.touch = self._place.touch, lambda run_id: None  # type: ignore[method-assign]
        try:
            return await super().send(run_id, signal)
        finally:
            self._place.touch = touch  # type: ignore[method-assign]


# -- what goes and what stays ---------------------------------------------------------------------------


class PruneIgnoring(Broken):
    """Prunes as if something were not there."""

    what = ""

    async def prune(self, run_id, drop):
        kept = getattr(self._place.ledger(run_id), self.what)
        was = kept.copy()
        kept.clear()
        try:
            return await super().prune(run_id, drop)
        finally:
            kept.update(was)


class PruneIgnoresPins(PruneIgnoring):
    what = "pins"


class PruneIgnoresHolds(PruneIgnoring):
    what = "holds"


class PruneTakesAll(Broken):
    """Does not ask what a checkpoint that stays is folded from."""

    async def prune(self, run_id, drop):
        ledger = self._place.ledger(run_id)
        keep = ledger.pins | set(self._place.live_holds(ledger, self._clock())) | {ledger.head_seq}
        gone = (set(drop) & set(ledger.rows)) - keep
        self._place.forget(ledger.rows[seq] for seq in gone)
        ledger.apply_prune(gone)
        return len(gone)


class PruneTakesTheHead(Broken):
    async def prune(self, run_id, drop):
        ledger = self._place.ledger(run_id)
        gone = await super().prune(run_id, drop)
        if ledger.head_seq in drop and ledger.head_seq in ledger.rows and len(ledger.rows) == 1:
            ledger.apply_prune([ledger.head_seq])
        return gone


class PruneChecksThenTakes(Broken):
    """Chooses, waits for the disk, and removes: a pin or a hold comes in between."""

    async def prune(self, run_id, drop):
        ledger = self._place.ledger(run_id)
        keep = ledger.pins | set(ledger.held()) | {ledger.head_seq}
        await asyncio.sleep(0)
        gone = {seq for seq in set(drop) & set(ledger.rows) if seq not in keep}
        if not all(row.kind == "snapshot" for row in ledger.rows.values()):
            return await super().prune(run_id, drop)
        self._place.forget(ledger.rows[seq] for seq in gone)
        ledger.apply_prune(gone)
        return len(gone)


class PruneJudgesTheHeadLate(Broken):
    """Chooses, waits for the disk, and only then looks which one is the head."""

    async def prune(self, run_id, drop):
        ledger = self._place.ledger(run_id)
        kinds = {seq: row.kind for seq, row in ledger.rows.items()}
        keep = ledger.pins | set(ledger.held())
        gone = droppable(kinds, drop, keep)
        await asyncio.sleep(0)
        if ledger.head_seq not in kinds:
            gone = (set(drop) & set(kinds)) - keep
        self._place.forget(ledger.rows[seq] for seq in gone)
        ledger.apply_prune(gone)
        return len(gone)


class GapsOfOneBatch(Broken):
    """Knows only the hashes beside what it takes now, not those beside an older gap that it joins."""

    async def prune(self, run_id, drop):
        gone = await super().prune(run_id, drop)
        ledger = self._place.ledger(run_id)
        ledger.gaps = [
            replace(gap, hash_after="") if gap.first_seq in drop and gap.last_seq not in drop else gap
            for gap in ledger.gaps
        ]
        return gone


class PruneKeepsNoGaps(Broken):
    async def gaps(self, run_id):
        return []


class GapsNotJoined(Broken):
    async def gaps(self, run_id):
        hashes = dict.fromkeys(range(100), "")
        return [
            Gap(seq, seq, gap.hash_before if seq == gap.first_seq else hashes[seq], gap.hash_after)
            for gap in await super().gaps(run_id)
            for seq in range(gap.first_seq, gap.last_seq + 1)
        ]


class GapsWithoutHashes(Broken):
    async def gaps(self, run_id):
        return [replace(gap, hash_after="") for gap in await super().gaps(run_id)]


class HoldsForEver(Broken):
    """Keeps an origin also when the child has begun."""

    async def prune(self, run_id, drop):
        ledger = self._place.ledger(run_id)
        was = dict(ledger.holds)
        self._place.live_holds(ledger, self._clock())
        dead = {key for key in was if key not in ledger.holds}
        pinned = {seq for seq, _ in dead} - ledger.pins
        ledger.pins |= pinned
        try:
            return await super().prune(run_id, drop)
        finally:
            ledger.pins -= pinned


class HoldsNothingUnborn(Broken):
    """Forgets a hold whose child has not been created."""

    async def prune(self, run_id, drop):
        ledger = self._place.ledger(run_id)
        for key in [key for key in ledger.holds if key[1] not in self._place.ledgers]:
            del ledger.holds[key]
        return await super().prune(run_id, drop)


class HoldOnNothing(Broken):
    async def hold(self, checkpoint_id, child_run_id):
        try:
            await super().hold(checkpoint_id, child_run_id)
        except CheckpointNotFound:
            return


class PinOnNothing(Broken):
    async def pin(self, checkpoint_id, *, pinned):
        try:
            await super().pin(checkpoint_id, pinned=pinned)
        except CheckpointNotFound:
            return


class HoldsOnePerCheckpoint(Broken):
    async def hold(self, checkpoint_id, child_run_id):
        row = await self.checkpoint(checkpoint_id)
        ledger = self.ledger(row.run_id)
        for key in [key for key in ledger.holds if key[0] == row.seq]:
            del ledger.holds[key]
        await super().hold(checkpoint_id, child_run_id)


class SwapsBlindly(Broken):
    """Does not ask what is stored."""

    async def swap_payloads(self, run_id, swaps):
        rows = self._place.ledger(run_id).rows
        known = [swap._replace(old=rows[swap.seq].payload) for swap in swaps if swap.seq in rows]
        return await super().swap_payloads(run_id, known)


class SwapsAllOrNothing(Broken):
    """Gives up a whole batch for one that was overtaken."""

    async def swap_payloads(self, run_id, swaps):
        rows = self._place.ledger(run_id).rows
        if any(swap.seq in rows and rows[swap.seq].payload not in swap[1:] for swap in swaps):
            return 0
        return await super().swap_payloads(run_id, swaps)


class SwapAgainIsRefused(Broken):
    async def swap_payloads(self, run_id, swaps):
        rows = self._place.ledger(run_id).rows
        fresh = [swap for swap in swaps if swap.seq in rows and rows[swap.seq].payload != swap.new]
        return await super().swap_payloads(run_id, fresh)


class SwapSealsAnew(Broken):
    """Takes other bytes for another content, and writes a header that fits them."""

    async def swap_payloads(self, run_id, swaps):
        done = await super().swap_payloads(run_id, swaps)
        rows = self._place.ledger(run_id).rows
        for seq, _, new in swaps:
            if seq in rows and rows[seq].payload == new:
                changed = rows[seq]._replace(size=len(new))
                rows[seq] = self._place.checkpoints[changed.id] = changed
        return done


class SwapsProgressBlindly(Broken):
    async def swap_progress(self, run_id, task, old, new):
        stored = self._place.progress.get(run_id, {}).get(task, old)
        return await super().swap_progress(run_id, task, stored, new)


class DeletionIgnoresHolds(Broken):
    async def delete_run(self, run_id):
        ledger = self._place.rows(run_id)
        if ledger is not None:
            ledger.holds.clear()
        return await super().delete_run(run_id)


class DeletionForgetsAll(Broken):
    """Leaves no tombstone."""

    async def delete_run(self, run_id):
        deleted = await super().delete_run(run_id)
        self._place.ledgers.pop(run_id, None)
        return deleted


class DeletionLeavesProgress(Broken):
    async def delete_run(self, run_id):
        kept = self._place.progress.get(run_id)
        deleted = await super().delete_run(run_id)
        if kept:
            self._place.progress[run_id] = kept
        return deleted


class DeletionLeavesCheckpoints(Broken):
    async def delete_run(self, run_id):
        kept = dict(self._place.checkpoints)
        deleted = await super().delete_run(run_id)
        self._place.checkpoints.update(kept)
        return deleted


class DeletionIsNoChange(Broken):
    async def delete_run(self, run_id):
        touch, self._place.touch = self._place.touch, lambda run_id: None  # type: ignore[method-assign]
        try:
            return await super().delete_run(run_id)
        finally:
            self._place.touch = touch  # type: ignore[method-assign]


class DeletionAlwaysDoesIt(Broken):
    async def delete_run(self, run_id):
        await super().delete_run(run_id)
        return True


# -- rows, history, changes -----------------------------------------------------------------------------


class CreationAgainResets(Broken):
    async def create_run(self, new):
        ledger = self._place.rows(new.run_id)
        if ledger is not None and ledger.new.workflow == new.workflow:
            self._place.ledgers[new.run_id] = Ledger.begin(new, self._clock())
        return await super().create_run(new)


class CreationForAnybody(Broken):
    async def create_run(self, new):
        ledger = self._place.rows(new.run_id)
        return await super().create_run(new) if ledger is None else ledger.row


class RunsWithoutOrder(Broken):
    async def runs(self, *, workflow="", thread="", limit=100, before=""):
        return (await super().runs(workflow=workflow, thread=thread, limit=limit, before=before))[::-1]


class RunsByAnyPrefix(Broken):
    async def runs(self, *, workflow="", thread="", limit=100, before=""):
        found = await super().runs(thread=thread, limit=limit, before=before)
        return [run for run in found if run.workflow.startswith(workflow)]


class HeadsOfDeletedRuns(Broken):
    async def heads(self, run_ids):
        live = await super().heads(run_ids)
        return {id_: self.ledger(id_).head for id_ in run_ids if id_ in self._place.ledgers} | live


class HeadsWithoutBound(Broken):
    async def heads(self, run_ids):
        out = {}
        for run_id in run_ids:
            out |= await super().heads([run_id])
        return out


class LoadFromTheBeginning(Broken):
    """Does not stop at a snapshot."""

    async def load(self, run_id, seq=None):
        last = (await super().load(run_id, seq))[-1:]
        rows = self._place.ledger(run_id).rows
        return [row for number, row in rows.items() if last and number <= last[0].seq]


class LoadSkipsWhatIsMissing(Broken):
    """Loads an earlier checkpoint for one that is gone."""

    async def load(self, run_id, seq=None):
        rows = self._place.ledger(run_id).rows
        near = None if seq is None else max((n for n in rows if n <= seq), default=seq)
        return await super().load(run_id, near)


class LoadInTwoReads(Broken):
    """Reads row by row: a prune takes some in between."""

    async def load(self, run_id, seq=None):
        wanted = [row.seq for row in await super().load(run_id, seq)]
        await asyncio.sleep(0)
        rows = self._place.ledger(run_id).rows
        return [rows[number] for number in wanted if number in rows]


class ListingsWithPayloads(Broken):
    async def checkpoints(self, run_id, *, before=None, limit=100):
        rows = await super().checkpoints(run_id, before=before, limit=limit)
        return [self._place.checkpoints[row.id] for row in rows]


class ListingsIncludeTheEdge(Broken):
    async def checkpoints(self, run_id, *, before=None, limit=100):
        edge = None if before is None else before + 1
        return await super().checkpoints(run_id, before=edge, limit=limit)


class FindsInTheMiddle(Broken):
    async def find_checkpoints(self, prefix):
        ids = sorted((id_ for id_ in self._place.checkpoints if prefix in id_), reverse=True)
        return [self._place.checkpoints[id_]._replace(payload=None) for id_ in ids[:20]]


class ChangesSkipOne(Broken):
    """Takes the number of the newest change for that of the next one."""

    async def changed(self, cursor):
        named, later = await super().changed(cursor)
        origin, _, number = later.rpartition(":")
        return named, f"{origin}:{int(number) + 1}"


class ChangesByAnyCursor(Broken):
    """Takes the number of another store's cursor for its own."""

    async def changed(self, cursor):
        number = cursor.rpartition(":")[2]
        known = f"{self._place.id}:{number}" if number.isascii() and number.isdigit() else cursor
        return await super().changed(known)


class ChangesReadLate(Broken):
    """Reads the names, then the cursor: what changes in between is never named."""

    async def changed(self, cursor):
        named, _ = await super().changed(cursor)
        await asyncio.sleep(0)
        return named, (await super().changed(""))[1]


class ClockOfTheCaller(Broken):
    """Says another time in a beat than in the row."""

    async def heartbeat(self, run_id, fence, metrics=None):
        beat = await super().heartbeat(run_id, fence, metrics)
        return Beat(beat.signals_pending, beat.now - timedelta(seconds=1))


class BeatMarksTheRunChanged(Broken):
    async def heartbeat(self, run_id, fence, metrics=None):
        beat = await super().heartbeat(run_id, fence, metrics)
        self.ledger(run_id).updated_at = beat.now
        return beat


class ProgressOfTheLastTask(Broken):
    async def put_progress(self, run_id, fence, task, value):
        await super().put_progress(run_id, fence, task, value)
        self._place.progress[run_id] = {task: value}


class ProgressEndsWithItsClaim(Broken):
    async def claim(self, run_id, expected_epoch, claim_id, runner=""):
        fence = await super().claim(run_id, expected_epoch, claim_id, runner)
        self._place.progress.pop(run_id, None)
        return fence


class MetricsOfAnybody(Broken):
    """Asks for the fence, and has written the numbers by then."""

    async def heartbeat(self, run_id, fence, metrics=None):
        if metrics is not None:
            self._place.ledger(run_id).metrics = orjson.dumps(metrics).decode()
        return await super().heartbeat(run_id, fence, metrics)


class MetricsForgotten(Broken):
    """Takes a heartbeat without numbers for one that has none any more."""

    async def heartbeat(self, run_id, fence, metrics=None):
        return await super().heartbeat(run_id, fence, metrics or {})


class MetricsEndWithTheirClaim(Broken):
    async def claim(self, run_id, expected_epoch, claim_id, runner=""):
        fence = await super().claim(run_id, expected_epoch, claim_id, runner)
        self.ledger(run_id).metrics = "{}"
        return fence


class MetricsMerged(Broken):
    """Lays numbers over those before."""

    async def heartbeat(self, run_id, fence, metrics=None):
        before = self._place.ledger(run_id).row.metrics
        return await super().heartbeat(run_id, fence, metrics and before | metrics)


class NotesReplaced(Broken):
    """Sets all notes at once."""

    async def annotate(self, run_id, changes):
        gone = dict.fromkeys((await self.run(run_id)).annotations)
        await super().annotate(run_id, gone | changes)


class AsManyPlacesAsOpenings(Broken):
    """Keeps what was not closed in memory only."""

    async def open(self):
        self._url = replace(self._url, path="")
        await super().open()


class ClosesOnce(Broken):
    async def close(self):
        _ = self._place
        await super().close()


# -- copies ------------------------------------------------------------------------------------------


class ReadsWithoutEnd(Broken):
    """Gives everything on one page."""

    async def read(self, run_id, *, after=0):
        ledger = self._place.rows(run_id)
        return [] if ledger is None else list(ledger.after(after))


class ReadsFromASeq(Broken):
    """Takes `after` for the first one."""

    async def read(self, run_id, *, after=0):
        return await super().read(run_id, after=max(after - 1, 0))


class ImportIsAliveAtOnce(Broken):
    """Brings a run as one that waits for a runner."""

    async def import_run(self, new, fence):
        await super().import_run(new, fence)
        self.ledger(new.run_id).phase = "Pending"
        return self.ledger(new.run_id).row


class ImportTakesWhatIsThere(Broken):
    """Gives a run that lives here to whoever imports one of its id."""

    async def import_run(self, new, fence):
        await super().import_run(new, fence)
        self.ledger(new.run_id).epoch, self.ledger(new.run_id).claim_id = fence
        return self.ledger(new.run_id).row


class ImportRevives(Broken):
    async def import_run(self, new, fence):
        if new.run_id in self._place.ledgers and self.ledger(new.run_id).deleted:
            del self._place.ledgers[new.run_id]
        return await super().import_run(new, fence)


class ImportForAnybody(Broken):
    async def import_checkpoints(self, run_id, fence, expected_head, checkpoints, gaps):
        await super().import_checkpoints(
            run_id, self._place.ledger(run_id).row.fence, expected_head, checkpoints, gaps
        )


class ImportLosesGaps(Broken):
    async def import_checkpoints(self, run_id, fence, expected_head, checkpoints, gaps):
        await super().import_checkpoints(run_id, fence, expected_head, checkpoints, [])


class ImportAgainCountsTwice(Broken):
    async def import_checkpoints(self, run_id, fence, expected_head, checkpoints, gaps):
        there = (
            run_id in self._place.ledgers and checkpoints and checkpoints[-1].seq in self.ledger(run_id).rows
        )
        await super().import_checkpoints(run_id, fence, expected_head, checkpoints, gaps)
        if there:
            self.ledger(run_id).checkpoints += len(checkpoints)


class ImportOverAnId(Broken):
    async def import_checkpoints(self, run_id, fence, expected_head, checkpoints, gaps):
        ledger = self._place.ledgers.get(run_id)
        if ledger and ledger.may_commit(fence, expected_head, "", checkpoints):
            for row in checkpoints:
                self._place.checkpoints.pop(row.id, None)
        await super().import_checkpoints(run_id, fence, expected_head, checkpoints, gaps)


class ImportUnderOneEpoch(Broken):
    """Writes its own epoch over those that the checkpoints had."""

    async def import_checkpoints(self, run_id, fence, expected_head, checkpoints, gaps):
        rows = [row._replace(epoch=fence.epoch) for row in checkpoints]
        await super().import_checkpoints(run_id, fence, expected_head, rows, gaps)


# -- usage --------------------------------------------------------------------------------------------


class UsageRetold(Broken):
    """Answers something else than it has counted."""

    async def usage(self, run_ids):
        found = await super().usage(run_ids)
        return {run_id: self.retold(self.ledger(run_id), use) for run_id, use in found.items()}

    def retold(self, ledger, use):
        raise NotImplementedError


class UsageOfAllThatWas(UsageRetold):
    """Says what the row says: what was ever committed."""

    def retold(self, ledger, use):
        return use._replace(checkpoints=ledger.checkpoints, bytes=ledger.bytes)


class UsageOfStoredBytes(UsageRetold):
    """Weighs what lies there now."""

    def retold(self, ledger, use):
        return use._replace(bytes=sum(map(len, (row.payload for row in ledger.rows.values()))))


class UsageOfOnePage(UsageRetold):
    """Counts what one listing gives."""

    def retold(self, ledger, use):
        return use._replace(bytes=sum(row.size for row in ledger.listed(None, 1000)))


class UsageByTheClock(UsageRetold):
    """Takes the earliest moment for that of the first checkpoint."""

    def retold(self, ledger, use):
        made = [row.created_at for row in ledger.rows.values()]
        return use._replace(oldest=min(made, default=None), newest=max(made, default=None))


class UsageOfTheDead(Broken):
    async def usage(self, run_ids):
        found = await super().usage(run_ids)
        return {run_id: found.get(run_id, Usage(0, 0, None, None)) for run_id in run_ids}


class UsageOfAnyNumber(Broken):
    async def usage(self, run_ids):
        parts = [await super(UsageOfAnyNumber, self).usage([run_id]) for run_id in run_ids]
        return {run_id: use for part in parts for run_id, use in part.items()}


# -- the audit ----------------------------------------------------------------------------------------


class AuditTwice(Broken):
    """Does not know an act again."""

    async def audit(self, entry):
        return await super().audit(entry._replace(id=f"{entry.id}-{len(self._place.audit)}"))


class AuditWithoutChain(Broken):
    async def audit(self, entry):
        await super().audit(entry)
        self._place.audit[-1] = made = self._place.audit[-1]._replace(parent_hash="0" * 64)
        return made


class AuditReadsThenWrites(Broken):
    """Lets another writer come between."""

    async def audit(self, entry):
        before = list(self._place.audit)
        await asyncio.sleep(0)
        made = await super().audit(entry)
        if made not in before:
            self._place.audit[:] = [*before, made._replace(number=len(before) + 1)]
        return made


class AuditGoesWithTheRun(Broken):
    async def delete_run(self, run_id):
        self._place.audit[:] = [line for line in self._place.audit if line.source != run_id]
        return await super().delete_run(run_id)


BROKEN: list[tuple[type[MemoryStore], str]] = [
    (FenceOfEpochs, "test_a_fence_that_is_not_the_rows_writes_nothing"),
    (FenceOfClaims, "test_a_fence_that_is_not_the_rows_writes_nothing"),
    (FenceForNobody, "test_nobody_writes_to_an_unclaimed_run"),
    (HeartbeatForAnybody, "test_a_fence_that_is_not_the_rows_writes_nothing"),
    (ProgressForAnybody, "test_a_fence_that_is_not_the_rows_writes_nothing"),
    (ClaimTwiceRaisesTwice, "test_a_repeated_claim_answers_the_same"),
    (ClaimTwiceIsSuperseded, "test_a_repeated_claim_answers_the_same"),
    (ClaimOnAnyEpoch, "test_a_claim_on_another_epoch_is_superseded"),
    (ClaimOnLaterEpochs, "test_a_claim_on_another_epoch_is_superseded"),
    (ClaimWithoutAName, "test_an_empty_claim_is_refused"),
    (ClaimResetsTheRow, "test_a_claim_raises_the_epoch_by_one"),
    (ClaimForgetsTheRunner, "test_a_claim_without_a_runner_keeps_the_version"),
    (ClaimChecksThenWrites, "test_of_two_claims_at_once_one_wins"),
    (RemembersOldClaims, "test_a_claim_that_was_overtaken_is_lost"),
    (CommitOnAnyHead, "test_a_commit_on_another_head_writes_nothing"),
    (CommitBeyondTheHead, "test_a_commit_on_another_head_writes_nothing"),
    (CommitAgainIsSuperseded, "test_the_same_commit_again_is_success"),
    (CommitAgainIsForgotten, "test_a_lost_reply_is_success_after_others_followed"),
    (CommitKnownByItsFirst, "test_a_commit_that_grew_since_is_superseded"),
    (CommitKnownByAnyOne, "test_a_commit_of_which_only_a_part_arrived_before_is_no_success"),
    (CommitKnownByAHole, "test_a_place_that_was_pruned_is_nobodys_proof"),
    (RowChangeAgainIsApplied, "test_a_row_change_again_is_not_applied_again"),
    (CommitAgainCountsTwice, "test_the_same_commit_again_is_success"),
    (CommitAgainUsesSignals, "test_signals_are_not_consumed_again"),
    (CommitInTwoSteps, "test_a_refused_commit_uses_nothing_up"),
    (CommitChecksThenWrites, "test_of_two_commits_at_once_one_wins"),
    (CommitChecksThenWrites, "test_a_commit_meets_a_claim"),
    (CommitChecksThenWrites, "test_a_commit_meets_a_deletion"),
    (CommitMakesTheRow, "test_committing_to_an_unknown_run_makes_no_row"),
    (CommitWithoutTheOutcome, "test_an_outcome_changes_the_row_whole"),
    (CommitWithoutOutcomeMeansRunning, "test_without_an_outcome_the_row_keeps_its_phase"),
    (CommitIsNoHeartbeat, "test_a_claim_and_a_commit_count_as_heartbeats"),
    (CommitOfAnything, "test_a_batch_that_does_not_belong_together_is_refused"),
    (CommitOverAnId, "test_an_id_that_is_taken_writes_nothing"),
    (PayloadsMended, "test_a_checkpoint_comes_back_as_it_was"),
    (MicrosecondsLost, "test_a_checkpoint_comes_back_as_it_was"),
    (NumbersRounded, "test_a_header_comes_back_so_that_its_hash_fits"),
    (NoZeroCharacter, "test_a_value_comes_back_as_it_was_sent"),
    (ReadsWithoutEnd, "test_a_page_is_bounded_by_its_bytes"),
    (ReadsFromASeq, "test_reading_begins_behind_any_seq"),
    (ImportIsAliveAtOnce, "test_a_run_that_arrives_is_stopped_and_held"),
    (ImportTakesWhatIsThere, "test_a_row_that_is_there_is_answered_as_it_is"),
    (ImportRevives, "test_a_strangers_or_deleted_id_is_refused"),
    (ImportForAnybody, "test_a_fence_or_head_that_is_not_the_rows_imports_nothing"),
    (ImportLosesGaps, "test_gaps_come_with_what_stands_behind_them"),
    (ImportAgainCountsTwice, "test_the_same_again_is_success"),
    (ImportOverAnId, "test_an_id_that_is_taken_imports_nothing"),
    (ImportUnderOneEpoch, "test_checkpoints_come_as_they_were"),
    (UsageOfAllThatWas, "test_what_was_pruned_is_not_counted"),
    (UsageOfStoredBytes, "test_sizes_are_those_that_were_committed"),
    (UsageOfOnePage, "test_a_long_history_that_was_pruned_is_counted_whole"),
    (UsageByTheClock, "test_the_oldest_is_the_first_by_its_seq"),
    (UsageOfTheDead, "test_runs_that_are_not_there_are_left_out"),
    (UsageOfAnyNumber, "test_more_runs_than_every_store_can_are_refused"),
    (AuditTwice, "test_the_same_act_is_one_line"),
    (AuditWithoutChain, "test_lines_come_back_as_they_were_written"),
    (AuditReadsThenWrites, "test_many_writers_make_one_chain"),
    (AuditGoesWithTheRun, "test_a_deletion_leaves_the_audit"),
    (SignalTwice, "test_sending_again_answers_the_stored_signal"),
    (SignalAgainIsRefused, "test_a_repeated_answer_is_not_refused"),
    (SignalOfAnyRun, "test_a_client_id_belongs_to_its_run"),
    (SignalIntoAFinishedRun, "test_a_finished_run_takes_no_signal"),
    (SignalIntoAClosedWait, "test_an_answer_that_nobody_waits_for_is_refused"),
    (SignalAfterTheDeadline, "test_an_answer_that_nobody_waits_for_is_refused"),
    (TwoAnswersToOneWait, "test_a_wait_is_answered_once"),
    (OneAnswerForEver, "test_a_wait_that_opens_again_can_be_answered_again"),
    (SignalsNewestFirst, "test_a_commit_uses_signals_up"),
    (SignalsOverwritten, "test_a_wait_that_opens_again_can_be_answered_again"),
    (SignalChangesNothing, "test_sending_marks_the_run_changed"),
    (PruneIgnoresPins, "test_a_pinned_checkpoint_stays_with_its_chain"),
    (PruneIgnoresHolds, "test_a_held_checkpoint_stays_with_its_chain"),
    (PruneTakesAll, "test_only_what_nothing_needs_goes"),
    (PruneTakesTheHead, "test_only_what_nothing_needs_goes"),
    (PruneChecksThenTakes, "test_who_keeps_a_checkpoint_meets_a_prune"),
    (PruneJudgesTheHeadLate, "test_a_commit_meets_a_prune"),
    (GapsOfOneBatch, "test_a_long_history_is_pruned_in_batches"),
    (PruneKeepsNoGaps, "test_a_gap_names_the_hashes_on_both_sides"),
    (GapsNotJoined, "test_adjacent_gaps_become_one"),
    (GapsWithoutHashes, "test_a_gap_names_the_hashes_on_both_sides"),
    (HoldsForEver, "test_a_hold_ends_with_the_childs_first_checkpoint"),
    (HoldsNothingUnborn, "test_a_held_checkpoint_stays_with_its_chain"),
    (HoldOnNothing, "test_holding_what_is_not_there_is_not_found"),
    (HoldsOnePerCheckpoint, "test_holds_are_listed_by_child"),
    (PinOnNothing, "test_pinning_what_is_not_there_is_not_found"),
    (DeletionIgnoresHolds, "test_the_origin_of_a_waiting_fork_cannot_be_deleted"),
    (DeletionForgetsAll, "test_nothing_is_revived"),
    (DeletionLeavesProgress, "test_nothing_of_a_deleted_run_is_found"),
    (DeletionLeavesCheckpoints, "test_nothing_of_a_deleted_run_is_found"),
    (DeletionIsNoChange, "test_every_change_is_named_after_the_cursor"),
    (SwapsBlindly, "test_only_what_is_still_the_old_bytes_is_exchanged"),
    (SwapsAllOrNothing, "test_only_what_is_still_the_old_bytes_is_exchanged"),
    (SwapAgainIsRefused, "test_the_same_swap_again_answers_the_same"),
    (SwapSealsAnew, "test_payloads_are_exchanged_and_nothing_else"),
    (SwapsProgressBlindly, "test_progress_is_exchanged_where_it_is_still_the_old"),
    (DeletionAlwaysDoesIt, "test_deleting_nothing_says_so"),
    (CreationAgainResets, "test_creating_a_run_again_changes_nothing"),
    (CreationForAnybody, "test_a_run_id_belongs_to_one_workflow"),
    (RunsWithoutOrder, "test_runs_are_listed_newest_first"),
    (RunsByAnyPrefix, "test_runs_are_found_by_workflow_and_thread"),
    (HeadsOfDeletedRuns, "test_nothing_of_a_deleted_run_is_found"),
    (HeadsWithoutBound, "test_too_many_heads_at_once_are_refused"),
    (LoadFromTheBeginning, "test_load_begins_at_the_newest_snapshot"),
    (LoadSkipsWhatIsMissing, "test_loading_a_seq_that_is_not_there_is_not_found"),
    (LoadInTwoReads, "test_a_load_meets_a_prune"),
    (ListingsWithPayloads, "test_headers_come_newest_first_without_payloads"),
    (ListingsIncludeTheEdge, "test_pages_go_on_below_a_seq"),
    (FindsInTheMiddle, "test_checkpoints_are_found_by_either_end_of_the_id"),
    (ChangesSkipOne, "test_every_change_is_named_after_the_cursor"),
    (ChangesByAnyCursor, "test_a_foreign_cursor_counts_as_empty"),
    (ChangesReadLate, "test_a_watcher_misses_no_commit"),
    (ClockOfTheCaller, "test_a_heartbeat_is_seen_in_the_row"),
    (BeatMarksTheRunChanged, "test_a_heartbeat_changes_nothing_else"),
    (ProgressOfTheLastTask, "test_progress_is_kept_by_task_and_replaced"),
    (ProgressEndsWithItsClaim, "test_progress_outlives_its_claim"),
    (MetricsOfAnybody, "test_who_lost_the_claim_leaves_no_numbers"),
    (MetricsForgotten, "test_a_heartbeat_without_numbers_leaves_them"),
    (MetricsEndWithTheirClaim, "test_a_heartbeat_without_numbers_leaves_them"),
    (MetricsMerged, "test_a_row_shows_the_numbers_of_the_last_heartbeat"),
    (NotesReplaced, "test_a_note_is_set_by_name_and_null_takes_it_away"),
    (AsManyPlacesAsOpenings, "test_a_second_opening_sees_the_same_rows"),
    (ClosesOnce, "test_closing_twice_is_allowed"),
]
"""Every broken store, and the test that states the rule which it breaks."""

SEEN_BY_THE_MACHINE: list[type[MemoryStore]] = [
    FenceOfEpochs,
    ClaimTwiceRaisesTwice,
    CommitOnAnyHead,
    CommitAgainIsSuperseded,
    CommitAgainIsForgotten,
    CommitWithoutTheOutcome,
    PruneTakesAll,
    GapsNotJoined,
    SwapsBlindly,
    DeletionForgetsAll,
    DeletionIsNoChange,
    ImportLosesGaps,
    ImportTakesWhatIsThere,
    LoadFromTheBeginning,
    ProgressOfTheLastTask,
    MetricsForgotten,
    UsageOfAllThatWas,
]
"""What random calls alone must find, without a test that was written for it."""
