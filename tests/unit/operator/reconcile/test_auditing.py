"""What is asked for on a cluster leaves a line in the store's audit, before it is done."""

from __future__ import annotations

import pytest
from tests.unit.operator.reconcile.builders import KEY, RUN, document, world
from tests.unit.operator.reconcile.servers import Server

from cairn_operator.reconcile import facts
from cairn_operator.reconcile.act import Actor
from cairn_operator.reconcile.auditing import asker
from cairn_operator.reconcile.state import Hold
from cairn_operator.resources.pods import PodDefaults
from cairn_runtime.model.ids import new_id
from cairn_runtime.store.contract.cases import begun
from cairn_runtime.store.opening import open_store


class Killed(BaseException):
    """The operator dies here."""


async def test_a_resume_is_one_line_however_often_it_is_begun():
    """The operator dies before the hold and begins again: it was asked for once."""

    def die(name):
        if name == "hold" and not died:
            died.append(name)
            raise Killed

    died = []
    store = await open_store(f"memory:{new_id()}")
    writer = await begun(store, run_id=RUN, workflow=KEY, manifest=document())
    (origin,) = await writer.commit()
    actor = Actor(Server(), {"default": store}, PodDefaults("runner:1"), "0.1.0", die)
    child = new_id()

    with pytest.raises(Killed):
        await actor.act(world(), (Hold(origin.id, child),))
    assert await store.holds(RUN) == {}
    await actor.act(world(), (Hold(origin.id, child),))

    (line,) = await store.audits()
    assert (line.what, line.source, line.target) == ("resume", origin.id, child)
    assert line.who.startswith("kubernetes:")
    assert await store.holds(RUN) == {1: {child}}
    await store.close()


@pytest.mark.parametrize(
    ("fields", "who"),
    [
        (None, ""),
        ([], ""),
        ("nonsense", ""),
        ([{"manager": "kubectl-client-side-apply", "fieldsV1": {"f:spec": {"f:steps": {}}}}], ""),
        ([{"manager": "kubectl-patch", "fieldsV1": {"f:spec": {"f:resume": {}}}}], " (kubectl-patch)"),
    ],
)
def test_who_asks_is_the_object_and_the_program_that_wrote_the_field(fields, who):
    """As far as Kubernetes tells; whatever stands there stops nothing."""
    found = world().workflow
    facts.part(found.document, "metadata")["managedFields"] = fields

    assert asker(found) == f"kubernetes:{found.namespace}/{found.name}{who}"
