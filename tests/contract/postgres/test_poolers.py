"""The contract behind a pooler that gives every transaction another connection."""

from __future__ import annotations

import pytest
from tests.contract.postgres.places import with_option

from cairn_runtime.store.contract.suite import (  # noqa: F401 - the tests of the contract
    TestChanges,
    TestClaims,
    TestCommits,
    TestDeletion,
    TestHeartbeats,
    TestHistory,
    TestHolds,
    TestLostReplies,
    TestOpening,
    TestPrune,
    TestRuns,
    TestSignals,
)
from cairn_runtime.store.opening import store_for


@pytest.fixture
def store_factory(pgbouncer_url):
    """A place behind the pooler, with the switch that is documented for it."""
    url = with_option(with_option(pgbouncer_url, "pooler=transaction"), "pool=3")
    return lambda: store_for(url)
