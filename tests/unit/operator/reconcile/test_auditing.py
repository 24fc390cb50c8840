"""What is asked for on a cluster leaves a line in the store's audit, before it is done."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.unit.operator.reconcile.builders import (
    KEEPING,
    KEY,
    RUN,
    UID,
    annotated,
    document,
    obj,
    world,
)
from tests.unit.operator.reconcile.servers import Server

from cairn_operator.names import CHECKPOINT_KIND, PIN_ANNOTATION
from cairn_operator.reconcile import facts
from cairn_operator.reconcile.act import Actor
from cairn_operator.reconcile.auditing import entry_of
from cairn_operator.reconcile.decide import decide
from cairn_operator.reconcile.showing import Showing
from cairn_operator.reconcile.state import Note, Origin
from cairn_operator.resources.pods import PodDefaults
from cairn_operator.resources.views import checkpoint_object
from cairn_runtime.model.ids import new_id, run_id_for
from cairn_runtime.store.contract.cases import begun
from cairn_runtime.store.opening import open_store

CHILD = run_id_for(UID, "1")
RESUME = ("f:spec", "f:resume")


class Killed(BaseException):
    """The operator dies here."""


class Deaths:
    """Dies before each write once, at its first turn."""

    def __init__(self):
        self.at = []

    def __call__(self, name):
        if name not in self.at:
            self.at.append(name)
            raise Killed


@pytest.fixture
async def store():
    """A store with one run of one checkpoint."""
    opened = await open_store(f"memory:{new_id()}")
    yield opened
    await opened.close()


@pytest.fixture
async def origin(store):
    """Its checkpoint."""
    writer = await begun(store, run_id=RUN, workflow=KEY, manifest=document())
    (row,) = await writer.commit()
    return row


async def passes(store, asked, deaths):
    """Observe, decide and act until nothing is left to do; the operator dies and begins again."""
    actor = Actor(Server(), {"default": store}, PodDefaults("runner:1"), "0.1.0", deaths)
    for _ in range(30):
        run = (await store.runs(workflow=KEY))[0]
        actions = decide(await asked(run), KEEPING).actions
        if not actions:
            return
        try:
            await actor.act(world(), actions)
        except Killed:
            continue
    raise AssertionError("passes never come to rest")


async def test_a_resume_is_one_line_however_often_it_is_begun(store, origin):
    """The operator dies before each of its writes and begins again: it was asked for once."""

    async def asked(run):
        resume = {"resume": {"checkpoint": "latest", "nonce": "1"}, "suspend": True}
        head = (await store.checkpoints(RUN))[0]
        seen = world(resume, run=run, served=run.run_id == CHILD)
        return replace(seen, origin=Origin(head, await store.run(RUN)))

    deaths = Deaths()
    await passes(store, asked, deaths)

    assert deaths.at == ["audit", "hold", "claim_to_end", "end_run", "create_run", "annotate"]
    resumed, paused = await store.audits()
    assert (resumed.what, resumed.source, resumed.target) == ("resume", f"{RUN}/{origin.id}", CHILD)
    assert (paused.what, paused.source) == ("pause", CHILD)
    assert await store.holds(RUN) == {1: {CHILD}}


async def test_a_cancellation_is_one_line_however_often_it_is_begun(store, origin):
    """It names the run that was to end."""

    async def asked(run):
        seen = world(run=run)
        return replace(seen, workflow=replace(seen.workflow, document=annotated(document(), RUN)))

    deaths = Deaths()
    await passes(store, asked, deaths)

    assert [at for at in deaths.at if at != "annotate"] == ["audit", "claim_to_end", "end_run"]
    (line,) = await store.audits()
    assert (line.what, line.source, line.target) == ("cancel", RUN, "")
    assert (await store.run(RUN)).phase == "Cancelled"


async def test_each_pause_is_one_line_however_often_it_is_begun(store, origin):
    """Held, let go, held again: three lines."""

    async def suspended(run):
        return world({"suspend": True}, run=run)

    await passes(store, suspended, Deaths())
    actor = Actor(Server(), {"default": store}, PodDefaults("runner:1"), "0.1.0")
    await actor.act(world(), decide(world(run=await store.run(RUN)), KEEPING).actions)
    await passes(store, suspended, Deaths())

    found = [(line.what, line.source) for line in await store.audits()]
    assert found == [("pause", RUN), ("unpause", RUN), ("pause", RUN)]


async def test_a_pin_is_one_line_however_often_it_is_begun(store, origin):
    """The object as it was read is the act; one that was changed since is another."""
    server, deaths = Server(), Deaths()
    made = checkpoint_object(origin, "team", "digest", UID, pinned=False)
    notes = {PIN_ANNOTATION: "true"}
    fields = {"f:metadata": {"f:annotations": {f"f:{PIN_ANNOTATION}": {}}}}
    by = [{"manager": "kubectl-annotate", "fieldsV1": fields}]
    meta = {**made["metadata"], "annotations": notes, "managedFields": by}
    server.put(CHECKPOINT_KIND, "team", meta["name"], spec=made["spec"], metadata=meta)
    seen = world(run=await store.run(RUN))

    for _ in range(10):
        showing = Showing(server, {"default": store}, lambda: 0.0, deaths)
        try:
            await showing.show(seen)
        except Killed:
            continue
        break

    assert deaths.at == ["audit", "pin", "mark_checkpoint"]
    (line,) = await store.audits()
    assert (line.what, line.source) == ("pin", f"{RUN}/{origin.id}")
    assert line.who == "kubernetes:team/digest (kubectl-annotate)"
    assert await store.pins(RUN) == {1}


@pytest.mark.parametrize(
    ("fields", "who"),
    [
        (None, ""),
        ([], ""),
        ("nonsense", ""),
        ([7, {"fieldsV1": []}, {"fieldsV1": {"f:spec": 7}}], ""),
        ([{"manager": "kubectl-client-side-apply", "fieldsV1": {"f:spec": {"f:steps": {}}}}], ""),
        ([{"manager": "kubectl-patch", "fieldsV1": {"f:spec": {"f:resume": {}}}}], " (kubectl-patch)"),
        ([{"manager": 7, "fieldsV1": {"f:spec": {"f:resume": {}}}}], ""),
    ],
)
def test_who_asks_is_the_object_and_the_program_that_wrote_the_field(fields, who):
    """As far as Kubernetes tells; whatever stands there stops nothing."""
    found = obj()
    facts.part(found.document, "metadata")["managedFields"] = fields

    line = entry_of(found, Note("resume", CHILD, RESUME, "from", "to"))

    assert line.who == f"kubernetes:{found.namespace}/{found.name}{who}"
    assert (line.id, line.what, line.source, line.target) == (f"resume:{CHILD}", "resume", "from", "to")


def test_a_long_act_is_still_told_from_others():
    """A line's id is bounded; what is cut off must not make two acts one."""
    one, other = (entry_of(obj(), Note("x", "a" * 200 + end, RESUME)) for end in "12")

    assert one.id != other.id
    assert len(one.id) <= 128
