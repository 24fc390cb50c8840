"""What comes while the loop is busy saving is not forgotten."""

from __future__ import annotations

import asyncio

import pytest
from tests.unit.engine.lab import Lab

from cairn_runtime.engine.context import Context
from cairn_runtime.store.base import Store
from cairn_runtime.store.opening import open_store


@pytest.fixture
async def store() -> Store:
    return await open_store("memory:")


@pytest.mark.parametrize("durability", ["sync", "async"])
async def test_a_drain_that_comes_during_a_save_ends_the_loop_at_once(store: Store, durability: str) -> None:
    """Nothing runs, so nothing is waited for: it does not sit out its grace."""
    lab = Lab(
        store, [{"name": "a"}, {"name": "b", "needs": ["a"]}], {}, checkpoint={"durability": durability}
    )
    session = await lab.open()
    session.loop.on_saved = lambda: session.loop.drain(3600.0)

    async with asyncio.timeout(60):
        ending = await session.loop.run()
    await session.close()

    assert ending.drained


async def test_the_loop_is_alone_only_while_no_task_runs(store: Store) -> None:
    """Then nothing of the run needs the event loop, and a commit may hold it up."""
    seen: dict[str, bool] = {}

    async def step(_state: object, ctx: Context) -> None:
        seen[ctx.step] = session.loop.alone()

    lab = Lab(store, [{"name": "a"}, {"name": "b", "needs": ["a"]}], {"a": step, "b": step})
    session = await lab.open()
    session.loop.on_saved = lambda: seen.__setitem__("save", session.loop.alone())
    await session.loop.run()
    await session.close()

    assert seen == {"a": False, "b": False, "save": True}
