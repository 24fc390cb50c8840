"""Cairn's own stores, held against the contract."""

from __future__ import annotations

from pathlib import Path
from uuid import uuid4

import pytest

from cairn_runtime.store.contract.suite import *  # noqa: F403 - the tests of the contract
from cairn_runtime.store.opening import store_for


@pytest.fixture(params=["memory", "sqlite", "file"])
def store_factory(request, tmp_path: Path):
    """Open the same new place of a kind of store, as often as the test asks."""
    url = {
        "memory": f"memory:{uuid4()}",
        "sqlite": f"sqlite:///{tmp_path}/store.db",
        "file": f"file://{tmp_path}/store",
    }[request.param]
    return lambda: store_for(url)
