"""Commits: appended in order, atomic, and the same again is nothing."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from cairn_runtime.errors import HistoryConflict, RunNotFound, Superseded
from cairn_runtime.model.ids import new_id, utc_now
from cairn_runtime.store.base import Fence, NewSignal, Outcome, Store, Wait
from cairn_runtime.store.contract.cases import StoreCase, Writer, begun, new_run


class TestCommits(StoreCase):
    """What `commit` promises."""

    async def test_a_commit_moves_the_head(self, store: Store) -> None:
        """The row names the newest checkpoint and counts what was committed."""
        writer = await begun(store)
        first = await writer.commit()
        rows = await writer.commit(3)
        run = await store.run(writer.run_id)

        assert (run.head_seq, run.head_id, run.head_hash) == (4, rows[-1].id, rows[-1].hash)
        assert run.checkpoints == 4
        assert run.bytes == sum(row.size for row in [*first, *rows])
        assert (run.phase, run.fence) == ("Pending", writer.fence)

    async def test_a_checkpoint_comes_back_as_it_was(self, store: Store) -> None:
        """Every column and every byte of the payload is what was committed."""
        writer = await begun(store)
        payload = bytes(range(256)) * 5000
        rows = await writer.commit(
            2, payload=payload, size=len(payload), metadata={"skips": [1, 2], "z": None}
        )

        assert await store.load(writer.run_id) == rows
        assert await store.checkpoint(rows[1].id) == rows[1]

    async def test_an_outcome_changes_the_row_whole(self, store: Store) -> None:
        """Phase, reason, message, waits and wake-up time are those of the newest outcome."""
        writer = await begun(store)
        soon = utc_now() + timedelta(hours=1)
        waits = (
            Wait("sign#1", "approval", "sign#1", "Publish?", {"type": "object"}, deadline=soon),
            Wait("nap#2[3]", "sleep", until=soon + timedelta(microseconds=1)),
        )

        await writer.commit(outcome=Outcome("Waiting", "Parked", "two tasks", waits, soon))
        parked = await store.run(writer.run_id)
        await writer.commit(outcome=Outcome("Running"))
        running = await store.run(writer.run_id)

        assert (parked.phase, parked.reason, parked.message) == ("Waiting", "Parked", "two tasks")
        assert (parked.waits, parked.wake_at) == (waits, soon)
        assert (running.phase, running.reason, running.message) == ("Running", "", "")
        assert (running.waits, running.wake_at) == ((), None)

    async def test_without_an_outcome_the_row_keeps_its_phase(self, store: Store) -> None:
        """A commit of checkpoints alone leaves phase and waits as they are."""
        writer = await begun(store)
        await writer.change(Outcome("Waiting", "Parked", waits=(Wait("a#1", "signal", "go"),)))

        await writer.commit()
        run = await store.run(writer.run_id)

        assert (run.phase, run.reason, run.waits) == ("Waiting", "Parked", (Wait("a#1", "signal", "go"),))

    async def test_an_empty_commit_changes_the_row_only(self, store: Store) -> None:
        """The head stays, the phase moves, nothing is counted."""
        writer = await begun(store)
        await writer.commit()

        await writer.change(Outcome("Succeeded"))
        run = await store.run(writer.run_id)

        assert (run.phase, run.head_seq, run.checkpoints) == ("Succeeded", 1, 1)

    @pytest.mark.parametrize("expected_head", [0, 1, 3, 4])
    async def test_a_commit_on_another_head_writes_nothing(self, store: Store, expected_head: int) -> None:
        """A writer whose head is not the row's is superseded, with checkpoints or without."""
        writer = await begun(store)
        await writer.commit(2)
        before = await store.run(writer.run_id)
        astray = Writer(store, writer.run_id, writer.fence, expected_head)

        with pytest.raises(Superseded):
            await astray.commit()
        with pytest.raises(Superseded):
            await astray.change(Outcome("Failed"))

        assert await store.run(writer.run_id) == before

    async def test_of_two_writers_with_one_fence_one_wins(self, store: Store) -> None:
        """Two commits on the same head: one is stored whole, the other not at all."""
        writer = await begun(store)
        twins = [Writer(store, writer.run_id, writer.fence) for _ in range(2)]
        batches = [twin.batch(3) for twin in twins]

        answers = await asyncio.gather(
            *(twin.send(rows) for twin, rows in zip(twins, batches, strict=True)), return_exceptions=True
        )

        assert {type(answer) for answer in answers} == {type(None), Superseded}
        assert await store.load(writer.run_id) == batches[answers.index(None)]

    async def test_committing_to_an_unknown_run_makes_no_row(self, store: Store) -> None:
        """A commit never begins a run."""
        lost = Writer(store, "unknown", Fence(1, "c"))

        with pytest.raises(RunNotFound):
            await lost.commit()
        with pytest.raises(RunNotFound):
            await lost.change(Outcome("Running"))
        with pytest.raises(RunNotFound):
            await store.run("unknown")

    @pytest.mark.parametrize("of", ["another run", "the same run"])
    async def test_an_id_that_is_taken_writes_nothing(self, store: Store, of: str) -> None:
        """Ids of checkpoints are unique in the store; the whole commit falls."""
        two = await begun(store)
        one = two if of == "the same run" else await begun(store)
        taken = (await one.commit())[0].id
        rows = two.batch(2)
        before = await store.run(two.run_id), await store.checkpoints(two.run_id)

        with pytest.raises(HistoryConflict):
            await two.send([rows[0], rows[1]._replace(id=taken)])

        assert (await store.run(two.run_id), await store.checkpoints(two.run_id)) == before
        assert (await store.checkpoint(taken)).run_id == one.run_id

    @pytest.mark.parametrize(
        ("which", "change"),
        [
            pytest.param(1, {"seq": 3}, id="a seq is left out"),
            pytest.param(0, {"seq": 2}, id="it begins beside the head"),
            pytest.param(1, {"run_id": "another"}, id="of another run"),
            pytest.param(0, {"write_id": "another"}, id="the first is of another write"),
            pytest.param(1, {"epoch": 9}, id="of another epoch"),
            pytest.param(1, {"payload": None}, id="without a payload"),
            pytest.param(1, {"size": 1}, id="with another size"),
        ],
    )
    async def test_a_batch_that_does_not_belong_together_is_refused(
        self, store: Store, which: int, change: dict[str, Any]
    ) -> None:
        """A commit names one run, one write, one epoch, and seqs without a hole."""
        writer = await begun(store)
        rows = writer.batch(2)
        broken = list(rows)
        broken[which] = rows[which]._replace(**change)

        with pytest.raises(ValueError, match="checkpoint"):
            await store.commit(writer.run_id, writer.fence, 0, rows[0].write_id, broken)

        assert await store.checkpoints(writer.run_id) == []

    async def test_runs_do_not_touch_each_other(self, store: Store) -> None:
        """Every run has its own seqs, fence and rows."""
        one, two = await begun(store), await begun(store)
        await one.commit(2)
        rows = await two.commit(1)

        assert [row.run_id for row in await store.load(one.run_id)] == [one.run_id] * 2
        assert await store.load(two.run_id) == rows

    async def test_many_commits_keep_their_order(self, store: Store) -> None:
        """A few hundred commits come back whole and ascending."""
        writer = await begun(store)
        written = [row for _ in range(150) for row in await writer.commit(2)]

        assert await store.load(writer.run_id) == written


