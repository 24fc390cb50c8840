"""Durability, rights, TLS, passwords, places: what a server is set to, and what is said about it."""

from __future__ import annotations

import logging
from urllib.parse import urlsplit

import pytest
from tests.contract.postgres.places import beside, opened, with_option

from cairn_runtime.errors import StoreUnavailable, StoreUnusable
from cairn_runtime.store.contract.cases import begun, new_run
from cairn_runtime.store.opening import open_store
from cairn_runtime.store.postgres.statements import TABLES
from cairn_runtime.store.queries import migrations


async def setting(store, name: str) -> str:
    """What a setting is for the store's own connection."""
    async with store._sessions.wire() as wire:
        await wire.script("CREATE TEMP TABLE IF NOT EXISTS seen (value text); DELETE FROM seen")
        await wire.script(f"INSERT INTO seen VALUES (current_setting('{name}'))")
        wire._connection.prepare_threshold = None
        cursor = await wire._connection.execute("SELECT value FROM seen")
        return str((await cursor.fetchone())[0])


@pytest.mark.parametrize(("server", "ours"), [("off", "on"), ("local", "local"), ("on", "on")])
async def test_commits_are_synced_whatever_the_server_says(servers, caplog, server, ours):
    """`off` is set on for our own connections, aloud; a choice that syncs is kept."""
    postgres = servers.postgres(settings={"synchronous_commit": server})
    with caplog.at_level(logging.WARNING):
        async with opened(postgres.url) as store:
            found = await setting(store, "synchronous_commit")
            postgres.execute("ALTER SYSTEM SET synchronous_commit = off")
            postgres.execute("SELECT pg_reload_conf()")
            later = await setting(store, "synchronous_commit")
            durable = (await store.check()).durable

    assert (found, later) == (ours, ours)
    assert f"synchronous_commit={ours}" in durable
    assert ("synchronous_commit is off" in caplog.text) is (server == "off")


async def test_a_pooler_before_a_server_that_does_not_sync_is_refused(servers):
    """There the store cannot set anything for itself."""
    postgres = servers.postgres(settings={"synchronous_commit": "off"})
    pooler = servers.pgbouncer(postgres)

    with pytest.raises(StoreUnusable, match="ALTER ROLE"):
        await open_store(with_option(pooler.url, "pooler=transaction"))


async def test_a_server_without_fsync_is_spoken_of(servers, caplog):
    """In the log, and in every answer about its health."""
    postgres = servers.postgres(settings={"fsync": "off"})
    async with opened(postgres.url) as store:
        durable = (await store.check()).durable

    assert "fsync is off" in caplog.text
    assert "NOT synced" in durable


async def test_health_tells_latency_version_and_size(postgres_url):
    """From real round trips; the free space of a server is its own matter."""
    async with opened(postgres_url) as store:
        before = await store.check()
        writer = await begun(store)
        payload = bytes(1_000_000)
        await writer.commit(payload=payload, size=len(payload))
        after = await store.check()

    assert (after.kind, after.schema_version, after.free_bytes) == (
        "postgres",
        migrations("postgres")[-1].number,
        None,
    )
    assert after.latency_seconds > 0
    assert before.used_bytes is not None
    assert after.used_bytes is not None
    assert after.used_bytes - before.used_bytes >= len(payload)


async def test_tls_and_a_password_come_with_the_url(servers):
    """A wrong password, or an authority that does not know the server, are said in words."""
    postgres = servers.postgres(tls=True, password=True)
    parts = urlsplit(postgres.url)
    user = parts.netloc.partition(":")[0]
    wrong = parts._replace(netloc=f"{user}:hush@{postgres.host}:{postgres.port}").geturl()
    other = servers.postgres(tls=True)
    authority = f"sslrootcert={other.certificates.postgres_options['sslrootcert']}"
    strange = with_option(parts._replace(query="sslmode=verify-full").geturl(), authority)

    async with opened(postgres.url) as store:
        await begun(store)
    for url, words in ((wrong, "password authentication failed"), (strange, "certificate")):
        with pytest.raises(StoreUnusable, match=words) as raised:
            await open_store(url)
        assert "hush" not in str(raised.value)
        assert str(postgres.password) not in str(raised.value)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        pytest.param({"path": "/nowhere"}, "create the database", id="no such database"),
        pytest.param({"user": "nobody"}, "create the role", id="no such user"),
    ],
)
async def test_what_is_not_there_is_named(postgres_url, change, words):
    """And what to do about it."""
    parts = urlsplit(postgres_url)
    if "user" in change:
        parts = parts._replace(netloc=f"{change['user']}@{parts.netloc.rpartition('@')[2]}")
    else:
        parts = parts._replace(**change)

    with pytest.raises(StoreUnusable, match=words):
        await open_store(parts.geturl())


async def test_a_database_in_another_encoding_is_refused(private_postgres):
    """Names and JSON are text of any script."""
    private_postgres.execute("CREATE DATABASE old ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")

    with pytest.raises(StoreUnusable, match="LATIN1"):
        await open_store(urlsplit(private_postgres.url)._replace(path="/old").geturl())


async def test_places_in_one_database_do_not_touch(postgres_url):
    """Two schemas, and two prefixes in one schema; also names that only quotes make possible."""
    schema = postgres_url.rpartition("schema=")[2]
    urls = [with_option(postgres_url, f"prefix={prefix}") for prefix in ("one_", "Two-", "")]
    seen = []
    for url in urls:
        async with opened(url) as store:
            run = await store.create_run(new_run())
            seen.append((await store.runs())[0].run_id == run.run_id and len(await store.runs()) == 1)
            assert (await store.check()).used_bytes
    async with beside(postgres_url) as connection:
        cursor = await connection.execute("SELECT count(*) FROM pg_tables WHERE schemaname = %s", (schema,))
        ((tables,),) = await cursor.fetchall()

    assert seen == [True, True, True]
    assert tables == 3 * len(TABLES)


async def test_a_statement_that_takes_too_long_is_ended_by_the_server(postgres_url):
    """Somebody holds the row; the connection lives on."""
    async with opened(postgres_url, "timeout=1s") as store, beside(postgres_url) as connection:
        writer = await begun(store)
        async with connection.transaction():
            await connection.execute(f"LOCK TABLE {store._address.naming.table('heads')}")
            with pytest.raises(StoreUnavailable, match=r"\?timeout="):
                await writer.commit()

        await writer.commit()
