"""Annotations: notes beside a run, and what `heads` tells of a run without reading its row."""

from __future__ import annotations

from datetime import timedelta

import pytest

from cairn_runtime.errors import RunNotFound
from cairn_runtime.model.ids import new_id, utc_now
from cairn_runtime.store.base import NewSignal, Outcome, Store, Wait
from cairn_runtime.store.contract.cases import StoreCase, begun, new_run


class TestAnnotations(StoreCase):
    """Notes are set by name, by anybody, and are no part of the history."""

    async def test_a_run_keeps_the_notes_that_it_was_made_with(self, store: Store) -> None:
        """Any JSON values, as they were."""
        notes = {"installation": "blue", "attempts": {"epoch": 3, "cause": None, "share": 0.5}}
        run = await store.create_run(new_run(annotations=notes))

        assert run.annotations == notes
        assert (await store.run(run.run_id)).annotations == notes
        assert (await store.runs(workflow=run.workflow))[0].annotations == notes

    async def test_a_note_is_set_by_name_and_null_takes_it_away(self, store: Store) -> None:
        """Names that are not given stay; to take away what is not there is nothing."""
        run = await store.create_run(new_run(annotations={"a": 1, "b": 2}))

        await store.annotate(run.run_id, {"b": {"deep": [1, None]}, "c": "t\u00e4g", "nobody": None})
        await store.annotate(run.run_id, {"a": None})
        await store.annotate(run.run_id, {"a": None})

        assert (await store.run(run.run_id)).annotations == {"b": {"deep": [1, None]}, "c": "t\u00e4g"}

    async def test_notes_change_nothing_else(self, store: Store) -> None:
        """Not the row's time, nor what has changed, nor the fence."""
        writer = await begun(store)
        await writer.commit()
        before = await store.run(writer.run_id)
        _, cursor = await store.changed("")

        await store.annotate(writer.run_id, {"note": "later"})

        after = await store.run(writer.run_id)
        assert (after.updated_at, after.fence, after.head_seq) == (before.updated_at, before.fence, 1)
        assert (await store.changed(cursor))[0] in ([], [writer.run_id])  # it may repeat
        await writer.commit()

    async def test_notes_need_a_run(self, store: Store) -> None:
        """Of an unknown and of a deleted run: nothing is made."""
        run = await store.create_run(new_run(annotations={"a": 1}))
        await store.delete_run(run.run_id)

        for run_id in (run.run_id, new_id()):
            with pytest.raises(RunNotFound):
                await store.annotate(run_id, {"a": 2})


class TestHeads(StoreCase):
    """A head tells whether a runner lives and whether one is needed."""

    async def test_a_head_says_what_the_row_says(self, store: Store) -> None:
        """Sign of life, wake-up time and unconsumed signals, as they are in the run's row."""
        writer = await begun(store)
        wake_at = utc_now() + timedelta(hours=1)
        wait = Wait("sign#1", "signal", "go", until=wake_at)
        await writer.commit(outcome=Outcome("Waiting", waits=(wait,), wake_at=wake_at))
        await store.heartbeat(writer.run_id, writer.fence)
        await store.send(writer.run_id, NewSignal("go", 1, "client"))

        run = await store.run(writer.run_id)
        head = (await store.heads([writer.run_id]))[writer.run_id]

        assert (head.heartbeat_at, head.wake_at) == (run.heartbeat_at, run.wake_at)
        assert (head.signals_pending, run.signals_pending) == (1, 1)

    async def test_a_head_shows_each_heartbeat(self, store: Store) -> None:
        """Before the first claim there is none; a heartbeat moves it and moves nothing else."""
        run = await store.create_run(new_run())
        unclaimed = (await store.heads([run.run_id]))[run.run_id]
        fence = await store.claim(run.run_id, 0, new_id())
        claimed = (await store.heads([run.run_id]))[run.run_id]
        await store.heartbeat(run.run_id, fence)
        alive = (await store.heads([run.run_id]))[run.run_id]

        assert unclaimed.heartbeat_at is None
        assert claimed.heartbeat_at is not None
        assert alive.heartbeat_at is not None
        assert alive.heartbeat_at > claimed.heartbeat_at
        assert alive._replace(heartbeat_at=None) == claimed._replace(heartbeat_at=None)
