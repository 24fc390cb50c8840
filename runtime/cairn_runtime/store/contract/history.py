"""Reading checkpoints: listed, found by id, and loaded with what they are folded from."""

from __future__ import annotations

import pytest

from cairn_runtime.errors import CheckpointNotFound, RunNotFound
from cairn_runtime.model.values import JSONValue
from cairn_runtime.store.base import FOUND_AT_MOST, Store
from cairn_runtime.store.chain import is_sealed, verify_history, verify_payloads
from cairn_runtime.store.contract.cases import CODEC, StoreCase, begun, new_run, seqs


class TestHistory(StoreCase):
    """What `checkpoints`, `checkpoint`, `find_checkpoints` and `load` promise."""

    async def test_headers_come_newest_first_without_payloads(self, store: Store) -> None:
        """A listing is the rows as they were, but for the payload."""
        writer = await begun(store)
        rows = await writer.commit(3)

        listed = await store.checkpoints(writer.run_id)

        assert listed == [row._replace(payload=None) for row in reversed(rows)]

    async def test_pages_go_on_below_a_seq(self, store: Store) -> None:
        """`before` leaves out itself and everything newer; `limit` bounds the page."""
        writer = await begun(store)
        await writer.commit(7)

        first = await store.checkpoints(writer.run_id, limit=3)
        second = await store.checkpoints(writer.run_id, before=first[-1].seq, limit=3)
        third = await store.checkpoints(writer.run_id, before=second[-1].seq, limit=3)

        assert [row.seq for row in [*first, *second, *third]] == [7, 6, 5, 4, 3, 2, 1]
        assert await store.checkpoints(writer.run_id, before=1) == []

    async def test_an_unknown_checkpoint_is_not_found(self, store: Store) -> None:
        """Reading by an id that is not there is an error that names it."""
        with pytest.raises(CheckpointNotFound, match="no-such-id"):
            await store.checkpoint("no-such-id")

    async def test_checkpoints_are_found_by_either_end_of_the_id(self, store: Store) -> None:
        """People type the first or the last characters of an id."""
        writer = await begun(store)
        rows = writer.batch(3)
        rows = [row._replace(id=f"{n}aaa-{n}bbb") for n, row in enumerate(rows)]
        await writer.send(rows)

        assert [row.id for row in await store.find_checkpoints("1aaa")] == ["1aaa-1bbb"]
        assert [row.id for row in await store.find_checkpoints("2bbb")] == ["2aaa-2bbb"]
        assert [row.id for row in await store.find_checkpoints("bbb")] == [
            "2aaa-2bbb",
            "1aaa-1bbb",
            "0aaa-0bbb",
        ]
        assert await store.find_checkpoints("%") == []
        assert await store.find_checkpoints("aaa-") == []
        assert (await store.find_checkpoints("1aaa"))[0].payload is None

    async def test_no_more_are_found_than_a_person_reads(self, store: Store) -> None:
        """The newest ids win."""
        writer = await begun(store)
        rows = writer.batch(FOUND_AT_MOST + 5)
        rows = [row._replace(id=f"x{row.seq:04}") for row in rows]
        await writer.send(rows)

        found = await store.find_checkpoints("x")

        assert [row.seq for row in found] == list(range(FOUND_AT_MOST + 5, 5, -1))

    async def test_load_begins_at_the_newest_snapshot(self, store: Store) -> None:
        """Folding never reads further back than the snapshot before."""
        writer = await begun(store)
        await writer.commit(3)
        await writer.commit(kind="snapshot")
        await writer.commit(2)

        assert [row.seq for row in await store.load(writer.run_id)] == [4, 5, 6]
        assert [row.seq for row in await store.load(writer.run_id, 5)] == [4, 5]
        assert [row.seq for row in await store.load(writer.run_id, 4)] == [4]
        assert [row.seq for row in await store.load(writer.run_id, 3)] == [1, 2, 3]
        assert all(row.payload for row in await store.load(writer.run_id))

    async def test_a_run_without_checkpoints_loads_nothing(self, store: Store) -> None:
        """A fresh run is an empty list, an unknown one an error."""
        run_id = (await store.create_run(new_run())).run_id

        assert await store.load(run_id) == []
        with pytest.raises(RunNotFound):
            await store.load("unknown")

    @pytest.mark.parametrize("seq", [0, -1, 4, 10**12])
    async def test_loading_a_seq_that_is_not_there_is_not_found(self, store: Store, seq: int) -> None:
        """A checkpoint that does not exist is never folded from the ones before it."""
        writer = await begun(store)
        await writer.commit(3)

        with pytest.raises(CheckpointNotFound):
            await store.load(writer.run_id, seq)

    async def test_loading_a_pruned_seq_is_not_found(self, store: Store) -> None:
        """Nor one that is there no more."""
        writer = await begun(store)
        await writer.commit(2)
        await writer.commit(kind="snapshot")
        await store.prune(writer.run_id, [1, 2])

        with pytest.raises(CheckpointNotFound):
            await store.load(writer.run_id, 2)

    @pytest.mark.parametrize(
        "value",
        [
            pytest.param([1.0, 1e22, 5e-324, -0.0, 0.1 + 0.2, 1.7976931348623157e308], id="fractions"),
            pytest.param([2**53 + 1, 2**63 - 1, -(2**63), 2**64 - 1], id="whole numbers"),
            pytest.param(["zero \0", "\u2028", "\U0001f9ed", "e\u0301", "\\u0000", ""], id="text"),
            pytest.param({"z": 1, "a": {"": None, "\u00e9": []}}, id="names in any order"),
        ],
    )
    async def test_a_header_comes_back_so_that_its_hash_fits(self, store: Store, value: JSONValue) -> None:
        """Metadata is under the hash: a number written otherwise, or text cut short, breaks the chain."""
        writer = await begun(store)
        rows = await writer.commit(2, metadata={"value": value})

        read = [*await store.load(writer.run_id), await store.checkpoint(rows[0].id)]
        listed = await store.checkpoints(writer.run_id)

        assert [is_sealed(row) for row in [*read, *listed]] == [True] * 5
        assert verify_history(listed) == []

    async def test_a_stored_history_can_be_proved(self, store: Store) -> None:
        """Chain and payloads verify, before and after a prune."""
        writer = await begun(store)
        await writer.commit(5)
        await writer.commit(kind="snapshot")
        await writer.commit(2)
        whole = verify_history(await store.checkpoints(writer.run_id))
        await store.prune(writer.run_id, [1, 2, 3, 4, 5])

        headers = await store.checkpoints(writer.run_id)
        found = verify_history(headers, await store.gaps(writer.run_id))

        assert whole == []
        assert [(f.reason, f.first_seq, f.last_seq, f.fault) for f in found] == [("Pruned", 1, 5, False)]
        assert list(verify_payloads(await store.load(writer.run_id), CODEC)) == []
        assert await seqs(store, writer.run_id) == [8, 7, 6]
