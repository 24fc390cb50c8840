"""The pruner's rounds: what is looked at, whose word counts, and how much goes at once."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from cairn_operator.cluster.errors import ApiUnavailable, ApiUnreadable
from cairn_operator.reconcile.pruning import LOOK_AGAIN_SECONDS, Pruner
from cairn_operator.reconcile.rounds import Listing
from cairn_runtime.errors import StoreUnavailable
from cairn_runtime.model.durations import MAX_SECONDS
from cairn_runtime.store.contract.cases import begun, seqs
from cairn_runtime.store.opening import open_store
from cairn_runtime.store.retention import Policy

UID = "00000000-0000-4000-8000-000000000001"
FOREVER = 1e9


@pytest.fixture
async def store():
    opened = await open_store("memory:")
    yield opened
    await opened.close()


@pytest.fixture
async def silent():
    opened = await open_store("memory:")
    yield opened
    await opened.close()


async def run_in(store, *, keep_last=3, installation="home", namespace="team", count=8):
    """A run with a snapshot for each of its steps."""
    manifest = {"spec": {"checkpoint": {"history": {"keepLast": keep_last, "maxAge": "3650d"}}}}
    writer = await begun(
        store,
        run_id=str(uuid4()),
        workflow=f"{namespace}/digest/{UID}",
        manifest=manifest,
        annotations={"installation": installation},
    )
    await grow(writer, count)
    return writer


async def grow(writer, count):
    """Commit more steps, now."""
    now = datetime.now(UTC)
    for _ in range(count):
        await writer.commit(kind="snapshot", step="turn", visit=writer.seq + 1, next=(), created_at=now)


class Round:
    """A pruner whose clock a test moves; ages go by the store's."""

    def __init__(self, *stores, policies=None, **options):
        self.policies = policies or {}
        self.passed = 0.0
        self.pruner = Pruner(
            {f"s{n}": store for n, store in enumerate(stores)},
            self._listed,
            "home",
            clock=lambda: self.passed,
            **options,
        )

    async def _listed(self):
        if isinstance(self.policies, Exception):
            raise self.policies
        return self.policies

    async def __call__(self):
        return await self.pruner.round()


async def test_what_the_rows_policy_lets_go_is_taken(store):
    """Of every run of this installation, whoever runs it or not."""
    first, second = await run_in(store), await run_in(store, keep_last=1)

    assert await Round(store)() == 5 + 7
    assert await seqs(store, first.run_id) == [8, 7, 6]
    assert await seqs(store, second.run_id) == [8]


async def test_the_objects_word_counts_before_the_rows(store):
    """`history` may change at any time, also when the run is over."""
    writer = await run_in(store, keep_last=3)

    await Round(store, policies={UID: Policy(5, FOREVER)})()

    assert await seqs(store, writer.run_id) == [8, 7, 6, 5, 4]


@pytest.mark.parametrize(
    ("made", "options"),
    [
        pytest.param({"installation": "other"}, {}, id="another installation's"),
        pytest.param({"namespace": "far"}, {"namespaces": ("team",)}, id="in no watched namespace"),
    ],
)
async def test_runs_of_others_are_left_alone(store, made, options):
    """What this operator does not run it does not prune."""
    writer = await run_in(store, **made)

    assert await Round(store, **options)() == 0
    assert len(await seqs(store, writer.run_id)) == 8


async def test_without_a_list_nothing_goes(store):
    """A policy that was made longer must not be missed."""
    writer = await run_in(store)

    with pytest.raises(ApiUnavailable):
        await Round(store, policies=ApiUnavailable("no answer"))()
    assert len(await seqs(store, writer.run_id)) == 8


async def test_age_goes_on_after_the_end(store):
    """A run that nobody touches any more is looked at again when its time has come, and then no more."""
    writer = await run_in(store)
    again = Round(store, policies={UID: Policy(3, 3600.0)})
    await again()
    asked = []
    pins, check = store.pins, store.check

    async def later():
        health = await check()
        return replace(health, now=health.now + timedelta(seconds=again.passed))

    async def watched(run_id):
        asked.append(run_id)
        return await pins(run_id)

    store.pins, store.check = watched, later
    await again()
    before = (await seqs(store, writer.run_id), list(asked))
    again.passed = 3601.0

    assert await again() == 2
    assert await again() == 0
    assert before == ([8, 7, 6], [])
    assert await seqs(store, writer.run_id) == [8]
    assert asked == [writer.run_id]


async def test_a_round_takes_so_much_and_goes_on_in_the_next(store):
    """Nobody is kept waiting by a store that was never pruned."""
    writers = [await run_in(store, keep_last=1) for _ in range(3)]
    bounded = Round(store, most=10)

    gone = [await bounded() for _ in range(4)]

    assert gone == [10, 10, 1, 0]
    assert [await seqs(store, writer.run_id) for writer in writers] == [[8]] * 3


