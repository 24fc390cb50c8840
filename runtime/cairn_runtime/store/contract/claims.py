"""The fence: epochs, claims and heartbeats."""

from __future__ import annotations

import asyncio

import pytest

from cairn_runtime.errors import RunNotFound, Superseded
from cairn_runtime.model.ids import new_id
from cairn_runtime.store.base import Fence, NewSignal, Outcome, Store
from cairn_runtime.store.contract.cases import StoreCase, Writer, begun, new_run


class TestClaims(StoreCase):
    """What `claim` promises, and what a fence that is not the row's cannot do."""

    async def test_a_claim_raises_the_epoch_by_one(self, store: Store) -> None:
        """The new fence is in the answer and in the row; phase and head stay."""
        writer = await begun(store)
        await writer.change(Outcome("Waiting", "Parked"))

        fence = await store.claim(writer.run_id, 1, "second", "0.2.0")
        run = await store.run(writer.run_id)

        assert fence == run.fence == Fence(2, "second")
        assert (run.phase, run.reason, run.runner) == ("Waiting", "Parked", "0.2.0")

    async def test_a_repeated_claim_answers_the_same(self, store: Store) -> None:
        """A claim whose answer was lost is sent again and changes nothing."""
        run_id = (await store.create_run(new_run())).run_id
        first = await store.claim(run_id, 0, "mine")
        row = await store.run(run_id)

        again = await store.claim(run_id, 0, "mine")
        later = await store.claim(run_id, 1, "mine", "0.9.9")

        assert again == later == first
        assert await store.run(run_id) == row

    async def test_a_claim_on_another_epoch_is_superseded(self, store: Store) -> None:
        """Who expects an epoch that has passed, or is still to come, gets nothing."""
        writer = await begun(store)

        for epoch in (0, 2):
            with pytest.raises(Superseded):
                await store.claim(writer.run_id, epoch, "other")

        assert (await store.run(writer.run_id)).fence == writer.fence

    async def test_of_many_claims_on_one_epoch_one_wins(self, store: Store) -> None:
        """Ten at once on the same epoch: one fence, nine superseded."""
        run_id = (await store.create_run(new_run())).run_id

        answers = await asyncio.gather(
            *(store.claim(run_id, 0, f"claim-{n}") for n in range(10)), return_exceptions=True
        )

        fences = [answer for answer in answers if isinstance(answer, Fence)]
        assert fences == [(await store.run(run_id)).fence]
        assert sum(isinstance(answer, Superseded) for answer in answers) == 9

    async def test_a_claim_without_a_runner_keeps_the_version(self, store: Store) -> None:
        """Whoever claims for a runner that is still to come does not know its version."""
        writer = await begun(store)

        await store.claim(writer.run_id, 1, "operator")

        assert (await store.run(writer.run_id)).runner == "0.1.0"

    async def test_an_empty_claim_is_refused(self, store: Store) -> None:
        """An empty claim_id would be the fence of a run that nobody has claimed."""
        run_id = (await store.create_run(new_run())).run_id

        with pytest.raises(ValueError, match="claim_id"):
            await store.claim(run_id, 0, "")

    async def test_claiming_an_unknown_run_is_not_found(self, store: Store) -> None:
        """A claim never makes a row."""
        with pytest.raises(RunNotFound):
            await store.claim("unknown", 0, "mine")
        with pytest.raises(RunNotFound):
            await store.run("unknown")

    @pytest.mark.parametrize(
        "fence",
        [
            pytest.param(Fence(1, "first"), id="the fence before"),
            pytest.param(Fence(2, "other"), id="the right epoch with another claim"),
            pytest.param(Fence(3, "second"), id="the right claim with another epoch"),
            pytest.param(Fence(0, ""), id="the fence of a run that nobody claimed"),
        ],
    )
    async def test_a_fence_that_is_not_the_rows_writes_nothing(self, store: Store, fence: Fence) -> None:
        """Commit, row change, heartbeat and progress are all refused, and nothing changes."""
        run_id = (await store.create_run(new_run())).run_id
        await store.claim(run_id, 0, "first")
        await store.claim(run_id, 1, "second")
        stale = Writer(store, run_id, fence)
        before = await store.run(run_id)

        with pytest.raises(Superseded):
            await stale.commit()
        with pytest.raises(Superseded):
            await stale.change(Outcome("Succeeded"))
        with pytest.raises(Superseded):
            await store.heartbeat(run_id, fence)
        with pytest.raises(Superseded):
            await store.put_progress(run_id, fence, "a#1", b"1")

        assert await store.run(run_id) == before
        assert await store.checkpoints(run_id) == []
        assert await store.progress(run_id) == {}

    async def test_nobody_writes_to_an_unclaimed_run(self, store: Store) -> None:
        """Epoch 0 with an empty claim is what the row says, and still no fence."""
        run_id = (await store.create_run(new_run())).run_id
        nobody = Writer(store, run_id, Fence(0, ""))

        with pytest.raises(Superseded):
            await nobody.commit()
        with pytest.raises(Superseded):
            await store.heartbeat(run_id, nobody.fence)


class TestHeartbeats(StoreCase):
    """What `heartbeat` promises."""

    async def test_a_heartbeat_is_seen_in_the_row(self, store: Store) -> None:
        """The beat's time is the row's `heartbeat_at`, by the store's clock."""
        writer = await begun(store)

        beat = await store.heartbeat(writer.run_id, writer.fence)

        assert (await store.run(writer.run_id)).heartbeat_at == beat.now

    async def test_a_heartbeat_brings_the_signals_that_wait(self, store: Store) -> None:
        """A live runner learns of signals when it beats."""
        writer = await begun(store)
        before = await store.heartbeat(writer.run_id, writer.fence)
        await store.send(writer.run_id, NewSignal("go", 1, new_id()))

        after = await store.heartbeat(writer.run_id, writer.fence)

        assert (before.signals_pending, after.signals_pending) == (0, 1)
        assert after.now >= before.now

    async def test_a_claim_and_a_commit_count_as_heartbeats(self, store: Store) -> None:
        """Whoever writes shows that it lives."""
        writer = await begun(store)
        claimed = (await store.run(writer.run_id)).heartbeat_at
        await writer.commit()
        committed = (await store.run(writer.run_id)).heartbeat_at

        assert claimed is not None
        assert committed is not None
        assert committed > claimed

    async def test_a_heartbeat_changes_nothing_else(self, store: Store) -> None:
        """Beats come every few seconds; they do not mark the run changed."""
        writer = await begun(store)
        before = await store.run(writer.run_id)
        _, cursor = await store.changed("")

        await store.heartbeat(writer.run_id, writer.fence)

        assert (await store.run(writer.run_id)).updated_at == before.updated_at
        assert (await store.heads([writer.run_id]))[writer.run_id].updated_at == before.updated_at
        assert writer.run_id not in (await store.changed(cursor))[0]

    async def test_an_unknown_run_has_no_heartbeat(self, store: Store) -> None:
        """A beat never makes a row."""
        with pytest.raises(RunNotFound):
            await store.heartbeat("unknown", Fence(1, "c"))
