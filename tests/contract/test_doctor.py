"""The doctor, where a user has a server: each fault is made on a real one, and told with what mends it."""

from __future__ import annotations

import asyncio
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from tests.contract.redis.opened import opened
from tests.contract.redis.test_fitness import NEEDED

from cairn_runtime.cli import doctoring
from cairn_runtime.cli.__main__ import main
from cairn_runtime.errors import StoreUnusable
from cairn_runtime.model.ids import new_id, utc_now
from cairn_runtime.store.base import Outcome
from cairn_runtime.store.contract.cases import begun
from cairn_runtime.store.redis.rights import needed


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


# -- connection and TLS


def test_a_certificate_that_nobody_signed_is_told(servers, doctor):
    """Of both kinds of server, with the parts of the URL that mend it."""
    postgres = servers.postgres(tls=True)
    redis = servers.redis(tls=True)
    bare, _, _ = postgres.url.partition("?")

    asked, said = doctor(f"{bare}?sslmode=verify-full")
    refused, words = doctor(redis.url.partition("?")[0])

    assert (asked, refused) == (1, 1)
    assert "in the URL sslmode and sslrootcert (Postgres)" in said
    assert "ca and verify (Redis)" in words


# -- rights


def allowed(server, rules):
    """Give the store's user these rights and no others."""
    with server.admin() as admin:
        admin.execute_command("ACL", "SETUSER", "cairn", "resetkeys", *rules.split())


async def told(server):
    """The rule that is named for what the store's user lacks; empty where it lacks nothing."""
    try:
        async with opened(server.url) as store:
            lacking = [
                concern.mend for concern in (await store.check()).concerns if "may not" in concern.what
            ]
    except StoreUnusable as error:
        lacking = re.findall(r"ACL SETUSER [^(]*", str(error))
    return lacking[0].strip() if lacking else ""


async def test_each_right_that_a_redis_user_lacks_is_told_with_its_rule(servers):
    """Taken away one by one; the server agrees that the call is refused, and the named rule gives it back."""
    server = servers.redis(acl=NEEDED)
    async with opened(server.url):
        pass  # made
    with server.admin() as admin:
        here = admin.command()  # WAITAOF came with 7.2
        calls = [call for _, call in needed() if call.partition(" ")[0].lower() in here]
        assert len(calls) >= 32
        for call in calls:
            words = ["cairn:store" if word == "KEY" else word for word in call.split()]
            allowed(server, f"{NEEDED} -{words[0].lower()}")
            assert admin.execute_command("ACL", "DRYRUN", "cairn", *words) != b"OK"

            rule = await told(server)

            assert rule.startswith("ACL SETUSER "), call
            admin.execute_command("ACL", "SETUSER", "cairn", *rule.split()[3:])
            assert admin.execute_command("ACL", "DRYRUN", "cairn", *words) == b"OK", rule
            assert await told(server) == "", call


@pytest.mark.parametrize(
    ("rules", "what", "mend"),
    [
        ("-@write", "the user may not call HDEL, HSET", "ACL SETUSER cairn +@write"),
        ("-@scripting", "the user may not call EVAL", "ACL SETUSER cairn +@scripting"),
        ("-role", "may not call ROLE", "ACL SETUSER cairn +role"),
        ("-config|get", "may not call CONFIG GET", "ACL SETUSER cairn +config|get"),
        (
            "resetkeys ~cairn:{* ~cairn:runs ~cairn:store",
            "keys such as cairn:audit",
            "ACL SETUSER cairn ~cairn:*",
        ),
        ("resetkeys %R~cairn:*", "keys such as cairn:{", "ACL SETUSER cairn ~cairn:*"),
        ("resetkeys ~other:*", "may not do this", "ACL SETUSER ... ~cairn:*"),
        ("-hget", "may not do this", "ACL SETUSER ... +hget"),
    ],
)
def test_what_a_redis_user_may_not_is_told_with_the_rule(servers, doctor, rules, what, mend):
    """Groups, single commands, and keys; at the open door as behind it."""
    server = servers.redis(acl=NEEDED, settings={"maxmemory": "64mb"})
    made(server.url)
    allowed(server, f"{NEEDED} {rules}")

    _, said = doctor(server.url)

    assert what in said
    assert f"-> {mend}" in said


def test_a_redis_user_with_what_is_written_down_lacks_nothing(servers, doctor):
    """On one server as on a cluster, where two rights more are needed."""
    server = servers.redis(acl=NEEDED, settings={"maxmemory": "64mb"})

    code, said = doctor(server.url)

    assert (code, said.splitlines()[-1]) == (0, "nothing is wrong")


async def test_a_right_that_only_a_script_misses_is_told_as_one(servers):
    """The server does not name the command there; the doctor does."""
    server = servers.redis(acl=NEEDED)
    async with opened(server.url) as store:
        writer = await begun(store)
        allowed(server, f"{NEEDED} -xadd")

        with pytest.raises(StoreUnusable, match="may not do this: cairn doctor names the rule"):
            await writer.commit()

    assert await told(server) == "ACL SETUSER cairn +xadd"


# -- version


def test_a_store_of_a_newer_release_is_told(servers, doctor):
    """On both kinds of server: this program is the one to be changed."""
    postgres, redis = servers.postgres(), servers.redis()
    made(postgres.url)
    made(redis.url)
    postgres.execute("UPDATE cairn.meta SET value = '99'")
    with redis.admin() as admin:
        admin.hset("cairn:store", "schema", 99)

    both = doctor(postgres.url), doctor(redis.url)

    assert [code for code, _ in both] == [1, 1]
    assert all("bring this program" in said for _, said in both)


