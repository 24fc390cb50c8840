"""Cairn from a program: the functions behind the front door, on a store in memory."""

from __future__ import annotations

import asyncio

import pytest
from tests.unit.runner.conftest import until
from tests.unit.runner.rows import manifest

from cairn_runtime import approve, history, reject, resume, run, signal, state, stream
from cairn_runtime.errors import (
    InvalidInput,
    ManifestInvalid,
    RunNotFound,
    SpecChanged,
    Superseded,
    WaitClosed,
)
from cairn_runtime.runner.accepting import accept
from cairn_runtime.runner.inprocess import InProcess, InProcessSettings
from cairn_runtime.runner.starting import find_or_create
from cairn_runtime.store.opening import open_store

COUNTING = """
import asyncio

async def one(state):
    return {"number": state["number"] + 1}

async def two(state):
    await asyncio.sleep(0)
    return {"number": state["number"] * 10}

async def fail(state):
    raise ValueError("no good")

async def stuck(state):
    await asyncio.Event().wait()
"""
CHAIN = (
    {"name": "one", "python": "steps:one"},
    {"name": "two", "python": "steps:two", "needs": ["one"]},
)
SIGN = {"name": "sign", "approval": {"message": "Publish?", "schema": {"type": "string"}}, "needs": ["two"]}


def counting(*steps, number=1, **spec):
    return manifest(*(steps or CHAIN), code={"steps.py": COUNTING}, input={"number": number}, **spec)


async def test_a_run_ends_with_its_state(store):
    """The result says all: phase, state, head, how many checkpoints."""
    result = await run(counting(), store=store)

    assert (result.phase, result.state["number"], result.reason, result.waits) == ("Succeeded", 20, "", ())
    assert result.checkpoints == result.head.seq == 3
    assert result.head.id == (await store.run(result.run)).head_id


async def test_a_failed_run_says_why(store):
    """A failure of a step is a result; it raises nothing."""
    steps = ({"name": "fail", "python": "steps:fail", "retry": {"limit": 0}},)

    result = await run(counting(*steps), store=store)

    assert (result.phase, result.reason) == ("Failed", "StepFailed")
    assert "no good" in result.message


async def test_inputs_are_laid_over_the_manifest(store):
    """The caller's values win over the manifest's."""
    result = await run(counting(), store=store, input={"number": 7})

    assert result.state["number"] == 80


async def test_a_store_may_be_given_as_a_url(tmp_path):
    """The call opens it and closes it; the next call finds what was written."""
    url = f"sqlite:///{tmp_path}/cairn.db"

    result = await run(counting(), store=url)

    assert (await state(result.run, store=url))["number"] == 20


async def test_the_default_store_is_that_of_the_command_line(tmp_path, monkeypatch):
    """CAIRN_STORE_URL, else a file in this folder."""
    monkeypatch.chdir(tmp_path)
    await run(counting())
    assert (tmp_path / ".cairn" / "cairn.db").exists()

    monkeypatch.setenv("CAIRN_STORE_URL", f"sqlite:///{tmp_path}/other.db")
    await run(counting())
    assert (tmp_path / "other.db").exists()


async def test_a_run_that_waits_for_a_person_comes_back_waiting_and_goes_on(store):
    """Run it, answer it, run it again: the same run ends."""
    flow = counting(*CHAIN, SIGN)
    waiting = await run(flow, store=store)
    assert (waiting.phase, [wait.task for wait in waiting.waits]) == ("Waiting", ["sign#1"])

    await approve(waiting.run, value="go", by="ann", store=store)
    done = await run(flow, store=store)

    assert (done.run, done.phase) == (waiting.run, "Succeeded")
    answer = done.state["sign"]
    assert isinstance(answer, dict)
    assert (answer["approved"], answer["value"], answer["by"]) == (True, "go", "ann")


async def test_a_rejection_is_an_answer_too(store):
    """What follows from it is the Workflow's matter."""
    waiting = await run(counting(*CHAIN, SIGN), store=store)

    await reject(waiting.run, "sign", store=store)
    done = await run(counting(*CHAIN, SIGN), store=store)

    assert isinstance(done.state["sign"], dict)
    assert done.state["sign"]["approved"] is False


async def test_an_answer_that_does_not_fit_is_refused_before_it_is_sent(store):
    """The person learns it at once; the wait stays open."""
    waiting = await run(counting(*CHAIN, SIGN), store=store)

    with pytest.raises(InvalidInput, match="value"):
        await approve(waiting.run, value=3, store=store)

    assert await store.signals(waiting.run) == []


