"""Runner processes killed at every commit boundary, of every kind of Workflow, on every store that lasts.

Each process makes one commit and is killed at the next one (or right after the first), so that one run goes
through all of its boundaries; then a process without a fault takes what is left to its end.
"""

from __future__ import annotations

import pytest
from tests.crash.runner.conftest import KINDS, SERVERS, Begin
from tests.crash.runner.flows import CHAIN_AND_JOIN, FLOWS, FOREACH, PARKS
from tests.crash.runner.stories import fault

from cairn_runtime.runner.forking import ForkRequest, fork_run
from cairn_runtime.runner.naming import find_checkpoint
from cairn_runtime.store.codec import Codec

BOUNDARIES = {"before": 2, "during": 2, "written": 1, "acked": 1}
"""When it dies, and at which commit of each process: one commit more than the process before has to stand."""


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("when", BOUNDARIES)
@pytest.mark.parametrize("name", FLOWS)
async def test_a_run_survives_a_kill_at_every_boundary(begin: Begin, monkeypatch, name, when, kind):
    """The end is that of the undisturbed run, the history is sound, and nothing committed ran again."""
    story = await begin(FLOWS[name], kind)
    monkeypatch.setenv("CAIRN_TEST_FAULT", fault(when=when, commit=BOUNDARIES[when]))

    finish = await story.tell()

    assert (finish.exit_code, finish.run.phase) == (0, "Succeeded")
    # A server carries out what its dead client has sent: then two commits stand for each process.
    assert story.crashes() >= (1 if when == "during" and kind in SERVERS else 2)
    await story.check(finish.run)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("when", ["before", "during"])
async def test_an_answer_is_not_used_up_by_a_runner_that_dies(begin: Begin, monkeypatch, when, kind):
    """Every other process is killed at its first commit: the one that would have ended a wait."""
    story = await begin(PARKS, kind)
    monkeypatch.setenv("CAIRN_TEST_FAULT", fault(when=when, commit=1, epochs=list(range(1, 20, 2))))

    finish = await story.tell()

    assert (finish.exit_code, finish.run.phase) == (0, "Succeeded")
    assert story.crashes() >= (1 if when == "during" and kind in SERVERS else 3)
    await story.check(finish.run)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("when", BOUNDARIES)
async def test_items_that_were_under_way_together_are_sorted_out(begin: Begin, monkeypatch, when, kind):
    """A process deep in a foreach, several items in one commit, is killed; the next does what is not done."""
    story = await begin(FOREACH, kind)
    monkeypatch.setenv("CAIRN_TEST_FAULT", fault(when=when, commit=3, epochs=[1]))

    finish = await story.tell()

    assert finish.exit_code == 0
    assert story.crashes() == 1
    await story.check(finish.run)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("when", BOUNDARIES)
async def test_a_commit_of_the_row_alone_is_a_boundary_too(begin: Begin, monkeypatch, when, kind):
    """A process that goes on says first that the run is running; killed there, the next one goes on."""
    story = await begin(PARKS, kind)
    monkeypatch.setenv("CAIRN_TEST_FAULT", fault(when=when, commit=1, row_only=True, epochs=[2]))

    finish = await story.tell()

    assert finish.exit_code == 0
    assert story.crashes() == 1
    await story.check(finish.run)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("when", BOUNDARIES)
async def test_a_fork_survives_a_kill_at_its_first_checkpoint(begin: Begin, monkeypatch, when, kind):
    """Its origin is there however often its runner dies, though everything else of the old run was pruned."""
    story = await begin(PARKS, kind)
    parent = (await story.tell(answering=False)).run
    origin = await find_checkpoint(story.store, "start", parent)
    request = ForkRequest(origin, state_patch={"count": 5})
    child = await fork_run(story.store, Codec(), request)
    await story.store.prune(parent.run_id, list(range(1, parent.head_seq)))
    monkeypatch.setenv("CAIRN_TEST_FAULT", fault(when=when, commit=1, epochs=[1]))

    finish = await story.tell(child)

    assert (finish.exit_code, finish.run.run_id) == (0, child.run_id)
    assert story.crashes() == 1
    assert (await story.state(finish.run))["count"] == 7
    assert await story.store.holds(parent.run_id) == {}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("when", ["lost", "refused"])
@pytest.mark.parametrize("name", FLOWS)
async def test_a_lost_reply_makes_no_duplicate(begin: Begin, monkeypatch, name, when, kind):
    """The commit is sent again byte for byte; whether it had arrived or not, it stands once."""
    story = await begin(FLOWS[name], kind)
    monkeypatch.setenv("CAIRN_TEST_FAULT", fault(when=when, commit=2))

    finish = await story.tell()

    assert finish.exit_code == 0
    assert story.crashes() == 0
    await story.check(finish.run)


@pytest.mark.parametrize("durability", ["async", "exit"])
async def test_what_was_not_acknowledged_runs_again_and_nothing_else(begin: Begin, monkeypatch, durability):
    """Under async and exit more may be lost, but never anything that a checkpoint holds."""
    flow = type(CHAIN_AND_JOIN)(
        f"{durability}-{CHAIN_AND_JOIN.name}",
        CHAIN_AND_JOIN.steps,
        needs_order=False,
        spec={"checkpoint": {"durability": durability}},
    )
    story = await begin(flow, "sqlite")
    monkeypatch.setenv("CAIRN_TEST_FAULT", fault(when="during", commit=1, epochs=[1]))

    finish = await story.tell()

    assert finish.exit_code == 0
    assert story.crashes() == 1
    await story.check(finish.run)