def test_a_run_of_a_release_that_is_too_old_is_told(servers, doctor, monkeypatch):
    """Its image is named as what to change; a finished run of that release minds nobody."""
    postgres = servers.postgres()

    async def write():
        async with opened(postgres.url) as store:
            for name, runner, phase in (
                ("now", "0.8.1", "Waiting"),
                ("then", "0.2.9", "Waiting"),
                ("over", "0.2.9", "Succeeded"),
            ):
                writer = await begun(store, workflow=f"default/{name}/1")
                fence = await store.claim(writer.run_id, 1, new_id(), runner)
                await replace(writer, fence=fence).commit(outcome=Outcome(phase))

    asyncio.run(write())
    monkeypatch.setattr(doctoring, "__version__", "0.10.0")

    code, said = doctor(postgres.url)

    assert code == 0
    assert "then, run" in said
    assert "release 0.2.9; 0.10.0 works with those from 0.8 on" in said
    assert "-> bring its image (spec.image" in said
    assert said.count("warning") == 2


# -- persistence


@pytest.mark.parametrize(
    ("settings", "what", "mend"),
    [
        ({"appendonly": "no"}, "keeps no append-only file", "CONFIG SET appendonly yes"),
        ({"appendfsync": "no"}, "nobody syncs", "CONFIG SET appendfsync everysec"),
    ],
    ids=["no file", "no sync"],
)
def test_a_redis_that_keeps_nothing_or_does_not_sync_is_told(servers, doctor, settings, what, mend):
    """With the lines that mend it."""
    server = servers.redis(settings={**settings, "maxmemory": "64mb"})

    _, said = doctor(f"{server.url}?volatile=true")

    assert what in said
    assert mend in said


def test_a_role_that_does_not_wait_for_the_disk_is_told(servers, doctor):
    """Cairn waits all the same; others of the same role do not."""
    postgres = servers.postgres()
    made(postgres.url)
    postgres.execute("ALTER ROLE cairn SET synchronous_commit = off")

    code, said = doctor(postgres.url)

    assert code == 0
    assert "ALTER ROLE ... RESET synchronous_commit" in said


# -- time


@pytest.mark.parametrize("kind", ["postgres", "redis"])
def test_a_server_that_is_slow_is_told(servers, doctor, kind):
    """By the time of a round trip, through a proxy that is as slow as a far network."""
    server = servers.postgres() if kind == "postgres" else servers.redis()
    made(server.url)
    proxy = servers.proxy(server)
    proxy.delay(0.15)

    code, said = doctor(proxy.url(server.url))

    assert code == 0
    assert "every step of a run waits for one" in said
    assert "-> bring the runners near the store" in said


@pytest.mark.parametrize("kind", ["postgres", "redis"])
def test_a_clock_that_is_off_is_told(servers, doctor, monkeypatch, kind):
    """This machine's against the server's: who is right nobody knows."""
    server = servers.postgres() if kind == "postgres" else servers.redis()
    made(server.url)
    monkeypatch.setattr(doctoring, "utc_now", lambda: utc_now() + timedelta(hours=3))

    code, said = doctor(server.url)

    assert code == 1
    assert "differ by 3h" in said
    assert "-> set both by NTP" in said


# -- growth and orphans


def test_a_redis_that_is_nearly_full_is_a_fault(servers, doctor):
    """Before commits are refused."""
    server = servers.redis(settings={"maxmemory": "64mb"})
    made(server.url)
    with server.admin() as admin:
        used = admin.info("memory")["used_memory"]
        admin.config_set("maxmemory", int(used * 1.05))

    code, said = doctor(server.url)

    assert code == 1
    assert "-> cairn stats, cairn prune, or more room" in said


@pytest.mark.parametrize("kind", ["postgres", "redis"])
def test_what_lies_in_a_server_and_belongs_to_nobody_is_told(servers, doctor, kind):
    """A hold for a fork that never came, a run that grew out of bounds, a lost runner and head."""
    server = servers.postgres() if kind == "postgres" else servers.redis()

    async def write():
        async with opened(server.url) as store:
            writer = await begun(store, workflow="default/gone/1")
            (row, *_) = await writer.commit(2, outcome=Outcome("Running"))
            await store.hold(row.id, new_id())
            other = await begun(store, workflow="default/lost/1")
            await other.commit()
            return writer.run_id, other.run_id

    grown, lost = asyncio.run(write())
    spoilt(server, kind, grown, lost)

    code, said = doctor(server.url)

    assert code == 1
    for text in (
        "has written 2.0 GiB",
        "keeps 1 checkpoint for forks that were never made",
        "its runner was last seen",
        "its newest checkpoint 1 is not there",
        f"-> cairn verify {lost}; restore the store from a backup",
    ):
        assert text in said


def spoilt(server, kind, grown, lost):
    """Make one run large and old, and take the newest checkpoint of another away, behind the store's back."""
    long_ago = datetime(2026, 1, 1, tzinfo=UTC)
    if kind == "postgres":
        of = "(SELECT run FROM cairn.runs WHERE run_id = %s)"
        heads = f"UPDATE cairn.heads SET bytes = 2147483648, alive_at = %s WHERE run = {of}"
        server.execute(heads, long_ago, grown)
        server.execute(f"UPDATE cairn.heartbeats SET at = %s WHERE run = {of}", long_ago, grown)
        server.execute(f"DELETE FROM cairn.checkpoints WHERE run = {of}", lost)
        return
    with server.admin() as admin:
        micros = int(long_ago.timestamp() * 1_000_000)
        admin.hset(f"cairn:{{{grown}}}:row", mapping={"bytes": 2**31, "alive": micros})
        admin.delete(f"cairn:{{{lost}}}:log", f"cairn:{{{lost}}}:payloads")
