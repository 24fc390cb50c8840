"""Pins, holds, prunes and gaps: what may go, and what never does."""

from __future__ import annotations

import pytest

from cairn_runtime.errors import CheckpointNotFound, RunNotFound
from cairn_runtime.model.ids import new_id
from cairn_runtime.store.base import GENESIS_HASH, Checkpoint, Gap, Store
from cairn_runtime.store.contract.cases import StoreCase, Writer, begun, new_run, seqs


async def line(store: Store, kinds: str) -> tuple[Writer, list[Checkpoint]]:
    """Commit a history: `d` is a delta, `S` a snapshot."""
    writer = await begun(store)
    rows = writer.batch(len(kinds))
    rows = [
        row._replace(kind="delta" if k == "d" else "snapshot") for row, k in zip(rows, kinds, strict=True)
    ]
    await writer.send(rows)
    return writer, rows


class TestPrune(StoreCase):
    """What `prune` may take."""

    @pytest.mark.parametrize(
        ("kinds", "drop", "left"),
        [
            pytest.param("ddd", [1, 2, 3], [3, 2, 1], id="the head is folded from all of them"),
            pytest.param("ddS", [1, 2, 3], [3], id="nothing before the head's snapshot"),
            pytest.param("ddSdd", [1, 2, 3, 4, 5], [5, 4, 3], id="the head's snapshot and deltas stay"),
            pytest.param("dSddSd", [1, 2, 3, 4], [6, 5], id="a whole chain goes"),
            pytest.param("dSddSd", [2, 3], [6, 5, 4, 3, 2, 1], id="a delta that stays needs its chain"),
            pytest.param("dSddSd", [3, 4], [6, 5, 2, 1], id="the end of a chain goes alone"),
            pytest.param("dSddSd", [1], [6, 5, 4, 3, 2], id="what a snapshot follows is not needed by it"),
            pytest.param("SSSS", [2], [4, 3, 1], id="one of many snapshots"),
            pytest.param("SSSS", [], [4, 3, 2, 1], id="nothing was asked for"),
            pytest.param("SSSS", [9, 0, -1], [4, 3, 2, 1], id="what is not there"),
            pytest.param("SSSS", [1, 1, 2, 2], [4, 3], id="the same twice"),
        ],
    )
    async def test_only_what_nothing_needs_goes(
        self, store: Store, kinds: str, drop: list[int], left: list[int]
    ) -> None:
        """The head stays, and all that any checkpoint that stays is folded from."""
        writer, _ = await line(store, kinds)

        gone = await store.prune(writer.run_id, drop)

        assert await seqs(store, writer.run_id) == left
        assert gone == len(kinds) - len(left)

    async def test_a_long_history_is_pruned_in_batches(self, store: Store) -> None:
        """Batch by batch, newest first, the same goes as at once, and the gaps are the same."""
        writer, rows = await line(store, "Sdddddd" * 8 + "Sdd")
        await store.pin(rows[15].id, pinned=True)
        drop = list(range(56, 0, -1))

        gone = [await store.prune(writer.run_id, drop[n : n + 9]) for n in range(0, 56, 9)]

        assert sum(gone) == 54
        assert await seqs(store, writer.run_id) == [59, 58, 57, 16, 15]
        assert await store.gaps(writer.run_id) == [
            Gap(1, 14, GENESIS_HASH, rows[14].hash),
            Gap(17, 56, rows[15].hash, rows[56].hash),
        ]
        assert await store.load(writer.run_id) == rows[56:]

    async def test_a_prune_leaves_the_row_as_it_was(self, store: Store) -> None:
        """Counts are of what was ever committed."""
        writer, _ = await line(store, "SSS")
        before = await store.run(writer.run_id)

        await store.prune(writer.run_id, [1, 2])

        assert await store.run(writer.run_id) == before

    async def test_pruned_checkpoints_are_not_found(self, store: Store) -> None:
        """Neither by id nor by search; those beside them are."""
        writer, rows = await line(store, "SSS")

        await store.prune(writer.run_id, [2])

        with pytest.raises(CheckpointNotFound):
            await store.checkpoint(rows[1].id)
        assert await store.find_checkpoints(rows[1].id) == []
        assert await store.checkpoint(rows[0].id) == rows[0]
        assert await store.load(writer.run_id, 1) == [rows[0]]

    async def test_a_writer_goes_on_after_a_prune(self, store: Store) -> None:
        """Pruning is never in a writer's way."""
        writer, _ = await line(store, "dSd")
        await store.prune(writer.run_id, [1])

        await writer.commit(2)

        assert [row.seq for row in await store.load(writer.run_id)] == [2, 3, 4, 5]

    async def test_pruning_an_unknown_run_is_not_found(self, store: Store) -> None:
        """There is nothing to prune."""
        with pytest.raises(RunNotFound):
            await store.prune("unknown", [1])