class TestLostReplies(StoreCase):
    """A write whose answer was lost is sent again, byte for byte."""

    async def test_the_same_commit_again_is_success(self, store: Store) -> None:
        """The second call answers like the first and writes nothing."""
        writer = await begun(store)
        rows = await writer.commit(3, outcome=Outcome("Running"))
        before = await store.run(writer.run_id)

        await store.commit(writer.run_id, writer.fence, 0, rows[0].write_id, rows, Outcome("Running"))

        assert await store.run(writer.run_id) == before
        assert await store.load(writer.run_id) == rows

    async def test_a_lost_reply_is_success_after_others_followed(self, store: Store) -> None:
        """The write was ours: that commits followed it, even from a newer claim, does not matter."""
        writer = await begun(store)
        rows = await writer.commit(2, outcome=Outcome("Waiting"))
        await writer.commit(outcome=Outcome("Running"))
        fence = await store.claim(writer.run_id, 1, "newer")
        newer = Writer(store, writer.run_id, fence, writer.seq, writer.hash)
        await newer.commit(outcome=Outcome("Succeeded"))
        before = await store.run(writer.run_id)

        await store.commit(writer.run_id, writer.fence, 0, rows[0].write_id, rows, Outcome("Waiting"))

        assert await store.run(writer.run_id) == before

    async def test_a_lost_reply_is_success_after_a_prune(self, store: Store) -> None:
        """Any checkpoint of the commit that is still there proves that it was ours."""
        writer = await begun(store)
        rows = writer.batch(3)
        rows[2] = rows[2]._replace(kind="snapshot")
        await writer.send(rows)
        await store.prune(writer.run_id, [1, 2])

        await store.commit(writer.run_id, writer.fence, 0, rows[0].write_id, rows)

        assert (await store.run(writer.run_id)).head_seq == 3

    async def test_a_row_change_again_is_not_applied_again(self, store: Store) -> None:
        """A late copy of a row change must not undo the one that followed on the same head."""
        writer = await begun(store)
        write_id = await writer.change(Outcome("Waiting", "first"))
        await writer.change(Outcome("Running", "second"))
        before = await store.run(writer.run_id)

        await writer.change(Outcome("Waiting", "first"), write_id)

        assert await store.run(writer.run_id) == before

    async def test_a_row_change_again_is_success_after_others_followed(self, store: Store) -> None:
        """Also when the head has moved on and the fence has changed."""
        writer = await begun(store)
        write_id = await writer.change(Outcome("Running"))
        await writer.commit(2)
        await store.claim(writer.run_id, 1, "newer")
        before = await store.run(writer.run_id)

        await store.commit(writer.run_id, writer.fence, 0, write_id, [], Outcome("Running"))

        assert await store.run(writer.run_id) == before

    async def test_checkpoints_of_one_commit_may_carry_ids_of_their_own(self, store: Store) -> None:
        """A writer that seals before it knows the batch; the same again is success all the same."""
        writer = await begun(store)
        rows = [row._replace(write_id=f"write-{row.seq}") for row in writer.batch(3)]
        rows[2] = rows[2]._replace(kind="snapshot")
        await writer.send(rows)
        await store.prune(writer.run_id, [1, 2])

        await store.commit(writer.run_id, writer.fence, 0, rows[0].write_id, rows)

        assert await store.load(writer.run_id) == rows[2:]

    async def test_a_commit_that_grew_since_is_superseded(self, store: Store) -> None:
        """What was not in the first sending is not there: no success for it."""
        writer = await begun(store)
        rows = writer.batch(3)
        await store.commit(writer.run_id, writer.fence, 0, rows[0].write_id, rows[:2])

        with pytest.raises(Superseded):
            await store.commit(writer.run_id, writer.fence, 0, rows[0].write_id, rows)

        assert await store.load(writer.run_id) == rows[:2]

    async def test_a_place_that_was_pruned_is_nobodys_proof(self, store: Store) -> None:
        """Where nothing of a commit is left, whoever sends it was not there before."""
        writer = await begun(store)
        await writer.commit(2)
        await writer.commit(kind="snapshot")
        await store.prune(writer.run_id, [1, 2])
        late = Writer(store, writer.run_id, writer.fence)

        with pytest.raises(Superseded):
            await late.commit(2)

    async def test_another_write_in_our_place_is_superseded(self, store: Store) -> None:
        """The checkpoint after our head carries another write_id: nothing was ours."""
        writer = await begun(store)
        await writer.commit(2)
        late = Writer(store, writer.run_id, writer.fence)

        with pytest.raises(Superseded):
            await late.commit(2)

        assert (await store.run(writer.run_id)).head_seq == 2

    async def test_a_lost_reply_of_a_deleted_run_is_not_found(self, store: Store) -> None:
        """Nothing is revived, and nothing is pretended."""
        writer = await begun(store)
        rows = await writer.commit(1)
        await store.delete_run(writer.run_id)

        with pytest.raises(RunNotFound):
            await store.commit(writer.run_id, writer.fence, 0, rows[0].write_id, rows)

    async def test_the_same_commit_from_two_sides_at_once_is_written_once(self, store: Store) -> None:
        """A client library may send a write again while the first is still under way."""
        writer = await begun(store)
        rows = writer.batch(2)
        outcome = Outcome("Running")
        call = (writer.run_id, writer.fence, 0, rows[0].write_id, rows, outcome)

        await asyncio.gather(*(store.commit(*call) for _ in range(5)))

        assert await store.load(writer.run_id) == rows
        assert (await store.run(writer.run_id)).checkpoints == 2

    async def test_signals_are_not_consumed_again(self, store: Store) -> None:
        """A signal that came after the first sending of a commit survives the second."""
        writer = await begun(store)
        await store.send(writer.run_id, NewSignal("go", 1, new_id()))
        rows = await writer.commit(outcome=Outcome("Running", consumed=(1, 2)))
        await store.send(writer.run_id, NewSignal("go", 2, new_id()))

        await store.commit(
            writer.run_id, writer.fence, 0, rows[0].write_id, rows, Outcome("Running", consumed=(1, 2))
        )

        assert [signal.number for signal in await store.signals(writer.run_id)] == [2]

    async def test_a_created_run_is_created_once(self, store: Store) -> None:
        """Ten calls at once make one row."""
        new = new_run()

        rows = await asyncio.gather(*(store.create_run(new) for _ in range(10)))

        assert len({row.created_at for row in rows}) == 1
        assert len(await store.runs(workflow=new.workflow)) == 1
