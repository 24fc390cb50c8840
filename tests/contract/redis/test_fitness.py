"""Which servers a store is opened on, and what is said of the others."""

from __future__ import annotations

import logging
import re

import pytest
from tests.contract.redis.opened import opened

from cairn_runtime.errors import StoreTooNew, StoreUnavailable, StoreUnusable
from cairn_runtime.store.base import Outcome
from cairn_runtime.store.contract.cases import begun
from cairn_runtime.store.opening import open_store

NEEDED = (
    "~cairn:* resetchannels -@all +@read +@write +@scripting +@connection +time +info +role "
    "+config|get +cluster|slots"
)
"""What docs/howto/use-redis.md tells people to give the user of a store."""


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({"maxmemory-policy": "allkeys-lru"}, "CONFIG SET maxmemory-policy noeviction"),
        ({"maxmemory-policy": "volatile-ttl"}, "CONFIG SET maxmemory-policy noeviction"),
        ({"appendonly": "no"}, "CONFIG SET appendonly yes"),
    ],
    ids=str,
)
async def test_a_server_that_may_forget_is_refused(servers, settings, line):
    """The message is the line that mends it; `?volatile=true` takes the server as it is."""
    server = servers.redis(settings=settings)

    with pytest.raises(StoreUnusable, match=re.escape(line)):
        await open_store(server.url)

    async with opened(server.url, volatile="true") as store:
        writer = await begun(store)
        await writer.commit()
        health = await store.check()
    assert ("nothing" in health.durable) is ("appendonly" in settings)


async def test_health_says_what_durable_means_here(servers, private_redis):
    """Sync policy, memory in use and memory left come from the server itself."""
    always = servers.redis(settings={"appendfsync": "always", "maxmemory": "100mb"})
    async with opened(private_redis.url) as store:
        everysec = await store.check()
    async with opened(always.url) as store:
        synced = await store.check()

    assert "the last second or two may be lost" in everysec.durable
    assert "synced" in synced.durable
    assert (everysec.kind, everysec.schema_version, everysec.free_bytes) == ("redis", 1, None)
    assert synced.used_bytes is not None
    assert synced.free_bytes == 100 * 1024 * 1024 - synced.used_bytes


async def test_a_replica_is_neither_written_nor_read(servers, private_redis):
    """What it says may be old."""
    replica = servers.redis(settings={"replicaof": f"{private_redis.host} {private_redis.port}"})

    with pytest.raises(StoreUnavailable, match="replica"):
        await open_store(replica.url)


async def test_a_server_that_becomes_a_replica_is_read_no_more(servers, private_redis):
    """Connections stay open when a server is demoted; writes are refused at once, reads within a second."""
    other = servers.redis()
    async with opened(private_redis.url) as store:
        writer = await begun(store)
        await writer.commit()
        with private_redis.admin() as client:
            client.replicaof(other.host, other.port)

        with pytest.raises(StoreUnavailable, match="replica"):
            await writer.commit()
        with pytest.raises(StoreUnavailable, match="replica"):
            await store.run(writer.run_id)


async def test_a_user_with_what_is_written_down_can_do_everything(servers):
    """The rules of the how-to, and no more, carry a whole run."""
    server = servers.redis(acl=NEEDED)
    async with opened(server.url, ttl="1h") as store:
        writer = await begun(store)
        rows = await writer.commit(3, kind="snapshot", outcome=Outcome("Running"))
        await store.heartbeat(writer.run_id, writer.fence)
        await store.pin(rows[0].id, pinned=True)
        await store.prune(writer.run_id, [2])
        await store.hold(rows[2].id, "child")
        await store.release_hold("child")
        await writer.commit(outcome=Outcome("Succeeded"))
        await store.migrate()
        await store.check()

        assert [run.head_seq for run in await store.runs()] == [4]
        assert (await store.changed(""))[0] == [writer.run_id]
        assert await store.find_checkpoints(rows[0].id[-12:])
        assert await store.delete_run(writer.run_id) is True


async def test_a_server_that_shows_nothing_is_used_with_a_warning(servers, caplog):
    """Where neither INFO nor CONFIG is allowed nobody can tell; the log and `check` say so."""
    server = servers.redis(acl="~cairn:* &* +@all -info -config -role")
    with caplog.at_level(logging.WARNING):
        async with opened(server.url) as store:
            writer = await begun(store)
            await writer.commit()
            health = await store.check()

    assert "cannot see whether the server keeps what it is given" in caplog.text
    assert "does not show" in health.durable


async def test_config_is_asked_where_info_is_not_allowed(servers):
    """Either is enough to find a server unfit."""
    server = servers.redis(acl="~cairn:* &* +@all -info", settings={"maxmemory-policy": "allkeys-lru"})

    with pytest.raises(StoreUnusable, match="noeviction"):
        await open_store(server.url)


@pytest.mark.parametrize(
    ("rules", "text"),
    [("~other:* &* +@all", "may not do this"), ("~cairn:* &* +@all -eval -evalsha", "may not do this")],
    ids=["another prefix", "no scripts"],
)
async def test_a_user_that_may_not_says_so(servers, rules, text):
    """It is not taken for an outage."""
    server = servers.redis(acl=rules)

    with pytest.raises(StoreUnusable, match=text):
        async with opened(server.url) as store:
            await begun(store)


async def test_a_wrong_password_is_not_shown(servers):
    """Neither ours nor the right one."""
    server = servers.redis(acl="~cairn:* &* +@all")
    wrong = server.url.replace(server.password, "letmein")

    with pytest.raises(StoreUnusable, match="password") as caught:
        await open_store(wrong)

    assert "letmein" not in str(caught.value)
    assert server.password not in str(caught.value)


async def test_tls_is_checked_unless_told_otherwise(servers):
    """The test's authority is no system's; with it, or without a check, the store opens."""
    server = servers.redis(tls=True)
    bare, _, _ = server.url.partition("?")

    with pytest.raises(StoreUnusable, match="certificate"):
        await open_store(bare)
    for url in (server.url, f"{bare}?verify=none"):
        async with opened(url) as store:
            writer = await begun(store)
            await writer.commit(payload=bytes(300_000), size=300_000)
            assert (await store.load(writer.run_id))[0].payload == bytes(300_000)


async def test_a_certificate_that_is_not_there_is_a_mistake(tmp_path):
    """It is not taken for a server that does not answer."""
    with pytest.raises(StoreUnusable, match="a file that the URL names cannot be read"):
        await open_store(f"rediss://127.0.0.1:1/0?ca={tmp_path}/none.pem")


@pytest.mark.parametrize(
    "url", ["redis://127.0.0.1:1/0", "redis://nowhere.invalid/0", "rediss://127.0.0.1:1"]
)
async def test_a_server_that_is_not_there_may_come(url):
    """No connection is an outage."""
    with pytest.raises(StoreUnavailable, match="connect"):
        await open_store(f"{url}?timeout=2s")


async def test_a_database_that_is_not_there_is_a_mistake(private_redis):
    """It will not come by waiting."""
    with pytest.raises(StoreUnusable, match="out of range"):
        await open_store(private_redis.url.replace("/0", "/99"))


async def test_a_newer_schema_is_left_alone(private_redis):
    """Whoever wrote it knows more than this release."""
    async with opened(private_redis.url):
        pass
    with private_redis.admin() as client:
        client.hset("cairn:store", "schema", 2)

    with pytest.raises(StoreTooNew, match="has schema 2, this release knows 1"):
        await open_store(private_redis.url)
