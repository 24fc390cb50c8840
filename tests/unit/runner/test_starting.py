"""Which run a Workflow goes on with, and how a run is ended by whoever is not its runner."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.unit.runner.rows import accepted, manifest

from cairn_runtime.errors import InvalidInput, ManifestInvalid, SpecChanged, Superseded
from cairn_runtime.runner.accepting import accept, with_input
from cairn_runtime.runner.library import run
from cairn_runtime.runner.starting import cancel_run, claim_run, fail_run, find_or_create, in_thread
from cairn_runtime.store.base import Fence, Outcome


async def finish(store, row, phase):
    fence = await store.claim(row.run_id, row.epoch, "c")
    await store.commit(row.run_id, fence, row.head_seq, "w", [], Outcome(phase))


async def test_an_unfinished_run_of_the_same_spec_goes_on(store):
    """Running a file twice goes on with what the first left."""
    first = await find_or_create(store, accepted())

    assert (await find_or_create(store, accepted())).run_id == first.run_id


@pytest.mark.parametrize("phase", ["Succeeded", "Failed", "Cancelled"])
async def test_a_finished_run_is_followed_by_a_new_one(store, phase):
    """Failed counts as finished: what failed is resumed on purpose, never by chance."""
    first = await find_or_create(store, accepted())
    await finish(store, first, phase)

    second = await find_or_create(store, accepted())

    assert second.run_id != first.run_id
    assert second.phase == "Pending"


async def test_new_starts_another_run_beside_an_unfinished_one(store):
    """`--new` never touches the run that is there."""
    first = await find_or_create(store, accepted())

    second = await find_or_create(store, accepted(), new=True)

    assert second.run_id != first.run_id
    assert (await store.run(first.run_id)).phase == "Pending"


async def test_each_thread_goes_on_with_a_run_of_its_own(store):
    """Threads of one Workflow, and the one without a name, do not see each other's unfinished runs."""
    own = await find_or_create(store, accepted())
    alice = await find_or_create(store, in_thread(accepted(), "alice", "thread"))
    bob = await find_or_create(store, in_thread(accepted(), "bob", "thread"))

    assert (own.thread, alice.thread, bob.thread) == (own.workflow, "alice", "bob")
    assert len({own.run_id, alice.run_id, bob.run_id}) == 3
    assert (await find_or_create(store, in_thread(accepted(), "alice", "thread"))).run_id == alice.run_id
    assert (await find_or_create(store, accepted())).run_id == own.run_id


async def test_a_spec_that_changed_stands_in_the_way_of_its_thread_only(store):
    """Alice's unfinished run is no reason to refuse Bob; what to type names her thread."""
    await find_or_create(store, in_thread(accepted(), "alice", "thread"))
    changed = accepted({"name": "other"})

    assert (await find_or_create(store, in_thread(changed, "bob", "thread"))).thread == "bob"
    with pytest.raises(SpecChanged, match="cairn resume digest@alice --from head"):
        await find_or_create(store, in_thread(changed, "alice", "thread"))


@pytest.mark.parametrize(("asked", "thread"), [(None, "alice"), ("bob", "bob")])
async def test_the_label_names_the_thread_where_nobody_else_does(store, asked, thread):
    """The same manifest has the same thread here and on a cluster."""
    raw = manifest()
    raw["metadata"]["labels"] = {"cairn.dev/thread": "alice"}

    row = await find_or_create(store, in_thread(accept(raw), asked, "thread"))

    assert row.thread == thread


@pytest.mark.parametrize("name", ["", "a/b", "-a", "a.", "a b", "a\n", "é", "a" * 64])
def test_what_is_no_name_of_a_thread_is_refused(name):
    """Table: only what may be the value of a label."""
    with pytest.raises(InvalidInput, match="is no name of a thread") as caught:
        in_thread(accepted(), name, "--thread")

    assert caught.value.faults[0].path == "--thread"


async def test_a_changed_spec_is_refused_with_both_ways_on(store):
    """An unfinished run never goes on with steps that it did not begin with."""
    await find_or_create(store, accepted())

    with pytest.raises(SpecChanged) as caught:
        await find_or_create(store, accepted({"name": "other"}))

    assert caught.value.exit_code == 2
    assert "--new" in caught.value.message
    assert "cairn resume digest --from head --file FILE" in caught.value.message


async def test_a_copy_of_the_file_elsewhere_does_not_go_on_with_the_run(store):
    """The same names may stand for other code there: nothing is mixed in silence."""
    here = replace(accepted(), folder="/here")
    await find_or_create(store, here)

    with pytest.raises(SpecChanged, match="was begun with the code in /here"):
        await find_or_create(store, replace(here, folder="/there"))


