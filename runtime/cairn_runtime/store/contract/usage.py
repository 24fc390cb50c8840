"""Usage: what is kept of many runs, counted where it lies."""

from __future__ import annotations

from datetime import timedelta

import pytest

from cairn_runtime.model.ids import new_id, utc_now
from cairn_runtime.store.base import MAX_HEADS, Store, Usage
from cairn_runtime.store.contract.cases import StoreCase, begun, new_run, repacked
from cairn_runtime.store.contract.swaps import swap_of


class TestUsage(StoreCase):
    """What `usage` promises."""

    async def test_what_is_kept_is_counted(self, store: Store) -> None:
        """For each run by itself: checkpoints, their sizes, when the first and the last of them was made."""
        one, other = await begun(store), await begun(store)
        rows = await one.commit(3)
        (single,) = await other.commit()

        found = await store.usage([one.run_id, other.run_id])

        size = sum(row.size for row in rows)
        assert found == {
            one.run_id: Usage(3, size, rows[0].created_at, rows[-1].created_at),
            other.run_id: Usage(1, single.size, single.created_at, single.created_at),
        }

    async def test_what_was_pruned_is_not_counted(self, store: Store) -> None:
        """The row's own counts stay those of what was ever committed."""
        writer = await begun(store)
        rows = [(await writer.commit(kind="snapshot"))[0] for _ in range(5)]
        await store.prune(writer.run_id, [1, 3])

        found = await store.usage([writer.run_id])

        kept = [rows[1], rows[3], rows[4]]
        size = sum(row.size for row in kept)
        assert found[writer.run_id] == Usage(3, size, kept[0].created_at, kept[-1].created_at)
        assert (await store.run(writer.run_id)).checkpoints == 5

    async def test_a_long_history_that_was_pruned_is_counted_whole(self, store: Store) -> None:
        """However a store goes through it."""
        writer = await begun(store)
        for _ in range(11):
            await writer.commit(199)
            await writer.commit(kind="snapshot")
        await store.prune(writer.run_id, list(range(1, 200)))

        found = (await store.usage([writer.run_id]))[writer.run_id]

        kept = await store.checkpoints(writer.run_id, limit=10_000)
        assert (found.checkpoints, found.bytes) == (2001, sum(row.size for row in kept))
        assert (found.oldest, found.newest) == (kept[-1].created_at, kept[0].created_at)

    async def test_sizes_are_those_that_were_committed(self, store: Store) -> None:
        """Other bytes for a payload change no header, and so nothing here."""
        writer = await begun(store)
        rows = await writer.commit(2)
        before = await store.usage([writer.run_id])

        assert len(repacked(rows[1].payload or b"")) != rows[1].size
        await store.swap_payloads(writer.run_id, [swap_of(row) for row in rows])

        assert await store.usage([writer.run_id]) == before

    async def test_the_oldest_is_the_first_by_its_seq(self, store: Store) -> None:
        """Writers have clocks of their own: one behind the others makes no other order."""
        writer = await begun(store)
        (late,) = await writer.commit(created_at=utc_now() + timedelta(hours=1))
        (early,) = await writer.commit(created_at=utc_now() - timedelta(hours=1))

        found = (await store.usage([writer.run_id]))[writer.run_id]

        assert (found.oldest, found.newest) == (late.created_at, early.created_at)

    async def test_a_run_without_checkpoints_uses_nothing(self, store: Store) -> None:
        """It is there, and empty."""
        run = await store.create_run(new_run())

        assert await store.usage([run.run_id]) == {run.run_id: Usage(0, 0, None, None)}

    async def test_runs_that_are_not_there_are_left_out(self, store: Store) -> None:
        """Unknown ones and deleted ones; nothing asked is nothing answered."""
        gone, there = await begun(store), await begun(store)
        await gone.commit()
        await store.delete_run(gone.run_id)

        assert (await store.usage([gone.run_id, there.run_id, new_id()])).keys() == {there.run_id}
        assert await store.usage([]) == {}

    async def test_more_runs_than_every_store_can_are_refused(self, store: Store) -> None:
        """As many as of heads."""
        assert await store.usage([new_id() for _ in range(MAX_HEADS)]) == {}
        with pytest.raises(ValueError, match=str(MAX_HEADS)):
            await store.usage([new_id()] * (MAX_HEADS + 1))
