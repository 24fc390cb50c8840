"""`changed`: which rows changed since a cursor."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from cairn_runtime.model.ids import new_id
from cairn_runtime.store.base import NewSignal, Outcome, Store
from cairn_runtime.store.contract.cases import StoreCase, StoreFactory, Writer, begun, new_run

CHANGES: dict[str, Callable[[Store, Writer], Awaitable[object]]] = {
    "a claim": lambda store, writer: store.claim(writer.run_id, 1, "next"),
    "a commit": lambda _, writer: writer.commit(),
    "a row change": lambda _, writer: writer.change(Outcome("Running")),
    "a signal": lambda store, writer: store.send(writer.run_id, NewSignal("go", 1, new_id())),
    "a deletion": lambda store, writer: store.delete_run(writer.run_id),
}


class TestChanges(StoreCase):
    """It may name a run twice; it never misses one."""

    async def test_an_empty_cursor_names_every_run(self, store: Store) -> None:
        """Whoever begins to watch learns of all there are."""
        created = {(await store.create_run(new_run())).run_id for _ in range(4)}

        named, _ = await store.changed("")

        assert set(named) == created

    @pytest.mark.parametrize("what", sorted(CHANGES))
    async def test_every_change_is_named_after_the_cursor(self, store: Store, what: str) -> None:
        """Whatever changes the row; the runs beside it need not be named."""
        writer = await begun(store)
        _, cursor = await store.changed("")

        await CHANGES[what](store, writer)
        named, later = await store.changed(cursor)

        assert writer.run_id in named
        assert later != cursor

    async def test_a_watcher_in_another_process_misses_nothing(
        self, store: Store, store_factory: StoreFactory
    ) -> None:
        """A cursor given by one opening is good for another, and for what a third one writes."""
        watcher, other = store_factory(), store_factory()
        await watcher.open()
        await other.open()
        try:
            one = await begun(store)
            _, cursor = await watcher.changed("")
            await one.commit()
            two = await begun(other)

            here, _ = await watcher.changed(cursor)
            there, _ = await other.changed(cursor)
        finally:
            await watcher.close()
            await other.close()

        assert {one.run_id, two.run_id} <= set(here)
        assert {one.run_id, two.run_id} <= set(there)

    async def test_a_created_run_is_named(self, store: Store) -> None:
        """A row that did not exist has changed."""
        _, cursor = await store.changed("")

        run = await store.create_run(new_run())

        assert (await store.changed(cursor))[0] == [run.run_id]

    @pytest.mark.parametrize("cursor", ["nonsense", "0", "99999999", ":", "x:12", "\u0663:1"])
    async def test_a_foreign_cursor_counts_as_empty(self, store: Store, cursor: str) -> None:
        """A cursor of another store may not hide anything."""
        run = await store.create_run(new_run())

        assert (await store.changed(cursor))[0] == [run.run_id]

    async def test_nothing_new_may_be_an_empty_list(self, store: Store) -> None:
        """Asking again with the newest cursor gives a cursor that still works."""
        writer = await begun(store)
        _, cursor = await store.changed("")
        _, cursor = await store.changed(cursor)
        await writer.commit()

        assert writer.run_id in (await store.changed(cursor))[0]
