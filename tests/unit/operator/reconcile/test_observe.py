"""What one pass reads: the Workflow with its code, as a run's row will have it."""

from __future__ import annotations

import pytest
from tests.unit.operator.reconcile.servers import Server

from cairn_operator.reconcile import observe
from cairn_operator.reconcile.judging import TOO_LONG, Reports
from cairn_operator.reconcile.observe import Observer
from cairn_runtime.errors import Fault
from cairn_runtime.model.ids import run_id_for
from cairn_runtime.model.validation import Report
from cairn_runtime.store.base import NewRun
from cairn_runtime.store.opening import open_store

SPEC = {"codeFrom": {"configMap": "code"}, "steps": [{"name": "a", "python": "steps:go"}]}
STEPS = "def go(state):\n    return {}\n"


@pytest.fixture
async def server():
    """A server with one Workflow whose code is in a ConfigMap."""
    server = Server()
    server.put("Workflow", "space", "w", apiVersion="cairn.dev/v1alpha1", spec=SPEC)
    return server


async def observed(server):
    """The world around that Workflow."""
    store = await open_store("memory:")
    world = await Observer(server, {"default": store}, "installation").observe("space", "w")
    assert world is not None
    return world


async def test_code_from_a_config_map_may_be_larger_than_a_spec(server):
    """What the API server kept in bounds is the spec; its code was taken out of it because it is large."""
    words = "words " * 60_000
    server.put("ConfigMap", "space", "code", data={"steps.py": STEPS, "words.txt": words})

    world = await observed(server)

    assert world.faults == ()
    assert world.accepted["spec"]["code"] == {"steps.py": STEPS, "words.txt": words}
    assert "codeFrom" not in world.accepted["spec"]


async def test_a_config_map_that_is_not_there_is_a_fault_of_its_field(server):
    """The person who reads the condition learns which one, and where it was looked for."""
    world = await observed(server)

    assert [str(fault) for fault in world.faults] == [
        'spec.codeFrom.configMap: there is no ConfigMap "code" in space'
    ]


async def test_an_annotation_that_is_mended_is_judged_again(server):
    """It changes no generation: the fault of a tool's long annotation stayed after that was gone."""
    server.put("ConfigMap", "space", "code", data={"steps.py": STEPS})
    observer = Observer(server, {"default": await open_store("memory:")}, "installation")

    server.put("Workflow", "space", "w", metadata={"annotations": {"tool/original": "x" * 70_000}})
    before = await observer.observe("space", "w")
    server.put("Workflow", "space", "w", metadata={"annotations": {}})
    after = await observer.observe("space", "w")

    assert [fault.path for fault in before.faults] == ['metadata.annotations["tool/original"]']
    assert after.faults == ()


async def test_a_spec_that_took_too_long_is_never_judged_twice(server, monkeypatch):
    """However many others come after it: each time would keep all of them waiting."""
    taken = []

    def dear(document, *, limited):
        taken.append(document["metadata"]["name"])
        return Report(None, (Fault("spec", TOO_LONG),), ())

    monkeypatch.setattr(observe, "judged", dear)
    reports = Reports(most_bytes=0)
    observer = Observer(server, {"default": await open_store("memory:")}, "installation", _reports=reports)

    await observer.observe("space", "w")
    reports.put("another", Report(None, (), ()), 1)
    await observer.observe("space", "w")

    assert taken == ["w"]


@pytest.mark.parametrize("made", [True, False], ids=["with a run of a nonce", "with no run yet"])
async def test_without_a_nonce_whatever_run_there_is_will_do(server, made):
    """Taking `resume` away from a Workflow that came with one began its steps once more from nothing."""
    store = await open_store("memory:")
    workflow = server.put("Workflow", "space", "w", spec={"steps": [{"name": "a", "run": "true"}]})
    uid = workflow["metadata"]["uid"]
    if made:
        await store.create_run(NewRun(run_id_for(uid, "1"), f"space/w/{uid}", {}, "g", "k"))

    world = await Observer(server, {"default": store}, "installation").observe("space", "w")

    assert world.wanted == run_id_for(uid)
    assert world.served is made


@pytest.mark.parametrize(
    ("named", "error"),
    [
        ("mine", None),
        ("theirs", ("StoreForbidden", 'spec.store: store "theirs" is not for this namespace; there is mine')),
        (
            "other",
            ("StoreUnknown", 'spec.store: there is no store "other" in this installation; there is mine'),
        ),
    ],
)
async def test_a_store_of_other_namespaces_is_neither_read_nor_shown(server, named, error):
    """Whoever may create a Workflow here must not make rows where another team keeps theirs."""
    server.put("Workflow", "space", "w", apiVersion="cairn.dev/v1alpha1", spec={**SPEC, "store": named})
    stores = {name: await open_store("memory:") for name in ("mine", "theirs")}
    observer = Observer(server, stores, "installation", allows=lambda store, _space: store == "mine")

    world = await observer.observe("space", "w")

    assert world is not None
    assert world.store_error == error


async def test_a_spec_that_is_too_large_is_a_fault_and_its_store_is_asked_all_the_same(server):
    """A run that it had before goes on to be watched; the spec itself is not carried along."""
    large = {**SPEC, "store": "default", "input": {"x": ["y" * 1000] * 300}}
    server.put("Workflow", "space", "w", apiVersion="cairn.dev/v1alpha1", spec=large)

    world = await observed(server)

    assert [fault.path for fault in world.faults] == ["spec"]
    assert (world.manifest, world.store, world.store_error) == (None, "default", None)
    assert world.workflow.document["spec"] == {"store": "default"}
