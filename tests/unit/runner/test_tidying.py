"""A run that prunes itself: what stays while it runs, what its end leaves, and that nobody waits for it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.unit.runner.conftest import until
from tests.unit.runner.rows import accepted

from cairn_runtime.engine.control import SNAPSHOT_FLOOR_BYTES
from cairn_runtime.errors import StoreUnavailable
from cairn_runtime.model.ids import utc_now
from cairn_runtime.runner import tidying
from cairn_runtime.runner.attempts import Attempt
from cairn_runtime.runner.starting import claim_run, find_or_create
from cairn_runtime.store.retention import Policy, Walk, entry_of

CODE = {
    "steps.py": """
async def turn(state, ctx):
    return {"text": f"{ctx.visit:06}" * 500}
"""
}


def loop_of(times: int, **spec: Any):
    """A loop of one step that writes 3 kB each time, with a snapshot every twenty visits or so."""
    step = {
        "name": "turn",
        "python": "steps:turn",
        "next": [{"to": "turn", "when": f"visits.turn < {times}"}],
        "maxVisits": times + 1,
    }
    return accepted(step, code=CODE, state={"channels": {"text": {}}}, **spec)


async def begun(store, accepted_):
    """A run of it, and its first attempt."""
    row = await find_or_create(store, accepted_)
    return row.run_id, Attempt(store, row.run_id, await claim_run(store, row.run_id, row.epoch))


async def headers(store, run_id):
    """All that is there, newest first."""
    return await store.checkpoints(run_id, limit=100_000)


def promised(rows, policy: Policy) -> int:
    """Bytes that a policy promises to hold, by the rule alone."""
    walk = Walk(policy, utc_now())
    return sum(row.size for row in rows if not walk.goes(entry_of(row)))


@pytest.mark.parametrize("keep_last", [1, 10, 60])
async def test_a_long_loop_never_holds_more_than_its_policy_promises(store, keep_last):
    """Looked at after every commit: within a tenth, once a prune had its turn."""
    run_id, attempt = await begun(store, loop_of(1500, checkpoint={"history": {"keepLast": keep_last}}))
    every, over = [], []
    commit = store.commit

    async def watched(*args: Any) -> None:
        await commit(*args)
        every.extend(args[4])
        there = sum(row.size for row in await headers(store, run_id))
        most = promised(every[::-1], Policy(keep_last, 1e9))
        over.append(there / most)

    store.commit = watched
    await attempt.run()

    # What has just become droppable is there for a turn or two of the event loop.
    assert sorted(over)[int(len(over) * 0.9)] <= 1.1
    assert max(over[-1], 1.0) <= 1.1
    assert len(await headers(store, run_id)) < 1500 / 4


async def test_the_end_leaves_what_the_policy_keeps(store):
    """Nothing more, though it was not worth a prune of its own before."""
    run_id, attempt = await begun(store, loop_of(200, checkpoint={"history": {"keepLast": 3}}))

    await attempt.run()

    rows = await headers(store, run_id)
    walk = Walk(Policy(3, 1e9), utc_now())
    assert [row.seq for row in rows if walk.goes(entry_of(row))] == []
    assert rows[0].seq == (await store.run(run_id)).head_seq


async def test_a_short_run_asks_nothing_of_the_store(store):
    """Where nothing can go there is no call."""
    run_id, attempt = await begun(store, loop_of(5))
    store.prune = store.pins = None

    assert (await attempt.run()).phase == "Succeeded"
    assert len(await headers(store, run_id)) == 6


async def test_what_an_earlier_runner_left_goes_too(store):
    """A runner that was killed pruned nothing at its end; the next one reads what is there."""
    run_id, attempt = await begun(store, loop_of(400, checkpoint={"history": {"keepLast": 2}}))
    prune, store.prune = store.prune, _unavailable
    running = asyncio.create_task(attempt.run())
    await until(store, run_id, lambda row: row.head_seq >= 300)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert len(await headers(store, run_id)) >= 300
    store.prune = prune

    _, second = await begun(store, loop_of(400, checkpoint={"history": {"keepLast": 2}}))
    await second.run()

    kept = sum(row.size for row in await headers(store, run_id))
    assert kept <= 2 * SNAPSHOT_FLOOR_BYTES


async def _unavailable(*_: Any) -> int:
    raise StoreUnavailable("it does not answer")


async def test_a_store_that_refuses_to_prune_stops_nobody(store):
    """The run ends as it would; the rest is for whoever prunes next."""
    run_id, attempt = await begun(store, loop_of(100, checkpoint={"history": {"keepLast": 1}}))
    store.prune = _unavailable

    assert (await attempt.run()).phase == "Succeeded"
    assert len(await headers(store, run_id)) == 101


async def test_no_commit_waits_for_a_prune(store, monkeypatch):
    """A prune that hangs lets the run end; the runner leaves after some seconds."""
    monkeypatch.setattr(tidying, "FINISH_SECONDS", 0.01)
    run_id, attempt = await begun(store, loop_of(100, checkpoint={"history": {"keepLast": 1}}))
    asked = []

    async def hangs(_run_id: str, drop: list[int]) -> int:
        asked.append(drop)
        await asyncio.Event().wait()
        return 0

    store.prune = hangs

    assert (await attempt.run()).phase == "Succeeded"
    assert (await store.run(run_id)).head_seq == 101
    assert len(asked) == 1
