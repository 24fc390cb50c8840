"""Keys are rotated under load: writers, readers and a prune go on, and nothing fails.

The file is exchanged as a mounted Secret is; each of them has a codec and an opening of the store of its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from tests.unit.store.rings import key_file

from cairn_runtime.runner.rekeying import rekey
from cairn_runtime.store.base import Store
from cairn_runtime.store.chain import verify_history
from cairn_runtime.store.codec import Codec
from cairn_runtime.store.contract.cases import Writer, begun
from cairn_runtime.store.keys import KeyRing, codec_of
from cairn_runtime.store.opening import open_store

WRITERS = 2
EACH = 12
"""Commits of each writer while one key writes."""


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[Store]:
    """An opening of its own."""
    store = await open_store(url)
    try:
        yield store
    finally:
        await store.close()


class Work:
    """Writers and readers of one store that go on until they are told to stop."""

    def __init__(self, url: str, keys: str) -> None:
        self.url = url
        self.keys = keys
        self.writers: list[Writer] = []
        self.commits = 0
        self.reads = 0
        self.over = False
        self.moved = asyncio.Event()

    async def write(self) -> None:
        """Commit encrypted checkpoints and progress, one after the other."""
        ours = codec_of(self.keys)
        async with opened(self.url) as store:
            writer = await begun(store)
            self.writers.append(writer)
            while not self.over:
                kind = "snapshot" if writer.seq % 5 == 4 else "delta"
                await writer.send([ours.lock(row) for row in writer.batch(1, kind=kind)])
                saved = ours.lock_progress(writer.run_id, "a#1", b"%d" % writer.seq)
                await store.put_progress(writer.run_id, writer.fence, "a#1", saved)
                self.commits += 1
                self.moved.set()

    async def read(self) -> None:
        """Load and decode what each run's head is folded from, and its progress."""
        ours = codec_of(self.keys)
        async with opened(self.url) as store:
            while not self.over:
                for writer in list(self.writers):
                    for row in await store.load(writer.run_id):
                        assert ours.decode_checkpoint(row)["seq"] == row.seq
                    for task, value in (await store.progress(writer.run_id)).items():
                        assert int(ours.open_progress(writer.run_id, task, value)) > 0
                    self.reads += 1
                await asyncio.sleep(0)

    async def prune(self) -> None:
        """Take away what nothing needs."""
        async with opened(self.url) as store:
            while not self.over:
                for writer in list(self.writers):
                    await store.prune(writer.run_id, list(range(1, max(writer.seq - 8, 1))))
                await asyncio.sleep(0)

    def seqs(self) -> list[int]:
        """How far each writer is."""
        return [writer.seq for writer in self.writers]

    async def until(self, more: int) -> None:
        """Wait for so many more commits of each writer, and a read after them.

        Of each: what one of them has locked under the old key may wait long for its turn to be written.
        """
        async with asyncio.timeout(60):
            await self._moves(lambda: len(self.writers) == WRITERS)
            wanted, reads = [seq + more for seq in self.seqs()], self.reads
            await self._moves(lambda: all(map(int.__ge__, self.seqs(), wanted)) and self.reads > reads)

    async def _moves(self, until: Callable[[], bool]) -> None:
        """Look again after every commit."""
        while not until():
            self.moved.clear()
            await self.moved.wait()


@pytest.mark.parametrize("kind", ["sqlite", "file", "postgres", "redis"])
async def test_a_rotation_under_load_fails_no_read_and_no_write(url_of, tmp_path, kind):
    """From one key to the next, twice; in the end the last key alone reads everything."""
    path = key_file(tmp_path, "one")
    work = Work(url_of(kind), str(path))
    async with opened(work.url) as store, asyncio.TaskGroup() as tasks:
        for job in (*WRITERS * [work.write], work.read, work.prune):
            tasks.create_task(job())
        await work.until(EACH)
        for old, new in (("one", "two"), ("two", "three")):
            key_file(tmp_path, old, new)
            await work.until(EACH)
            key_file(tmp_path, new, old)
            await work.until(EACH)
            done = await rekey(store, codec_of(str(path)))
            assert done.unreadable == []
            key_file(tmp_path, new)
            await work.until(EACH)
        work.over = True

    alone = Codec(keys=KeyRing(key_file(tmp_path, "three", plain="refuse")))
    async with opened(work.url) as store:
        for writer in work.writers:
            headers = await store.checkpoints(writer.run_id, limit=1000)
            for header in headers:
                row = await store.checkpoint(header.id)
                assert alone.decode_checkpoint(row)["seq"] == row.seq
            found = verify_history(headers, await store.gaps(writer.run_id))
            assert [finding for finding in found if finding.fault] == []
            assert headers[0].seq == writer.seq
    assert work.commits >= 7 * EACH
    assert work.reads > 7


@pytest.mark.parametrize("kind", ["sqlite", "file", "postgres", "redis"])
async def test_a_rekey_that_was_interrupted_goes_on(url_of, tmp_path, kind):
    """Whatever it had done is passed over; a run that is deleted meanwhile is no error."""
    ours = Codec(keys=KeyRing(key_file(tmp_path, "one")))
    async with opened(url_of(kind)) as store:
        writers = [await begun(store) for _ in range(3)]
        for writer in writers:
            await writer.send(writer.batch(4))

        class Stopped(Exception):
            pass

        def after_one(done):
            raise Stopped

        with pytest.raises(Stopped):
            await rekey(store, ours, after_one)
        again = await rekey(store, ours)
        last = await rekey(store, ours)

    assert (again.payloads, again.already) == (8, 4)
    assert (last.payloads, last.already, last.unreadable) == (0, 12, [])
