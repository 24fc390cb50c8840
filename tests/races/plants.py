"""Stores with one planted fault each, over the SQLite store: what the checker has to find.

Each is a mistake that a store could really have; apart from it the store is the real one, so nothing but the
fault can be what is found.
"""

from __future__ import annotations

import time
from sqlite3 import Connection
from typing import Any, cast

from cairn_runtime.errors import HistoryConflict, Superseded
from cairn_runtime.model.ids import utc_now
from cairn_runtime.store.base import Checkpoint, Fence, NewRun, Run, Store
from cairn_runtime.store.opening import parse_store_url, store_for
from cairn_runtime.store.sqlite import BlockingSQLite
from cairn_runtime.store.sqlite_rows import SEQ_BITS
from cairn_runtime.store.threads import ThreadedStore


class _Planted(BlockingSQLite):
    """The real store, with a way past its statements."""

    _calls = 0

    def _nth(self, every: int) -> bool:
        """Tell whether it is time for the fault."""
        self._calls += 1
        return self._calls % every == 0

    def _sql(self, sql: str, *values: object) -> None:
        with self._db.write():
            cast("Connection", self._db._opened).execute(sql, values)

    def _cut(self, run_id: str, head: int) -> None:
        """Take away the checkpoints behind a head."""
        run = self._number(run_id)
        key = (run << SEQ_BITS) + head
        self._sql("DELETE FROM checkpoints WHERE key > ? AND key < ?", key, (run + 1) << SEQ_BITS)
        self._sql(
            """
            UPDATE heads SET head_seq = ?1, checkpoints = ?1,
                head_id = coalesce((SELECT id FROM checkpoints WHERE key = ?2), ''),
                head_hash = coalesce((SELECT hash FROM checkpoints WHERE key = ?2), ''),
                bytes = (SELECT coalesce(sum(size), 0) FROM checkpoints WHERE key BETWEEN ?3 AND ?2)
            WHERE run = ?4
            """,
            head, key, run << SEQ_BITS, run,
        )  # fmt: skip


class WithoutFence(_Planted):
    """Checks the head and not who writes, like a store that only knows versions."""

    def _move(self, values: dict[str, Any], checkpoints: list[Checkpoint]) -> bool:
        row = self._db.maybe("guard", run=values["run"])
        fence = {} if row is None else {"epoch": row[0], "claim_id": row[1]}
        return super()._move(values | fence, checkpoints)


class LookingFirst(WithoutFence):
    """Checks the fence, and then writes: right in itself, and not in one step."""

    _looked = False

    async def commit(self, run_id, fence, expected_head, write_id, checkpoints, outcome=None) -> None:
        self._looked = (await self.run(run_id)).fence == fence
        time.sleep(0.0005)  # noqa: ASYNC251 - a blocking store has no loop to hold up
        await super().commit(run_id, fence, expected_head, write_id, checkpoints, outcome)

    def _move(self, values: dict[str, Any], checkpoints: list[Checkpoint]) -> bool:
        if self._looked:
            return super()._move(values, checkpoints)
        return BlockingSQLite._move(self, values, checkpoints)


class Forgetful(_Planted):
    """Acknowledges, and now and then what was acknowledged is gone, like a cache that was never synced."""

    async def commit(self, run_id, fence, expected_head, write_id, checkpoints, outcome=None) -> None:
        await super().commit(run_id, fence, expected_head, write_id, checkpoints, outcome)
        if checkpoints and self._nth(20) and (await self.run(run_id)).head_seq == checkpoints[-1].seq:
            self._cut(run_id, expected_head)


class Forking(_Planted):
    """The last one wins: a second write on a head replaces the first."""

    async def commit(self, run_id, fence, expected_head, write_id, checkpoints, outcome=None) -> None:
        run = await self.run(run_id)
        if checkpoints and run.fence == fence and run.head_seq > expected_head:
            self._cut(run_id, expected_head)
        await super().commit(run_id, fence, expected_head, write_id, checkpoints, outcome)


class Halving(_Planted):
    """A batch is two transactions, with room between them."""

    async def commit(self, run_id, fence, expected_head, write_id, checkpoints, outcome=None) -> None:
        half = len(checkpoints) // 2
        if half:
            await super().commit(run_id, fence, expected_head, write_id, checkpoints[:half])
            rest = checkpoints[half:]
            await super().commit(run_id, fence, expected_head + half, rest[0].write_id, rest, outcome)
        else:
            await super().commit(run_id, fence, expected_head, write_id, checkpoints, outcome)


