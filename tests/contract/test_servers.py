"""The servers of the tests: private, killed as a whole, gone with the tests however those ended."""

from __future__ import annotations

import psycopg
import pytest
import redis


def test_a_killed_postgres_comes_back_with_what_it_acknowledged(private_postgres):
    """SIGKILL to all its processes loses nothing that was committed."""
    private_postgres.execute("CREATE TABLE t (n int)")
    private_postgres.execute("INSERT INTO t VALUES (1)")
    private_postgres.kill()
    with pytest.raises(psycopg.OperationalError):
        private_postgres.execute("SELECT 1")

    private_postgres.start()

    assert private_postgres.execute("SELECT n FROM t") == [(1,)]


def test_a_killed_redis_comes_back_with_what_it_synced(private_redis):
    """The append-only file is read again, on the same port."""
    with redis.Redis.from_url(private_redis.url) as client:
        client.set("a", "1")
    private_redis.kill()
    with pytest.raises(redis.ConnectionError), redis.Redis.from_url(private_redis.url, retry=None) as client:
        client.get("a")

    private_redis.start()

    with redis.Redis.from_url(private_redis.url) as client:
        assert client.get("a") == b"1"


def test_each_test_has_a_place_of_its_own(postgres_url, redis_url):
    """The address names a schema or a prefix that nobody else has."""
    assert "?schema=t_" in postgres_url
    assert "?prefix=t_" in redis_url
