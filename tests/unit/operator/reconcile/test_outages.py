"""A store that does not answer is asked by the polls; no pass waits for what they know already."""

from __future__ import annotations

import pytest
from tests.unit.operator.reconcile.builders import NOW, UID, document

from cairn_operator.reconcile.observe import Observer
from cairn_operator.reconcile.pulse import Pulse
from cairn_operator.reconcile.workqueue import Key
from cairn_runtime.errors import RunNotFound, StoreUnavailable
from cairn_runtime.store.base import Head

KEY = Key("team", "digest")


class Store:
    """Answers, or does not; counts what it is asked."""

    def __init__(self):
        self.down = None
        self.asked = []

    async def heads(self, run_ids):
        self.asked.append(run_ids)
        if self.down is not None:
            raise self.down
        return {"r": Head(1, "c", "h", 1, "Running", NOW)}

    async def runs(self, **_):
        self.asked.append("runs")
        if self.down is not None:
            raise self.down
        return []


class Reader:
    async def workflow(self, namespace, name):
        found = document()
        found["metadata"] |= {"namespace": namespace, "name": name, "uid": UID, "generation": 1}
        return found

    async def pods(self, *_):
        return []


@pytest.fixture
def stores():
    return {"default": Store(), "team": Store()}


@pytest.fixture
def rung():
    return []


@pytest.fixture
def pulse(stores, rung):
    return Pulse(stores, rung.append, lambda: 0.0)


@pytest.fixture
def observer(stores, pulse):
    return Observer(Reader(), stores, "home", pulse)


async def test_a_pass_does_not_wait_for_a_store_that_a_poll_found_silent(stores, pulse, observer):
    """Twenty Workflows of a store that is down must not occupy every worker for seconds."""
    stores["default"].down = StoreUnavailable("no answer")
    pulse.watch("r", KEY, "default")
    await pulse.poll("default")
    asked = len(stores["default"].asked)

    world = await observer.observe(*KEY)

    assert world.store_error == ("StoreUnavailable", "no answer")
    assert len(stores["default"].asked) == asked


async def test_what_a_pass_finds_the_others_know(stores, pulse, observer):
    """Also where no run is watched yet, so that nothing is polled."""
    stores["default"].down = StoreUnavailable("no answer")
    await observer.observe(*KEY)

    assert pulse.outage("default") is not None
    assert pulse.outage("team") is None


async def test_a_poll_that_is_answered_ends_the_outage(stores, pulse, observer):
    """A silent store is polled even if it has no run to tell of."""
    pulse.lost("default", StoreUnavailable("no answer"))
    await pulse.poll("default")

    assert pulse.outage("default") is None
    assert (await observer.observe(*KEY)).store_error is None


async def test_an_error_about_one_row_is_no_outage(stores, pulse, observer):
    """The store answered; only this Workflow has a problem."""
    stores["default"].down = RunNotFound("r")
    world = await observer.observe(*KEY)

    assert world.store_error is not None
    assert pulse.outage("default") is None


async def test_a_store_without_runs_is_left_in_peace(stores, pulse):
    """Nothing is asked of it each second while it is well."""
    await pulse.poll("default")

    assert stores["default"].asked == []


async def test_workflows_are_rung_when_their_store_is_down_and_when_it_is_up_again(stores, pulse, rung):
    """People see in the status what keeps a run from going on, and that nothing does any more."""
    pulse.watch("r", KEY, "default")
    pulse.watch("other", Key("team", "other"), "team")
    await pulse.poll("default")
    rung.clear()
    stores["default"].down = StoreUnavailable("no answer")
    for _ in range(10):
        await pulse.poll("default")
    assert rung == [KEY]

    stores["default"].down = None
    await pulse.poll("default")
    await pulse.poll("default")

    assert rung == [KEY, KEY]


async def test_a_blip_rings_nobody(stores, pulse, rung):
    """One poll without an answer changes nothing that people see."""
    pulse.watch("r", KEY, "default")
    await pulse.poll("default")
    rung.clear()
    stores["default"].down = StoreUnavailable("no answer")
    await pulse.poll("default")
    stores["default"].down = None
    await pulse.poll("default")

    assert rung == []
