"""The audit: lines that are appended by many and changed by none."""

from __future__ import annotations

import asyncio

import pytest

from cairn_runtime.errors import InvalidInput
from cairn_runtime.model.ids import new_id
from cairn_runtime.store.audits import verify_entries
from cairn_runtime.store.base import GENESIS_HASH, NewEntry, Store
from cairn_runtime.store.contract.cases import StoreCase, StoreFactory, begun


def asked(what: str = "pin", **parts: str) -> NewEntry:
    """A line that somebody wants written."""
    return NewEntry(parts.pop("id", "") or new_id(), "ann@host", what, **parts)


class TestAudit(StoreCase):
    """Who asked for what, in one chain."""

    async def test_lines_come_back_as_they_were_written(self, store: Store) -> None:
        """With a number, a time and a hash over the one before; the oldest first."""
        first = await store.audit(asked("resume", source="run/4", target="t\u00e4g"))
        second = await store.audit(asked("delete"))

        assert await store.audits() == [first, second]
        assert (first.number, first.parent_hash, first.who) == (1, GENESIS_HASH, "ann@host")
        assert (first.what, first.source, first.target) == ("resume", "run/4", "t\u00e4g")
        assert (second.number, second.parent_hash) == (2, first.hash)
        assert second.at >= first.at
        assert list(verify_entries(await store.audits())) == []

    async def test_the_same_act_is_one_line(self, store: Store) -> None:
        """A reply that was lost is asked for again; what else it says then changes nothing."""
        first = await store.audit(asked(id="one"))
        await store.audit(asked())

        again = await store.audit(asked("delete", id="one"))

        assert again == first
        assert [entry.number for entry in await store.audits()] == [1, 2]

    async def test_lines_are_read_in_pages(self, store: Store) -> None:
        """Behind any number, so many at most; behind the last there is nothing."""
        made = [await store.audit(asked(str(number))) for number in range(5)]

        assert await store.audits(limit=2) == made[:2]
        assert await store.audits(after=2, limit=2) == made[2:4]
        assert await store.audits(after=4) == made[4:]
        assert await store.audits(after=5) == await store.audits(after=10**6) == []

    async def test_many_writers_make_one_chain(self, store: Store, store_factory: StoreFactory) -> None:
        """From several openings at once, each line several times: no number twice, none left out."""
        others = [store_factory() for _ in range(3)]
        for other in others:
            await other.open()
        entries = [asked(str(number)) for number in range(12)]
        try:
            calls = [one.audit(entry) for entry in entries for one in (store, *others)]
            await asyncio.gather(*calls)
        finally:
            for other in others:
                await other.close()

        found = await store.audits()
        assert [entry.number for entry in found] == list(range(1, 13))
        assert {entry.id for entry in found} == {entry.id for entry in entries}
        assert list(verify_entries(found)) == []

    async def test_a_deletion_leaves_the_audit(self, store: Store) -> None:
        """What was done with a run is told when it is gone."""
        writer = await begun(store)
        entry = await store.audit(asked("delete", source=writer.run_id))

        await store.delete_run(writer.run_id)

        assert await store.audits() == [entry]

    @pytest.mark.parametrize(
        "entry",
        [
            NewEntry("", "ann", "pin"),
            NewEntry("1", "", "pin"),
            NewEntry("1", "ann", ""),
            NewEntry("1", "a" * 257, "pin"),
            NewEntry("1", "ann", "pin", "x" * 513),
            NewEntry("1", "ann", "pin", "", "a\0b"),
        ],
        ids=["no id", "nobody", "nothing", "a long name", "a long source", "a zero byte"],
    )
    async def test_what_is_no_line_is_refused(self, store: Store, entry: NewEntry) -> None:
        """Bounded, so that nobody fills a store with it."""
        with pytest.raises(InvalidInput):
            await store.audit(entry)
        assert await store.audits() == []
