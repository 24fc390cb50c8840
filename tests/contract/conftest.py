"""A new place for a store of any kind, and the doctor; a server is asked for by tests on that kind alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import pytest

from cairn_runtime.cli.__main__ import main

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


@pytest.fixture
def doctor(capsys: pytest.CaptureFixture[str]) -> Callable[[str], tuple[int, str]]:
    """Call the doctor on a store; answers the exit code and what was said."""

    def call(url: str) -> tuple[int, str]:
        code = main(["doctor", "--store", url])
        return code, capsys.readouterr().out

    return call
