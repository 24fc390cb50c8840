"""Metrics: the numbers that a run's runners leave in its row, beside its history."""

from __future__ import annotations

import pytest

from cairn_runtime.errors import RunNotFound, Superseded
from cairn_runtime.model.ids import new_id
from cairn_runtime.model.values import JSONObject
from cairn_runtime.store.base import MAX_METRICS_BYTES, Outcome, Store
from cairn_runtime.store.contract.cases import StoreCase, begun

NUMBERS: JSONObject = {"version": 1, "steps": {"done": 3}, "saves": {"seconds": 0.125, "counts": [1, 0, 2]}}


class TestMetrics(StoreCase):
    """A heartbeat brings the holder's numbers; they replace those before and survive the holder."""

    async def test_a_row_shows_the_numbers_of_the_last_heartbeat(self, store: Store) -> None:
        """Before the first there are none; later ones replace them whole, wherever the row is read."""
        writer = await begun(store)
        before = await store.run(writer.run_id)
        await store.heartbeat(writer.run_id, writer.fence, {"old": 1})
        await store.heartbeat(writer.run_id, writer.fence, NUMBERS)
        run = await store.run(writer.run_id)

        assert before.metrics == {}
        assert run.metrics == NUMBERS
        assert [row.metrics for row in await store.runs(workflow=run.workflow)] == [NUMBERS]

    async def test_a_heartbeat_without_numbers_leaves_them(self, store: Store) -> None:
        """So do commits, the end of the run, and the claim of the next runner, who counts on from there."""
        writer = await begun(store)
        await store.heartbeat(writer.run_id, writer.fence, NUMBERS)

        await store.heartbeat(writer.run_id, writer.fence)
        await writer.commit(2)
        await store.claim(writer.run_id, writer.fence.epoch, new_id())
        claimed = await store.run(writer.run_id)
        fence = claimed.fence
        await store.commit(writer.run_id, fence, 2, new_id(), [], Outcome("Succeeded"))

        assert claimed.metrics == NUMBERS
        assert (await store.run(writer.run_id)).metrics == NUMBERS

    async def test_who_lost_the_claim_leaves_no_numbers(self, store: Store) -> None:
        """Else a runner that comes back would put old numbers in the place of newer ones."""
        writer = await begun(store)
        await store.heartbeat(writer.run_id, writer.fence, NUMBERS)
        fence = await store.claim(writer.run_id, writer.fence.epoch, new_id())

        with pytest.raises(Superseded):
            await store.heartbeat(writer.run_id, writer.fence, {"stale": 1})

        assert (await store.run(writer.run_id)).metrics == NUMBERS
        await store.heartbeat(writer.run_id, fence, {"new": 1})
        assert (await store.run(writer.run_id)).metrics == {"new": 1}

    async def test_the_last_numbers_come_after_the_end(self, store: Store) -> None:
        """How long the last commit took can only be told after it; the holder may still say so."""
        writer = await begun(store)
        await writer.commit(outcome=Outcome("Succeeded"))

        await store.heartbeat(writer.run_id, writer.fence, NUMBERS)

        run = await store.run(writer.run_id)
        assert (run.phase, run.metrics) == ("Succeeded", NUMBERS)

    async def test_numbers_have_a_bound(self, store: Store) -> None:
        """They are read with every row: too much is a mistake of the caller, and nothing is written."""
        writer = await begun(store)
        await store.heartbeat(writer.run_id, writer.fence, NUMBERS)

        with pytest.raises(ValueError, match="at most"):
            await store.heartbeat(writer.run_id, writer.fence, {"text": "x" * MAX_METRICS_BYTES})

        assert (await store.run(writer.run_id)).metrics == NUMBERS

    async def test_numbers_go_with_their_run(self, store: Store) -> None:
        """A deleted run takes no heartbeat, with numbers or without."""
        writer = await begun(store)
        await store.heartbeat(writer.run_id, writer.fence, NUMBERS)
        await store.delete_run(writer.run_id)

        with pytest.raises(RunNotFound):
            await store.heartbeat(writer.run_id, writer.fence, NUMBERS)
