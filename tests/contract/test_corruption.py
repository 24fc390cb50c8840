"""Bytes that were damaged where they are kept, seen through a store that lasts.

A damaged payload is the codec's to find; whatever else was hit, the other checkpoints and runs stay readable,
and nothing is ever taken for what was not written.
"""

from __future__ import annotations

import random
from pathlib import Path
from typing import cast

import pytest
from tests.contract.damage import InFile, InPostgres, InRedis, InSqlite, Place, Rows

from cairn_runtime.errors import CairnError, CheckpointCorrupted, PayloadError
from cairn_runtime.store.base import Checkpoint, Store
from cairn_runtime.store.chain import is_sealed, verify_history, verify_payloads
from cairn_runtime.store.contract.cases import CODEC, Writer, begun
from cairn_runtime.store.opening import open_store


def place_of(kind: str, url: str, folder: Path) -> InFile | InPostgres | InRedis:
    """Where a store of a kind keeps its rows."""
    match kind:
        case "sqlite":
            return InSqlite(url, lambda: folder / "store.db")
        case "file":
            return InFile(url, lambda: next((folder / "store" / "runs").glob("*/run.log")))
        case "postgres":
            return InPostgres(url)
        case _:
            return InRedis(url)


@pytest.fixture(params=["sqlite", "file", "postgres", "redis"])
def place(request, url_of, tmp_path) -> Place:
    """A place that can be damaged."""
    return place_of(request.param, url_of(request.param), tmp_path)


@pytest.fixture(params=["sqlite", "postgres", "redis"])
def rows_of(request, url_of, tmp_path) -> Rows:
    """A place whose rows can be changed by the server's own means; lines of a file have checksums."""
    return cast("Rows", place_of(request.param, url_of(request.param), tmp_path))


async def written(url: str, count: int = 6) -> tuple[str, list[Checkpoint]]:
    """Make a store with one run, and close it, so that all is where it is kept."""
    store = await open_store(url)
    writer = await begun(store)
    rows = [row for _ in range(count) for row in await writer.commit()]
    await store.close()
    return writer.run_id, rows


@pytest.mark.parametrize("which", [0, 2, 5], ids=["the first", "one in the middle", "the head"])
async def test_a_flipped_byte_in_a_payload_is_found_by_the_codec(place, which):
    """The rows come out, all other payloads decode, and the header of the damaged one is sound."""
    run_id, rows = await written(place.url)
    place.flip_payload(rows[which], len(rows[which].payload) // 2)
    store = await open_store(place.url)

    read = await store.load(run_id)
    await store.close()

    assert [row._replace(payload=None) for row in read] == [row._replace(payload=None) for row in rows]
    assert all(is_sealed(row) for row in read)
    for row in read:
        if row.seq == which + 1:
            with pytest.raises(CheckpointCorrupted):
                CODEC.decode_checkpoint(row)
        else:
            assert CODEC.decode_checkpoint(row)["seq"] == row.seq


async def test_a_runner_goes_on_from_the_newest_valid_checkpoint(place):
    """Behind a damaged head: a snapshot that names what it skips, and the history verifies again."""
    run_id, rows = await written(place.url)
    place.flip_payload(rows[5], 20)
    store = await open_store(place.url)
    run = await store.run(run_id)
    writer = Writer(store, run_id, run.fence, run.head_seq, rows[4].hash)

    snapshot = await writer.commit(kind="snapshot", metadata={"skips": [6, 6]})
    found = verify_history(await store.checkpoints(run_id), await store.gaps(run_id))
    loaded = await store.load(run_id)
    whole = [await store.checkpoint(row.id) for row in await store.checkpoints(run_id)]
    broken = [finding.first_seq for finding in verify_payloads(whole, CODEC)]
    await store.close()

    assert loaded == snapshot
    assert [(f.reason, f.first_seq, f.last_seq, f.fault) for f in found] == [("Skipped", 6, 6, False)]
    assert broken == [6]


async def read_all(store: Store, run_id: str) -> list[Checkpoint]:
    """Read a run the way a runner does, then the way a person does."""
    rows = await store.load(run_id)
    await store.run(run_id)
    await store.runs()
    await store.checkpoints(run_id)
    await store.signals(run_id)
    await store.find_checkpoints("0")
    return rows


@pytest.mark.parametrize("seed", range(60))
async def test_a_flipped_bit_anywhere_gives_no_wrong_checkpoint(place, seed):
    """A checkpoint that passes hash and digest is one that was written; all else is an error of ours."""
    run_id, rows = await written(place.url, 4)
    place.flip_somewhere(run_id, random.Random(seed))
    read: list[Checkpoint] = []

    try:
        store = await open_store(place.url)
        try:
            read = await read_all(store, run_id)
        finally:
            await store.close()
    except CairnError:
        pass

    for row in read:
        try:
            value = CODEC.decode_checkpoint(row)
        except PayloadError:
            continue
        if is_sealed(row):
            # The size is not under the hash: a new encryption may change it.
            assert row == rows[row.seq - 1]._replace(size=row.size)
            assert value["seq"] == row.seq


async def read_damaged(url: str, run_id: str, written_rows: list[Checkpoint]) -> tuple[set[int], set[int]]:
    """Load a damaged run: seqs with a finding in the history, and of payloads that cannot be used.

    What passes both is what was written; nothing else passes.
    """
    store = await open_store(url)
    rows = await store.load(run_id)
    headers = await store.checkpoints(run_id)
    await store.close()
    broken = {finding.first_seq for finding in verify_payloads(rows, CODEC)}
    found = {finding.first_seq for finding in verify_history(headers) if finding.fault}
    passed = [row for row in rows if is_sealed(row) and row.seq not in broken]
    assert passed == [written_rows[row.seq - 1] for row in passed]
    return found, broken


@pytest.mark.parametrize(
    "length", [0, 1, 40, -1], ids=["empty", "one byte", "forty bytes", "all but the last"]
)
async def test_a_payload_that_was_cut_is_found(rows_of, length):
    """However much is left; its header and all other checkpoints are sound."""
    run_id, rows = await written(rows_of.url)
    rows_of.set_payload(rows[2], rows[2].payload[:length])

    assert await read_damaged(rows_of.url, run_id, rows) == (set(), {3})


async def test_payloads_that_were_exchanged_are_found(rows_of):
    """Each is whole and was written, but for another checkpoint."""
    run_id, rows = await written(rows_of.url)
    rows_of.set_payload(rows[1], rows[3].payload)
    rows_of.set_payload(rows[3], rows[1].payload)

    assert await read_damaged(rows_of.url, run_id, rows) == (set(), {2, 4})


async def test_checkpoints_that_were_exchanged_are_found(rows_of):
    """Header and payload agree with each other, but not with their place."""
    run_id, rows = await written(rows_of.url)
    rows_of.exchange(rows[1], rows[3])

    found, _ = await read_damaged(rows_of.url, run_id, rows)

    assert {2, 4} <= found


async def test_a_payload_of_another_run_is_found(rows_of):
    """Also one with the same number, from a run with the same steps."""
    _, others = await written(rows_of.url)
    run_id, rows = await written(rows_of.url)
    rows_of.set_payload(rows[2], others[2].payload)

    assert await read_damaged(rows_of.url, run_id, rows) == (set(), {3})


async def test_a_checkpoint_that_was_lost_is_found(rows_of):
    """A hole that no prune explains."""
    run_id, rows = await written(rows_of.url)
    rows_of.lose(rows[2])

    found, _ = await read_damaged(rows_of.url, run_id, rows)

    assert found
