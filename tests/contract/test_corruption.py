"""Bytes that were damaged on the disk, seen through a store that lasts.

A damaged payload is the codec's to find; whatever else was hit, the other checkpoints and runs stay readable,
and nothing is ever taken for what was not written.
"""

from __future__ import annotations

import random
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path

import pytest

from cairn_runtime.errors import CairnError, CheckpointCorrupted, PayloadError
from cairn_runtime.store.base import Checkpoint, Store
from cairn_runtime.store.chain import is_sealed, verify_history, verify_payloads
from cairn_runtime.store.contract.cases import CODEC, Writer, begun
from cairn_runtime.store.opening import open_store


@pytest.fixture(params=["sqlite", "file"])
def place(request, tmp_path: Path) -> tuple[str, Callable[[], Path]]:
    """A store's URL, and the one file that holds its rows."""
    if request.param == "sqlite":
        path = tmp_path / "store.db"
        return f"sqlite:///{path}", lambda: path
    return f"file://{tmp_path}/store", lambda: next((tmp_path / "store" / "runs").glob("*/run.log"))


async def written(url: str, count: int = 6) -> tuple[str, list[Checkpoint]]:
    """Make a store with one run, and close it, so that all is in its file."""
    store = await open_store(url)
    writer = await begun(store)
    rows = [row for _ in range(count) for row in await writer.commit()]
    await store.close()
    return writer.run_id, rows


def needle(row: Checkpoint, url: str) -> bytes:
    """What stands in the file for a checkpoint's payload."""
    payload = row.payload or b""
    return b64encode(payload) if url.startswith("file:") else payload


def flip(file: Path, at: int, bit: int = 0) -> None:
    data = bytearray(file.read_bytes())
    data[at] ^= 1 << bit
    file.write_bytes(data)


@pytest.mark.parametrize("which", [0, 2, 5], ids=["the first", "one in the middle", "the head"])
async def test_a_flipped_byte_in_a_payload_is_found_by_the_codec(place, which):
    """The rows come out, all other payloads decode, and the header of the damaged one is sound."""
    url, file = place
    run_id, rows = await written(url)
    text = needle(rows[which], url)
    flip(file(), file().read_bytes().index(text) + len(text) // 2)
    store = await open_store(url)

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
    url, file = place
    run_id, rows = await written(url)
    text = needle(rows[5], url)
    flip(file(), file().read_bytes().index(text) + 20)
    store = await open_store(url)
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
    url, file = place
    run_id, rows = await written(url, 4)
    chance = random.Random(seed)
    flip(file(), chance.randrange(file().stat().st_size), chance.randrange(8))
    read: list[Checkpoint] = []

    try:
        store = await open_store(url)
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