async def test_settings_that_run_differently_are_no_changed_spec(store):
    """Retention, retries and restarts may change under way: the graph is the same."""
    first = await find_or_create(store, accepted())

    second = await find_or_create(
        store, accepted(restart={"limit": 9}, retry={"limit": 1}, checkpoint={"durability": "async"})
    )

    assert second.run_id == first.run_id


async def test_an_older_unfinished_run_of_the_same_spec_goes_on(store):
    """A run that was left waiting is gone on with, though a later one has finished."""
    waiting = await find_or_create(store, accepted())
    await finish(store, await find_or_create(store, accepted(), new=True), "Succeeded")

    assert (await find_or_create(store, accepted())).run_id == waiting.run_id


async def test_workflows_of_other_names_do_not_matter(store):
    """Runs are looked for under the Workflow's own key."""
    other = await find_or_create(store, accepted(name="other"))

    assert (await find_or_create(store, accepted())).run_id != other.run_id


async def test_cancelling_ends_a_run_and_its_runner(store):
    """The row says so, and the fence of whoever ran it is worth nothing any more."""
    row = await find_or_create(store, accepted())
    held = await store.claim(row.run_id, 0, "runner")

    ended = await cancel_run(store, row, message="not needed")

    assert (ended.phase, ended.reason, ended.message) == ("Cancelled", "Cancelled", "not needed")
    with pytest.raises(Superseded):
        await store.heartbeat(row.run_id, held)


async def test_a_finished_run_cannot_be_cancelled(store):
    """What has happened stays."""
    row = await find_or_create(store, accepted())
    await finish(store, row, "Succeeded")

    ended = await cancel_run(store, row)

    assert (ended.phase, ended.epoch) == ("Succeeded", 1)


async def test_a_run_fails_only_under_its_fence(store):
    """Whoever lost the claim has no say in what became of the run."""
    row = await find_or_create(store, accepted())
    fence = await claim_run(store, row.run_id, 0)

    assert not await fail_run(store, row.run_id, Fence(1, "another"), "CrashLoop", "x")
    assert await fail_run(store, row.run_id, fence, "CrashLoop", "x" * 10_000)
    failed = await store.run(row.run_id)
    assert (failed.phase, failed.reason, len(failed.message)) == ("Failed", "CrashLoop", 4096)
    assert not await fail_run(store, row.run_id, fence, "Other", "y")


async def test_a_claim_whose_answer_was_lost_is_asked_for_again(losing):
    """The claim was applied and the answer lost: the same claim_id again answers the same fence."""
    row = await find_or_create(losing, accepted())
    losing.lose("claim")

    fence = await claim_run(losing, row.run_id, 0)

    assert (await losing.run(row.run_id)).fence == fence
    assert fence.epoch == 1


async def test_a_cancel_whose_answers_were_lost_is_done_once(losing):
    """Claim and commit carry their ids; sent again they change nothing more."""
    row = await find_or_create(losing, accepted())
    losing.lose("claim", "commit")

    ended = await cancel_run(losing, row)

    assert (ended.phase, ended.epoch) == ("Cancelled", 1)


def test_a_manifest_that_is_no_good_names_every_fault():
    """The library refuses with the same list as `cairn validate`."""
    with pytest.raises(ManifestInvalid) as caught:
        accept(manifest({"name": "a", "needs": ["b"]}, {"name": "a", "sleep": "never"}))

    assert len(caught.value.faults) >= 2


def test_the_folder_of_a_file_is_where_its_code_lies(tmp_path):
    """The path is absolute, so that a runner may start from anywhere."""
    path = tmp_path / "digest.yaml"
    path.write_text(
        "{apiVersion: cairn.dev/v1alpha1, kind: Workflow, metadata: {name: digest},"
        " spec: {steps: [{name: a, run: 'true'}]}}"
    )

    assert accept(path).folder == str(tmp_path)
    assert accept(str(path)).key == accepted().key


def test_a_file_that_is_not_there_is_a_fault(tmp_path):
    """No traceback for a wrong path."""
    with pytest.raises(ManifestInvalid, match="cannot be read: No such file"):
        accept(tmp_path / "nothing.yaml")


def test_inputs_are_laid_over_the_manifests_own():
    """Name by name; the caller's manifest stays as it was."""
    own = manifest(input={"a": 1, "b": 2})

    laid = with_input(own, {"b": (3, 4), "c": None})

    assert laid == manifest(input={"a": 1, "b": [3, 4], "c": None})
    assert own["spec"]["input"] == {"a": 1, "b": 2}


def test_an_input_that_is_not_json_is_refused_with_its_path():
    """Inputs are values of channels, and those are JSON."""
    with pytest.raises(InvalidInput, match=r"input\.when\[0\]: set is not JSON"):
        with_input(manifest(), {"when": [{1}]})


async def test_a_model_is_accepted_as_it_is(store):
    """A Workflow that a program built is run like a file."""
    result = await run(accepted().workflow, store=store)

    assert result.phase == "Succeeded"
