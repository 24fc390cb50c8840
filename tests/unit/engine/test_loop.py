"""Whole runs on the memory store: policies, durability, retries, waits, drains, crashes between commits."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from tests.unit.engine.lab import Lab, nothing

from cairn_runtime.engine import saving
from cairn_runtime.engine.context import Context, Park, State
from cairn_runtime.errors import CairnError, CheckpointCorrupted, StoreUnavailable, Superseded, WaitClosed
from cairn_runtime.model.ids import utc_now
from cairn_runtime.model.values import JSONObject
from cairn_runtime.store.base import Checkpoint, Fence, Origin, Outcome, Signal, Store
from cairn_runtime.store.memory import MemoryStore
from cairn_runtime.store.opening import open_store, parse_store_url

CHAIN: list[dict[str, Any]] = [{"name": "a"}, {"name": "b", "needs": ["a"]}, {"name": "c", "needs": ["b"]}]
COUNTER = {"channels": {"n": {"reducer": "add", "initial": 0}}}


@pytest.fixture
async def store() -> AsyncIterator[Store]:
    opened = await open_store("memory:")
    yield opened
    await opened.close()


async def one(_state: State, _ctx: Context) -> dict[str, int]:
    return {"n": 1}


def each(function: Any, steps: list[dict[str, Any]] = CHAIN) -> dict[str, Any]:
    return {step["name"]: function for step in steps}


async def test_what_was_done_before_an_answer_is_a_checkpoint_of_its_own(store: Store) -> None:
    """The answer's commit is never split, so nothing else may be in it."""
    steps = [{"name": "a"}, {"name": "paid", "signal": {"name": "paid"}}]
    lab = Lab(store, steps, each(one, steps[:1]), state=COUNTER, checkpoint={"policy": "Manual"})
    session = await lab.open()
    await lab.send("paid", 1)
    assert (await session.loop.run()).phase == "Succeeded"
    await session.close()

    assert await lab.steps() == ["start", "a#1", "paid#1"]


async def test_a_signal_is_used_once_whatever_the_durability(store: Store) -> None:
    """Under `exit` too its use is stored at once: what is still in the store would answer the next wait."""

    async def poke(_state: State, _ctx: Context) -> None:
        session.loop.poke()
        for _ in range(20):
            await asyncio.sleep(0)

    steps = [
        {"name": "one", "signal": {"name": "go"}},
        {"name": "two", "signal": {"name": "go"}, "needs": ["one"]},
        {"name": "poke", "needs": ["one"]},
    ]
    lab = Lab(store, steps, {"poke": poke}, checkpoint={"durability": "exit"})
    session = await lab.open()
    await lab.send("go", 1)
    ending = await session.loop.run()
    await session.close()

    assert ending.phase == "Waiting"
    assert [wait.task for wait in (await lab.row()).waits] == ["two#1"]


async def test_a_foreach_that_failed_before_a_crash_is_given_up_after_it(store: Store) -> None:
    """Its other items are not run again, and the error goes to `catch`."""

    class Telling(Wrapped):
        async def commit(self, run_id: str, fence: Fence, head: int, *rest: Any) -> None:
            await self.inner.commit(run_id, fence, head, *rest)
            if any(row.item == 0 for row in rest[1]):
                session.loop.stop(Superseded(run_id))

    async def item(_state: State, ctx: Context) -> None:
        calls.append(ctx.index)
        if ctx.index == 0:
            raise ValueError("of an item")
        await asyncio.Event().wait()

    calls: list[int | None] = []
    each_item = {"name": "a", "foreach": {"in": "[1, 2]"}, "catch": "sorry", "retry": {"limit": 0}}
    lab = Lab(Telling(store), [each_item, {"name": "sorry"}], {"a": item})
    session = await lab.open()
    with pytest.raises(Superseded):
        await session.loop.run()
    await session.close()
    lab.store = store

    assert (await lab.run()).phase == "Succeeded"
    assert calls == [0, 1]
    assert (await lab.steps())[-1] == "sorry#1"


