"""Primary and standby: nothing is written to a standby, and no head is read from one."""

from __future__ import annotations

from urllib.parse import urlsplit

import psycopg
import pytest
from tests.contract.postgres.places import opened, with_option

from cairn_runtime.errors import StoreUnavailable
from cairn_runtime.store.contract.cases import begun
from cairn_runtime.store.opening import open_store


async def until_refused(writer):
    """Commit until a new setting of the server has come to the connection."""
    for _ in range(1000):
        await writer.commit()


def between(url: str, first: int, second: int) -> str:
    """An address that names two servers on this machine."""
    return url.replace(f"127.0.0.1:{urlsplit(url).port}", f"127.0.0.1:{first},127.0.0.1:{second}")


async def test_a_standby_is_no_store(servers, private_postgres):
    """Alone it is refused until it is promoted; beside the primary it is passed over."""
    async with opened(private_postgres.url) as store:
        writer = await begun(store)
        await writer.commit()
    standby = servers.standby(private_postgres)
    standby.catch_up()
    both = between(private_postgres.url, standby.port, private_postgres.port)

    with pytest.raises(StoreUnavailable, match="read-only"):
        await open_store(standby.url)
    async with opened(both) as store:
        writer.store = store
        await writer.commit()

    assert private_postgres.execute("SELECT count(*) FROM cairn.checkpoints") == [(2,)]


async def test_after_a_failover_the_promoted_server_goes_on(servers, private_postgres):
    """The store finds it among its hosts, without being opened again."""
    standby = servers.standby(private_postgres)
    both = between(private_postgres.url, private_postgres.port, standby.port)
    async with opened(both, "timeout=2s") as store:
        writer = await begun(store)
        await writer.commit()
        standby.catch_up()
        private_postgres.kill()
        with pytest.raises(StoreUnavailable):
            await writer.commit()
        standby.promote()

        rows = await writer.commit()

        assert (await store.load(writer.run_id))[1:] == rows


async def test_behind_a_pooler_a_standby_is_not_believed(servers, private_postgres):
    """The pooler was turned to another server while the store's connections to it lived on."""
    async with opened(private_postgres.url) as store:
        await begun(store)
    standby = servers.standby(private_postgres)
    standby.catch_up()
    proxy = servers.proxy(private_postgres)
    pooler = servers.pgbouncer(proxy.url(private_postgres.url))
    async with opened(pooler.url, "pooler=transaction") as store:
        writer = await begun(store)
        await writer.commit()
        standby.catch_up()
        proxy._server = (standby.host, standby.port)
        proxy.cut()

        for call in (
            lambda: store.run(writer.run_id),
            lambda: store.run("unknown"),
            lambda: store.heads([writer.run_id]),
            lambda: store.load(writer.run_id),
            lambda: store.changed(""),
            writer.commit,
            lambda: store.heartbeat(writer.run_id, writer.fence),
        ):
            with pytest.raises(StoreUnavailable):
                await call()


async def test_a_server_that_was_made_read_only_is_unavailable(private_postgres):
    """For new connections, and for those that are there."""
    async with opened(private_postgres.url) as store:
        writer = await begun(store)
        private_postgres.execute("ALTER SYSTEM SET default_transaction_read_only = on")
        private_postgres.execute("SELECT pg_reload_conf()")
        with pytest.raises(StoreUnavailable):
            await until_refused(writer)
        with pytest.raises(StoreUnavailable):
            await open_store(private_postgres.url)
        back = with_option(private_postgres.url, "options=-c%20default_transaction_read_only%3Doff")
        with psycopg.connect(back, autocommit=True) as connection:
            connection.execute("ALTER SYSTEM RESET default_transaction_read_only")
            connection.execute("SELECT pg_reload_conf()")
