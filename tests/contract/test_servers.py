"""The servers of the tests are what tests take them for: private, synced, killed as a whole, as asked for."""

from __future__ import annotations

import socket
import struct

import psycopg
import pytest
import redis
from psycopg.conninfo import conninfo_to_dict
from tests.crash.executors.processes import alive
from tests.servers.wire import SSL_REQUEST


def test_a_killed_postgres_comes_back_with_what_it_acknowledged(private_postgres):
    """SIGKILL leaves no process of it; nothing that was committed is lost; it has the same port."""
    private_postgres.execute("CREATE TABLE t (n int)")
    private_postgres.execute("INSERT INTO t VALUES (1)")
    with psycopg.connect(private_postgres.url) as connection:
        backend = connection.info.backend_pid
        was_there = alive(backend)

        private_postgres.kill()

        gone = not alive(backend)
    with pytest.raises(psycopg.OperationalError, match="refused"):
        private_postgres.execute("SELECT 1")
    private_postgres.start()

    assert (was_there, gone) == (True, True)
    assert private_postgres.execute("SELECT n FROM t") == [(1,)]


def test_a_killed_redis_comes_back_with_what_it_synced(servers):
    """The append-only file is read again, on the same port."""
    server = servers.redis(settings={"appendfsync": "always"})
    with server.client() as client:
        client.set("a", "1")

    server.kill()
    with pytest.raises(redis.ConnectionError), server.client() as client:
        client.get("a")
    server.start()

    with server.client() as client:
        assert client.get("a") == b"1"


@pytest.mark.parametrize("kind", ["postgres", "redis"])
def test_a_paused_server_goes_on(servers, kind):
    """It takes what is sent to it and answers when it is let."""
    server = getattr(servers, kind)()
    greeting = {"postgres": struct.pack(">II", 8, SSL_REQUEST), "redis": b"PING\r\n"}[kind]
    server.pause()
    with socket.create_connection((server.host, server.port), timeout=0.3) as client:
        client.sendall(greeting)
        with pytest.raises(TimeoutError):
            client.recv(1)

        server.resume()

        client.settimeout(20)
        assert client.recv(1) in b"N+"


@pytest.mark.parametrize("kind", ["postgres", "redis"])
def test_a_paused_server_ends(servers, kind):
    """A test that fails in between leaves nothing that cannot be ended."""
    server = getattr(servers, kind)()
    folder = server.folder
    server.pause()

    server.end()

    assert not folder.exists()


def test_a_private_postgres_syncs_what_it_acknowledges(private_postgres):
    """A promise about durability is not tried on a server that makes none."""
    names = ("fsync", "synchronous_commit", "full_page_writes")

    assert [private_postgres.execute(f"SHOW {name}") for name in names] == [[("on",)]] * 3


def test_settings_are_taken(servers):
    """What a test sets wins over what is set here."""
    postgres = servers.postgres(settings={"synchronous_commit": "off", "cluster_name": "it's mine"})
    memory = servers.redis(settings={"appendonly": "no", "maxmemory-policy": "allkeys-lru"})

    with memory.admin() as client:
        taken = client.config_get("appendonly", "maxmemory-policy")

    assert postgres.execute("SHOW synchronous_commit") == [("off",)]
    assert postgres.execute("SHOW cluster_name") == [("it's mine",)]
    assert taken == {"appendonly": "no", "maxmemory-policy": "allkeys-lru"}


def test_a_server_with_a_password_refuses_others(servers):
    """The password is in its address, and not in its command line."""
    server = servers.postgres(password=True)
    wrong = server.url.replace(server.password, "wrong")

    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(wrong)

    assert server.execute("SELECT 1") == [(1,)]
    assert server.password not in " ".join(server.command())


def test_a_postgres_over_tls_is_verified_and_refuses_plain_connections(servers):
    """The certificate is for the address, signed by the authority in the URL."""
    server = servers.postgres(tls=True)
    plain = conninfo_to_dict(server.url, sslmode="disable")

    with pytest.raises(psycopg.OperationalError, match="no encryption"):
        psycopg.connect(**plain)

    assert server.execute("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()") == [(True,)]


def test_a_redis_over_tls_with_a_user_refuses_others(servers):
    """It has no plain port, no user without a password, and this user's rules hold."""
    server = servers.redis(tls=True, acl="~cairn:* &* +@all -@dangerous")

    with pytest.raises(redis.ConnectionError), redis.Redis(server.host, server.port, retry=None) as client:
        client.ping()
    with server.client() as client:
        client.set("cairn:a", "1")
        with pytest.raises(redis.exceptions.NoPermissionError):
            client.set("other:a", "1")

        assert client.get("cairn:a") == b"1"


def test_terminated_backends_are_other_peoples(private_postgres):
    """Every client loses its connection; the server goes on."""
    with psycopg.connect(private_postgres.url) as connection:
        ended = private_postgres.terminate_backends()
        with pytest.raises(psycopg.OperationalError):
            connection.execute("SELECT 1")

    assert ended >= 1, "the one by which the server was asked whether it is ready may still be closing"
    assert private_postgres.execute("SELECT 1") == [(1,)]


def test_a_standby_follows_and_is_promoted(servers, private_postgres):
    """Before that it reads only; afterwards both write, which is what a partition looks like."""
    standby = servers.standby(private_postgres)
    private_postgres.execute("CREATE TABLE t (n int)")
    standby.catch_up()
    with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
        standby.execute("INSERT INTO t VALUES (1)")

    standby.promote()
    standby.execute("INSERT INTO t VALUES (1)")

    assert standby.execute("SELECT n FROM t") == [(1,)]
    assert private_postgres.execute("SELECT n FROM t") == []


def test_a_pooler_gives_each_transaction_any_connection(pgbouncer_url):
    """What a client takes for its session is somebody else's: the mode that breaks prepared statements."""
    url = pgbouncer_url.partition("?")[0]
    with psycopg.connect(url) as first, psycopg.connect(url) as second:
        pids = [connection.info.backend_pid for connection in (first, second)]
        first.execute("SELECT 1")
        second.execute("SELECT 1")
        behind = [c.execute("SELECT pg_backend_pid()").fetchall()[0][0] for c in (first, second)]

    assert pids != behind
    assert len(set(behind)) == 2


def test_a_cluster_shares_its_slots(redis_cluster_url):
    """Keys lie on different masters; a key that another one has is refused with its place."""
    host, port = redis_cluster_url.partition("//")[2].partition("/")[0].split(":")
    prefix = redis_cluster_url.rpartition("=")[2]
    with redis.Redis(host, int(port)) as alone, redis.RedisCluster(host, int(port)) as client:
        keys = [f"{prefix}:{n}" for n in range(40)]
        stored = [client.set(key, "1") for key in keys]
        here = alone.keys(f"{prefix}:*")

        assert all(stored)
        assert 0 < len(here) < 40


def test_sentinels_agree_on_the_replica(servers):
    """After the master was killed every sentinel names the other, and it writes."""
    watched = servers.redis_sentinel()

    watched.fail_over()

    watched.replica.wait_ready(lambda: _writes(watched.replica))


def _writes(server) -> bool:
    with server.client() as client:
        try:
            return bool(client.set("a", "1"))
        except redis.exceptions.ReadOnlyError:
            return False


def test_each_test_has_a_place_of_its_own(postgres_url, redis_url):
    """The address names a schema or a prefix that nobody else has."""
    assert "?schema=t_" in postgres_url
    assert "?prefix=t_" in redis_url
