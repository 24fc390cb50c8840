"""What runners count of their own work, in whole runs on a memory store."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.unit.engine.lab import Lab

from cairn_runtime.engine.context import Context, State
from cairn_runtime.engine.counting import count_events
from cairn_runtime.errors import StoreUnavailable, Superseded
from cairn_runtime.model.metrics import RunMetrics
from cairn_runtime.runner.session import Session
from cairn_runtime.store.base import Store
from cairn_runtime.store.opening import open_store

RETRY = {"policy": "Fixed", "baseDelay": "0s", "limit": 5}
CHAIN: list[dict[str, Any]] = [{"name": "a"}, {"name": "b", "needs": ["a"]}]


@pytest.fixture
async def store() -> AsyncIterator[Store]:
    opened = await open_store("memory:")
    yield opened
    await opened.close()


async def counted(session: Session) -> RunMetrics:
    """Run a session to its end; what it has counted."""
    try:
        await session.loop.run()
    finally:
        await session.close()
    return session.control.metrics


async def leave(session: Session) -> None:
    """Leave the numbers in the row, as a heartbeat does."""
    control = session.control
    await control.store.heartbeat(control.run_id, control.fence, control.metrics.to_json())


async def test_steps_are_counted_by_what_came_of_them(store: Store) -> None:
    """Done, skipped and failed visits, items, and tries that were to be repeated."""
    attempts: list[int] = []

    async def flaky(_state: State, _ctx: Context) -> None:
        attempts.append(1)
        if len(attempts) < 3:
            raise OSError("not yet")

    async def broken(_state: State, _ctx: Context) -> None:
        raise ValueError("never")

    steps: list[dict[str, Any]] = [
        {"name": "flaky", "retry": RETRY},
        {"name": "never", "needs": ["flaky"], "when": "false"},
        {"name": "each", "needs": ["never"], "foreach": {"in": "[1, 2, 3]"}},
        {"name": "broken", "needs": ["each"], "retry": {"limit": 0}},
    ]
    lab = Lab(store, steps, {"flaky": flaky, "broken": broken})

    metrics = await counted(await lab.open())

    assert metrics.steps == {"done": 2, "failed": 1, "parked": 0, "skipped": 1}
    assert (metrics.retries, metrics.items, metrics.failures) == (2, 3, 0)


def test_what_ends_no_visit_of_a_step_is_not_counted() -> None:
    """A failed item is its step's to tell, a run that took too long names no step, a write is a write."""
    metrics = RunMetrics()

    count_events(
        metrics,
        [
            ["failed", "each", 1, 2, {}, []],
            ["failed", "", 0, None, {}, []],
            ["write", "x", "set", 1, "a#1"],
            ["ready", "a", 1, 1],
        ],
    )

    assert metrics == RunMetrics()


async def test_each_commit_is_a_save_with_its_duration(store: Store) -> None:
    """One commit may hold several checkpoints; one that only changes the row is no save."""
    lab = Lab(store, CHAIN, {})

    metrics = await counted(await lab.open())

    assert sum(metrics.saves.counts) == 3  # the start, a, and b with the end
    assert (await lab.row()).checkpoints == 3
    assert metrics.saves.seconds > 0.0
    assert sum(metrics.restores.counts) == 0


async def test_an_attempt_to_save_without_an_answer_is_a_failure(store: Store, monkeypatch: Any) -> None:
    """Each attempt is one, and the save that comes through in the end is one save."""
    lab = Lab(store, [{"name": "a"}], {})
    session = await lab.open()
    commit, silent = store.commit, [True, True, False, True]

    async def sometimes(*given: Any) -> None:
        if silent and silent.pop(0):
            raise StoreUnavailable("no answer")
        await commit(*given)

    monkeypatch.setattr(store, "commit", sometimes)
    metrics = await counted(session)

    assert metrics.failures == 3
    assert sum(metrics.saves.counts) == 2


async def test_a_refusal_by_the_fence_is_no_failure(store: Store) -> None:
    """The store is well, and did what it is there for."""
    lab = Lab(store, [{"name": "a"}], {})
    session = await lab.open()
    await store.claim(lab.run_id, 1, "another")

    with pytest.raises(Superseded):
        await counted(session)

    assert session.control.metrics.failures == 0


async def test_a_new_runner_counts_on_from_the_row(store: Store) -> None:
    """What was told counts once, and what a crash kept from being told is lost, not counted twice."""
    began, gate = asyncio.Event(), asyncio.Event()

    async def gated(_state: State, _ctx: Context) -> None:
        began.set()
        await gate.wait()

    lab = Lab(store, CHAIN, {"b": gated})
    first = await lab.open()
    running = asyncio.ensure_future(first.loop.run())
    await began.wait()
    await leave(first)
    first.control.metrics.retries = 7  # never told: it dies here
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await first.close()

    gate.set()
    metrics = await counted(second := await lab.open())
    await leave(second)

    assert metrics.steps["done"] == 2
    assert (metrics.retries, sum(metrics.restores.counts)) == (0, 1)
    assert (await lab.row()).metrics == metrics.to_json()


async def test_numbers_that_cannot_be_read_are_begun_anew(store: Store) -> None:
    """A damaged count is no reason for a run not to go on."""
    lab = Lab(store, CHAIN, {})
    session = await lab.open()
    await store.heartbeat(lab.run_id, session.control.fence, {"version": 1, "failures": "many"})
    await session.close()

    metrics = await counted(await lab.open())

    assert metrics.steps["done"] == 2


async def test_a_slow_save_names_its_task(store: Store, monkeypatch: Any, caplog: Any) -> None:
    """From 100 ms on: what took how long, how much it was, and which task waited for it."""
    lab = Lab(store, [{"name": "a"}], {})
    session = await lab.open()
    commit = store.commit

    async def slow(*given: Any) -> None:
        await asyncio.sleep(0.11)
        await commit(*given)

    monkeypatch.setattr(store, "commit", slow)
    with caplog.at_level(logging.WARNING, "cairn.control"):
        await counted(session)

    last = caplog.records[-1]
    assert last.getMessage() == "save was slow"
    assert (last.task, last.checkpoints) == ("a#1", 1)
    assert last.seconds >= 0.11
    assert last.bytes > 0
