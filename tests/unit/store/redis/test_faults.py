"""What each error of Redis and of redis-py means to whoever uses the store."""

from __future__ import annotations

import ssl

import pytest
from redis import exceptions as driver

from cairn_runtime.errors import CheckpointTooLarge, StoreLoginRefused, StoreUnavailable, StoreUnusable
from cairn_runtime.store.redis.faults import Lost, NotMaster, fault, refused
from cairn_runtime.store.redis.replies import Refusal

PLACE = "redis://h:***@h"


@pytest.mark.parametrize(
    ("text", "ours", "says"),
    [
        ("BUSY Redis is busy running a script.", StoreUnavailable, "cannot answer now"),
        ("CLUSTERDOWN Hash slot not served", StoreUnavailable, "no server for these keys"),
        ("LOADING Redis is loading the dataset in memory", StoreUnavailable, "reading its data"),
        ("MASTERDOWN Link with MASTER is down", StoreUnavailable, "replica"),
        ("MISCONF Errors writing to the AOF file", StoreUnavailable, "cannot write to its disk"),
        ("NOREPLICAS Not enough good replicas to write.", StoreUnavailable, "min-replicas-to-write"),
        ("OOM command not allowed when used memory > 'maxmemory'.", StoreUnavailable, "memory is full"),
        ("READONLY You can't write against a read only replica.", StoreUnavailable, "replica"),
        ("TRYAGAIN Multiple keys request during rehashing of slot", StoreUnavailable, "moving"),
        ("MOVED 3999 127.0.0.1:6381", StoreUnavailable, "moving"),
        ("ASK 3999 127.0.0.1:6381", StoreUnavailable, "moving"),
        ("ERR max number of clients reached", StoreUnavailable, "too many connections"),
        ("NOAUTH Authentication required.", StoreLoginRefused, "asks for a password"),
        ("WRONGPASS invalid username-password pair", StoreLoginRefused, "user or password are wrong"),
        ("NOPERM this user has no permissions", StoreUnusable, "may not do this"),
        ("WRONGTYPE Operation against a key holding the wrong kind", StoreUnusable, "another program"),
        ("CROSSSLOT Keys in request don't hash to the same slot", StoreUnusable, "several slots"),
        ("ERR unknown command 'EVALSHA'", StoreUnusable, "the server refused"),
        ("ERR Protocol error: invalid bulk length", CheckpointTooLarge, "proto-max-bulk-len"),
        (
            "ERR Error running script (call to f_1): @user_script:7: READONLY You can't",
            StoreUnavailable,
            "replica",
        ),
        ("ERR Error running script: -OOM command not allowed", StoreUnavailable, "memory is full"),
        ("ERR user_script:7: Script attempted to access nonexistent", StoreUnusable, "the server refused"),
    ],
)
def test_each_reply_that_is_an_error_has_a_meaning(text, ours, says):
    """What may pass is `StoreUnavailable`; what somebody must change is not."""
    error = refused(PLACE, Refusal(text.split(" ")[0], text))

    assert type(error) is ours
    assert says in error.message
    assert error.message.startswith(PLACE)


@pytest.mark.parametrize(
    ("error", "ours"),
    [
        (Lost("the server closed the connection"), StoreUnavailable),
        (NotMaster("a replica"), StoreUnavailable),
        (driver.AuthenticationError("invalid password"), StoreLoginRefused),
        (driver.AuthenticationWrongNumberOfArgsError("wrong number"), StoreLoginRefused),
        (driver.AuthorizationError("no"), StoreUnusable),
        (driver.NoPermissionError("no"), StoreUnusable),
        (driver.BusyLoadingError("loading"), StoreUnavailable),
        (driver.MaxConnectionsError("too many"), StoreUnavailable),
        (driver.ReadOnlyError("replica"), StoreUnavailable),
        (driver.MasterDownError("down"), StoreUnavailable),
        (driver.ClusterDownError("down"), StoreUnavailable),
        (driver.OutOfMemoryError("full"), StoreUnavailable),
        (driver.TimeoutError("late"), StoreUnavailable),
        (driver.ConnectionError("refused"), StoreUnavailable),
        (driver.DataError("no such option"), StoreUnusable),
        (driver.ResponseError("DB index is out of range"), StoreUnusable),
        (driver.RedisError("what else"), StoreUnavailable),
        (driver.LockError("never used"), StoreUnavailable),
        (ssl.SSLCertVerificationError("self-signed certificate"), StoreUnusable),
        (ConnectionResetError("reset"), StoreUnavailable),
        (TimeoutError(), StoreUnavailable),
        (EOFError(), StoreUnavailable),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_each_error_of_the_driver_has_a_meaning(error, ours):
    """Its whole tree, from the special to the general."""
    assert type(fault(PLACE, error)) is ours


def test_no_class_of_the_driver_is_left_out():
    """A later redis-py that raises something new still raises a RedisError."""
    classes = [
        kind
        for kind in vars(driver).values()
        if isinstance(kind, type) and issubclass(kind, driver.RedisError)
    ]

    assert len(classes) > 20
    assert all(
        isinstance(fault(PLACE, kind.__new__(kind)), StoreUnavailable | StoreUnusable) for kind in classes
    )


def test_a_certificate_that_redis_py_hides_is_found():
    """It raises an error of its own while it handles the one of TLS."""
    hidden = driver.ConnectionError("Error 1 connecting")
    hidden.__context__ = ssl.SSLCertVerificationError("unknown authority")

    assert isinstance(fault(PLACE, hidden), StoreUnusable)


@pytest.mark.parametrize("error", [ValueError("no"), KeyError("x"), AssertionError()], ids=repr)
def test_a_mistake_of_ours_stays_what_it_is(error):
    """It is not dressed up as an outage that passes."""
    assert fault(PLACE, error) is None
