"""What every test stands on: a bare environment and hypothesis without a clock.

Tests are told apart by directory, not by marks: `unit` (no network, no sleep), `contract` (one suite over
every store), `crash` (real processes, really killed).
The last two may ask for servers; the fixtures below start none before a test does.
"""

from __future__ import annotations

import os
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from tests.servers.fixtures import (  # noqa: F401 - fixtures
    SESSION,
    pgbouncer_url,
    postgres_url,
    private_postgres,
    private_redis,
    redis_cluster_url,
    redis_url,
    server_connections,
    servers,
    servers_session,
)
from tests.servers.sessions import Session
from tests.servers.shared import end_shared

# A deadline would be a timed assert: a slow machine is no fault of the code.
# In CI the same examples are drawn each time, so that a red build is about the change; at home new ones.
settings.register_profile(
    "cairn",
    deadline=None,
    derandomize="CI" in os.environ,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("cairn")


def pytest_configure(config: pytest.Config) -> None:
    """Forget the developer's own Cairn settings, above all where his real runs are stored.

    `CAIRN_TEST_*` stays: by it a suite is given servers to run against.
    """
    for name in [n for n in os.environ if n.startswith("CAIRN_") and not n.startswith("CAIRN_TEST_")]:
        del os.environ[name]
    words = getattr(config, "workerinput", {}).get("servers")
    config.stash[SESSION] = Session.new() if words is None else Session.shared(words)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tell a worker whose servers it shares."""
    node.workerinput["servers"] = node.config.stash[SESSION].words


def pytest_unconfigure(config: pytest.Config) -> None:
    """End the servers that were started, when all tests are done."""
    session = config.stash.get(SESSION, None)
    if session is not None and not hasattr(config, "workerinput"):
        end_shared(session)
