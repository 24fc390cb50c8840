"""Reading a run's state back where checkpoints are damaged or gone."""

from __future__ import annotations

import pytest

from cairn_runtime.engine.fold import fold
from cairn_runtime.engine.history import newest_valid
from cairn_runtime.errors import CheckpointCorrupted
from cairn_runtime.store.base import GENESIS_HASH
from cairn_runtime.store.chain import sealed
from cairn_runtime.store.contract.cases import CODEC, begun, checkpoint
from cairn_runtime.store.memory import MemoryStore
from cairn_runtime.store.opening import parse_store_url


class Counted(MemoryStore):
    """Counts how often a history is loaded."""

    loads = 0

    async def load(self, run_id, seq=None):
        """Load and count."""
        self.loads += 1
        return await super().load(run_id, seq)


@pytest.fixture
async def store():
    opened = Counted(parse_store_url("memory:"))
    await opened.open()
    yield opened
    await opened.close()


async def test_what_a_prune_took_is_passed_over_at_once(store):
    """Below a damaged snapshot there may be a hundred thousand seqs that are gone: none is asked for."""
    writer = await begun(store)
    await writer.commit(1)
    await writer.commit(500)
    await writer.commit(2, kind="snapshot")
    await store.prune(writer.run_id, list(range(2, 502)))

    with pytest.raises(CheckpointCorrupted, match="no valid checkpoint"):
        await newest_valid(store, CODEC, await store.run(writer.run_id))
    assert store.loads <= 4


async def test_damage_is_met_once_and_not_from_each_checkpoint_above_it(store):
    """All that is folded from it is damaged too: the next one to be tried lies below."""
    writer = await begun(store)
    await writer.commit(200)

    with pytest.raises(CheckpointCorrupted, match="no valid checkpoint"):
        await newest_valid(store, CODEC, await store.run(writer.run_id))
    assert store.loads == 1


def test_a_checkpoint_of_another_history_is_not_folded():
    """It is whole in itself, as after a backup was laid over a store; its parent is another."""
    first = sealed(row_of(1, GENESIS_HASH))
    ours, theirs = (sealed(row_of(2, parent)) for parent in (first.hash, "cd" * 32))

    assert fold([first, ours], CODEC).checkpoint == ours
    with pytest.raises(CheckpointCorrupted, match="does not follow 1") as caught:
        fold([first, theirs], CODEC)
    assert caught.value.seq == 2


def row_of(seq, parent_hash):
    encoded = CODEC.encode({"events": []}, salt=bytes(16))
    made = checkpoint("run", seq, epoch=1, write_id="w", parent_hash=parent_hash)
    return made._replace(payload=encoded.payload, digest=encoded.digest, size=len(encoded.payload))
