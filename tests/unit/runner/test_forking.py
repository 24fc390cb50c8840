"""Forks: a new run from a checkpoint, whole after a death at any point of its making."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.unit.runner.conftest import Died
from tests.unit.runner.rows import accepted, manifest

from cairn_runtime.errors import CheckpointNotFound, ManifestInvalid, Superseded
from cairn_runtime.model.ids import run_id_for
from cairn_runtime.runner.forking import ForkRequest, fork_run, release_hold
from cairn_runtime.runner.inprocess import InProcess
from cairn_runtime.runner.library import run
from cairn_runtime.runner.naming import find_checkpoint
from cairn_runtime.store.base import Outcome
from cairn_runtime.store.codec import Codec

WAITING = manifest({"name": "a"}, {"name": "sign", "approval": {"message": "Publish?"}, "needs": ["a"]})
"""Stops at an approval, so that its run is unfinished."""


@pytest.fixture
async def waiting(store):
    """An unfinished run that waits for an approval, with what forks it from its head."""
    result = await run(WAITING, store=store)
    row = await store.run(result.run)
    return row, ForkRequest(await find_checkpoint(store, "head", row), follow_head=True)


async def test_a_fork_is_a_new_run_and_ends_the_old_one(store, waiting):
    """The child names its origin; the parent is Cancelled and says where it went on."""
    parent, request = waiting

    child = await fork_run(store, Codec(), request)

    assert child.run_id == run_id_for(parent.workflow.rpartition("/")[2], request.nonce)
    assert child.origin == request.origin
    assert (child.workflow, child.manifest, child.phase) == (parent.workflow, parent.manifest, "Pending")
    old = await store.run(parent.run_id)
    assert (old.phase, old.reason) == ("Cancelled", "Forked")
    assert old.message == f"run {child.run_id} goes on from checkpoint {parent.head_seq}"


async def test_a_plain_fork_of_the_head_keeps_the_idempotency_keys(store, waiting):
    """Effects of unfinished tasks are the same effects: nothing was changed and nothing came after."""
    parent, request = waiting

    assert (await fork_run(store, Codec(), request)).key_base == parent.key_base


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"state_patch": {"error": 1}}, id="a patch"),
        pytest.param({"as_step": "sign"}, id="asStep"),
        pytest.param({"steps": ("a",)}, id="steps"),
        pytest.param({"skip": ("sign",)}, id="skip"),
    ],
)
async def test_a_changed_fork_has_keys_of_its_own(store, waiting, changes):
    """With another state the same task is another effect."""
    _, request = waiting

    child = await fork_run(store, Codec(), replace(request, **changes))

    assert child.key_base == child.run_id


async def test_a_fork_of_the_past_has_keys_of_its_own(store, waiting):
    """What came after the origin has had its effects; doing it again is doing something new."""
    parent, _ = waiting
    first = await find_checkpoint(store, "start", parent)

    child = await fork_run(store, Codec(), ForkRequest(first))

    assert child.key_base == child.run_id


async def test_the_head_is_followed_until_its_runner_is_stopped(losing, waiting):
    """A runner that commits between the look and the claim is not forgotten: the fork starts at its head."""
    parent, request = waiting
    start = await find_checkpoint(losing, "start", parent)

    child = await fork_run(losing, Codec(), replace(request, checkpoint=start))

    assert child.origin is not None
    assert child.origin.seq == parent.head_seq
    assert child.key_base == parent.key_base
    assert child.run_id in (await losing.holds(parent.run_id))[parent.head_seq]


async def test_the_origin_is_held_until_the_child_stands_on_its_own(store, waiting):
    """Prune cannot take away what the child's first checkpoint is made from; afterwards nothing holds it."""
    parent, request = waiting
    child = await fork_run(store, Codec(), request)

    assert await store.holds(parent.run_id) == {parent.head_seq: {child.run_id}}
    await release_hold(store, child)
    assert await store.holds(parent.run_id) != {}

    await InProcess(store, child).watch()

    assert await store.holds(parent.run_id) == {}


