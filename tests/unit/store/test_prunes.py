"""Carrying a policy out over one run, in batches and within a bound."""

from __future__ import annotations

import pytest

from cairn_runtime.model.ids import utc_now
from cairn_runtime.store.contract.cases import begun, seqs
from cairn_runtime.store.opening import open_store
from cairn_runtime.store.prunes import BATCH, prune_run
from cairn_runtime.store.retention import NOTHING_BUT_THE_HEAD


@pytest.mark.parametrize(
    ("at_most", "took", "whole"),
    [
        (0, 0, False),
        (1, 1, False),
        (BATCH, BATCH, False),
        (BATCH + 9, BATCH + 9, True),
        (None, BATCH + 9, True),
    ],
)
async def test_a_pass_takes_no_more_than_it_may(at_most, took, whole):
    """And says whether it came to the end; the newest go first."""
    store = await open_store("memory:")
    writer = await begun(store)
    await writer.commit(BATCH + 10, kind="snapshot")

    pruned = await prune_run(store, writer.run_id, NOTHING_BUT_THE_HEAD, utc_now(), at_most=at_most)

    assert (pruned.checkpoints, pruned.whole) == (took, whole)
    assert await seqs(store, writer.run_id) == [BATCH + 10, *range(BATCH + 9 - took, 0, -1)]
    await store.close()
