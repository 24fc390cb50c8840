"""Rows of runs: created once, read whole, listed newest first."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest

from cairn_runtime.errors import HistoryConflict, RunNotFound
from cairn_runtime.model.ids import new_id
from cairn_runtime.store.base import MAX_HEADS, NewRun, Origin, Store
from cairn_runtime.store.contract.cases import StoreCase, begun, new_run


class TestRuns(StoreCase):
    """What `create_run`, `run`, `runs` and `heads` promise."""

    async def test_a_new_run_is_pending_and_unclaimed(self, store: Store) -> None:
        """A run begins with epoch 0, head 0, phase Pending, and the time of the store."""
        run = await store.create_run(new_run())

        assert (run.phase, run.epoch, run.claim_id, run.head_seq, run.head_id) == ("Pending", 0, "", 0, "")
        assert (run.checkpoints, run.bytes, run.signals_pending, run.runner) == (0, 0, 0, "")
        assert run.heartbeat_at is None
        assert run.created_at == run.updated_at
        assert run.created_at.tzinfo is not None

    async def test_every_field_is_read_as_it_was_written(self, store: Store) -> None:
        """What `create_run` was given comes back from `run`, whatever text it holds."""
        origin = Origin("parent", 7, "cp-7", {"a": [1, {"b": "\u00fc"}]}, "draft", ("x", "y"), ("z",))
        manifest = {
            "text": '\u20ac "quoted"\n\t\\',
            "number": 1.5,
            "nested": [[{}], None, True],
            "big": 2**53,
        }
        new = new_run(
            manifest=manifest, origin=origin, thread="t", folder="/code", trace_id="tr", spec_version=3
        )

        await store.create_run(new)
        run = await store.run(new.run_id)

        assert {f.name: getattr(run, f.name) for f in fields(NewRun)} == {
            f.name: getattr(new, f.name) for f in fields(NewRun)
        }

    async def test_a_thread_defaults_to_the_workflow(self, store: Store) -> None:
        """A run without a thread belongs to the thread named by its workflow."""
        run = await store.create_run(new_run(workflow="ns/name/uid"))

        assert run.thread == "ns/name/uid"

    async def test_creating_a_run_again_changes_nothing(self, store: Store) -> None:
        """The second `create_run` answers the row that is there, with all that happened since."""
        new = new_run()
        await store.create_run(new)
        await store.claim(new.run_id, 0, "claim")
        before = await store.run(new.run_id)

        again = await store.create_run(new_run(run_id=new.run_id, manifest={"other": True}))

        assert again == before

    async def test_a_run_id_belongs_to_one_workflow(self, store: Store) -> None:
        """Another Workflow cannot create a run under an id that is taken."""
        new = new_run(workflow="ns/one/1")
        await store.create_run(new)

        with pytest.raises(HistoryConflict, match="ns/one/1"):
            await store.create_run(new_run(run_id=new.run_id, workflow="ns/two/2"))

    async def test_an_unknown_run_is_not_found(self, store: Store) -> None:
        """Reading what was never created is an error that names the id."""
        with pytest.raises(RunNotFound, match="nothing-here"):
            await store.run("nothing-here")

    async def test_runs_are_listed_newest_first(self, store: Store) -> None:
        """The order is that of (created_at, run_id), descending."""
        created = [await store.create_run(new_run()) for _ in range(5)]

        listed = await store.runs()

        assert listed == sorted(created, key=lambda run: (run.created_at, run.run_id), reverse=True)

    @pytest.mark.parametrize(
        ("asked", "found"),
        [
            pytest.param({"workflow": "ns/a/1"}, {"one", "two"}, id="an exact workflow key"),
            pytest.param(
                {"workflow": "ns/"}, {"one", "two", "three", "ten"}, id="a prefix ending in a slash"
            ),
            pytest.param({"workflow": "ns"}, set(), id="a prefix without a slash is a key that nobody has"),
            pytest.param({"thread": "talk"}, {"two", "four", "ten"}, id="a thread"),
            pytest.param({"thread": "talk", "workflow": "ns/a/1"}, {"two"}, id="a thread of a workflow"),
            pytest.param({"thread": "talk", "workflow": "ns/"}, {"two", "ten"}, id="a thread under a prefix"),
            pytest.param({"workflow": "NS/"}, set(), id="case counts"),
            pytest.param({"workflow": "n%/"}, set(), id="a percent sign is a percent sign"),
            pytest.param({}, {"one", "two", "three", "four", "ten"}, id="everything"),
        ],
    )
    async def test_runs_are_found_by_workflow_and_thread(
        self, store: Store, asked: dict[str, Any], found: set[str]
    ) -> None:
        """A key ending in a slash is a prefix, any other is exact."""
        await store.create_run(new_run(run_id="one", workflow="ns/a/1"))
        await store.create_run(new_run(run_id="two", workflow="ns/a/1", thread="talk"))
        await store.create_run(new_run(run_id="three", workflow="ns/b/2"))
        await store.create_run(new_run(run_id="four", workflow="other/a/3", thread="talk"))
        await store.create_run(new_run(run_id="ten", workflow="ns/a/10", thread="talk"))

        assert {run.run_id for run in await store.runs(**asked)} == found

    async def test_pages_of_runs_neither_repeat_nor_miss(self, store: Store) -> None:
        """`before` goes on after the last run of the page, also if that one was deleted since."""
        for _ in range(7):
            await store.create_run(new_run())
        everything = [run.run_id for run in await store.runs()]

        first = [run.run_id for run in await store.runs(limit=3)]
        await store.delete_run(first[-1])
        second = [run.run_id for run in await store.runs(limit=3, before=first[-1])]
        third = [run.run_id for run in await store.runs(limit=3, before=second[-1])]

        assert first + second + third == everything

    async def test_a_page_after_a_run_that_never_was_is_an_error(self, store: Store) -> None:
        """A page that begins nowhere is not taken for the first one."""
        await store.create_run(new_run())

        with pytest.raises(RunNotFound):
            await store.runs(before="never")

    async def test_heads_leave_out_unknown_runs(self, store: Store) -> None:
        """Many heads come in one answer, without those that are not there."""
        writer = await begun(store)
        rows = await writer.commit(3)
        fresh = await store.create_run(new_run())

        heads = await store.heads([writer.run_id, fresh.run_id, "unknown"])

        assert set(heads) == {writer.run_id, fresh.run_id}
        assert heads[writer.run_id][:5] == (3, rows[-1].id, rows[-1].hash, 1, "Pending")
        assert heads[fresh.run_id][:5] == (0, "", "", 0, "Pending")
        assert heads[writer.run_id].updated_at == (await store.run(writer.run_id)).updated_at

    async def test_too_many_heads_at_once_are_refused(self, store: Store) -> None:
        """A call that no store could answer quickly is a mistake of the caller."""
        with pytest.raises(ValueError, match="at most"):
            await store.heads([new_id() for _ in range(MAX_HEADS + 1)])

    async def test_parts_of_an_unknown_run_are_empty(self, store: Store) -> None:
        """Listings answer nothing for a run that is not there."""
        assert await store.checkpoints("unknown") == []
        assert await store.signals("unknown") == []
        assert await store.progress("unknown") == {}
        assert await store.pins("unknown") == set()
        assert await store.holds("unknown") == {}
        assert await store.gaps("unknown") == []