async def test_an_answer_to_nothing_is_refused(store):
    """A run that waits for no approval says what it is doing."""
    result = await run(counting(), store=store)

    with pytest.raises(WaitClosed, match="waits for no approval; it is Succeeded"):
        await approve(result.run, store=store)


async def test_a_signal_that_came_first_is_used(store):
    """A signal sent before anything waits for it is kept; the same client_id is sent once."""
    flow = counting({"name": "paid", "signal": {"name": "payment"}})
    waiting = await run(flow, store=store)
    for _ in range(2):
        await signal(waiting.run, "payment", {"cents": 5}, store=store, client_id="click-1")

    assert len(await store.signals(waiting.run)) == 1
    done = await run(flow, store=store)

    assert (done.phase, done.state["paid"]) == ("Succeeded", {"cents": 5})


async def test_a_sleep_is_waited_for(store):
    """A run that can go on by itself does not come back before it has."""
    result = await run(counting({"name": "nap", "sleep": "20ms"}), store=store)

    assert result.phase == "Succeeded"


async def test_an_unfinished_run_of_another_spec_is_refused(store):
    """As on the command line; `new=True` starts another."""
    await run(counting(*CHAIN, SIGN), store=store)

    with pytest.raises(SpecChanged):
        await run(counting(), store=store)
    assert (await run(counting(), store=store, new=True)).phase == "Succeeded"


async def test_stream_gives_every_checkpoint_once_in_order(store):
    """Each header comes once it is committed, the last before the stream ends."""
    rows = [checkpoint async for checkpoint in stream(counting(), store=store)]

    assert [row.seq for row in rows] == [1, 2, 3]
    assert [row.step for row in rows] == ["", "one", "two"]
    assert all(row.payload is None for row in rows)


async def test_stream_of_a_run_that_goes_on_begins_with_what_is_new(store):
    """What was committed before is history, not news."""
    flow = counting(*CHAIN, SIGN)
    waiting = await run(flow, store=store)
    await approve(waiting.run, store=store, value="go")

    rows = [checkpoint async for checkpoint in stream(flow, store=store)]

    assert [row.seq for row in rows] == list(range(waiting.head.seq + 1, waiting.head.seq + 1 + len(rows)))
    assert rows[-1].step == "sign"


async def test_a_stream_that_is_left_leaves_a_run_that_can_go_on(store):
    """Leaving the loop ends the tasks here; what was committed stays."""
    flow = counting(CHAIN[0], {"name": "stuck", "python": "steps:stuck", "needs": ["one"]})
    checkpoints = stream(flow, store=store)
    async for checkpoint in checkpoints:
        if checkpoint.step == "one":
            break
    await checkpoints.aclose()

    row = await store.run(checkpoint.run_id)
    assert (row.phase, row.head_seq) == ("Running", 2)


async def test_state_is_read_at_any_checkpoint(store):
    """By Workflow or by run; at the head, at a number, at an id."""
    result = await run(counting(), store=store)
    rows = [row async for row in history("digest", store=store)]

    assert (await state("digest", store=store))["number"] == 20
    assert (await state(result.run, store=store, at=2))["number"] == 2
    assert (await state(result.run, store=store, at=rows[-1].id))["number"] == 1


async def test_history_is_newest_first_over_all_pages(store):
    """Listing is paged; a reader sees one list."""
    flow = counting(
        {"name": "each", "python": "steps:two", "foreach": {"in": "input.list", "collect": "out"}}
    )
    flow["spec"]["input"] = {"list": list(range(250)), "number": 1}

    await run(flow, store=store)

    seqs = [row.seq async for row in history("digest", store=store)]
    assert len(seqs) > 200
    assert seqs == list(range(seqs[0], 0, -1))


async def test_resume_forks_from_a_run_or_a_checkpoint(store):
    """A run means its head; a checkpoint means itself, with changes."""
    first = await run(counting(), store=store)
    rows = [row async for row in history(first.run, store=store)]

    forked = await resume(rows[1].id, store=store, patch={"number": 5})

    assert forked.run != first.run
    assert forked.state["number"] == 50
    assert (await store.run(forked.run)).origin.checkpoint_id == rows[1].id
    assert (await resume(first.run, store=store)).state["number"] == 20


async def test_a_failed_run_is_mended_and_goes_on_with_what_was_not_done(store):
    """`workflow=` brings the mended manifest; what was done is not done again."""
    broken = counting(
        CHAIN[0], {"name": "two", "python": "steps:fail", "needs": ["one"], "retry": {"limit": 0}}
    )
    failed = await run(broken, store=store)
    assert failed.phase == "Failed"

    mended = await resume(failed.run, store=store, workflow=counting())

    assert (mended.phase, mended.state["number"]) == ("Succeeded", 20)
    steps = [row.step async for row in history(mended.run, store=store)]
    assert "one" not in steps