class Reviving(_Planted):
    """Creates a deleted run anew, as `INSERT ... ON CONFLICT DO UPDATE` would."""

    async def create_run(self, new: NewRun) -> Run:
        try:
            return await super().create_run(new)
        except HistoryConflict:
            self._sql("UPDATE heads SET deleted = 0, head_seq = 0 WHERE run = ?", self._number(new.run_id))
            return await self.run(new.run_id)


class SayingYes(_Planted):
    """Answers success to a write that it has refused."""

    async def commit(self, run_id, fence, expected_head, write_id, checkpoints, outcome=None) -> None:
        try:
            await super().commit(run_id, fence, expected_head, write_id, checkpoints, outcome)
        except Superseded:
            return


class SayingNo(_Planted):
    """Does not know a write again, and refuses the second copy of what it has."""

    def _explain(self, run_id: str, values: dict[str, Any], checkpoints: list[Checkpoint]) -> None:
        self._guard(values["run"], run_id)
        raise Superseded(run_id)


class GivingTwice(_Planted):
    """Reads the epoch, and gives it out without looking again."""

    async def claim(self, run_id: str, expected_epoch: int, claim_id: str, runner: str = "") -> Fence:
        try:
            return await super().claim(run_id, expected_epoch, claim_id, runner)
        except Superseded:
            if (await self.run(run_id)).epoch != expected_epoch + 1:
                raise
            return Fence(expected_epoch + 1, claim_id)


class ForgettingClaims(_Planted):
    """Gives an epoch out and does not write it down, now and then."""

    async def claim(self, run_id: str, expected_epoch: int, claim_id: str, runner: str = "") -> Fence:
        fence = await super().claim(run_id, expected_epoch, claim_id, runner)
        if expected_epoch and self._nth(10):
            sql = "UPDATE heads SET epoch = ?, claim_id = 'nobody' WHERE run = ?"
            self._sql(sql, expected_epoch, self._number(run_id))
        return fence


class Repeating(_Planted):
    """Applies a change of the row again when its copy comes late."""

    def _move(self, values: dict[str, Any], checkpoints: list[Checkpoint]) -> bool:
        row = self._db.maybe("guard", run=values["run"])
        asked = (values["epoch"], values["claim_id"], values["expected_head"])
        if not checkpoints and row is not None and row[:3] == asked:
            sql = "DELETE FROM row_writes WHERE run = :run AND write_id = :write_id"
            cast("Connection", self._db._opened).execute(sql, values)
        return super()._move(values, checkpoints)


class ReadingLate(_Planted):
    """Reads the row from a replica that is behind."""

    _behind: Run | None = None

    async def run(self, run_id: str) -> Run:
        now = await super().run(run_id)
        behind, self._behind = self._behind, now
        return behind if behind is not None and behind.run_id == run_id and behind.head_seq else now


class LosingSignals(_Planted):
    """Uses signals up before it knows whether the write is accepted."""

    async def commit(self, run_id, fence, expected_head, write_id, checkpoints, outcome=None) -> None:
        for number in outcome.consumed if outcome else ():
            self._sql(
                "UPDATE signals SET consumed = 1 WHERE run = ? AND number = ?", self._number(run_id), number
            )
        await super().commit(run_id, fence, expected_head, write_id, checkpoints, outcome)


class Altering(_Planted):
    """Cuts what it takes for padding off a payload, now and then."""

    async def commit(self, run_id, fence, expected_head, write_id, checkpoints, outcome=None) -> None:
        if checkpoints and self._nth(20):
            last = checkpoints[-1]
            changed = bytes([(last.payload or b"x")[0] ^ 1]) + (last.payload or b"x")[1:]
            checkpoints = [*checkpoints[:-1], last._replace(payload=changed)]
        await super().commit(run_id, fence, expected_head, write_id, checkpoints, outcome)


PLANTS: dict[str, type[BlockingSQLite]] = {
    "without-fence": WithoutFence,
    "looking-first": LookingFirst,
    "forgetful": Forgetful,
    "forking": Forking,
    "halving": Halving,
    "reviving": Reviving,
    "saying-yes": SayingYes,
    "saying-no": SayingNo,
    "giving-twice": GivingTwice,
    "forgetting-claims": ForgettingClaims,
    "repeating": Repeating,
    "reading-late": ReadingLate,
    "losing-signals": LosingSignals,
    "altering": Altering,
}


def planted(url: str, plant: str) -> Store:
    """Make the store for a URL, with a fault if one is named."""
    if not plant:
        return store_for(url)
    return ThreadedStore(PLANTS[plant](parse_store_url(url), clock=utc_now))
