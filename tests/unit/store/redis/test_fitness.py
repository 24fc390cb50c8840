"""Which servers are refused, judged by what they say of themselves."""

from __future__ import annotations

from typing import Any

import pytest

from cairn_runtime.errors import CairnError, StoreUnavailable, StoreUnusable
from cairn_runtime.store.opening import parse_store_url
from cairn_runtime.store.redis.addresses import read_address
from cairn_runtime.store.redis.inspections import Server, refuse_unfit, way_concerns

GOOD: dict[str, Any] = {
    "version": (7, 0),
    "role": "master",
    "clustered": False,
    "aof": True,
    "fsync": "everysec",
    "policy": "noeviction",
    "used_bytes": 1,
    "limit_bytes": None,
}


@pytest.mark.parametrize(
    ("changes", "url", "refused"),
    [
        pytest.param({}, "redis://h", None, id="a good one"),
        pytest.param({"version": (6, 2)}, "redis://h", None, id="the oldest that works"),
        pytest.param({"version": (6, 0)}, "redis://h", StoreUnusable, id="an older one"),
        pytest.param({"version": (6, 0)}, "redis://h?volatile=true", StoreUnusable, id="older and volatile"),
        pytest.param({"version": None}, "redis://h", None, id="a version that is not shown"),
        pytest.param({"role": "slave"}, "redis://h?volatile=true", StoreUnavailable, id="a replica"),
        pytest.param({"aof": False}, "redis://h", StoreUnusable, id="no log"),
        pytest.param({"aof": False}, "redis://h?volatile=true", None, id="no log, and that is fine"),
        pytest.param({"policy": "allkeys-lfu"}, "redis://h", StoreUnusable, id="eviction"),
        pytest.param(
            {"policy": "allkeys-lfu"}, "redis://h?volatile=true", None, id="eviction, and that is fine"
        ),
        pytest.param({"clustered": True}, "redis://h/0", None, id="a cluster"),
        pytest.param({"clustered": True}, "redis://h/1", StoreUnusable, id="a database of a cluster"),
        pytest.param({"aof": None, "policy": None}, "redis://h", None, id="nothing is shown"),
    ],
)
def test_a_server_is_judged_by_what_it_says(changes, url, refused: type[CairnError] | None):
    """What would lose runs is refused, what nobody can see is not."""
    server, address = Server(**(GOOD | changes)), read_address(parse_store_url(url))

    if refused is None:
        refuse_unfit(server, address)
        return
    with pytest.raises(refused):
        refuse_unfit(server, address)


def test_all_that_is_wrong_is_said_at_once():
    """Whoever sets a server up reads it once, with all lines that mend it and keep it so."""
    server = Server(**(GOOD | {"aof": False, "policy": "allkeys-lru"}))

    with pytest.raises(StoreUnusable) as refusal:
        refuse_unfit(server, read_address(parse_store_url("redis://h")))

    lines = "CONFIG SET maxmemory-policy noeviction; CONFIG SET appendonly yes; CONFIG REWRITE"
    assert lines in refusal.value.message
    assert "maxmemory-policy allkeys-lru" in refusal.value.message
    assert "append-only file" in refusal.value.message


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({}, "the last second or two may be lost, claims too"),
        ({"version": (7, 2)}, "claims wait for the sync"),
        ({"fsync": "always"}, "synced"),
        ({"fsync": "no"}, "what the system has not written yet"),
        ({"fsync": None}, "nobody knows when"),
        ({"aof": False}, "nothing"),
        ({"aof": None}, "does not show"),
    ],
    ids=str,
)
def test_durable_is_said_in_a_sentence(changes, says):
    """The one that `check` answers."""
    assert says in Server(**(GOOD | changes)).durable


@pytest.mark.parametrize(
    ("changes", "waits"),
    [
        ({}, False),
        ({"version": (7, 2)}, True),
        ({"version": (8, 0), "aof": False}, False),
        ({"version": None}, False),
    ],
    ids=str,
)
def test_claims_wait_where_the_server_can(changes, waits):
    """WAITAOF came with 7.2 and needs the log."""
    assert Server(**(GOOD | changes)).waits_for_disk is waits


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("redis://db.example:6379/0", True),
        ("redis://127.0.0.1,db.example", True),
        ("redis+sentinel://one,two/0?master=m", True),
        ("rediss://db.example", False),
        ("redis://localhost", False),
        ("redis://127.0.0.1:6380", False),
        ("redis://[::1]:6379", False),
    ],
)
def test_an_open_way_to_another_machine_is_told(url, told):
    """Who listens there reads every state and the password."""
    found = way_concerns(read_address(parse_store_url(url)))

    assert [("rediss://" in concern.mend, concern.grave) for concern in found] == [(True, False)] * told
