"""Behind a pooler in transaction mode: what the contract's own tests over it do not ask."""

from __future__ import annotations

import asyncio

from tests.contract.postgres.places import opened

from cairn_runtime.errors import StoreUnusable
from cairn_runtime.store.contract.cases import begun


async def commit_all(url: str) -> list[int]:
    """Let several runs commit at once over more connections than the pooler gives out."""
    async with opened(url, "pool=20") as store:
        writers = [await begun(store) for _ in range(12)]

        async def work(writer):
            for _ in range(8):
                await writer.commit()
                await writer.commit(2)
            return len(await store.load(writer.run_id))

        return list(await asyncio.gather(*(work(writer) for writer in writers)))


async def test_many_runs_share_few_connections_of_the_server(pgbouncer_url):
    """No statement stands on what another one left on its connection."""
    assert await commit_all(pgbouncer_url) == [24] * 12


async def test_without_the_switch_it_works_or_says_which_one_is_missing(servers, private_postgres):
    """A pooler that does not carry prepared statements is found out; one that does is fine."""
    pooler = servers.pgbouncer(private_postgres)

    try:
        done = await commit_all(pooler.url)
    except StoreUnusable as error:
        assert "?pooler=transaction" in error.message  # noqa: PT017 - either answer is right
    else:
        assert done == [24] * 12


async def test_nothing_is_kept_in_the_poolers_sessions(servers, private_postgres):
    """Whoever gets the connection next finds it as it was: no setting, no statement of ours."""
    pooler = servers.pgbouncer(private_postgres)
    async with opened(pooler.url, "pooler=transaction", "pool=1") as store:
        writer = await begun(store)
        await writer.commit()
        await writer.commit()
        async with store._sessions.wire() as wire:
            cursor = await wire._connection.execute(
                "SELECT (SELECT count(*) FROM pg_prepared_statements WHERE starts_with(name, 'cairn_')),"
                " current_setting('plan_cache_mode'), current_setting('statement_timeout')",
                prepare=False,
            )
            found = await cursor.fetchall()

    assert found == [(0, "auto", "0")]