class TestGaps(StoreCase):
    """How a prune is written down."""

    async def test_a_gap_names_the_hashes_on_both_sides(self, store: Store) -> None:
        """The first and last seq that went, and the checkpoints that now stand beside the gap."""
        writer, rows = await line(store, "SSSSSS")

        await store.prune(writer.run_id, [2, 3, 5])

        assert await store.gaps(writer.run_id) == [
            Gap(2, 3, rows[0].hash, rows[3].hash),
            Gap(5, 5, rows[3].hash, rows[5].hash),
        ]

    async def test_a_gap_at_the_beginning_begins_at_genesis(self, store: Store) -> None:
        """Before checkpoint 1 stands the hash that a run begins with."""
        writer, rows = await line(store, "SSS")

        await store.prune(writer.run_id, [1])

        assert await store.gaps(writer.run_id) == [Gap(1, 1, GENESIS_HASH, rows[1].hash)]

    async def test_adjacent_gaps_become_one(self, store: Store) -> None:
        """Prune after prune, a hole is one gap."""
        writer, rows = await line(store, "SSSSSS")

        for drop in ([2], [4], [3], [1]):
            await store.prune(writer.run_id, drop)

        assert await store.gaps(writer.run_id) == [Gap(1, 4, GENESIS_HASH, rows[4].hash)]

    async def test_a_prune_of_nothing_leaves_no_gap(self, store: Store) -> None:
        """What stays leaves no hole."""
        writer, _ = await line(store, "ddd")

        assert await store.prune(writer.run_id, [1, 2]) == 0
        assert await store.gaps(writer.run_id) == []


class TestPins(StoreCase):
    """What `pin` promises."""

    async def test_a_pinned_checkpoint_stays_with_its_chain(self, store: Store) -> None:
        """Until it is let go."""
        writer, rows = await line(store, "SddSdS")
        await store.pin(rows[1].id, pinned=True)

        await store.prune(writer.run_id, [1, 2, 3, 4, 5])
        pinned = await seqs(store, writer.run_id)
        await store.pin(rows[1].id, pinned=False)
        await store.prune(writer.run_id, [1, 2, 3, 4, 5])

        assert pinned == [6, 2, 1]
        assert await seqs(store, writer.run_id) == [6]

    async def test_pins_are_listed_and_set_twice_without_harm(self, store: Store) -> None:
        """Pinning is a state, not a count."""
        writer, rows = await line(store, "SSS")

        await store.pin(rows[0].id, pinned=True)
        await store.pin(rows[0].id, pinned=True)
        await store.pin(rows[2].id, pinned=True)
        await store.pin(rows[1].id, pinned=False)
        both = await store.pins(writer.run_id)
        await store.pin(rows[0].id, pinned=False)

        assert both == {1, 3}
        assert await store.pins(writer.run_id) == {3}

    async def test_pinning_what_is_not_there_is_not_found(self, store: Store) -> None:
        """A pin on nothing would be forgotten silently."""
        with pytest.raises(CheckpointNotFound):
            await store.pin("nothing", pinned=True)


class TestHolds(StoreCase):
    """How a fork keeps its origin."""

    async def test_a_held_checkpoint_stays_with_its_chain(self, store: Store) -> None:
        """From before the child is created until it lets go."""
        writer, rows = await line(store, "SddSdS")
        child = new_id()
        await store.hold(rows[2].id, child)

        await store.prune(writer.run_id, [1, 2, 3, 4, 5])
        before_child = await seqs(store, writer.run_id)
        await store.create_run(new_run(run_id=child))
        await store.prune(writer.run_id, [1, 2, 3, 4, 5])
        with_child = await seqs(store, writer.run_id)
        await store.release_hold(child)
        await store.prune(writer.run_id, [1, 2, 3, 4, 5])

        assert before_child == with_child == [6, 3, 2, 1]
        assert await seqs(store, writer.run_id) == [6]

    async def test_holds_are_listed_by_child(self, store: Store) -> None:
        """Several forks may come from one checkpoint; the same hold again is nothing."""
        writer, rows = await line(store, "SSS")

        for seq, child in ((1, "x"), (1, "y"), (1, "x"), (3, "z")):
            await store.hold(rows[seq - 1].id, child)
        held = await store.holds(writer.run_id)
        await store.release_hold("x")
        await store.release_hold("nobody")

        assert held == {1: {"x", "y"}, 3: {"z"}}
        assert await store.holds(writer.run_id) == {1: {"y"}, 3: {"z"}}

    async def test_a_hold_ends_with_the_childs_first_checkpoint(self, store: Store) -> None:
        """A child that died before it could let go keeps nothing for ever."""
        writer, rows = await line(store, "SSS")
        child = await begun(store)
        await store.hold(rows[0].id, child.run_id)
        await child.commit(kind="snapshot")

        await store.prune(writer.run_id, [1, 2])

        assert await seqs(store, writer.run_id) == [3]
        assert await store.holds(writer.run_id) == {}

    async def test_a_hold_ends_with_the_child(self, store: Store) -> None:
        """A deleted child needs no origin."""
        writer, rows = await line(store, "SSS")
        child = await store.create_run(new_run())
        await store.hold(rows[0].id, child.run_id)
        await store.delete_run(child.run_id)

        await store.prune(writer.run_id, [1])

        assert await seqs(store, writer.run_id) == [3, 2]

    async def test_holding_what_is_not_there_is_not_found(self, store: Store) -> None:
        """A fork learns at once that its origin is gone."""
        with pytest.raises(CheckpointNotFound):
            await store.hold("nothing", "child")