async def test_a_failure_is_stored_while_others_still_run(store: Store) -> None:
    """Whatever the policy: who looks at the run sees why it will end."""
    told = asyncio.Event()

    class Telling(Wrapped):
        async def commit(self, run_id: str, fence: Fence, head: int, *rest: Any) -> None:
            await self.inner.commit(run_id, fence, head, *rest)
            if any(row.step == "a" for row in rest[1]):
                told.set()

    async def fail(_state: State, _ctx: Context) -> None:
        raise ValueError("for good")

    async def wait(_state: State, _ctx: Context) -> None:
        async with asyncio.timeout(5):
            await told.wait()

    steps = [{"name": "a", "retry": {"limit": 0}}, {"name": "b"}]
    lab = Lab(Telling(store), steps, {"a": fail, "b": wait}, checkpoint={"policy": "Manual"})

    assert (await lab.run()).message == "a#1 failed: ValueError: for good"
    assert await lab.steps() == ["start", "a#1", "b#1"]


async def test_many_events_are_cut_whatever_the_policy(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """No checkpoint grows without bound because nobody asked for one."""
    monkeypatch.setattr(saving, "FLUSH_BYTES", 1000)

    async def write(_state: State, _ctx: Context) -> dict[str, str]:
        return {"x": "v" * 600}

    state = {"channels": {"x": {}}}
    lab = Lab(store, CHAIN, each(write), state=state, checkpoint={"policy": "Manual"})
    await lab.run()

    assert await lab.steps() == ["start", "b#1", "c#1"]


async def test_only_so_much_is_done_that_is_not_durable(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Under `async` the tasks wait for a store that falls behind."""
    monkeypatch.setattr(saving, "QUEUE_BOUND", 3)
    behind: list[int] = []

    class Slow(Wrapped):
        async def commit(self, *call: Any) -> None:
            for _ in range(200):
                await asyncio.sleep(0)
            behind.append(session.control.unsaved)
            await self.inner.commit(*call)

    steps = [{"name": "a", "next": [{"to": "a", "when": "visits.a < 30"}]}]
    lab = Lab(Slow(store), steps, {"a": one}, state=COUNTER, checkpoint={"durability": "async"})
    session = await lab.open()
    await session.loop.run()
    await session.close()

    assert max(behind) <= 4


# -- what steps may bring ----------------------------------------------


CAUGHT: list[dict[str, Any]] = [
    {"name": "a", "catch": "sorry", "retry": {"limit": 1, "baseDelay": "1ms"}},
    {"name": "sorry"},
]


@pytest.mark.parametrize(
    "error", [Superseded("another-run"), StoreUnavailable("another store"), WaitClosed("nobody waits")]
)
async def test_what_a_step_met_in_cairn_is_its_own_failure(store: Store, error: CairnError) -> None:
    """A step may run and signal other runs; what it meets there says nothing about the run it is part of."""
    calls = 0

    async def ask(_state: State, _ctx: Context) -> None:
        nonlocal calls
        calls += 1
        raise error

    lab = Lab(store, CAUGHT, {"a": ask})

    assert (await lab.run()).phase == "Succeeded"
    assert calls == 2
    caught = (await lab.state()).channels["error"]
    assert isinstance(caught, dict)
    assert (caught["error"], caught["message"]) == (type(error).__name__, error.message)


@pytest.mark.parametrize("strict", [True, False])
async def test_a_channel_that_cannot_be_written_down_fails_its_task(store: Store, strict: bool) -> None:
    """Half of a surrogate pair comes from names of files; it must not end the run of all others."""

    async def odd(_state: State, _ctx: Context) -> dict[str, int]:
        return {"caf\udce9": 1}

    lab = Lab(store, CAUGHT, {"a": odd}, state={"strict": strict})

    assert (await lab.run()).phase == "Succeeded"
    assert "error" in (await lab.state()).channels


async def test_a_key_that_cannot_be_written_down_fails_its_task(store: Store) -> None:
    """As a channel."""

    async def odd(_state: State, ctx: Context) -> None:
        await ctx.checkpoint({"error": None}, key="caf\udce9")

    lab = Lab(store, CAUGHT, {"a": odd})

    assert (await lab.run()).phase == "Succeeded"


async def test_the_message_of_a_park_is_bounded_and_can_be_written_down(store: Store) -> None:
    """It stands in the row and in the object's status."""

    async def wait(_state: State, _ctx: Context) -> None:
        raise Park(signal="go", message="caf\udce9" + "x" * 100_000)

    lab = Lab(store, [{"name": "a"}], {"a": wait})

    assert (await lab.run()).phase == "Waiting"
    assert (await lab.row()).waits[0].message.startswith("caf\\udce9xxx")
    assert len((await lab.row()).waits[0].message) < 5000


# -- policies and durability ----------------------------------------------


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        pytest.param({"policy": "EveryStep"}, ["start", "a#1", "b#1", "c#1"], id="every step"),
        pytest.param({"policy": "Manual"}, ["start", "c#1"], id="only at the end, if nobody asks"),
        pytest.param({"policy": "Barrier"}, ["start", "c#1"], id="a chain has no joins"),
        pytest.param(
            {"policy": "Interval", "interval": "1h"}, ["start", "c#1"], id="the interval is not over"
        ),
    ],
)
async def test_the_policy_says_when_events_become_a_checkpoint(
    store: Store, policy: Any, expected: list[str]
) -> None:
    """And the state at the end is the same under every policy."""
    lab = Lab(store, CHAIN, each(one), state=COUNTER, checkpoint=policy)

    assert (await lab.run()).phase == "Succeeded"
    assert await lab.steps() == expected
    assert (await lab.state()).channels["n"] == 3


