"""The schema: made once however many begin, brought forward with its rows, and not by whoever may not."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from tests.contract.postgres.places import beside, opened

from cairn_runtime.errors import StoreTooNew, StoreUnavailable, StoreUnusable
from cairn_runtime.store.base import NewSignal, Outcome
from cairn_runtime.store.contract.cases import begun
from cairn_runtime.store.opening import open_store
from cairn_runtime.store.postgres import migrating
from cairn_runtime.store.postgres.migrating import migrate
from cairn_runtime.store.queries import Migration, migrations

NEWEST = migrations("postgres")[-1].number
EXPANDS = Migration(
    NEWEST + 1,
    "expands",
    "ALTER TABLE {runs} ADD COLUMN colour text NOT NULL DEFAULT 'grey';\n"
    "CREATE INDEX {=runs_by_colour} ON {runs} (colour);",
)
TAKES_AWAY = Migration(
    NEWEST + 2, "takes", f"-- needs: {NEWEST + 1}\nALTER TABLE {{runs}} DROP COLUMN trace_id;"
)
FAILS = Migration(NEWEST + 1, "fails", "CREATE TABLE {=half} (n int);\nSELECT 1 / 0;")
HERE = (*migrations("postgres"),)


def test_processes_that_begin_at_once_make_one_schema(postgres_url):
    """Eight of them: one makes it, and the others find it."""
    program = (
        "import asyncio, sys\nfrom cairn_runtime.store.opening import open_store\n"
        "async def main():\n    sys.stdin.readline()\n    store = await open_store(sys.argv[1])\n"
        "    print(await store.migrate())\n    await store.close()\nasyncio.run(main())"
    )
    pipe = subprocess.PIPE
    started = [
        subprocess.Popen(
            [sys.executable, "-c", program, postgres_url], text=True, stdin=pipe, stdout=pipe, stderr=pipe
        )
        for _ in range(8)
    ]
    for process in started:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    said = [process.communicate(timeout=90) for process in started]

    assert said == [(f"{NEWEST}\n", "")] * 8


async def test_rows_come_through_a_migration(postgres_url):
    """A populated place gets a column and an index; every row reads as before, and commits go on."""
    async with opened(postgres_url) as store:
        writer = await begun(store)
        rows = await writer.commit(3, outcome=Outcome("Running"))
        await store.pin(rows[1].id, pinned=True)
        await store.send(writer.run_id, NewSignal("go", 1, "me"))
        before = await store.run(writer.run_id)

        version = await migrate(store._sessions, [*HERE, EXPANDS])
        again = await migrate(store._sessions, [*HERE, EXPANDS])

        assert (version, again) == (NEWEST + 1, NEWEST + 1)
        assert await store.run(writer.run_id) == before
        assert await store.load(writer.run_id) == rows
        assert await store.pins(writer.run_id) == {2}
        await writer.commit()


async def test_a_migration_that_fails_leaves_nothing(postgres_url):
    """All steps are one transaction."""
    async with opened(postgres_url) as store, beside(postgres_url) as connection:
        with pytest.raises(Exception, match="division by zero"):
            await migrate(store._sessions, [*HERE, FAILS])
        cursor = await connection.execute("SELECT count(*) FROM pg_tables WHERE tablename = 'half'")

        assert await cursor.fetchone() == (0,)
        assert await store.migrate() == NEWEST


async def test_what_takes_away_waits_to_be_asked_for(postgres_url):
    """Opening only adds; then whoever does not know the change is refused, and says so."""
    steps = [*HERE, EXPANDS, TAKES_AWAY]
    async with opened(postgres_url) as store:
        added = await migrate(store._sessions, steps)
        still = await open_store(postgres_url)
        await still.close()

        taken = await migrate(store._sessions, steps, contract=True)

    assert (added, taken) == (NEWEST + 1, NEWEST + 2)
    with pytest.raises(StoreTooNew, match=f"know version {NEWEST + 1}"):
        await open_store(postgres_url)


async def test_a_place_that_is_not_ours_is_left_alone(postgres_url):
    """A table of that name without our marks in it."""
    schema = postgres_url.rpartition("schema=")[2]
    async with beside(postgres_url) as connection:
        await connection.execute(f'CREATE SCHEMA "{schema}"')
        await connection.execute(f'CREATE TABLE "{schema}".meta (name text, value text)')

    with pytest.raises(StoreUnusable, match=r"not a Cairn store's"):
        await open_store(postgres_url)


async def test_a_role_that_may_change_no_schema_uses_one_that_is_there(private_postgres):
    """And is told what to run where it is not, or is an older one."""
    url = urlsplit(private_postgres.url)
    small = url._replace(netloc=f"small@{url.netloc.rpartition('@')[2]}").geturl()
    private_postgres.execute("CREATE ROLE small LOGIN")
    private_postgres.execute("REVOKE CREATE ON DATABASE postgres FROM PUBLIC")
    with pytest.raises(StoreUnusable, match="cairn runs --store"):
        await open_store(small)
    async with opened(private_postgres.url):
        private_postgres.execute("GRANT USAGE ON SCHEMA cairn TO small")
    with pytest.raises(StoreUnusable, match="right"):
        await open_store(small)
    rights = "SELECT, INSERT, UPDATE, DELETE"
    private_postgres.execute(f"GRANT {rights} ON ALL TABLES IN SCHEMA cairn TO small")

    async with opened(small) as store:
        writer = await begun(store)
        await writer.commit(2)
        with pytest.raises(StoreUnusable, match=f"version {NEWEST}, this release needs {NEWEST + 1}"):
            await migrate(store._sessions, [*HERE, EXPANDS])
        await store.delete_run(writer.run_id)


async def test_a_migration_that_must_wait_gives_up_before_writers_suffer(postgres_url, monkeypatch):
    """Whoever waits for a table keeps all that come after it waiting; it is tried again later."""
    monkeypatch.setattr(migrating, "LOCK_SECONDS", 1)
    async with opened(postgres_url) as store, beside(postgres_url) as connection:
        await begun(store)
        async with connection.transaction():
            await connection.execute(f"SELECT 1 FROM {store._address.naming.table('runs')}")
            with pytest.raises(StoreUnavailable, match="lock"):
                await migrate(store._sessions, [*HERE, EXPANDS])

        assert await migrate(store._sessions, [*HERE, EXPANDS]) == NEWEST + 1


async def test_the_first_schema_of_the_release_still_opens(postgres_url):
    """A place as the first release left it, with rows in it: opened, read, written."""
    schema = postgres_url.rpartition("schema=")[2]
    dump = (Path(__file__).parent / "schema_01.sql").read_text().replace("@SCHEMA@", schema)
    async with beside(postgres_url) as connection:
        await connection.execute(dump)

    async with opened(postgres_url) as store:
        (run,) = await store.runs()
        rows = await store.load(run.run_id)

        assert (run.phase, run.head_seq, run.signals_pending) == ("Waiting", 3, 1)
        assert [row.seq for row in rows] == [1, 2, 3]
        assert await store.pins(run.run_id) == {2}
        assert (await store.changed(""))[0] == [run.run_id]
        assert await store.holds(run.run_id) == {1: {"child"}}
        await store.release_hold("child")
        assert await store.delete_run(run.run_id)
