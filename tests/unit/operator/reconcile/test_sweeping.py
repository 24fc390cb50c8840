"""A sweep's round: rows first, then two lists, then what the rule says, and never more."""

from __future__ import annotations

import pytest
from tests.unit.operator.reconcile.builders import run

from cairn_operator.cluster.errors import ApiUnavailable
from cairn_operator.reconcile.sweeping import Sweeper
from cairn_runtime.errors import RunNotFound, StoreUnavailable

GONE, THERE = "00000000-0000-4000-8000-000000000001", "00000000-0000-4000-8000-000000000002"


def row(run_id, uid, *, policy="Delete", installation="home", namespace="team"):
    notes = {"installation": installation, "deletionPolicy": policy, "attempts": {"epoch": 1}}
    return run(run_id=run_id, workflow=f"{namespace}/digest/{uid}", annotations=notes)


class Store:
    """Rows, newest first, in pages; what was deleted."""

    def __init__(self, *rows):
        self.rows = list(rows)
        self.deleted = []

    async def runs(self, *, limit, before=""):
        ids = [found.run_id for found in self.rows]
        start = ids.index(before) + 1 if before else 0
        return self.rows[start : start + min(limit, 2)]

    async def audit(self, entry):
        assert (entry.who, entry.what) == ("operator:home", "delete")
        assert entry.source not in self.deleted

    async def delete_run(self, run_id):
        if run_id not in {found.run_id for found in self.rows}:
            raise RunNotFound(run_id)
        self.deleted.append(run_id)


class Silent(Store):
    async def runs(self, **_):
        raise StoreUnavailable("no answer")


OTHERS = [row(f"other-{n}", f"uid-{n}", policy="Retain") for n in range(9)]
LISTED = tuple(f"uid-{n}" for n in range(9))


def sweeper(*stores, lists=((THERE,), (THERE,)), namespaces=(), clock=lambda: 0.0):
    """Over stores in which other Workflows have runs that stay, and are listed."""
    left = list(lists)
    for store in stores:
        store.rows += OTHERS

    async def uids():
        found = left.pop(0)
        if isinstance(found, Exception):
            raise found
        for uid in (*found, *LISTED):
            yield uid

    named = {f"s{n}": store for n, store in enumerate(stores)}
    return Sweeper(named, uids, "home", namespaces, 0.0, 0.0, 100.0, clock=clock)


async def test_runs_of_a_deleted_workflow_go():
    """Its uid is in neither list, and its policy was Delete; all of its runs go, over all pages."""
    store = Store(row("a", GONE), row("b", THERE), row("c", GONE), row("d", GONE))

    assert await sweeper(store).round() == 3
    assert store.deleted == ["a", "c", "d"]


@pytest.mark.parametrize(
    ("kept", "options"),
    [
        pytest.param(row("a", GONE, policy="Retain"), {}, id="its policy was Retain"),
        pytest.param(row("a", GONE, installation="other"), {}, id="another installation's"),
        pytest.param(
            row("a", GONE, namespace="far"), {"namespaces": ("team",)}, id="in no watched namespace"
        ),
        pytest.param(row("a", GONE), {"lists": ((GONE, THERE), (THERE,))}, id="it was in the first list"),
        pytest.param(row("a", GONE), {"lists": ((THERE,), (GONE, THERE))}, id="it was in the second list"),
        pytest.param(run(run_id="a", workflow="made/by-hand"), {}, id="a run that no Workflow owns"),
    ],
)
async def test_what_stays(kept, options):
    """Rows go only if everything says so."""
    store = Store(kept, row("b", THERE))
    await sweeper(store, **options).round()

    assert store.deleted == []


async def test_without_rows_to_delete_nothing_is_listed():
    """Most installations keep everything; their sweep costs the API server nothing."""
    store = Store(row("a", GONE, policy="Retain"))

    assert await sweeper(store, lists=()).round() == 0


async def test_many_at_once_go_only_when_they_stay_away():
    """A list that is wrong is right again before the patience is over, and then the time counts anew."""
    many = [row(f"r{n}", f"gone-{n}") for n in range(9)]
    store, now = Store(*many), [0.0]
    wrong, right = ((), ()), (tuple(f"gone-{n}" for n in range(9)), ())
    rounds = sweeper(store, lists=(*wrong, *right, *wrong, *wrong, *wrong), clock=lambda: now[0])

    removed = []
    for moment in (0.0, 90.0, 110.0, 200.0, 210.0):
        now[0] = moment
        removed.append(await rounds.round())
    assert removed == [0, 0, 0, 0, 9]
    assert len(store.deleted) == 9


async def test_a_list_that_fails_ends_the_round():
    """Half a list would make Workflows look deleted."""
    store = Store(row("a", GONE))

    with pytest.raises(ApiUnavailable):
        await sweeper(store, lists=((), ApiUnavailable("no answer"))).round()

    assert store.deleted == []


async def test_a_store_that_is_down_does_not_stop_the_others():
    """Its rows are looked at in the next round."""
    store = Store(row("a", GONE))
    await sweeper(Silent(), store).round()

    assert store.deleted == ["a"]
