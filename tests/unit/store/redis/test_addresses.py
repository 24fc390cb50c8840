"""From a URL to where the servers are: every form, and every mistake with its text."""

from __future__ import annotations

import pytest

from cairn_runtime.errors import StoreUrlInvalid
from cairn_runtime.store.opening import parse_store_url, store_for
from cairn_runtime.store.redis.addresses import Address, Tls, read_address


def read(url: str) -> Address:
    return read_address(parse_store_url(url))


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("redis://h", {"hosts": (("h", 6379),), "database": 0, "prefix": "cairn:", "ttl_seconds": 0.0}),
        ("redis://h/", {"database": 0}),
        ("redis://h:7000/3", {"hosts": (("h", 7000),), "database": 3}),
        ("redis://h:1,[::1]:2,i", {"hosts": (("h", 1), ("::1", 2), ("i", 6379))}),
        ("redis://h?prefix=team-a", {"prefix": "team-a:"}),
        ("redis://h?prefix=", {"prefix": ""}),
        ("redis://h?ttl=7d&timeout=2s", {"ttl_seconds": 604800.0, "timeout_seconds": 2.0}),
        ("redis://h", {"timeout_seconds": 5.0, "volatile": False, "tls": None, "master": ""}),
        ("redis://h?volatile=true", {"volatile": True}),
        ("redis://:pass%2Fword@h", {"user": None, "password": "pass/word"}),
        ("redis://me:p%40ss@h", {"user": "me", "password": "p@ss"}),
        ("redis://me@h?passfile=/p", {"user": "me", "password": None, "passfile": "/p"}),
        ("rediss://h", {"tls": Tls()}),
        (
            "rediss://h?ca=/c.pem&cert=/d.pem&key=/k.pem&verify=ca",
            {"tls": Tls("/c.pem", "/d.pem", "/k.pem", "ca")},
        ),
        (
            "redis+sentinel://a,b:7/2?master=m&sentinel_user=s&sentinel_password=t",
            {
                "hosts": (("a", 26379), ("b", 7)),
                "master": "m",
                "sentinel_user": "s",
                "sentinel_password": "t",
                "database": 2,
            },
        ),
        ("rediss+sentinel://a?master=m", {"master": "m", "tls": Tls()}),
    ],
)
def test_a_url_is_read_whole(url, expected):
    """Hosts, database, login, options; what is not said has its usual value."""
    address = read(url)

    assert {name: getattr(address, name) for name in expected} == expected


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("redis://me:secret@h?passfile=/p", "give one of the two"),
        ("redis:", "name a server"),
        ("redis:///0", "name a server"),
        ("redis://h:port", "name a server"),
        ("redis://h:0", "name a server"),
        ("redis://h:65536", "name a server"),
        ("redis://h,,i", "name a server"),
        ("redis://h/one", "the number of a database"),
        ("redis://h/0/1", "the number of a database"),
        ("redis://me@h", "a user needs a password"),
        ("redis://h?prefix={a}", "must be without braces"),
        ("redis://h?prefix=a*", "must be without braces"),
        ("redis://h?ttl=soon", '"soon" is not a duration'),
        ("redis://h?ttl=10ms", "must be a second or longer"),
        ("redis://h?timeout=0s", "must be longer than nothing"),
        ("redis://h?volatile=yes", '"yes" is neither true nor false'),
        ("redis://h?tll=7d", 'did you mean "ttl"?'),
        ("redis://h?ca=/c.pem", "?ca=: unknown option"),
        ("redis://h?master=m", "?master=: unknown option"),
        ("rediss://h?verify=host", '"host" is none of full, ca, none'),
        ("rediss://h?key=/k.pem", "belongs to a certificate"),
        ("redis+sentinel://h", "name the master"),
        ("redis+sentinel://h?master=m&cert=/c", "?cert=: unknown option"),
    ],
)
def test_a_url_that_cannot_be_used_says_why(url, message):
    """The text names the option and what to write instead."""
    with pytest.raises(StoreUrlInvalid) as caught:
        store_for(url)

    assert message in str(caught.value)


def test_all_faults_come_at_once():
    """Nobody mends a URL in five rounds."""
    with pytest.raises(StoreUrlInvalid) as caught:
        read("redis+sentinel://h/x?ttl=soon&volatile=maybe&prefix={}")

    assert len(caught.value.faults) == 5


def test_no_password_is_shown():
    """Neither the server's nor that of the Sentinels, in no text that is made of an address or a store."""
    url = "rediss+sentinel://me:hushhush@h/0?master=m&sentinel_password=hushhush&ttl=1h"
    address = read(url)
    store = store_for(url)

    assert "hushhush" not in f"{address!r} {address.safe} {store.url} {store!r}"
    with pytest.raises(StoreUrlInvalid) as caught:
        store_for(f"{url}&x=1")
    assert "hushhush" not in str(caught.value)
