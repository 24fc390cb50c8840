"""Two openings of one place at the same moment, as two processes would be: who wins, and what nobody sees.

Each test lets calls run at once from two store objects, a few rounds each, and then asks for what must hold
in whichever order they came.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from cairn_runtime.errors import (
    CheckpointNotFound,
    HistoryConflict,
    RunNotFound,
    Superseded,
    WaitClosed,
)
from cairn_runtime.model.ids import new_id
from cairn_runtime.store.base import Fence, NewSignal, Outcome, Signal, Store, Wait
from cairn_runtime.store.contract.cases import StoreCase, StoreFactory, Writer, begun, new_run, seqs

ROUNDS = 8


class TestRivals(StoreCase):
    """What two openings may do to each other."""

    @pytest_asyncio.fixture
    async def other(self, store: Store, store_factory: StoreFactory) -> AsyncIterator[Store]:
        """A second opening of the same place."""
        del store  # opened first
        other = store_factory()
        await other.open()
        yield other
        await other.close()

    async def test_two_creations_at_once_make_one_run(self, store: Store, other: Store) -> None:
        """Both are told of the same row."""
        for _ in range(ROUNDS):
            new = new_run()

            one, two = await asyncio.gather(store.create_run(new), other.create_run(new))

            assert one == two

    async def test_of_two_claims_at_once_one_wins(self, store: Store, other: Store) -> None:
        """The other one is superseded, and the row shows the fence that was answered."""
        for _ in range(ROUNDS):
            run_id = (await store.create_run(new_run())).run_id

            answers = await asyncio.gather(
                store.claim(run_id, 0, "one"), other.claim(run_id, 0, "two"), return_exceptions=True
            )

            (won,) = [answer for answer in answers if isinstance(answer, Fence)]
            assert sum(isinstance(answer, Superseded) for answer in answers) == 1
            assert (await store.run(run_id)).fence == (await other.run(run_id)).fence == won

    async def test_of_two_commits_at_once_one_wins(self, store: Store, other: Store) -> None:
        """On one head with one fence: one is stored whole with its outcome, the other not at all."""
        for _ in range(ROUNDS):
            writer = await begun(store)
            twin = Writer(other, writer.run_id, writer.fence)
            ours, theirs = writer.batch(2), twin.batch(3)

            answers = await asyncio.gather(
                writer.send(ours, Outcome("Running", "ours")),
                twin.send(theirs, Outcome("Running", "theirs")),
                return_exceptions=True,
            )

            assert {type(answer) for answer in answers} == {type(None), Superseded}
            won, reason = (ours, "ours") if answers[0] is None else (theirs, "theirs")
            assert await store.load(writer.run_id) == await other.load(writer.run_id) == won
            assert (await store.run(writer.run_id)).reason == reason

    async def test_the_same_commit_twice_at_once_is_written_once(self, store: Store, other: Store) -> None:
        """A copy that overtakes its original: both are told that it was written."""
        for _ in range(ROUNDS):
            writer = await begun(store)
            rows = writer.batch(2)
            call = (writer.run_id, writer.fence, 0, rows[0].write_id, rows, Outcome("Running"))

            await asyncio.gather(store.commit(*call), other.commit(*call))

            assert await store.load(writer.run_id) == rows
            assert (await store.run(writer.run_id)).checkpoints == 2

    async def test_a_commit_meets_a_claim(self, store: Store, other: Store) -> None:
        """Acknowledged, it is there for the next holder; refused, it never is, however long one waits."""
        for _ in range(ROUNDS):
            writer = await begun(store)
            rows = writer.batch(2)

            answer, fence = await asyncio.gather(
                writer.send(rows), other.claim(writer.run_id, 1, "next"), return_exceptions=True
            )

            assert fence == Fence(2, "next")
            assert answer is None or isinstance(answer, Superseded)
            assert await other.load(writer.run_id) == (rows if answer is None else [])
            assert (await other.run(writer.run_id)).head_seq == (2 if answer is None else 0)

    async def test_an_answer_meets_the_commit_that_closes_its_wait(self, store: Store, other: Store) -> None:
        """It is stored and pending, or refused and nowhere."""
        for _ in range(ROUNDS):
            writer = await begun(store)
            await writer.change(Outcome("Waiting", waits=(Wait("sign#1", "approval", "sign#1"),)))

            _, sent = await asyncio.gather(
                writer.commit(outcome=Outcome("Failed", "TimedOut")),
                other.send(writer.run_id, NewSignal("sign", True, new_id(), "sign#1")),
                return_exceptions=True,
            )

            pending = await store.signals(writer.run_id)
            assert pending == ([sent] if isinstance(sent, Signal) else [])
            assert isinstance(sent, Signal | WaitClosed)
            assert (await other.run(writer.run_id)).signals_pending == len(pending)

    async def test_of_two_answers_at_once_one_counts(self, store: Store, other: Store) -> None:
        """A wait is answered once, whoever is asked."""
        for _ in range(ROUNDS):
            writer = await begun(store)
            await writer.change(Outcome("Waiting", waits=(Wait("sign#1", "approval", "sign#1"),)))
            yes, no = (NewSignal("sign", value, new_id(), "sign#1") for value in (True, False))

            answers = await asyncio.gather(
                store.send(writer.run_id, yes), other.send(writer.run_id, no), return_exceptions=True
            )

            assert {type(answer) for answer in answers} == {Signal, WaitClosed}
            assert len(await store.signals(writer.run_id)) == 1

    async def test_signals_meet_the_commits_that_use_them_up(self, store: Store, other: Store) -> None:
        """Numbers have no hole, none is used that was not seen, and none is lost."""
        writer = await begun(store)
        used: list[int] = []

        async def use() -> None:
            for _ in range(10):
                seen = tuple(signal.number for signal in await store.signals(writer.run_id))
                await writer.commit(outcome=Outcome("Running", consumed=seen))
                used.extend(seen)

        async def feed() -> list[int]:
            sent = [await other.send(writer.run_id, NewSignal("go", n, f"client {n}")) for n in range(10)]
            return [signal.number for signal in sent]

        _, numbers = await asyncio.gather(use(), feed())

        left = [signal.number for signal in await other.signals(writer.run_id)]
        assert numbers == list(range(1, 11))
        assert used + left == numbers

    async def test_progress_of_two_tasks_at_once_is_kept(self, store: Store, other: Store) -> None:
        """Saving one task's progress takes away no other's."""
        writer = await begun(store)

        await asyncio.gather(
            *(
                (store, other)[n % 2].put_progress(writer.run_id, writer.fence, f"a#1[{n}]", bytes([n]))
                for n in range(10)
            )
        )

        assert await store.progress(writer.run_id) == {f"a#1[{n}]": bytes([n]) for n in range(10)}

    async def test_a_load_meets_a_prune(self, store: Store, other: Store) -> None:
        """It reads all that the checkpoint is folded from, or learns that it is gone; never a part."""
        writer = await begun(store)
        for _ in range(ROUNDS):
            rows = [row for k in ("snapshot", "delta", "snapshot") for row in await writer.commit(kind=k)]
            first, second, head = rows

            before, pruned, after, whole = await asyncio.gather(
                store.load(writer.run_id, second.seq),
                other.prune(writer.run_id, [first.seq, second.seq]),
                store.load(writer.run_id, second.seq),
                store.load(writer.run_id),
                return_exceptions=True,
            )

            assert (whole, pruned) == ([head], 2)
            for loaded in (before, after):
                assert loaded == [first, second] or isinstance(loaded, CheckpointNotFound)

    @pytest.mark.parametrize("keeping", ["hold", "pin"])
    async def test_who_keeps_a_checkpoint_meets_a_prune(
        self, store: Store, other: Store, keeping: str
    ) -> None:
        """Told that it is kept, it is there and stays; told that it is not there, it is gone."""
        for n in range(ROUNDS):
            writer = await begun(store)
            rows = await writer.commit(2, kind="snapshot")
            keep = (
                store.hold(rows[0].id, "child") if keeping == "hold" else store.pin(rows[0].id, pinned=True)
            )

            prune = other.prune(writer.run_id, [1])

            if n % 2:
                kept, _ = await asyncio.gather(keep, prune, return_exceptions=True)
            else:
                _, kept = await asyncio.gather(prune, keep, return_exceptions=True)

            assert kept is None or isinstance(kept, CheckpointNotFound)
            await other.prune(writer.run_id, [1])
            assert await seqs(store, writer.run_id) == ([2, 1] if kept is None else [2])

    async def test_a_commit_meets_a_prune(self, store: Store, other: Store) -> None:
        """It is accepted as if nobody pruned, and finds all that it is folded from."""
        writer = await begun(store)
        rows = await writer.commit(kind="snapshot")
        for n in range(ROUNDS):
            rows += await writer.commit()
            more, drop = writer.batch(), list(range(1, writer.seq + 1))

            first, second = writer.send(more), other.prune(writer.run_id, drop)
            await asyncio.gather(*((first, second) if n % 2 else (second, first)))

            rows += more
            assert await store.load(writer.run_id) == rows

    async def test_two_prunes_at_once_take_each_checkpoint_once(self, store: Store, other: Store) -> None:
        """And leave the gaps of one that did both."""
        writer = await begun(store)
        rows = await writer.commit(6, kind="snapshot")

        one, two = await asyncio.gather(
            store.prune(writer.run_id, [1, 2, 4]), other.prune(writer.run_id, [2, 3, 4])
        )

        (gap,) = await store.gaps(writer.run_id)
        assert one + two == 4
        assert (gap.first_seq, gap.last_seq, gap.hash_after) == (1, 4, rows[4].hash)

    async def test_a_commit_meets_a_deletion(self, store: Store, other: Store) -> None:
        """Whatever it is told, nothing is left of the run and nothing comes back."""
        for _ in range(ROUNDS):
            writer = await begun(store)
            rows = writer.batch(2)

            answer, deleted = await asyncio.gather(
                writer.send(rows), other.delete_run(writer.run_id), return_exceptions=True
            )

            assert answer is None or isinstance(answer, RunNotFound)
            assert deleted is True
            assert await store.checkpoints(writer.run_id) == []
            with pytest.raises(RunNotFound):
                await store.run(writer.run_id)
            with pytest.raises(CheckpointNotFound):
                await store.checkpoint(rows[0].id)

    async def test_a_hold_meets_the_deletion_of_its_origin(self, store: Store, other: Store) -> None:
        """The fork gets its origin and the run stays, or the run goes and the fork learns of it."""
        for _ in range(ROUNDS):
            writer = await begun(store)
            rows = await writer.commit(2)

            held, deleted = await asyncio.gather(
                store.hold(rows[1].id, "child"), other.delete_run(writer.run_id), return_exceptions=True
            )

            if held is None:
                assert isinstance(deleted, HistoryConflict)
                assert await other.load(writer.run_id) == rows
            else:
                assert isinstance(held, CheckpointNotFound)
                assert deleted is True

    async def test_of_two_deletions_at_once_one_did_it(self, store: Store, other: Store) -> None:
        """The other one is told that there was nothing."""
        for _ in range(ROUNDS):
            writer = await begun(store)

            answers = await asyncio.gather(store.delete_run(writer.run_id), other.delete_run(writer.run_id))

            assert sorted(answers) == [False, True]

    async def test_a_watcher_misses_no_commit(self, store: Store, other: Store) -> None:
        """It asks again and again with the newest cursor, while runs are written from two sides."""
        sides = [[await begun(side) for _ in range(12)] for side in (store, other)]
        _, cursor = await other.changed("")
        seen: set[str] = set()
        writing = asyncio.gather(*(_commit_one_after_the_other(writers) for writers in sides))

        while True:
            over = writing.done()
            named, cursor = await other.changed(cursor)
            seen |= set(named)
            if over:
                break
            await asyncio.sleep(0)

        await writing
        assert seen == {writer.run_id for writers in sides for writer in writers}


async def _commit_one_after_the_other(writers: list[Writer]) -> None:
    """Commit once to each run: what is missed now is not named later for another reason."""
    for writer in writers:
        await writer.commit()
        await asyncio.sleep(0)
