"""Deleting a run: its rows go, a tombstone stays."""

from __future__ import annotations

import pytest

from cairn_runtime.errors import CheckpointNotFound, HistoryConflict, RunNotFound, Superseded
from cairn_runtime.model.ids import new_id
from cairn_runtime.store.base import NewSignal, Outcome, Store
from cairn_runtime.store.contract.cases import StoreCase, begun, new_run


class TestDeletion(StoreCase):
    """What `delete_run` promises."""

    async def test_nothing_of_a_deleted_run_is_found(self, store: Store) -> None:
        """Row, checkpoints, signals, progress, pins, gaps: all gone, from every way of reading."""
        writer = await begun(store)
        rows = await writer.commit(3, kind="snapshot", outcome=Outcome("Running"))
        await store.prune(writer.run_id, [1])
        await store.pin(rows[1].id, pinned=True)
        await store.put_progress(writer.run_id, writer.fence, "a#1", b"1")
        await store.send(writer.run_id, NewSignal("go", 1, new_id()))
        await store.heartbeat(writer.run_id, writer.fence)

        assert await store.delete_run(writer.run_id) is True

        for read in (store.run, store.load):
            with pytest.raises(RunNotFound):
                await read(writer.run_id)
        with pytest.raises(CheckpointNotFound):
            await store.checkpoint(rows[2].id)
        assert await store.runs() == []
        assert await store.heads([writer.run_id]) == {}
        assert await store.checkpoints(writer.run_id) == []
        assert await store.find_checkpoints(rows[2].id) == []
        assert await store.signals(writer.run_id) == []
        assert await store.progress(writer.run_id) == {}
        assert await store.pins(writer.run_id) == set()
        assert await store.gaps(writer.run_id) == []

    async def test_nothing_is_revived(self, store: Store) -> None:
        """Whoever still holds the fence of a deleted run writes nothing, and its id is not used again."""
        writer = await begun(store, workflow="ns/a/1")
        await store.delete_run(writer.run_id)

        with pytest.raises(RunNotFound):
            await writer.commit()
        with pytest.raises(RunNotFound):
            await writer.change(Outcome("Running"))
        with pytest.raises(RunNotFound):
            await store.heartbeat(writer.run_id, writer.fence)
        with pytest.raises(RunNotFound):
            await store.put_progress(writer.run_id, writer.fence, "a#1", b"1")
        with pytest.raises(RunNotFound):
            await store.claim(writer.run_id, 1, "next")
        with pytest.raises(RunNotFound):
            await store.claim(writer.run_id, 0, writer.fence.claim_id)
        with pytest.raises(RunNotFound):
            await store.send(writer.run_id, NewSignal("go", 1, new_id()))
        with pytest.raises(RunNotFound):
            await store.prune(writer.run_id, [1])
        with pytest.raises(HistoryConflict, match="deleted"):
            await store.create_run(new_run(run_id=writer.run_id, workflow="ns/a/1"))

    async def test_deleting_nothing_says_so(self, store: Store) -> None:
        """An unknown run, and a run that was deleted before."""
        writer = await begun(store)
        await store.delete_run(writer.run_id)

        assert await store.delete_run(writer.run_id) is False
        assert await store.delete_run("unknown") is False

    async def test_other_runs_stay(self, store: Store) -> None:
        """Also those of the same workflow."""
        one, two = await begun(store), await begun(store)
        await one.commit(2)
        rows = await two.commit(2)
        signal = await store.send(two.run_id, NewSignal("go", 1, new_id()))

        await store.delete_run(one.run_id)

        assert await store.load(two.run_id) == rows
        assert await store.signals(two.run_id) == [signal]

    async def test_the_origin_of_a_waiting_fork_cannot_be_deleted(self, store: Store) -> None:
        """Until the child has a checkpoint of its own."""
        parent, child = await begun(store), await begun(store)
        rows = await parent.commit(2)
        await store.hold(rows[1].id, child.run_id)

        with pytest.raises(HistoryConflict, match=child.run_id):
            await store.delete_run(parent.run_id)
        assert await store.load(parent.run_id) == rows
        await child.commit(kind="snapshot")

        assert await store.delete_run(parent.run_id) is True

    async def test_a_stale_fence_of_a_run_beside_it_stays_stale(self, store: Store) -> None:
        """Deleting one run gives nobody the right to write another."""
        one, two = await begun(store), await begun(store)
        await store.claim(two.run_id, 1, "newer")
        await store.delete_run(one.run_id)

        with pytest.raises(Superseded):
            await two.commit()
