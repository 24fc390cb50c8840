"""Progress of long tasks."""

from __future__ import annotations

import pytest

from cairn_runtime.errors import RunNotFound
from cairn_runtime.store.base import Fence, Store
from cairn_runtime.store.contract.cases import StoreCase, begun


class TestProgress(StoreCase):
    """What `put_progress` and `progress` promise."""

    async def test_progress_is_kept_by_task_and_replaced(self, store: Store) -> None:
        """The last value of each task is what is read."""
        writer = await begun(store)

        await store.put_progress(writer.run_id, writer.fence, "a#1", b"one")
        await store.put_progress(writer.run_id, writer.fence, "a#1", b"two")
        await store.put_progress(writer.run_id, writer.fence, "b#2[17]", bytes(range(256)))
        await store.put_progress(writer.run_id, writer.fence, "c#1", b"")

        assert await store.progress(writer.run_id) == {
            "a#1": b"two",
            "b#2[17]": bytes(range(256)),
            "c#1": b"",
        }

    async def test_progress_belongs_to_its_run(self, store: Store) -> None:
        """Two runs with the same task do not meet."""
        one, two = await begun(store), await begun(store)
        await store.put_progress(one.run_id, one.fence, "a#1", b"one")

        assert await store.progress(two.run_id) == {}

    async def test_progress_outlives_its_claim(self, store: Store) -> None:
        """The next attempt goes on where the one before was."""
        writer = await begun(store)
        await store.put_progress(writer.run_id, writer.fence, "a#1", b"half")

        fence = await store.claim(writer.run_id, 1, "next")
        await store.put_progress(writer.run_id, fence, "b#1", b"more")

        assert await store.progress(writer.run_id) == {"a#1": b"half", "b#1": b"more"}

    async def test_progress_of_an_unknown_run_is_not_found(self, store: Store) -> None:
        """Saving never makes a row."""
        with pytest.raises(RunNotFound):
            await store.put_progress("unknown", Fence(1, "c"), "a#1", b"1")
