"""Other bytes for stored payloads: what a new key asks of a store, and what nobody may see of it."""

from __future__ import annotations

import asyncio

import pytest

from cairn_runtime.errors import RunNotFound
from cairn_runtime.store.base import Checkpoint, Store, Swap
from cairn_runtime.store.chain import verify_history, verify_payloads
from cairn_runtime.store.contract.cases import CODEC, StoreCase, StoreFactory, begun, repacked
from cairn_runtime.store.contract.pictures import picture


def swap_of(row: Checkpoint, new: bytes = b"") -> Swap:
    """The swap that packs a checkpoint in another way."""
    payload = row.payload or b""
    return Swap(row.seq, payload, new or repacked(payload))


class TestSwaps(StoreCase):
    """What `swap_payloads` and `swap_progress` promise."""

    async def test_payloads_are_exchanged_and_nothing_else(self, store: Store) -> None:
        """Headers, hashes, sizes, the row, pins and signals are what they were; the history verifies."""
        writer = await begun(store)
        rows = [*await writer.commit(2), *await writer.commit(kind="snapshot"), *await writer.commit(2)]
        await store.pin(rows[0].id, pinned=True)
        before = await picture(store, writer.run_id)
        swaps = [swap_of(row) for row in rows]

        assert await store.swap_payloads(writer.run_id, swaps) == 5

        after = await picture(store, writer.run_id)
        expected = [row._replace(payload=swap.new) for row, swap in zip(rows, swaps, strict=True)]
        assert await store.load(writer.run_id) == expected[2:]
        assert [await store.checkpoint(row.id) for row in rows] == expected
        assert {**after, "loaded": None} == {**before, "loaded": None}
        assert verify_history(await store.checkpoints(writer.run_id)) == []
        assert list(verify_payloads(expected, CODEC)) == []

    async def test_only_what_is_still_the_old_bytes_is_exchanged(self, store: Store) -> None:
        """Whoever was overtaken changes nothing, for each payload by itself."""
        writer = await begun(store)
        rows = await writer.commit(3)
        stale = Swap(2, b"what was never there", b"never")

        answer = await store.swap_payloads(writer.run_id, [swap_of(rows[0]), stale, swap_of(rows[2])])

        loaded = await store.load(writer.run_id)
        assert answer == 2
        assert [row.payload for row in loaded] == [
            repacked(rows[0].payload or b""),
            rows[1].payload,
            repacked(rows[2].payload or b""),
        ]

    async def test_the_same_swap_again_answers_the_same(self, store: Store) -> None:
        """What stands as its new bytes counts, whoever put it there."""
        writer = await begun(store)
        rows = await writer.commit(2)
        swaps = [swap_of(row) for row in rows]

        answers = [await store.swap_payloads(writer.run_id, swaps) for _ in range(3)]

        assert answers == [2, 2, 2]
        assert [row.payload for row in await store.load(writer.run_id)] == [swap.new for swap in swaps]

    async def test_what_is_gone_is_passed_over(self, store: Store) -> None:
        """Pruned, never there, or a number that cannot be one; nothing comes back."""
        writer = await begun(store)
        rows = [*await writer.commit(2), *await writer.commit(kind="snapshot")]
        await store.prune(writer.run_id, [1, 2])
        numbers = [0, -1, 9, 2**40, 2**70]
        swaps = [swap_of(row) for row in rows] + [Swap(seq, b"old", b"new") for seq in numbers]

        assert await store.swap_payloads(writer.run_id, swaps) == 1
        assert await store.swap_payloads(writer.run_id, []) == 0

        assert [row.seq for row in await store.checkpoints(writer.run_id)] == [3]

    async def test_runs_do_not_meet(self, store: Store) -> None:
        """The same numbers in another run are another run's."""
        one, two = await begun(store), await begun(store)
        rows, others = await one.commit(2), await two.commit(2)

        await store.swap_payloads(one.run_id, [swap_of(rows[0]), Swap(2, others[1].payload or b"", b"other")])

        assert [row.payload for row in await store.load(two.run_id)] == [row.payload for row in others]
        assert (await store.load(one.run_id))[1].payload == rows[1].payload

    async def test_a_run_that_is_not_there_is_not_found(self, store: Store) -> None:
        """Never created, or deleted: nothing is written, nothing is revived."""
        writer = await begun(store)
        rows = await writer.commit(1)
        await store.put_progress(writer.run_id, writer.fence, "a#1", b"one")
        await store.delete_run(writer.run_id)

        for run_id in ("unknown", writer.run_id):
            with pytest.raises(RunNotFound):
                await store.swap_payloads(run_id, [swap_of(rows[0])])
            with pytest.raises(RunNotFound):
                await store.swap_progress(run_id, "a#1", b"one", b"two")
        assert await store.progress(writer.run_id) == {}

    async def test_writers_go_on_amid_swaps(self, store: Store, store_factory: StoreFactory) -> None:
        """Commits and swaps come from two sides at once; neither loses anything of the other."""
        other = store_factory()
        await other.open()
        writer = await begun(store)
        rows = await writer.commit(4)

        async def write() -> None:
            for _ in range(10):
                rows.extend(await writer.commit(1))

        async def swap() -> int:
            return sum([await other.swap_payloads(writer.run_id, [swap_of(row)]) for row in rows[:4]])

        _, done = await asyncio.gather(write(), swap())
        loaded = await store.load(writer.run_id)
        await other.close()

        assert done == 4
        assert [row.payload for row in loaded[4:]] == [row.payload for row in rows[4:]]
        assert list(verify_payloads(loaded, CODEC)) == []
        assert verify_history(await store.checkpoints(writer.run_id)) == []

    async def test_large_and_odd_bytes_are_exchanged(self, store: Store) -> None:
        """A mebibyte, every byte there is, and fewer bytes than before."""
        writer = await begun(store)
        rows = await writer.commit(2)
        news = [bytes(range(256)) * 4096, b"\0"]

        done = await store.swap_payloads(
            writer.run_id, [swap_of(row, new) for row, new in zip(rows, news, strict=True)]
        )

        assert done == 2
        assert [row.payload for row in await store.load(writer.run_id)] == news

    async def test_swaps_last(self, store: Store, store_factory: StoreFactory) -> None:
        """Another opening of the same place reads the new bytes."""
        writer = await begun(store)
        rows = await writer.commit(1)
        await store.swap_payloads(writer.run_id, [swap_of(rows[0])])
        other = store_factory()
        await other.open()

        [row] = await other.load(writer.run_id)
        await other.close()

        assert row.payload == repacked(rows[0].payload or b"")

    async def test_progress_is_exchanged_where_it_is_still_the_old(self, store: Store) -> None:
        """Of this task of this run; what is newer stays, and the same again answers the same."""
        one, two = await begun(store), await begun(store)
        for writer in (one, two):
            await store.put_progress(writer.run_id, writer.fence, "b#2[17]", b"half")

        answers = [
            await store.swap_progress(one.run_id, "b#2[17]", b"half", bytes(range(256))),
            await store.swap_progress(one.run_id, "b#2[17]", b"half", bytes(range(256))),
            await store.swap_progress(one.run_id, "b#2[17]", b"half", b"late"),
            await store.swap_progress(one.run_id, "c#1", b"half", b"new"),
        ]

        assert answers == [True, True, False, False]
        assert await store.progress(one.run_id) == {"b#2[17]": bytes(range(256))}
        assert await store.progress(two.run_id) == {"b#2[17]": b"half"}
