"""Cairn's own stores, held against the contract: each kind, and each way in which its server may stand."""

from __future__ import annotations

import pytest

from cairn_runtime.store.contract import machine
from cairn_runtime.store.contract.suite import *  # noqa: F403 - the tests of the contract
from cairn_runtime.store.opening import store_for

KINDS = ["memory", "sqlite", "file", "postgres", "redis"]
BEHIND = ["postgres-pgbouncer", "redis-cluster"]


@pytest.fixture(params=[*KINDS, *BEHIND])
def store_factory(request, url_of):
    """Open the same new place of a kind of store, as often as the test asks."""
    url = url_of(request.param)
    return lambda: store_for(url)


# Thousands of calls, each with its looks from outside: minutes, on a machine that has more to do.
@pytest.mark.timeout(600)
class TestAgainstAModel(machine.TestAgainstAModel):  # type: ignore[no-redef]
    """The state machine, once for each kind: a pooler or a cluster does not change what a call means."""

    @pytest.fixture(params=KINDS)
    def store_factory(self, request, url_of):
        """Open the same new place of a kind of store, as often as the test asks."""
        url = url_of(request.param)
        return lambda: store_for(url)
