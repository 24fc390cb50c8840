"""The tiny store, held against the contract of every store."""

from __future__ import annotations

from pathlib import Path

import pytest

from cairn_runtime.store.contract.cases import StoreFactory
from cairn_runtime.store.contract.suite import *  # noqa: F403
from cairn_runtime.store.opening import store_for


@pytest.fixture
def store_url(tmp_path: Path) -> str:
    """An empty place for each test; real processes are given it as well."""
    return f"tiny://{tmp_path}/store"


@pytest.fixture
def store_factory(store_url: str) -> StoreFactory:
    """Each call opens the same place again, as another process would."""
    return lambda: store_for(store_url)