async def test_only_what_has_changed_is_looked_at(store):
    """And once a day everything, since a pin that is taken away changes no row."""
    quiet, busy = await run_in(store), await run_in(store)
    rows = {row.seq: row for row in await store.checkpoints(quiet.run_id)}
    await store.pin(rows[2].id, pinned=True)
    again = Round(store)
    await again()
    await store.pin(rows[2].id, pinned=False)
    await grow(busy, 2)

    assert await again() == 2
    assert await seqs(store, quiet.run_id) == [8, 7, 6, 2]
    again.passed = LOOK_AGAIN_SECONDS
    assert await again() == 1


async def test_a_store_that_does_not_answer_keeps_no_other_from_being_pruned(store, silent):
    """It is tried again with the next round, from where it was."""
    writer, other = await run_in(store), await run_in(silent)
    prune, calls = silent.prune, []

    async def fails_once(run_id, drop):
        calls.append(run_id)
        if len(calls) == 1:
            raise StoreUnavailable("no answer")
        return await prune(run_id, drop)

    silent.prune = fails_once
    again = Round(silent, store)
    await again()
    left = await seqs(silent, other.run_id)
    await again()

    assert len(left) == 8
    assert await seqs(silent, other.run_id) == await seqs(store, writer.run_id) == [8, 7, 6]


async def test_two_pruners_at_once_are_harmless(store):
    """Two operators, or an operator and a runner."""
    writer = await run_in(store, count=40)

    await asyncio.gather(Round(store)(), Round(store)(), grow(writer, 5))
    await Round(store)()

    assert await seqs(store, writer.run_id) == [45, 44, 43]
    (gap,) = await store.gaps(writer.run_id)
    assert (gap.first_seq, gap.last_seq) == (1, 42)


class Lister:
    """Workflows of a list, each of which is read by itself; `deep` is nested so that nobody can."""

    def __init__(self, **specs):
        self.specs = specs

    async def listed(self, kind, namespace, selector="", *, whole=True):
        assert (kind, whole) == ("Workflow", False)
        for name in self.specs:
            yield {"metadata": {"uid": f"u-{name}", "namespace": "team", "name": name}}

    async def read(self, kind, namespace, name):
        assert (kind, namespace) == ("Workflow", "team")
        if isinstance(self.specs[name], Exception):
            raise self.specs[name]
        return self.specs[name] and {"spec": self.specs[name]}


def kept(**history):
    """A spec with what it says about its checkpoints."""
    return {"checkpoint": {"history": history}}


async def test_each_workflow_tells_its_policy():
    """By uid; what is odd counts as not written, and one that went meanwhile says nothing."""
    lister = Lister(a=kept(keepLast=4, maxAge="2h"), b=kept(keepLast="many"), c={"checkpoint": 1}, gone=None)

    default = Policy(10, 7 * 86400.0)
    assert await Listing(lister).policies() == {
        "u-a": Policy(4, 7200.0),
        "u-b": default,
        "u-c": default,
        "u-gone": default,
    }


async def test_one_workflow_that_nobody_can_read_hides_no_other():
    """Nested 1,100 levels deep in any namespace it stopped pruning in all of them, until stores were full."""
    policies = await Listing(Lister(deep=ApiUnreadable(), well=kept(keepLast=4))).policies()

    assert policies["u-well"] == Policy(4, 7 * 86400.0)
    assert policies["u-deep"] == Policy(2**31, MAX_SECONDS)


async def test_reading_one_by_one_believes_no_silence():
    """An answer that did not come may have said that more is to be kept."""
    with pytest.raises(ApiUnavailable):
        await Listing(Lister(well=kept(keepLast=4), silent=ApiUnavailable())).policies()


async def test_a_workflow_that_nobody_can_read_keeps_everything(store):
    """Its `history` may say so."""
    writer = await run_in(store, keep_last=1)

    assert await Round(store, policies={UID: Policy(2**31, MAX_SECONDS)})() == 0
    assert len(await seqs(store, writer.run_id)) == 8


async def test_a_death_before_a_batch_takes_nothing_and_the_next_round_does(store):
    """Each batch is a write of its own, with its name."""
    writer = await run_in(store)

    def die(write):
        assert write == "prune"
        raise SystemExit

    with pytest.raises(SystemExit):
        await Round(store, between=die)()
    assert len(await seqs(store, writer.run_id)) == 8

    assert await Round(store)() == 5
    assert await seqs(store, writer.run_id) == [8, 7, 6]
