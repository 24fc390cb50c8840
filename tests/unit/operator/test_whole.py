"""Whole runs through the operator as its process wires it, with real runners and a server in memory."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.unit.operator.reconcile.servers import Kubelet, Server

from cairn_operator import process
from cairn_operator.cluster.errors import ApiRefused
from cairn_operator.handlers.doorbells import doorbells
from cairn_operator.process import Operator
from cairn_operator.reconcile import showing
from cairn_operator.settings import DieAt, Settings
from cairn_runtime.model.ids import new_id
from cairn_runtime.model.metrics import read_metrics
from cairn_runtime.store.base import Store
from cairn_runtime.store.opening import open_store

CODE = {"steps.py": "def go(state):\n    return {'n': 1}\n"}
PATIENCE_SECONDS = 60.0
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
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not holds():
                self.news.clear()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self.news.wait(), 0.1)


class Died(BaseException):
    """The operator's process ended, as by a crash."""


class DiesAt:
    """A fault point for an operator that shares its process with the test."""

    def __init__(self, at: DieAt) -> None:
        self._at = at

    def __call__(self, name: str) -> None:
        if name == self._at.name:
            raise Died


class Site:
    """A house, and operators that come and go in it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.url = f"memory:{new_id()}"
        self.operators: list[Operator] = []
        (folder / "default").mkdir()
        (folder / "default" / "url").write_text(self.url)

    def operator(self, house: House, die_at: DieAt | None = None) -> asyncio.Task[None]:
        """Put an operator on duty."""
        settings = Settings("home", "runner:1", "me", stores=self._folder, die_at=die_at)
        server: Any = house.server
        made = Operator(settings, server, "0", hide=lambda _url: None)
        self.operators.append(made)
        house.watch(made)
        return asyncio.create_task(made._rounds.run())


@pytest.fixture
async def site(tmp_path, monkeypatch):
    """Where a house stands."""
    monkeypatch.setattr(showing, "PAUSE_SECONDS", 0.2)
    monkeypatch.setattr(process, "FaultPoint", DiesAt)
    return Site(tmp_path)


@pytest.fixture
async def empty(site):
    """A house without an operator."""
    store = await open_store(site.url)
    made = House(Server(), store)
    yield made
    await asyncio.gather(*made.kubelet.attempts.values(), return_exceptions=True)
    await store.close()


@pytest.fixture
async def house(site, empty):
    """A house with an operator on duty."""
    duty = site.operator(empty)
    yield empty
    duty.cancel()
    await asyncio.gather(duty, return_exceptions=True)


FIRST = ("create_run", "claim", "create_pod", "status", "event", "create_checkpoint")
LATER = ("hold", "claim_to_end", "end_run", "release_hold", "delete_checkpoint")
"""Writes that come only with the fork."""


@pytest.mark.parametrize("name", [*FIRST, *LATER])
async def test_whoever_comes_next_goes_on_where_an_operator_died(site, empty, name):
    """Before any write, of a first run or of a fork that takes the place of a run under way."""
    spec = chain(3, checkpoint={"history": {"keepLast": 1}})
    spec["steps"][1] = {"name": "s1", "approval": {}, "needs": ["s0"]}
    first = site.operator(empty, DieAt(name))
    empty.apply(**spec)
    fork = {**spec, "resume": {"checkpoint": "latest", "nonce": "1", "skip": ["s1"]}}
    if name in LATER:
        await empty.until(lambda: empty.status.get("phase") == "Waiting")
        empty.apply(**fork)
    await asyncio.wait({first}, timeout=PATIENCE_SECONDS)
    assert first.done(), "it never came to this write"
    assert isinstance(first.exception(), BaseExceptionGroup)

    second = site.operator(empty)
    if name in FIRST:
        await empty.until(lambda: empty.status.get("phase") == "Waiting")
        empty.apply(**fork)
    await empty.until(lambda: empty.status.get("phase") == "Succeeded")
    await empty.until(lambda: len(empty.checkpoints()) == 1)
    runs = await empty.store.runs()
    assert runs[0].phase == "Succeeded"
    assert all(run.phase == "Cancelled" for run in runs[1:])
    assert empty.status["lastResume"]["nonce"] == "1"
    assert not [hold for run in runs for hold in await empty.store.holds(run.run_id)]
    second.cancel()
    await asyncio.gather(second, return_exceptions=True)


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


async def test_the_last_checkpoints_of_a_run_are_shown_at_once(house, monkeypatch):
    """Whoever waited for its end looks at them next; only what is under way is shown now and then."""
    house.apply(**chain(2))
    await house.until(lambda: house.status.get("phase") == "Succeeded")
    await house.until(lambda: sorted(house.checkpoints()) == [1, 2, 3])
    monkeypatch.setattr(showing, "PAUSE_SECONDS", 3600.0)

    house.apply(**chain(2, resume={"checkpoint": "start", "nonce": "1"}))
    await house.until(lambda: (house.status.get("lastResume") or {}).get("nonce") == "1")
    await house.until(lambda: len(house.server.all("Checkpoint")) == 6)

    shown = [found["spec"]["seq"] for found in house.server.all("Checkpoint")]
    assert sorted(shown) == [1, 1, 2, 2, 3, 3]


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


def sums(operator: Operator) -> dict[str, float]:
    """What an operator has summed, by name and first label but the store's."""
    return {
        " ".join(
            (sample.name, *(value for label, value in sample.labels.items() if label != "store"))
        ): sample.value
        for family in operator._metrics._sums.families(["default"])
        for sample in family.samples
    }


async def test_the_sums_are_those_of_the_rows(site, house):
    """Every checkpoint, step and save of two runs, one forked from the other, once."""
    house.apply(**chain(5))
    await house.until(lambda: house.status.get("phase") == "Succeeded")
    house.apply(**chain(5, resume={"checkpoint": str(house.status["head"]["id"]), "nonce": "1"}))
    await house.until(
        lambda: (
            (house.status.get("lastResume") or {}).get("nonce") == "1"
            and house.status["phase"] == "Succeeded"
        )
    )
    (operator,) = site.operators
    rows = await house.store.runs(limit=10)
    metrics = [read_metrics(row.metrics) for row in rows]

    await house.until(lambda: sums(operator)["cairn_run_seconds_count Succeeded"] == 2)
    saves = sum(sum(found.saves.counts) for found in metrics if found is not None)
    await house.until(lambda: sums(operator)["cairn_checkpoint_write_seconds_count"] == saves)

    found = sums(operator)
    assert len(rows) == 2
    assert found["cairn_checkpoints_written_total"] == sum(row.checkpoints for row in rows)
    assert found["cairn_checkpoint_bytes_total"] == sum(row.bytes for row in rows)
    assert found["cairn_steps_total done"] == 5
    assert found["cairn_checkpoint_failures_total"] == 0
