"""Whole runs through the operator as its process wires it, with real runners and a server in memory."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

import pytest
from tests.unit.operator.reconcile.servers import Kubelet, Server

from cairn_operator.cluster.errors import ApiRefused
from cairn_operator.handlers.doorbells import doorbells
from cairn_operator.process import Operator
from cairn_operator.reconcile import showing
from cairn_operator.settings import Settings
from cairn_runtime.model.ids import new_id
from cairn_runtime.store.base import Store
from cairn_runtime.store.opening import open_store

CODE = {"steps.py": "def go(state):\n    return {'n': 1}\n"}
NEWEST_TEN = [*range(2, 12)]
"""Of a run of ten steps: its first checkpoint is written at its start."""
STATE = {"channels": {"n": {"reducer": "add", "initial": 0}}}


def chain(length: int, **more: Any) -> dict[str, Any]:
    """A spec of steps one after another."""
    steps: list[dict[str, Any]] = [{"name": "s0", "python": "steps:go"}]
    steps += [{"name": f"s{n}", "python": "steps:go", "needs": [f"s{n - 1}"]} for n in range(1, length)]
    return {"steps": steps, "code": CODE, "state": STATE, **more}


class House:
    """An operator on duty, a server, a kubelet and a store."""

    def __init__(self, server: Server, store: Store) -> None:
        self.server = server
        self.store = store
        self.kubelet = Kubelet(server, store)
        self.news = asyncio.Event()
        self.tasks: set[asyncio.Task[None]] = set()

    def watch(self, operator: Operator) -> None:
        """Hand every event to the doorbells, and pods to the kubelet."""
        registry = doorbells(operator._ring)
        handlers: dict[str, Any] = {
            str(found.id): found.fn for found in registry._watching.get_all_handlers()
        }

        def ring(kind: str, document: dict[str, Any], happened: str) -> None:
            if kind == "Pod" and happened == "ADDED":
                self.kubelet.see(document)
            if kind.lower() in handlers:
                told = asyncio.create_task(handlers[kind.lower()](meta=document["metadata"], type=happened))
                self.tasks.add(told)
                told.add_done_callback(self.tasks.discard)
            self.news.set()

        self.server.ring = ring

    def apply(self, name: str = "digest", **spec: Any) -> None:
        """Apply a Workflow."""
        self.server.put("Workflow", "team", name, apiVersion="cairn.dev/v1alpha1", spec=spec)

    @property
    def status(self) -> dict[str, Any]:
        """The status of the one Workflow."""
        found: dict[str, Any] = self.server.objects["Workflow", "team", "digest"].get("status", {})
        return found

    def checkpoints(self) -> dict[int, dict[str, Any]]:
        """The Checkpoint objects by their number."""
        return {found["spec"]["seq"]: found for found in self.server.all("Checkpoint")}

    async def until(self, holds: Callable[[], object]) -> None:
        """Wait until something holds; looked at whenever an object changes."""
        async with asyncio.timeout(10):
            while not holds():
                self.news.clear()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self.news.wait(), 0.1)


@pytest.fixture
async def house(tmp_path, monkeypatch):
    """An operator on duty."""
    monkeypatch.setattr(showing, "PAUSE_SECONDS", 0.2)
    url = f"memory:{new_id()}"
    (tmp_path / "default").mkdir()
    (tmp_path / "default" / "url").write_text(url)
    server, store = Server(), await open_store(url)
    operator = Operator(
        Settings("home", "runner:1", "me", stores=tmp_path), server, "0", hide=lambda _url: None
    )
    made = House(server, store)
    made.watch(operator)
    duty = asyncio.create_task(operator._rounds.run())
    yield made
    duty.cancel()
    await asyncio.gather(duty, *made.kubelet.attempts.values(), return_exceptions=True)
    await store.close()


async def test_a_run_of_ten_steps_costs_few_writes(house):
    """At most two for each step: its pod, its Checkpoints, and a handful of statuses and Events."""
    house.apply(**chain(10))

    await house.until(lambda: house.status.get("phase") == "Succeeded")
    await house.until(lambda: sorted(house.checkpoints()) == NEWEST_TEN)
    writes = house.server.writes
    assert writes["create Pod"] == 1
    assert writes["create Checkpoint"] <= 11
    assert writes["status"] <= 4
    assert writes["create Event"] <= 4
    assert writes.total() <= 2 * 10, writes
    assert house.status["progress"] == "10/10"


async def test_checkpoints_are_not_looked_at_again_for_our_own_writes(house):
    """Each look would make new objects, their events the next look, and so on without any pause."""
    house.apply(**chain(10))
    await house.until(lambda: sorted(house.checkpoints()) == NEWEST_TEN)
    looked = house.server.reads["Checkpoints"]

    await house.until(lambda: not house.tasks and house.status.get("phase") == "Succeeded")
    assert house.server.reads["Checkpoints"] == looked


async def test_a_view_that_is_refused_holds_nothing_up(house):
    """A quota on Checkpoint objects, or a status that the server does not take: the run ends as ever."""

    class Full(dict):
        def pop(self, kind, *_):
            raise self[kind]

    refusal = ApiRefused("Forbidden", "exceeded quota: count/checkpoints.cairn.dev")
    house.server.refuse = Full(Checkpoint=refusal)
    house.apply(**chain(3))
    await house.until(lambda: house.status.get("phase") == "Succeeded")
    assert house.server.writes["create Checkpoint"] == 0

    house.server.refuse = {}
    house.server.put("Workflow", "team", "digest", metadata={"labels": {"looked": "again"}})
    await house.until(lambda: sorted(house.checkpoints()) == [1, 2, 3, 4])


async def test_a_pin_goes_and_comes_with_its_annotation(house):
    """Set and taken away by kubectl, or by `cairn pin` in the store: both show the same."""
    house.apply(**chain(4, checkpoint={"history": {"keepLast": 1}}))
    await house.until(lambda: house.status.get("phase") == "Succeeded")
    await house.until(lambda: [*house.checkpoints()] == [5])
    run_id, name = house.status["run"], house.checkpoints()[5]["metadata"]["name"]

    def annotate(**notes: str) -> None:
        house.server.put("Checkpoint", "team", name, metadata={"annotations": notes})

    def notes() -> dict[str, str]:
        return dict(house.server.objects["Checkpoint", "team", name]["metadata"].get("annotations", {}))

    annotate(**{"cairn.dev/pin": "true"})
    await house.until(lambda: notes() == {"cairn.dev/pin": "true", "cairn.dev/pinned": "true"})
    assert await house.store.pins(run_id) == {5}

    annotate(**{"cairn.dev/pinned": "true"})
    await house.until(lambda: notes() == {})
    assert await house.store.pins(run_id) == set()


async def test_a_pin_in_the_store_is_shown_and_goes_again(house, monkeypatch):
    """Nobody rings for it; the object follows with a later look, in both directions."""
    house.apply(**chain(1))
    await house.until(lambda: sorted(house.checkpoints()) == [1, 2])
    await house.until(lambda: house.status.get("phase") == "Succeeded")
    monkeypatch.setattr(showing, "LOOK_AGAIN_SECONDS", 0.0)
    first = house.checkpoints()[1]

    async def looked(expected: dict[str, str]) -> None:
        house.server.put("Workflow", "team", "digest", metadata={"labels": {"looked": str(expected)}})
        await house.until(lambda: house.checkpoints()[1]["metadata"].get("annotations", {}) == expected)

    await house.store.pin(first["spec"]["id"], pinned=True)
    await looked({"cairn.dev/pin": "true", "cairn.dev/pinned": "true"})
    await house.store.pin(first["spec"]["id"], pinned=False)
    await looked({})
    assert await house.store.pins(first["spec"]["run"]) == set()


async def test_an_object_pins_only_what_is_its_workflows(house):
    """Whoever may write Checkpoint objects must not keep, or let go, what is another's."""
    house.apply("other", **chain(1))
    await house.until(lambda: len(house.checkpoints()) == 2)
    theirs = house.checkpoints()[2]
    house.apply(**chain(1))
    await house.until(lambda: len(house.server.all("Checkpoint")) == 4)
    uid = house.server.objects["Workflow", "team", "digest"]["metadata"]["uid"]
    forged = {
        "labels": {"cairn.dev/workflow": "digest"},
        "ownerReferences": [{"kind": "Workflow", "uid": uid}],
        "annotations": {"cairn.dev/pin": "true"},
    }

    house.server.put("Checkpoint", "team", "forged", metadata=forged, spec=theirs["spec"])
    await house.until(lambda: ("Checkpoint", "team", "forged") not in house.server.objects)
    assert await house.store.pins(theirs["spec"]["run"]) == set()


async def test_an_object_that_somebody_deleted_comes_back(house):
    """It is a view: deleting one harms nothing."""
    house.apply(**chain(2))
    await house.until(lambda: sorted(house.checkpoints()) == [1, 2, 3])

    house.server.pop("Checkpoint", "team", house.checkpoints()[1]["metadata"]["name"])
    assert sorted(house.checkpoints()) == [2, 3]
    await house.until(lambda: sorted(house.checkpoints()) == [1, 2, 3])
