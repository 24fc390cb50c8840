"""A machine whose clock is wrong prunes as one whose clock is right: ages go by the store's clock."""

from __future__ import annotations

import asyncio
import sys
from datetime import timedelta

import pytest
from tests.contract.redis.opened import opened

from cairn_operator.reconcile.pruning import Pruner
from cairn_runtime.cli.__main__ import main
from cairn_runtime.model import ids
from cairn_runtime.runner.tidying import Tidying
from cairn_runtime.store.contract.cases import begun, seqs
from cairn_runtime.store.retention import Policy

HOUR = Policy(100, 3600.0)
KINDS = ["postgres", "redis"]
"""Stores with a clock of their own; the others are on the machine that prunes."""


@pytest.fixture(params=[-5, 5], ids=["behind", "ahead"])
def off(request, monkeypatch):
    """Put this machine's clock hours ahead or behind, for all of Cairn that runs here."""

    def put_off():
        right = ids.utc_now
        for name, module in [*sys.modules.items()]:
            if name.startswith("cairn_") and getattr(module, "utc_now", None) is right:
                monkeypatch.setattr(module, "utc_now", lambda: right() + timedelta(hours=request.param))

    return put_off


async def aged(store, workflow="default/digest/uid"):
    """A run with snapshots of two hours and of half an hour ago, by clocks that are right."""
    history = {"spec": {"checkpoint": {"history": {"keepLast": 100, "maxAge": "1h"}}}}
    notes = {"installation": "home"}
    writer = await begun(store, workflow=workflow, manifest=history, annotations=notes)
    for minutes in (120, 120, 30, 30):
        await writer.commit(
            kind="snapshot",
            step="turn",
            visit=writer.seq + 1,
            next=(),
            created_at=ids.utc_now() - timedelta(minutes=minutes),
        )
    return writer


@pytest.mark.parametrize("kind", KINDS)
async def test_an_operator_takes_what_is_old_by_the_stores_clock(url_of, off, kind):
    """Not what its own clock calls old, and all of it."""

    async def no_objects():
        return {}

    async with opened(url_of(kind)) as store:
        writer = await aged(store)
        off()
        gone = await Pruner({"default": store}, no_objects, "home").round()

        assert gone == 2
        assert await seqs(store, writer.run_id) == [4, 3]


@pytest.mark.parametrize("kind", KINDS)
async def test_a_runner_takes_of_what_others_wrote_by_the_stores_clock(url_of, off, kind):
    """It read the history when it took the run over."""
    async with opened(url_of(kind)) as store:
        writer = await aged(store)
        off()
        tidying = Tidying(store, writer.run_id, HOUR, head_seq=writer.seq)
        await tidying.finish()
        await tidying.close()

        assert await seqs(store, writer.run_id) == [4, 3]


@pytest.mark.parametrize("kind", KINDS)
def test_a_person_takes_what_is_old_by_the_stores_clock(url_of, off, kind, capsys):
    """`cairn prune`, typed on a laptop."""
    url = url_of(kind)

    async def write():
        async with opened(url) as store:
            return (await aged(store)).run_id

    async def left(run_id):
        async with opened(url) as store:
            return await seqs(store, run_id)

    run_id = asyncio.run(write())
    off()

    assert main(["prune", "--store", url]) == 0
    assert "pruned 2 checkpoints" in capsys.readouterr().out
    assert asyncio.run(left(run_id)) == [4, 3]
