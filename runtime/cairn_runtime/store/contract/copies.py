"""Copies: reading a whole history page by page, and bringing it into another store as it was."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from cairn_runtime.errors import HistoryConflict, RunNotFound, Superseded
from cairn_runtime.model.ids import new_id
from cairn_runtime.store.base import (
    IMPORTING,
    READ_BYTES,
    READ_ROWS,
    Checkpoint,
    Fence,
    Gap,
    Outcome,
    Store,
)
from cairn_runtime.store.chain import sealed, verify_history
from cairn_runtime.store.contract.cases import StoreCase, Writer, begun, new_run, seqs


def copied(run_id: str, count: int = 6) -> list[Checkpoint]:
    """A history of snapshots as another store would have it: one half under epoch 3, one under 5."""
    rows: list[Checkpoint] = []
    for epoch in (3, 5):
        writer = Writer(NOWHERE, run_id, Fence(epoch, ""), len(rows), rows[-1].hash if rows else "0" * 64)
        rows += writer.batch(count // 2, kind="snapshot")
    return rows


NOWHERE: Any = None
"""The store of a writer that only builds."""


def gap_before(row: Checkpoint, before: Checkpoint) -> Gap:
    """The gap that a prune left between two checkpoints."""
    return Gap(before.seq + 1, row.seq - 1, before.hash, row.hash)


async def arriving(store: Store) -> tuple[str, Fence]:
    """Make the row of a run that comes from another store."""
    fence = Fence(5, new_id())
    run = await store.import_run(new_run(), fence)
    return run.run_id, fence


class TestReading(StoreCase):
    """`read` gives everything, in order, in pages that fit into memory."""

    async def test_pages_together_are_the_whole_history(self, store: Store) -> None:
        """With payloads, ascending; a full page is not the end, an empty one is."""
        writer = await begun(store)
        rows = [row for _ in range(3) for row in await writer.commit(READ_ROWS // 2)]

        found: list[Checkpoint] = []
        while page := await store.read(writer.run_id, after=found[-1].seq if found else 0):
            assert len(page) <= READ_ROWS
            found += page

        assert found == rows

    async def test_a_page_is_bounded_by_its_bytes(self, store: Store) -> None:
        """As many as fit; one that is larger than a page comes alone."""
        writer = await begun(store)
        for size in (10, READ_BYTES // 2, READ_BYTES // 2, READ_BYTES + 1, 10, 10):
            await writer.commit(payload=b"x" * size, size=size)

        pages: list[list[int]] = []
        while page := await store.read(writer.run_id, after=pages[-1][-1] if pages else 0):
            pages.append([row.seq for row in page])

        assert pages == [[1, 2], [3], [4], [5, 6]]

    async def test_reading_begins_behind_any_seq(self, store: Store) -> None:
        """One that was pruned too; behind the head, and of an unknown run, there is nothing."""
        writer = await begun(store)
        rows = await writer.commit(4, kind="snapshot")
        await store.prune(writer.run_id, [2])

        assert await store.read(writer.run_id, after=1) == rows[2:]
        assert await store.read(writer.run_id, after=2) == rows[2:]
        for after in (4, 5, 2**31):
            assert await store.read(writer.run_id, after=after) == []
        assert await store.read(new_id()) == []

    async def test_a_deleted_run_is_not_read(self, store: Store) -> None:
        """Nothing of it is there."""
        writer = await begun(store)
        await writer.commit()
        await store.delete_run(writer.run_id)

        assert await store.read(writer.run_id) == []


class TestImportedRows(StoreCase):
    """`import_run`: the row of a run that comes from elsewhere."""

    async def test_a_run_that_arrives_is_stopped_and_held(self, store: Store) -> None:
        """Nobody takes it for unfinished, and only who brings it may write; else it is as it was made."""
        new, fence = new_run(annotations={"from": "elsewhere"}), Fence(7, new_id())

        run = await store.import_run(new, fence)

        assert (run.phase, run.reason, run.finished) == ("Cancelled", IMPORTING, True)
        assert (run.fence, run.head_seq, run.checkpoints) == (fence, 0, 0)
        assert (run.manifest, run.annotations) == (new.manifest, new.annotations)
        assert await store.run(run.run_id) == run
        assert run.run_id in (await store.changed(""))[0]

    async def test_a_row_that_is_there_is_answered_as_it_is(self, store: Store) -> None:
        """An import never changes a run that lives here, nor takes its fence."""
        writer = await begun(store, run_id=new_id())
        await writer.commit(outcome=Outcome("Running"))
        before = await store.run(writer.run_id)

        answered = await store.import_run(new_run(run_id=writer.run_id), Fence(9, new_id()))

        assert answered == before == await store.run(writer.run_id)
        await writer.commit()

    async def test_a_strangers_or_deleted_id_is_refused(self, store: Store) -> None:
        """As by `create_run`: nothing is overwritten and nothing is revived."""
        taken = await store.create_run(new_run())
        gone = await store.create_run(new_run())
        await store.delete_run(gone.run_id)

        for run_id, workflow in ((taken.run_id, "default/other/1"), (gone.run_id, gone.workflow)):
            with pytest.raises(HistoryConflict):
                await store.import_run(new_run(run_id=run_id, workflow=workflow), Fence(1, new_id()))

    async def test_a_fence_needs_a_claim(self, store: Store) -> None:
        """An empty one is what nobody holds."""
        with pytest.raises(ValueError, match="claim"):
            await store.import_run(new_run(), Fence(1, ""))

    async def test_a_claim_takes_a_run_from_who_brings_it(self, store: Store) -> None:
        """So an import that was broken off can be gone on with, and the first one is fenced off."""
        run_id, fence = await arriving(store)
        rows = copied(run_id)
        await store.import_checkpoints(run_id, fence, 0, rows[:3], [])

        later = await store.claim(run_id, fence.epoch, new_id())

        with pytest.raises(Superseded):
            await store.import_checkpoints(run_id, fence, 3, rows[3:], [])
        await store.import_checkpoints(run_id, later, 3, rows[3:], [])
        assert await store.read(run_id) == rows


class TestImportedCheckpoints(StoreCase):
    """`import_checkpoints`: a history as it was elsewhere."""

    async def test_checkpoints_come_as_they_were(self, store: Store) -> None:
        """Ids, epochs, hashes and bytes; counts and head follow, phase and reason stay."""
        run_id, fence = await arriving(store)
        rows = copied(run_id)

        await store.import_checkpoints(run_id, fence, 0, rows[:2], [])
        await store.import_checkpoints(run_id, fence, 2, rows[2:], [])

        run = await store.run(run_id)
        assert await store.read(run_id) == rows
        assert await store.load(run_id) == rows[-1:]
        assert await store.checkpoint(rows[3].id) == rows[3]
        assert (run.head_seq, run.head_id, run.head_hash) == (6, rows[-1].id, rows[-1].hash)
        assert (run.checkpoints, run.bytes) == (6, sum(row.size for row in rows))
        assert (run.phase, run.reason) == ("Cancelled", IMPORTING)
        assert verify_history(await store.checkpoints(run_id), await store.gaps(run_id)) == []

    async def test_gaps_come_with_what_stands_behind_them(self, store: Store) -> None:
        """At the beginning, in the middle, in a later batch; a prune here joins its own to them."""
        run_id, fence = await arriving(store)
        rows = copied(run_id, 10)
        first = Gap(1, 1, "0" * 64, rows[1].hash)
        kept = [rows[n] for n in (1, 2, 4, 5, 8, 9)]

        await store.import_checkpoints(run_id, fence, 0, kept[:3], [first, gap_before(kept[2], kept[1])])
        await store.import_checkpoints(run_id, fence, 5, kept[3:], [gap_before(kept[4], kept[3])])

        assert await seqs(store, run_id) == [10, 9, 6, 5, 3, 2]
        assert [(g.first_seq, g.last_seq) for g in await store.gaps(run_id)] == [(1, 1), (4, 4), (7, 8)]
        assert not any(f.fault for f in verify_history(kept, await store.gaps(run_id)))
        await store.prune(run_id, [3])
        assert (await store.gaps(run_id))[1] == Gap(3, 4, rows[1].hash, rows[4].hash)

    async def test_the_same_again_is_success(self, store: Store) -> None:
        """A reply that was lost is asked for again, also after others followed; nothing counts twice."""
        run_id, fence = await arriving(store)
        rows = copied(run_id)
        gap = Gap(1, 1, "0" * 64, rows[1].hash)
        await store.import_checkpoints(run_id, fence, 0, rows[1:3], [gap])
        await store.import_checkpoints(run_id, fence, 0, rows[1:3], [gap])
        await store.import_checkpoints(run_id, fence, 3, rows[3:], [])
        before = await store.run(run_id)

        await store.import_checkpoints(run_id, fence, 0, rows[1:3], [gap])

        assert await store.run(run_id) == before
        assert await store.gaps(run_id) == [gap]
        assert await store.read(run_id) == rows[1:]

    @pytest.mark.parametrize("what", ["the claim", "the epoch", "the head"])
    async def test_a_fence_or_head_that_is_not_the_rows_imports_nothing(
        self, store: Store, what: str
    ) -> None:
        """One writer holds for copies too."""
        run_id, fence = await arriving(store)
        rows = copied(run_id)
        await store.import_checkpoints(run_id, fence, 0, rows[:1], [])
        wrong = {"the claim": Fence(5, new_id()), "the epoch": Fence(4, fence.claim_id)}.get(what, fence)
        head = 2 if what == "the head" else 1

        with pytest.raises(Superseded):
            await store.import_checkpoints(run_id, wrong, head, rows[2:], [Gap(2, 2, "", "")] * (head == 1))

        assert await store.read(run_id) == rows[:1]
        assert await store.gaps(run_id) == []

    async def test_an_id_that_is_taken_imports_nothing(self, store: Store) -> None:
        """Neither of the batch: a forged file overwrites no checkpoint of another run."""
        writer = await begun(store)
        (theirs,) = await writer.commit()
        run_id, fence = await arriving(store)
        rows = copied(run_id)
        rows[2] = sealed(rows[2]._replace(id=theirs.id))

        with pytest.raises(HistoryConflict):
            await store.import_checkpoints(run_id, fence, 0, rows[:3], [])

        assert await store.read(run_id) == []
        assert await store.checkpoint(theirs.id) == theirs

    async def test_checkpoints_need_a_run(self, store: Store) -> None:
        """Of an unknown and of a deleted one: no row is made."""
        gone, fence = await arriving(store)
        await store.delete_run(gone)

        for run_id in (gone, new_id()):
            with pytest.raises(RunNotFound):
                await store.import_checkpoints(run_id, fence, 0, copied(run_id), [])

    @pytest.mark.parametrize(
        "what", ["descending", "another run", "no payload", "stray gap", "gap before a delta", "nothing"]
    )
    async def test_what_is_no_sequence_is_refused(self, store: Store, what: str) -> None:
        """A mistake of the caller, found before anything is asked of the store."""
        run_id, fence = await arriving(store)
        rows = copied(run_id)
        broken: dict[str, Callable[[], tuple[list[Checkpoint], list[Gap]]]] = {
            "descending": lambda: (rows[::-1], []),
            "another run": lambda: ([rows[0]._replace(run_id=new_id())], []),
            "no payload": lambda: ([rows[0]._replace(payload=None)], []),
            "stray gap": lambda: (rows[:2], [Gap(2, 2, "", "")]),
            "gap before a delta": lambda: ([rows[1]._replace(kind="delta")], [Gap(1, 1, "", "")]),
            "nothing": lambda: ([], []),
        }
        given, gaps = broken[what]()

        with pytest.raises(ValueError, match=r"."):
            await store.import_checkpoints(run_id, fence, 0, given, gaps)

        assert await store.read(run_id) == []

    async def test_a_copy_is_settled_by_a_change_of_its_row(self, store: Store) -> None:
        """Who brought it writes progress and the last word under the same fence; it is a run like others."""
        run_id, fence = await arriving(store)
        rows = copied(run_id)
        await store.import_checkpoints(run_id, fence, 0, rows, [])

        await store.put_progress(run_id, fence, "draft#1", b"half")
        await store.pin(rows[1].id, pinned=True)
        await store.commit(run_id, fence, 6, new_id(), [], Outcome("Succeeded", "", "as it was"))

        run = await store.run(run_id)
        assert (run.phase, run.reason, run.message) == ("Succeeded", "", "as it was")
        assert await store.progress(run_id) == {"draft#1": b"half"}
        assert await store.pins(run_id) == {2}
        await store.hold(rows[-1].id, new_id())