async def test_a_barrier_is_cut_where_branches_join(store: Store) -> None:
    """The checkpoint is named after the task whose end made the join ready."""
    steps = [
        {"name": "a"},
        {"name": "b"},
        {"name": "join", "needs": ["a", "b"]},
        {"name": "end", "needs": ["join"]},
    ]
    lab = Lab(store, steps, {}, checkpoint={"policy": "Barrier"})
    await lab.run()

    assert await lab.steps() == ["start", "b#1", "end#1"]


@pytest.mark.parametrize("durability", ["sync", "async", "exit"])
async def test_every_durability_ends_with_the_whole_history(store: Store, durability: str) -> None:
    """Only when checkpoints are written differs."""
    lab = Lab(store, CHAIN, each(one), state=COUNTER, checkpoint={"durability": durability})

    assert (await lab.run()).phase == "Succeeded"
    assert await lab.steps() == ["start", "a#1", "b#1", "c#1"]
    assert (await lab.row()).phase == "Succeeded"


@pytest.mark.parametrize(
    ("durability", "seen"),
    [
        pytest.param("sync", [1, 2, 3], id="sync: the checkpoint of the step before is durable"),
        pytest.param("exit", [0, 0, 0], id="exit: nothing is written before the end"),
    ],
)
async def test_what_is_durable_when_a_step_starts(store: Store, durability: str, seen: list[int]) -> None:
    """Acknowledged means durable: under sync no step starts before that."""
    heads: list[int] = []

    async def look(_state: State, _ctx: Context) -> None:
        heads.append((await lab.row()).head_seq)

    lab = Lab(store, CHAIN, each(look), checkpoint={"durability": durability})
    await lab.run()

    assert heads == seen


async def test_a_failed_write_behind_stops_the_run(store: Store) -> None:
    """Under async the tasks do not go on for long without their store."""
    lab = Lab(Refusing(store, at=3), CHAIN, each(one), state=COUNTER, checkpoint={"durability": "async"})

    with pytest.raises(Superseded):
        await lab.run()


class Wrapped:
    """A store of which one method is changed; all others are the real ones."""

    def __init__(self, store: Store) -> None:
        self.inner = store

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


class Refusing(Wrapped):
    """Answers one commit as if somebody else had claimed the run."""

    def __init__(self, store: Store, at: int) -> None:
        super().__init__(store)
        self.at = at

    async def commit(self, run_id: str, fence: Fence, head: int, *rest: Any) -> None:
        """Refuse the commit that would reach seq `at`."""
        if head + 1 >= self.at:
            raise Superseded(run_id)
        await self.inner.commit(run_id, fence, head, *rest)


class Losing(Wrapped):
    """Applies commits and loses the reply of each, once."""

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self.sent: list[tuple[int, str, tuple[str, ...]]] = []
        self.lost: set[str] = set()

    async def commit(
        self,
        run_id: str,
        fence: Fence,
        head: int,
        write_id: str,
        rows: list[Checkpoint],
        outcome: Outcome | None = None,
    ) -> None:
        """Write, then say that nothing was heard."""
        self.sent.append((head, write_id, tuple(row.hash for row in rows)))
        await self.inner.commit(run_id, fence, head, write_id, rows, outcome)
        if write_id not in self.lost:
            self.lost.add(write_id)
            raise StoreUnavailable("the reply was lost")


