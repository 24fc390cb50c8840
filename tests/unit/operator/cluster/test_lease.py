"""The Lease: who makes passes, told by the API server and by no clock of another machine."""

from __future__ import annotations

import asyncio
from copy import deepcopy

import pytest

from cairn_operator.cluster import lease as leases
from cairn_operator.cluster.errors import ApiConflict, ApiUnavailable, NameTaken
from cairn_operator.cluster.lease import DURATION_SECONDS, GIVE_UP_SECONDS, Lease


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self):
        self.at = 1000.0

    def __call__(self):
        return self.at


class Server:
    """One Lease object, as an API server keeps it: versions, conflicts, and answers that are lost."""

    def __init__(self):
        self.found = None
        self.version = 0
        self.lose = ""
        self.writes = 0

    async def read(self, kind, namespace, name):
        assert (kind, namespace, name) == ("Lease", "system", "cairn")
        self._say("read")
        return deepcopy(self.found)

    async def create(self, manifest):
        self._say("refuse")
        if self.found is not None:
            raise NameTaken
        return self._write(manifest)

    async def replace(self, manifest):
        self._say("refuse")
        if self.found is None or manifest["metadata"]["resourceVersion"] != str(self.version):
            raise ApiConflict
        return self._write(manifest)

    def _say(self, what):
        if self.lose == what:
            raise ApiUnavailable

    def _write(self, manifest):
        self.version += 1
        self.writes += 1
        found = deepcopy(manifest)
        found["metadata"]["resourceVersion"] = str(self.version)
        self.found = found
        self._say("answer")
        return deepcopy(found)


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def server():
    return Server()


def operator(server, clock, identity="a"):
    return Lease(server, "system", "cairn", identity, clock)


async def tried(lease):
    return await lease._tried()


async def test_a_lease_that_is_not_there_is_made(server, clock):
    """The first operator of an installation finds none."""
    lease = operator(server, clock)

    assert await tried(lease)
    assert lease.held
    assert server.found["spec"]["holderIdentity"] == "a"
    assert server.found["spec"]["leaseTransitions"] == 1


async def test_a_held_lease_is_left_to_its_holder(server, clock):
    """Only one of two is active as long as the other renews."""
    first, second = operator(server, clock, "a"), operator(server, clock, "b")
    await tried(first)

    for _ in range(20):
        clock.at += 3
        assert not await tried(second)
        assert await tried(first)


async def test_a_silent_holder_is_followed_after_its_own_duration(server, clock):
    """Silence is counted by the follower's own clock, from when it saw the object so for the first time."""
    first, second = operator(server, clock, "a"), operator(server, clock, "b")
    await tried(first)
    clock.at += 100
    assert not await tried(second)

    clock.at += DURATION_SECONDS - 0.1
    assert not await tried(second)
    clock.at += 0.1
    assert await tried(second)
    assert server.found["spec"]["leaseTransitions"] == 2


async def test_the_holder_stops_before_another_may_begin(server, clock):
    """Without an answer the holder counts itself out earlier than anybody else does."""
    lease = operator(server, clock)
    await tried(lease)
    server.lose = "refuse"

    clock.at += GIVE_UP_SECONDS - 0.1
    assert await tried(lease)
    clock.at += 0.1
    assert not await tried(lease)
    assert GIVE_UP_SECONDS < DURATION_SECONDS


async def test_a_renewal_whose_answer_was_lost_is_no_loss(server, clock):
    """The object changed under us, but it was us."""
    lease = operator(server, clock)
    await tried(lease)
    server.lose = "answer"
    clock.at += 3
    await tried(lease)
    server.lose = ""

    clock.at += 3
    assert await tried(lease)
    clock.at += 3
    assert await tried(lease)
    assert lease.held


async def test_a_lease_that_another_wrote_is_lost_at_once(server, clock):
    """Somebody who took it, rightly or not, is not fought: passes stop."""
    first, second = operator(server, clock, "a"), operator(server, clock, "b")
    await tried(first)
    server.found["spec"]["holderIdentity"] = ""
    assert await tried(second)

    clock.at += 1
    assert not await tried(first)
    assert not first.held
    assert first.holder == "b"


async def test_keeping_ends_when_it_is_lost(server, clock, monkeypatch):
    """Whoever waits for `keep` learns of the loss without asking."""
    monkeypatch.setattr(leases, "RENEW_SECONDS", 0)
    first, second = operator(server, clock, "a"), operator(server, clock, "b")
    await tried(first)
    keeping = asyncio.create_task(first.keep())
    await asyncio.sleep(0)
    server.found["spec"]["holderIdentity"] = ""
    await tried(second)

    await asyncio.wait_for(keeping, 5)

    assert not first.held


async def test_a_lease_given_back_is_free_at_once(server, clock):
    """A rolling update does not wait for a duration to pass."""
    first, second = operator(server, clock, "a"), operator(server, clock, "b")
    await tried(first)
    await first.give_back()

    assert not first.held
    assert await tried(second)


async def test_only_the_holder_gives_back(server, clock):
    """Who lost it leaves it to whoever has it now."""
    first, second = operator(server, clock, "a"), operator(server, clock, "b")
    await tried(first)
    clock.at += 1
    await tried(second)
    clock.at += DURATION_SECONDS
    await tried(second)
    writes = server.writes

    await first.give_back()

    assert server.writes == writes
    assert server.found["spec"]["holderIdentity"] == "b"
