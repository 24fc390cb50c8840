"""A store that lasts, of each kind, and the story of a run on it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from tests.crash.runner.flows import Flow
from tests.crash.runner.stories import Story

from cairn_runtime.store.base import Store
from cairn_runtime.store.opening import open_store

SERVERS = ["postgres", "redis"]
KINDS = ["sqlite", "file", *SERVERS]
"""Every store that lasts."""
Begin = Callable[[Flow, str], Awaitable[Story]]


@pytest.fixture
async def begin(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Begin]:
    """Make the story of a Workflow on a store of a kind."""
    opened: list[Store] = []
    monkeypatch.setenv("CAIRN_TEST_EFFECTS", str(tmp_path / "effects"))

    async def made(flow: Flow, kind: str = "sqlite") -> Story:
        local = {"sqlite": f"sqlite:///{tmp_path}/cairn.db", "file": f"file://{tmp_path}/runs"}
        url = local.get(kind) or request.getfixturevalue(f"{kind}_url")
        store = await open_store(url)
        opened.append(store)
        return Story(flow, url, store, tmp_path)

    yield made
    for store in opened:
        await store.close()


@pytest.fixture
async def store(url: str) -> AsyncIterator[Store]:
    """The store at the `url` that the test's module says."""
    opened = await open_store(url)
    yield opened
    await opened.close()
