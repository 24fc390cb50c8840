"""From what people type to runs and checkpoints."""

from __future__ import annotations

import pytest
from tests.unit.runner.rows import manifest, new_run, row

from cairn_runtime.errors import CheckpointNotFound, InvalidInput, RunNotFound
from cairn_runtime.runner.library import run
from cairn_runtime.runner.naming import find_checkpoint, find_run, workflow_key, workflow_name
from cairn_runtime.store.base import NewRun

IDS = [
    "0a1b0000-0000-4000-8000-00000000aaaa",
    "0a1b1111-0000-4000-8000-00000000bbbb",
    "ffff2222-0000-4000-8000-00000000cccc",
]


TALKS = ["e0000000-0000-4000-8000-00000000aaa1", "e0000000-0000-4000-8000-00000000aaa2"]


@pytest.fixture
async def filled(store):
    """Two runs of `digest`, one of `team/report`, and before them two of `talk` in a thread each."""
    for run_id, thread in (TALKS[0], "alice"), (TALKS[1], "bob"):
        await store.create_run(new_run(run_id, name="talk", thread=thread))
    for run_id in IDS[:2]:
        await store.create_run(new_run(run_id))
    key = workflow_key("team", "report")
    await store.create_run(NewRun(IDS[2], key, manifest(name="report"), "g", IDS[2]))
    return store


@pytest.mark.parametrize(
    ("text", "run_id"),
    [
        pytest.param("digest", IDS[1], id="a Workflow means its newest run"),
        pytest.param("default/digest", IDS[1], id="the default namespace may be named"),
        pytest.param("team/report", IDS[2], id="another namespace has to be named"),
        pytest.param("report", IDS[2], id="or not, where only one has such a Workflow"),
        pytest.param("talk", TALKS[1], id="of all threads the newest run"),
        pytest.param("talk@alice", TALKS[0], id="or the newest of one of them"),
        pytest.param("default/talk@alice", TALKS[0], id="with the namespace too"),
        pytest.param(IDS[0], IDS[0], id="a whole id"),
        pytest.param("0000aaaa", IDS[0], id="its last eight characters"),
        pytest.param("0a1b1", IDS[1], id="a prefix that fits one run"),
        pytest.param("ffff", IDS[2], id="four characters are enough"),
    ],
)
async def test_a_run_is_found_by_what_people_see(filled, text, run_id):
    """Table: what may be typed for a run."""
    assert (await find_run(filled, text)).run_id == run_id


async def test_a_prefix_that_fits_several_runs_names_them(filled):
    """Nothing is guessed: the ids are told, so that the next try fits."""
    with pytest.raises(InvalidInput) as caught:
        await find_run(filled, "0a1b")

    assert caught.value.message == f'"0a1b" fits several runs; write more of one: {IDS[1]}, {IDS[0]}'


@pytest.mark.parametrize(
    "text",
    ["nobody", "talk@", "@alice", "talk@carol", "0a1", "", "/", "default/", "0a1b9999", IDS[0][:-1] + "0"],
)
async def test_what_fits_nothing_is_not_found(filled, text):
    """Table: names and parts of ids that are not there."""
    with pytest.raises(RunNotFound):
        await find_run(filled, text)


async def test_many_runs_are_looked_through(store):
    """A short prefix is compared with every run, however many pages they fill."""
    for n in range(250):
        await store.create_run(new_run(f"{n:08x}-0000-4000-8000-00000000ffff"))

    assert (await find_run(store, "00000000")).run_id.startswith("00000000")
    assert (await find_run(store, "000000f9")).run_id.startswith("000000f9")


def test_the_default_namespace_is_not_shown():
    """People see `digest`; of another namespace they see it all."""
    assert workflow_name(row()) == "digest"
    assert workflow_name(row(workflow=workflow_key("team", "report"))) == "team/report"


@pytest.fixture
async def history(store):
    """A finished run of two steps: three checkpoints, newest last."""
    steps = [{"name": name, "needs": needs} for name, needs in (("a", []), ("b", ["a"]))]
    result = await run(manifest(*steps), store=store)
    rows = await store.checkpoints(result.run)
    return await store.run(result.run), rows[::-1]


async def test_a_checkpoint_is_found_by_what_people_see(store, history):
    """An id, a part of one, its number in a run, or a word for its place."""
    row_, rows = history
    first, last = rows[0], rows[-1]

    assert await find_checkpoint(store, last.id) == last
    assert await find_checkpoint(store, last.id[-8:]) == last
    assert await find_checkpoint(store, "digest/2") == rows[1]
    assert await find_checkpoint(store, f"{row_.run_id}/head") == last
    assert await find_checkpoint(store, "head", row_) == last
    assert await find_checkpoint(store, "latest", row_) == last
    assert await find_checkpoint(store, "start", row_) == first
    assert await find_checkpoint(store, "2", row_) == rows[1]


async def test_a_part_that_fits_several_checkpoints_names_them(store, history):
    """All ids of one run begin alike, since they begin with the time."""
    _, rows = history

    with pytest.raises(InvalidInput, match="fits several checkpoints"):
        await find_checkpoint(store, rows[0].id[:6])


async def test_a_checkpoint_that_was_pruned_is_told_from_one_that_never_was(store, history):
    """The message says what to think of a number that is not there."""
    row_, rows = history
    await store.prune(row_.run_id, [rows[0].seq])

    with pytest.raises(CheckpointNotFound, match=r"has no checkpoint 9; list them with"):
        await find_checkpoint(store, "9", row_)
    with pytest.raises(CheckpointNotFound, match='no checkpoint "nothing"'):
        await find_checkpoint(store, "nothing", row_)


async def test_a_run_without_checkpoints_has_no_head(store):
    """Before the first checkpoint there is nothing to go back to."""
    row_ = await store.create_run(new_run())

    with pytest.raises(CheckpointNotFound, match="has no checkpoint yet"):
        await find_checkpoint(store, "head", row_)
