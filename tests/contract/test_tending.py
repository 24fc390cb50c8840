"""Doctor, export and import, where a user has a server."""

from __future__ import annotations

import pytest

from cairn_runtime.cli.__main__ import main
from cairn_runtime.model.ids import new_id
from cairn_runtime.runner.archives.arrivals import Wishes
from cairn_runtime.runner.archives.exporting import Exporter
from cairn_runtime.runner.archives.importing import Importer
from cairn_runtime.store.base import Outcome
from cairn_runtime.store.chain import verify_history
from cairn_runtime.store.codec import Codec
from cairn_runtime.store.contract.cases import begun
from cairn_runtime.store.opening import open_store

WAYS = [
    ("memory", "postgres"),
    ("file", "sqlite"),
    ("sqlite", "file"),
    ("sqlite", "postgres"),
    ("sqlite", "redis-cluster"),
    ("postgres", "redis"),
    ("postgres", "memory"),
    ("redis", "sqlite"),
    ("redis", "postgres"),
]


def made(url):
    """Make the store, so that only what is asked for is wrong with it."""
    assert main(["store", "migrate", "--store", url]) == 0


def test_a_postgres_that_forgets_is_a_fault(servers, doctor):
    """Fsync and full_page_writes off, with the lines that turn them on."""
    postgres = servers.postgres(settings={"fsync": "off", "full_page_writes": "off"})
    made(postgres.url)

    code, said = doctor(postgres.url)

    assert code == 1
    assert "ALTER SYSTEM SET fsync = on" in said
    assert "ALTER SYSTEM SET full_page_writes = on" in said


def test_a_postgres_that_is_well_is_said_to_be(servers, doctor):
    """With its version, its clock and how long it takes."""
    postgres = servers.postgres()
    made(postgres.url)

    code, said = doctor(postgres.url)

    assert code == 0
    assert "Postgres 1" in said
    assert said.splitlines()[-1] == "nothing is wrong"


def test_a_role_without_rights_is_told_which(servers, doctor):
    """Table by table, with the GRANT."""
    postgres = servers.postgres()
    made(postgres.url)
    schema = postgres.execute("SELECT schemaname FROM pg_tables WHERE tablename LIKE '%%row_writes'")[0][0]
    postgres.execute("CREATE ROLE reader LOGIN")
    postgres.execute(f"GRANT USAGE ON SCHEMA {schema} TO reader")
    postgres.execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO reader")

    code, said = doctor(postgres.url.replace("//cairn", "//reader"))

    assert code == 1
    assert "the role may not INSERT, UPDATE, DELETE on" in said
    assert "GRANT INSERT" in said


def test_a_wrong_password_and_a_closed_door_are_told_apart(servers, doctor):
    """Without the password, and with what to mend."""
    postgres = servers.postgres(password=True)
    wrong = postgres.url.replace(postgres.password, "letmein")

    refused, said = doctor(wrong)
    postgres.stop()
    closed, nobody = doctor(postgres.url)

    assert (refused, closed) == (1, 1)
    assert "mend user and password" in said
    assert "letmein" not in said
    assert "nothing listens there" in nobody
    assert postgres.password not in nobody


def test_a_redis_that_evicts_is_a_fault(servers, doctor):
    """Refused with the line that mends it; let in as volatile it is told all the same."""
    server = servers.redis(settings={"maxmemory": "64mb", "maxmemory-policy": "allkeys-lru"})

    strict, said = doctor(server.url)
    volatile, words = doctor(f"{server.url}?volatile=true")

    assert (strict, volatile) == (1, 1)
    assert "CONFIG SET maxmemory-policy noeviction" in said
    assert "throws keys away" in words


def test_a_redis_without_a_limit_is_a_warning(servers, doctor):
    """Nothing fails yet."""
    server = servers.redis()

    code, said = doctor(server.url)

    assert code == 0
    assert "maxmemory is not set" in said
    assert "Redis " in said


@pytest.mark.parametrize(("out_of", "into"), WAYS)
async def test_a_history_goes_between_any_two_stores(url_of, out_of, into):
    """Hash for hash and byte for byte, pruned, pinned and with progress; and back again it is the same."""
    here = await open_store(url_of(out_of))
    there = await open_store(url_of(into))
    try:
        writer = await begun(here, run_id=new_id())
        rows = [row for _ in range(4) for row in await writer.commit(60, kind="snapshot")]
        await here.put_progress(writer.run_id, writer.fence, "draft#1[2]", bytes(range(256)))
        await here.pin(rows[5].id, pinned=True)
        await here.prune(writer.run_id, [*range(1, 100), 130, 131])
        await writer.change(Outcome("Failed", "StepFailed", "no luck"))

        lines = [line async for line in Exporter(here, "0.1.0").lines([writer.run_id])]
        report = await Importer(there, Codec(), Wishes()).take(lines)
        again = [line async for line in Exporter(there, "0.1.0").lines([writer.run_id])]

        assert report.left == []
        assert await there.read(writer.run_id) == await here.read(writer.run_id)
        assert again[2:-1] == lines[2:-1]
        run = await there.run(writer.run_id)
        assert (run.phase, run.reason, run.message) == ("Failed", "StepFailed", "no luck")
        headers = await there.checkpoints(writer.run_id, limit=1000)
        assert not any(f.fault for f in verify_history(headers, await there.gaps(writer.run_id)))
    finally:
        await here.close()
        await there.close()
