"""Acting: what is written, in which order, and what a refusal leaves behind."""

from __future__ import annotations

import pytest
from tests.unit.operator.reconcile.builders import FAULT, KEY, RUN, UID, broken, document, world
from tests.unit.operator.reconcile.servers import Server

from cairn_operator import names
from cairn_operator.cluster.errors import ApiConflict, ApiRefused, ApiUnavailable
from cairn_operator.reconcile.act import Actor, Refusal
from cairn_operator.reconcile.state import (
    Annotate,
    CreateRun,
    DeletePod,
    DeleteWorkflow,
    EndRun,
    Hold,
    ReleaseHold,
    StartRunner,
)
from cairn_operator.resources.pods import PodDefaults
from cairn_runtime.model.ids import new_id
from cairn_runtime.store.base import NewRun, Outcome
from cairn_runtime.store.opening import open_store

START = StartRunner(RUN, 0)
POD = f"digest-{RUN[-8:]}-1"


@pytest.fixture
def server():
    return Server()


@pytest.fixture
async def store():
    """A store with the run that nobody has started."""
    opened = await open_store(f"memory:{new_id()}")
    await opened.create_run(NewRun(RUN, KEY, document(), "g", RUN))
    yield opened
    await opened.close()


@pytest.fixture
def written():
    return []


@pytest.fixture
def actor(server, store, written):
    return Actor(server, {"default": store}, PodDefaults("runner:1"), "0.1.0", written.append)


def stranger(uid=UID, run_id=RUN, epoch="1"):
    """What another pod of the same name carries."""
    labels = {names.RUN_LABEL: run_id, names.EPOCH_LABEL: epoch}
    return {"labels": labels, "ownerReferences": [{"uid": uid}]}


async def test_a_pod_is_made_for_a_claim_of_ones_own(actor, server, store):
    """The epoch is claimed first, with the operator's version in the row, and the pod carries the claim."""
    assert await actor.act(world(), (START,)) == Refusal()

    row = await store.run(RUN)
    (pod,) = server.all("Pod")
    given = {one["name"]: one.get("value") for one in pod["spec"]["containers"][0]["env"]}
    assert (pod["metadata"]["name"], row.epoch, row.runner) == (POD, 1, "0.1.0")
    assert (given["CAIRN_EPOCH"], given["CAIRN_CLAIM"]) == ("1", row.claim_id)


@pytest.mark.parametrize(
    ("theirs", "taken"),
    [
        (stranger(), False),
        (stranger(uid="another"), True),
        (stranger(run_id="another"), True),
        (stranger(epoch="2"), True),
        ({}, True),
    ],
    ids=["ours, its answer lost", "a namesake's", "another run's", "another epoch's", "a stranger's"],
)
async def test_a_pod_of_the_same_name_is_kept_only_if_it_is_this_attempts(actor, server, theirs, taken):
    """Owner, run and epoch must be the same; else people read whose name was taken."""
    server.put("Pod", "team", POD, metadata=theirs)
    refusal = await actor.act(world(), (START,))

    assert (refusal.create_error or ("",))[0] == ("NameTaken" if taken else "")
    assert POD in (refusal.create_error or ("", POD))[1]
    assert server.writes.total() == 0


async def test_what_the_server_refuses_is_kept_in_its_own_words(actor, server):
    """A quota, an admission rule, a missing right: the next pass tells it and pauses."""
    server.refuse["Pod"] = ApiRefused("Forbidden", "exceeded quota: pods")

    assert (await actor.act(world(), (START,))).create_error == ("Forbidden", "exceeded quota: pods")


async def test_no_pod_and_no_claim_without_an_accepted_spec(actor, server, store):
    """Whatever was planned: a pod is built from the object, and never from the row."""
    refusal = await actor.act(broken(), (START,))

    assert refusal.create_error == ("ManifestInvalid", str(FAULT))
    assert (server.writes.total(), (await store.run(RUN)).epoch) == (0, 0)


async def test_who_was_overtaken_stops(actor, server, store):
    """Another operator claimed first: nothing is wrong, and nothing more is done."""
    await store.claim(RUN, 0, "another")

    assert await actor.act(world(), (START, DeletePod("x", "u", "why"))) == Refusal(fenced=True)
    assert server.writes.total() == 0


async def test_no_answer_ends_the_pass(actor, server):
    """The same world is looked at again later."""
    server.refuse["Pod"] = ApiUnavailable("no answer")

    with pytest.raises(ApiUnavailable):
        await actor.act(world(), (START,))


async def test_a_finished_workflow_is_deleted_only_as_it_was_read(actor, server):
    """Somebody may have asked for a resume since."""
    server.put("Workflow", "team", "digest", metadata={"uid": UID})
    server.put("Workflow", "team", "digest", spec={})

    with pytest.raises(ApiConflict):
        await actor.act(world(), (DeleteWorkflow(),))
    assert len(server.all("Workflow")) == 1


async def test_a_run_is_ended_by_a_claim_and_a_commit(actor, store):
    """So its runner can write no more; a run that moved on or is over already stays as it is."""
    outcome = Outcome("Failed", "CrashLoop", "x")
    await actor.act(world(), (EndRun(RUN, 0, outcome),))
    ended = await store.run(RUN)
    await actor.act(world(), (EndRun(RUN, 0, Outcome("Cancelled")), EndRun(RUN, 1, Outcome("Cancelled"))))

    assert (ended.epoch, ended.phase, ended.reason) == (1, "Failed", "CrashLoop")
    assert await store.run(RUN) == ended


async def test_a_run_that_somebody_claimed_since_is_not_ended(actor, store):
    """What was decided was decided of another attempt: the next pass sees what they did."""
    await store.claim(RUN, 0, "another")

    assert await actor.act(world(), (EndRun(RUN, 0, Outcome("Failed", "CrashLoop")),)) == Refusal()
    row = await store.run(RUN)
    assert (row.epoch, row.claim_id, row.phase) == (1, "another", "Pending")


async def test_each_write_has_a_name_of_its_own(actor, server, written):
    """A test may end the process before any of them."""
    server.put("Workflow", "team", "digest", metadata={"uid": UID, "resourceVersion": "7"})
    server.objects["Workflow", "team", "digest"]["metadata"]["resourceVersion"] = "7"
    actions = (
        CreateRun(NewRun(new_id(), KEY, document(), "g", "k")),
        Annotate(RUN, {"x": 1}),
        START,
        DeletePod("x", "u", "why"),
        ReleaseHold("child"),
        EndRun(RUN, 1, Outcome("Failed")),
        DeleteWorkflow(),
        Hold("nowhere", "child"),
    )
    refusal = await actor.act(world(), actions)

    assert refusal.trouble is not None
    assert written == [
        *("create_run", "annotate", "claim", "create_pod", "delete_pod", "release_hold", "claim_to_end"),
        *("end_run", "delete_workflow", "hold"),
    ]
    assert set(written) <= set(names.WRITES)