async def test_the_old_runner_can_write_no_more(store, waiting):
    """From the fork on there is one writer: the child's."""
    parent, request = waiting
    held = await store.claim(parent.run_id, parent.epoch, "runner")

    await fork_run(store, Codec(), request)

    with pytest.raises(Superseded):
        await store.commit(parent.run_id, held, parent.head_seq, "w", [], Outcome("Running"))


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        pytest.param({"as_step": "b"}, 'spec.resume.asStep: unknown step "b"; there is a, sign', id="asStep"),
        pytest.param(
            {"steps": ("a", "b")}, 'spec.resume.steps: unknown step "b"; there is a, sign', id="steps"
        ),
        pytest.param({"skip": ("b",)}, 'spec.resume.skip: unknown step "b"; there is a, sign', id="skip"),
        pytest.param({"state_patch": {"nope": 1}}, "spec.resume.statePatch.nope:", id="an unknown channel"),
        pytest.param(
            {"mended": accepted(name="other")},
            'metadata.name: this is Workflow "other", but the checkpoint belongs to "digest"',
            id="another Workflow",
        ),
        pytest.param(
            {"mended": accepted()},
            'spec.steps: the checkpoint goes on with "sign"',
            id="a manifest without the step",
        ),
    ],
)
async def test_what_cannot_be_forked_touches_nothing(losing, waiting, changes, fault):
    """The old run goes on as if nobody had asked: no hold, no claim, no row."""
    parent, request = waiting

    with pytest.raises(ManifestInvalid) as caught:
        await fork_run(losing, Codec(), replace(request, **changes))

    assert str(caught.value.faults[0]).startswith(fault)
    assert losing.calls == []
    assert await losing.run(parent.run_id) == parent


async def test_an_origin_that_was_pruned_is_told(store, waiting):
    """A fork never starts from a checkpoint that is not there."""
    _, request = waiting
    gone = request.checkpoint._replace(seq=99)

    with pytest.raises(CheckpointNotFound):
        await fork_run(store, Codec(), replace(request, checkpoint=gone, follow_head=False))


@pytest.mark.parametrize("number", range(4))
@pytest.mark.parametrize("same_nonce", [True, False])
async def test_a_fork_that_died_is_made_by_asking_again(losing, waiting, number, same_nonce):
    """Death before any of its writes; the request repeated (with its nonce or a new one) makes the run."""
    parent, request = waiting
    losing.die_at(number)
    with pytest.raises(Died):
        await fork_run(losing, Codec(), request)
    again = request if same_nonce else replace(request, nonce="another")

    child = await fork_run(losing.inner, Codec(), again)
    finish = await InProcess(losing.inner, child).watch()

    assert finish.run.phase == "Waiting"
    assert [wait.task for wait in finish.run.waits] == ["sign#1"]
    assert (await losing.inner.run(parent.run_id)).phase == "Cancelled"


async def test_a_fork_makes_exactly_these_writes(losing, waiting):
    """Hold, claim, end, create: the test above kills before each of them, so it must know them all."""
    _, request = waiting

    await fork_run(losing, Codec(), request)

    assert losing.calls == ["hold", "claim", "commit", "create_run"]


async def test_lost_answers_make_no_second_fork(losing, waiting):
    """Each write was applied and its answer lost: sent again, it changes nothing more."""
    parent, request = waiting
    losing.lose("hold", "claim", "commit", "create_run")

    child = await fork_run(losing, Codec(), request)

    runs = [row.run_id for row in await losing.runs()]
    assert sorted(runs) == sorted([parent.run_id, child.run_id])
    assert (await losing.run(parent.run_id)).epoch == parent.epoch + 1


async def test_the_same_request_again_is_the_same_run(store, waiting):
    """A nonce is served once, whatever became of the answer."""
    _, request = waiting
    child = await fork_run(store, Codec(), request)
    await InProcess(store, child).watch()

    again = await fork_run(store, Codec(), request)

    assert (again.run_id, again.head_seq) == (child.run_id, 1)


async def test_a_mended_manifest_goes_on_where_the_old_one_stood(store, waiting):
    """`resume --file`: the new run has the new spec and the old state."""
    _, request = waiting
    mended = accepted(
        {"name": "a", "python": "gone:gone"},
        {"name": "sign", "approval": {"message": "Really?"}, "needs": ["a"]},
        {"name": "send", "needs": ["sign"]},
    )

    child = await fork_run(store, Codec(), replace(request, mended=mended, as_step="sign"))
    finish = await InProcess(store, child).watch()

    assert finish.run.graph_hash == mended.graph_hash
    assert finish.run.phase == "Succeeded"