async def run_history(name, store):
    return [row async for row in history(name, store=store)]


@pytest.mark.parametrize("call", [state, run_history])
async def test_what_is_not_there_is_not_found(store, call):
    """The same error as on the command line."""
    with pytest.raises(RunNotFound):
        await call("nobody", store=store)


async def test_resume_of_nothing_says_what_was_looked_for(store):
    """It may have been meant as a run, a Workflow or a checkpoint."""
    with pytest.raises(Exception, match='no run, Workflow or checkpoint "0a1b2c3d" in this store'):
        await resume("0a1b2c3d", store=store)


async def test_a_bad_manifest_touches_no_store(store):
    """What cannot be accepted leaves no row behind."""
    with pytest.raises(ManifestInvalid):
        await run({"kind": "Workflow"}, store=store)

    assert await store.runs() == []


async def test_a_run_that_cannot_begin_fails_closed(store):
    """The row says why, so that whoever looks at the run sees it; nothing was run."""
    flow = counting(state={"channels": {"number": {"reducer": "python: elsewhere:fold"}}})

    result = await run(flow, store=store)

    assert (result.phase, result.state, result.head.seq) == ("Failed", {}, 0)
    assert result.reason == "StepUnusable"


async def test_a_program_that_lost_the_run_is_told(store):
    """Somebody else claimed it: the heartbeat hears of it, the tasks are ended, and the call raises."""
    accepted_ = accept(counting(CHAIN[0], {"name": "stuck", "python": "steps:stuck", "needs": ["one"]}))
    row = await find_or_create(store, accepted_)
    job = InProcess(store, row, InProcessSettings(heartbeat_seconds=0.001))
    watching = asyncio.ensure_future(job.watch())
    row = await until(store, row.run_id, lambda row: row.head_seq == 2)

    await store.claim(row.run_id, row.epoch, "another")
    finish = await watching

    assert finish.exit_code == 75
    assert isinstance(job.error, Superseded)
    assert (await store.run(row.run_id)).head_seq == 2


async def test_a_signal_is_heard_while_other_tasks_run(store):
    """A live run looks for signals at each heartbeat; nobody has to start it again."""
    steps = (
        {"name": "paid", "signal": {"name": "payment"}},
        {"name": "stuck", "python": "steps:stuck"},
        {"name": "one", "python": "steps:one", "needs": ["paid"]},
    )
    row = await find_or_create(store, accept(counting(*steps)))
    job = InProcess(store, row, InProcessSettings(heartbeat_seconds=0.001))
    watching = asyncio.ensure_future(job.watch())
    await until(store, row.run_id, lambda row: len(row.waits) == 1)

    await signal(row.run_id, "payment", 5, store=store)
    row = await until(store, row.run_id, lambda row: not row.waits)
    await until(store, row.run_id, lambda now: now.head_seq > row.head_seq)
    job.interrupt()
    job.interrupt()
    finish = await watching

    assert (finish.exit_code, finish.run.phase) == (130, "Running")
    assert (await state(row.run_id, store=store))["number"] == 2


async def test_an_interrupt_drains(store):
    """What runs may finish, nothing new starts, and the run can go on."""
    row = await find_or_create(store, accept(counting()))
    job = InProcess(store, row)
    job.interrupt()

    finish = await job.watch()

    assert (finish.exit_code, finish.run.head_seq) == (130, 0)


async def test_fifty_runs_at_once_do_not_meet(store):
    """Each has its own state, code and files, though modules and steps have the same names."""
    numbers = range(50)
    flows = [counting(number=n) for n in numbers]
    for n, flow in zip(numbers, flows, strict=True):
        flow["metadata"]["name"] = f"flow-{n}"
        flow["spec"]["code"] = {
            "steps.py": COUNTING + f"\nTAG = {n}\nasync def tag(state): return {{'number': TAG}}\n"
        }
        flow["spec"]["steps"] = [
            {"name": "one", "python": "steps:one"},
            {"name": "tag", "python": "steps:tag", "needs": ["one"]},
        ]

    results = await asyncio.gather(*(run(flow, store=store) for flow in flows))

    assert [result.state["number"] for result in results] == list(numbers)
    assert len({result.run for result in results}) == 50


async def test_two_stores_at_once_do_not_meet():
    """A private store in memory belongs to one call alone."""
    results = await asyncio.gather(*(run(counting(number=n), store="memory:") for n in range(3)))

    assert [result.state["number"] for result in results] == [10, 20, 30]
    other = await open_store("memory:")
    assert await other.runs() == []
    await other.close()