async def test_an_unanswered_commit_is_sent_again_byte_for_byte(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same checkpoints under the same write_id: nothing is written twice, nothing is rebatched."""
    monkeypatch.setattr("cairn_runtime.store.patience.FIRST_DELAY_SECONDS", 0.0)
    losing = Losing(store)
    lab = Lab(losing, CHAIN, each(one), state=COUNTER)

    assert (await lab.run()).phase == "Succeeded"
    assert await lab.steps() == ["start", "a#1", "b#1", "c#1"]
    assert losing.sent[0::2] == losing.sent[1::2]
    assert (await lab.state()).channels["n"] == 3


async def test_a_store_that_stays_silent_ends_the_runner_after_its_patience(store: Store) -> None:
    """Nothing more is written, and the next runner goes on."""
    silent = Silent(store)
    lab = Lab(silent, CHAIN, each(one), state=COUNTER)

    with pytest.raises(StoreUnavailable):
        await lab.run(patience_seconds=0.0)
    silent.silent = False
    assert (await lab.run()).phase == "Succeeded"
    assert (await lab.state()).channels["n"] == 3


class Silent(Wrapped):
    """Answers no commit while `silent`."""

    silent = True

    async def commit(self, *arguments: Any) -> None:
        """Say nothing, or write."""
        if self.silent and arguments[2] > 0:
            raise StoreUnavailable("no answer")
        await self.inner.commit(*arguments)


# -- one writer ----------------------------------------------


async def test_a_second_runner_makes_the_first_stop_with_nothing_lost(store: Store) -> None:
    """The first one's next write is refused; the second goes on from what was committed."""
    reached, go_on = asyncio.Event(), asyncio.Event()

    async def hold(_state: State, ctx: Context) -> dict[str, int]:
        if ctx.step == "b" and not reached.is_set():
            reached.set()
            await go_on.wait()
        return {"n": 1}

    lab = Lab(store, CHAIN, each(hold), state=COUNTER)
    first = asyncio.ensure_future(lab.run())
    await reached.wait()

    assert (await lab.run()).phase == "Succeeded"
    go_on.set()
    with pytest.raises(Superseded):
        await first
    assert (await lab.state()).channels["n"] == 3
    assert await lab.steps() == ["start", "a#1", "b#1", "c#1"]


# -- failures ----------------------------------------------


async def test_a_task_is_tried_again_as_its_policy_says(store: Store) -> None:
    """And counts its attempts; the tries are in the history."""
    attempts: list[int] = []

    async def flaky(_state: State, ctx: Context) -> None:
        attempts.append(ctx.attempt)
        if ctx.attempt < 3:
            raise OSError("not yet")

    lab = Lab(store, [{"name": "a", "retry": {"policy": "Fixed", "baseDelay": "0s"}}], {"a": flaky})

    assert (await lab.run()).phase == "Succeeded"
    assert attempts == [1, 2, 3]


async def test_a_task_that_failed_for_good_fails_the_run_with_its_reason(store: Store) -> None:
    """What was running beside it still commits."""
    released = asyncio.Event()

    async def fail(_state: State, _ctx: Context) -> None:
        released.set()
        raise ValueError("boom")

    async def slow(_state: State, _ctx: Context) -> dict[str, int]:
        await released.wait()
        await asyncio.sleep(0)
        return {"n": 1}

    steps = [{"name": "bad", "retry": {"limit": 0}}, {"name": "slow"}, {"name": "after", "needs": ["slow"]}]
    lab = Lab(store, steps, {"bad": fail, "slow": slow}, state=COUNTER)
    ending = await lab.run()

    told = "bad#1 failed: ValueError: boom"
    assert (ending.phase, ending.reason, ending.message) == ("Failed", "StepFailed", told)
    state = await lab.state()
    assert state.channels["n"] == 1
    assert "after" not in state.visits


async def test_items_that_are_done_are_not_run_again_when_the_step_fails(store: Store) -> None:
    """A fork of the failed run runs the rest."""
    ran: list[int] = []
    broken = True

    async def item(_state: State, ctx: Context) -> object:
        if ctx.index == 2 and broken:
            raise ValueError("boom")
        ran.append(ctx.index or 0)
        return ctx.item

    steps = [
        {
            "name": "each",
            "foreach": {"in": "input.list", "collect": "out", "parallelism": 1},
            "retry": {"limit": 0},
        }
    ]
    lab = Lab(store, steps, {"each": item}, input={"list": ["a", "b", "c", "d"]})
    assert (await lab.run()).phase == "Failed"
    broken = False
    head = await lab.row()
    child = Lab(store, steps, {"each": item}, input={"list": ["a", "b", "c", "d"]})
    await child.create(Origin(lab.run_id, head.head_seq, head.head_id))
    child.claims = 1

    assert (await child.run()).phase == "Succeeded"
    assert ran == [0, 1, 2, 3]
    assert (await child.state()).channels["out"] == ["a", "b", "c", "d"]


async def test_a_run_that_takes_too_long_fails(store: Store) -> None:
    """What runs is ended, and the reason says so."""

    async def forever(_state: State, _ctx: Context) -> None:
        await asyncio.Event().wait()

    lab = Lab(store, [{"name": "a"}], {"a": forever}, timeout="10ms")
    ending = await lab.run()

    assert (ending.phase, ending.reason) == ("Failed", "RunTimeout")


async def test_a_loop_bug_of_ours_does_not_hang_the_run(store: Store) -> None:
    """An exception that is no step's fault ends the runner with it."""

    class Broken(Exception):
        pass

    lab = Lab(store, [{"name": "a"}], {})
    session = await lab.open()

    def broken(_step: Any) -> Any:
        raise Broken

    session.executor.prepare = broken  # type: ignore[assignment,method-assign]
    with pytest.raises(Broken):
        await session.loop.run()
    await session.close()


# -- in the middle of a step ----------------------------------------------


@pytest.mark.parametrize("step", [{}, {"foreach": {"in": "[1]"}}], ids=["a step", "an item"])
async def test_a_mid_step_key_counts_once_within_an_attempt_too(store: Store, step: dict[str, Any]) -> None:
    """A step that comes by the same place twice has said the same thing twice."""

    async def twice(_state: State, ctx: Context) -> None:
        await ctx.checkpoint({"n": 1}, key="k")
        await ctx.checkpoint({"n": 1}, key="k")

    lab = Lab(store, [{"name": "a", **step}], {"a": twice}, state=COUNTER)
    await lab.run()

    assert (await lab.state()).channels["n"] == 1


async def test_a_mid_step_key_that_is_committed_is_skipped_when_the_task_runs_again(store: Store) -> None:
    """So its effect on the state happens once, however often the task runs."""
    crash = True

    async def step(_state: State, ctx: Context) -> None:
        await ctx.checkpoint({"n": 1}, key="first")
        await ctx.checkpoint({"n": 10})
        if crash:
            raise KeyboardInterrupt

    lab = Lab(store, [{"name": "a", "retry": {"policy": "Fixed", "limit": 0}}], {"a": step}, state=COUNTER)
    session = await lab.open()
    running = asyncio.ensure_future(session.loop.run())
    await running
    assert (await lab.state()).channels["n"] == 11
    head, crash = await lab.row(), False
    child = Lab(store, [{"name": "a"}], {"a": step}, state=COUNTER)
    await child.create(Origin(lab.run_id, head.head_seq, head.head_id))
    child.claims = 1

    assert (await child.run()).phase == "Succeeded"
    assert (await child.state()).channels["n"] == 11
    await session.close()


async def test_progress_is_found_again_and_what_it_stands_on_is_saved_first(store: Store) -> None:
    """Also under a policy that would not have written yet."""
    seen: list[object] = []
    heads: list[int] = []

    async def long(_state: State, ctx: Context) -> None:
        seen.append(ctx.progress.value)
        if ctx.attempt == 1 and len(seen) == 1:
            await ctx.progress.save({"at": 5})
            heads.append((await lab.row()).head_seq)
            session.loop.stop(Superseded("somebody"))
            await asyncio.Event().wait()

    lab = Lab(
        store, [{"name": "a"}, {"name": "b", "needs": ["a"]}], {"b": long}, checkpoint={"policy": "Manual"}
    )
    session = await lab.open()
    with pytest.raises(Superseded):
        await session.loop.run()
    await session.close()

    assert (await lab.run()).phase == "Succeeded"
    assert heads == [2]
    assert seen == [None, {"at": 5}]


@pytest.mark.parametrize(
    ("inherits", "expected"),
    [
        pytest.param(True, [None, 5, 5], id="a plain fork from the head keeps keys and progress"),
        pytest.param(False, [None, None], id="any other starts its tasks anew"),
    ],
)
async def test_progress_goes_with_the_idempotency_keys(
    store: Store, inherits: bool, expected: list[Any]
) -> None:
    """What a task has done outside is only known to a fork that uses the same keys."""
    seen: list[object] = []

    async def long(_state: State, ctx: Context) -> None:
        seen.append(ctx.progress.value)
        if len(seen) == 1:
            await ctx.progress.save(5)
        if len(seen) < len(expected):
            raise ValueError("again")

    steps = [{"name": "a", "retry": {"limit": len(expected) - 2}}]
    parent = Lab(store, steps, {"a": long})
    assert (await parent.run()).phase == "Failed"
    head = await parent.row()
    child = Lab(store, steps, {"a": long})
    key_base = parent.run_id if inherits else ""
    await child.create(Origin(parent.run_id, head.head_seq, head.head_id), key_base=key_base)
    child.claims = 1

    assert (await child.run()).phase == "Succeeded"
    assert seen == expected


# -- waits ----------------------------------------------

SIGN: list[dict[str, Any]] = [
    {"name": "sign", "approval": {"message": "Publish?"}},
    {"name": "send", "needs": ["sign"]},
]


async def test_a_run_whose_tasks_are_all_parked_is_waiting(store: Store) -> None:
    """Its row names what it waits for; an answer makes it go on."""
    lab = Lab(store, SIGN, {})
    assert (await lab.run()).phase == "Waiting"
    row = await lab.row()
    assert [(wait.kind, wait.name, wait.message) for wait in row.waits] == [
        ("approval", "sign#1", "Publish?")
    ]

    await lab.send("sign#1", {"approved": True, "value": None}, wait="sign#1")
    assert (await lab.run()).phase == "Succeeded"
    assert (await lab.state()).channels["sign"] == {"approved": True, "value": None}
    assert (await lab.row()).signals_pending == 0


async def test_a_signal_that_came_before_the_park_is_found(store: Store) -> None:
    """Named signals wait in the store for whoever asks, in their order."""
    steps = [{"name": "a"}, {"name": "paid", "signal": {"name": "paid"}, "needs": ["a"]}]
    lab = Lab(store, steps, {})
    session = await lab.open()
    await lab.send("paid", 1)
    await lab.send("paid", 2)

    assert (await session.loop.run()).phase == "Succeeded"
    assert (await lab.state()).channels["paid"] == 1
    assert (await lab.row()).signals_pending == 1
    await session.close()


async def test_an_answer_and_its_use_are_one_commit(store: Store) -> None:
    """If the commit is lost, the signal is still there; if it is applied, it is used up."""
    lab = Lab(Refusing(store, at=2), SIGN, {})
    assert (await lab.run()).phase == "Waiting"
    await lab.send("sign#1", {"approved": False}, wait="sign#1")
    with pytest.raises(Superseded):
        await lab.run()
    assert (await lab.row()).signals_pending == 1

    lab.store = store
    assert (await lab.run()).phase == "Succeeded"
    assert (await lab.row()).signals_pending == 0


async def test_an_answer_that_does_not_fit_is_used_up_and_the_wait_goes_on(store: Store) -> None:
    """A wrong answer must not block the right one behind it."""
    steps = [{"name": "age", "signal": {"name": "age", "schema": {"type": "integer"}}}]
    lab = Lab(store, steps, {})
    await lab.run()
    await lab.send("age", "forty")
    assert (await lab.run()).phase == "Waiting"
    await lab.send("age", 40)

    assert (await lab.run()).phase == "Succeeded"
    assert (await lab.state()).channels["age"] == 40


@pytest.mark.parametrize(
    ("early", "expected"),
    [
        pytest.param(True, "Succeeded", id="stored before the deadline: it wins"),
        pytest.param(False, "Failed", id="stored after it: too late"),
    ],
)
async def test_a_signal_stored_before_the_deadline_wins_over_it(
    store: Store, early: bool, expected: str
) -> None:
    """Whenever somebody looks; the times are the store's."""
    steps = [{"name": "paid", "signal": {"name": "paid", "deadline": "1ms"}}]
    late = Late(store, timedelta(hours=-1) if early else timedelta(hours=1))
    lab = Lab(late, steps, {})
    session = await lab.open()
    await lab.send("paid", 1)
    ending = await session.loop.run()
    if ending.phase == "Waiting":
        await session.close()
        late.past = timedelta(minutes=1)
        ending = await lab.run()

    assert ending.phase == expected
    if expected == "Failed":
        assert ending.reason == "DeadlinePassed"
    await session.close()


class Late(Wrapped):
    """A store in which signals carry a chosen time, and whose clock may be ahead."""

    def __init__(self, store: Store, shift: timedelta) -> None:
        super().__init__(store)
        self.shift = shift
        self.past = timedelta()

    async def signals(self, run_id: str) -> list[Signal]:
        """Give each signal the shifted time."""
        return [replace(s, created_at=s.created_at + self.shift) for s in await self.inner.signals(run_id)]

    async def heartbeat(self, run_id: str, fence: Fence, metrics: JSONObject | None = None) -> Any:
        """Answer with a clock that is ahead."""
        beat = await self.inner.heartbeat(run_id, fence, metrics)
        return replace(beat, now=beat.now + self.past)


async def test_a_python_step_parks_and_runs_again_with_the_signal(store: Store) -> None:
    """`Park` lets any step wait without a pod."""
    seen: list[object] = []

    async def wait(_state: State, ctx: Context) -> None:
        seen.append(ctx.signal)
        if ctx.signal is None:
            raise Park(signal="go", message="waiting for go")

    lab = Lab(store, [{"name": "a"}], {"a": wait})
    assert (await lab.run()).phase == "Waiting"
    assert (await lab.row()).waits[0].message == "waiting for go"
    await lab.send("go", {"ok": 1})

    assert (await lab.run()).phase == "Succeeded"
    assert seen == [None, {"ok": 1}]


async def test_a_sleep_is_over_at_its_time(store: Store) -> None:
    """The row says when the run is due; a runner that lingers stays for a short one."""
    steps = [{"name": "nap", "sleep": "1h"}]
    lab = Lab(store, steps, {})
    assert (await lab.run()).phase == "Waiting"
    due = (await lab.row()).wake_at
    assert due is not None
    assert timedelta(minutes=59) < due - utc_now() <= timedelta(hours=1)

    short = Lab(store, [{"name": "nap", "sleep": "1ms"}], {})
    assert (await short.run(linger_seconds=5.0)).phase == "Succeeded"


async def test_a_clock_ahead_of_the_stores_asks_no_more_often() -> None:
    """What is over by this machine's clock alone is waited for; the store is not asked again and again."""
    asked = 0

    class Counted(Wrapped):
        async def heartbeat(self, run_id: str, fence: Fence, metrics: JSONObject | None = None) -> Any:
            nonlocal asked
            asked += 1
            return await self.inner.heartbeat(run_id, fence, metrics)

    behind = MemoryStore(parse_store_url("memory:"), clock=lambda: utc_now() - timedelta(seconds=0.2))
    await behind.open()
    lab = Lab(Counted(behind), [{"name": "nap", "sleep": "10ms"}], {})

    assert (await lab.run(linger_seconds=5.0)).phase == "Succeeded"
    assert asked <= 5


async def test_other_branches_go_on_while_one_waits(store: Store) -> None:
    """And the wait can be answered all the while."""
    answered = asyncio.Event()

    async def answer(_state: State, _ctx: Context) -> None:
        await lab.send("sign#1", {"approved": True}, wait="sign#1")
        answered.set()

    lab = Lab(store, [*SIGN, {"name": "other"}], {"other": answer})

    assert (await lab.run()).phase == "Succeeded"
    assert answered.is_set()


# -- drains and crashes ----------------------------------------------


async def test_a_drain_commits_what_finishes_and_leaves_the_rest(store: Store) -> None:
    """Nothing new starts; what was cut short runs again."""
    started: list[str] = []

    async def step(_state: State, ctx: Context) -> dict[str, int]:
        started.append(ctx.step)
        if ctx.step == "b" and started.count("b") == 1:
            session.loop.drain(0.0)
            await asyncio.Event().wait()
        return {"n": 1}

    lab = Lab(store, CHAIN, each(step), state=COUNTER)
    session = await lab.open()
    ending = await session.loop.run()
    await session.close()

    assert ending.drained
    assert (await lab.row()).reason == "Drained"
    assert (await lab.run()).phase == "Succeeded"
    assert started == ["a", "b", "b", "c"]
    assert (await lab.state()).channels["n"] == 3


async def test_within_its_grace_a_running_task_may_finish(store: Store) -> None:
    """Its end is committed, and nothing follows it."""

    async def step(_state: State, ctx: Context) -> dict[str, int]:
        if ctx.step == "b":
            session.loop.drain(30.0)
            assert ctx.draining
        return {"n": 1}

    lab = Lab(store, CHAIN, each(step), state=COUNTER)
    session = await lab.open()
    ending = await session.loop.run()
    await session.close()

    assert ending.drained
    assert await lab.steps() == ["start", "a#1", "b#1"]


# -- a corrupt history ----------------------------------------------


class Rotten(Wrapped):
    """Gives out some checkpoints with a flipped byte."""

    def __init__(self, store: Store, seqs: set[int]) -> None:
        super().__init__(store)
        self.seqs = seqs

    async def load(self, run_id: str, seq: int | None = None) -> list[Checkpoint]:
        """Flip the last byte of a payload."""
        rows = await self.inner.load(run_id, seq)
        return [self.rot(row) if row.seq in self.seqs and row.payload else row for row in rows]

    @staticmethod
    def rot(row: Checkpoint) -> Checkpoint:
        """Damage one row."""
        assert row.payload
        return row._replace(payload=row.payload[:-1] + bytes([row.payload[-1] ^ 1]))


@pytest.fixture
async def interrupted(store: Store) -> Lab:
    """A run that stopped before c, with checkpoints 1 to 3."""

    async def stop(_state: State, ctx: Context) -> dict[str, int]:
        if ctx.step == "c" and not lab.functions.get("resumed"):
            session.loop.stop(Superseded("stop"))
            await asyncio.Event().wait()
        return {"n": 1}

    lab = Lab(store, CHAIN, each(stop), state=COUNTER)
    session = await lab.open()
    with pytest.raises(Superseded):
        await session.loop.run()
    await session.close()
    lab.functions["resumed"] = nothing
    return lab


async def test_after_a_corrupt_head_the_run_goes_on_from_the_newest_valid_checkpoint(
    interrupted: Lab,
) -> None:
    """Its first commit is a snapshot that names what it skips, and hangs on the valid one."""
    interrupted.store = Rotten(interrupted.store, {3})

    assert (await interrupted.run()).phase == "Succeeded"
    snapshot, valid = await interrupted.at(4), await interrupted.at(2)
    assert snapshot.kind == "snapshot"
    assert snapshot.metadata["skips"] == [3, 3]
    assert snapshot.parent_hash == valid.hash
    assert (await interrupted.state()).channels["n"] == 3


async def test_damage_further_down_takes_the_run_below_it(interrupted: Lab) -> None:
    """A checkpoint is valid only when all that it is folded from is."""
    interrupted.store = Rotten(interrupted.store, {2})

    assert (await interrupted.run()).phase == "Succeeded"
    assert (await interrupted.at(4)).metadata["skips"] == [2, 3]
    assert (await interrupted.state()).channels["n"] == 3


async def test_without_any_valid_checkpoint_the_run_stops(interrupted: Lab) -> None:
    """It never starts again from nothing."""
    interrupted.store = Rotten(interrupted.store, {1, 2, 3})

    with pytest.raises(CheckpointCorrupted, match="no valid checkpoint"):
        await interrupted.run()


# -- isolation ----------------------------------------------


async def test_a_step_that_mutates_its_state_changes_nothing(store: Store) -> None:
    """Neither the run's state, nor what other steps see, nor what it returned."""
    kept: list[Any] = []

    async def mutate(state: State, _ctx: Context) -> dict[str, Any]:
        pages: Any = state["pages"]
        pages.append("mine")
        pages[0]["deep"] = "mine"
        state["other"] = 1
        value = {"list": [1]}
        kept.append(value)
        return {"result": value}

    async def look(state: State, _ctx: Context) -> None:
        kept[0]["list"].append(2)
        kept.append(state.to_dict())

    channels = {"pages": {"initial": [{"deep": "theirs"}]}, "other": {}, "result": {}}
    lab = Lab(
        store,
        [{"name": "a"}, {"name": "b", "needs": ["a"]}],
        {"a": mutate, "b": look},
        state={"channels": channels},
    )
    await lab.run()

    expected = {"error": None, "pages": [{"deep": "theirs"}], "other": None, "result": {"list": [1]}}
    assert kept[1] == expected
    assert (await lab.state()).channels == expected
