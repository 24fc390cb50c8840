"""Reading a run's state back where checkpoints are damaged or gone."""

from __future__ import annotations

import pytest

from cairn_runtime.engine.history import newest_valid
from cairn_runtime.errors import CheckpointCorrupted
from cairn_runtime.store.contract.cases import CODEC, begun
from cairn_runtime.store.memory import MemoryStore
from cairn_runtime.store.opening import parse_store_url


async def test_what_a_prune_took_is_passed_over_at_once():
    """Below a damaged snapshot there may be a hundred thousand seqs that are gone: none is asked for."""

    class Counted(MemoryStore):
        loads = 0

        async def load(self, run_id, seq=None):
            self.loads += 1
            return await super().load(run_id, seq)

    store = Counted(parse_store_url("memory:"))
    await store.open()
    writer = await begun(store)
    await writer.commit(1)
    await writer.commit(500)
    await writer.commit(2, kind="snapshot")
    await store.prune(writer.run_id, list(range(2, 502)))

    with pytest.raises(CheckpointCorrupted, match="no valid checkpoint"):
        await newest_valid(store, CODEC, await store.run(writer.run_id))
    assert store.loads <= 4
    await store.close()
