"""A new place for a store of any kind; a server is asked for by the tests on that kind alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import pytest

ON_SERVERS = {
    "postgres": "postgres_url",
    "postgres-pgbouncer": "pgbouncer_url",
    "redis": "redis_url",
    "redis-cluster": "redis_cluster_url",
}
"""The fixture that gives a place on each kind of server."""


@pytest.fixture
def url_of(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[str], str]:
    """Give the URL of a new place for a kind of store."""

    def made(kind: str) -> str:
        if kind in ON_SERVERS:
            return str(request.getfixturevalue(ON_SERVERS[kind]))
        return {
            "memory": f"memory:{uuid4()}",
            "sqlite": f"sqlite:///{tmp_path}/store.db",
            "file": f"file://{tmp_path}/store",
        }[kind]

    return made
