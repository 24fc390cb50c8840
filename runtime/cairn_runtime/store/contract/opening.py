"""Opening, closing and health."""

from __future__ import annotations

from cairn_runtime.store.base import Store
from cairn_runtime.store.contract.cases import StoreCase, StoreFactory, begun


class TestOpening(StoreCase):
    """A store opens, says how it is, and closes."""

    async def test_closing_twice_is_allowed(self, store_factory: StoreFactory) -> None:
        """Whoever is not sure whether a store is closed may close it."""
        store = store_factory()
        await store.open()

        await store.close()
        await store.close()

    async def test_health_comes_from_a_round_trip(self, store: Store) -> None:
        """`check` names the kind of store and what durable means, and measured something."""
        health = await store.check()

        assert health.kind
        assert health.durable
        assert health.latency_seconds >= 0

    async def test_migrating_again_changes_nothing(self, store: Store) -> None:
        """The schema is brought to the same version however often it is asked."""
        first = await store.migrate()
        writer = await begun(store)

        assert await store.migrate() == first
        assert (await store.run(writer.run_id)).run_id == writer.run_id

    async def test_a_second_opening_sees_the_same_rows(
        self, store: Store, store_factory: StoreFactory
    ) -> None:
        """Two openings of one place are one store."""
        writer = await begun(store)
        rows = await writer.commit(2)
        other = store_factory()
        await other.open()

        try:
            assert await other.load(writer.run_id) == rows
        finally:
            await other.close()
