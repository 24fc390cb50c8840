"""A server that comes back without its last second: what was acknowledged may be gone, but nothing forks."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from tests.contract.redis.opened import opened

from cairn_runtime.errors import StoreUnavailable, Superseded
from cairn_runtime.store.base import Outcome
from cairn_runtime.store.chain import verify_history
from cairn_runtime.store.contract.cases import Writer, begun, seqs


def log_of(server) -> Path:
    """The file that the server appends to."""
    (file,) = Path(server.folder).glob("appendonlydir/*.incr.aof")
    return file


async def forget_since(server, size: int) -> None:
    """Kill the server and cut its log to a size, as a machine does that loses its power."""
    server.kill()
    with log_of(server).open("r+b") as file:
        file.truncate(size)
    await asyncio.to_thread(server.start)


async def known(server) -> int:
    """The length of the log, with all in it that was acknowledged."""
    return log_of(server).stat().st_size


async def test_a_writer_that_is_ahead_of_the_store_is_superseded(private_redis):
    """Its head is beyond the row's: it stops, and the next one goes on from what is there."""
    async with opened(private_redis.url) as store:
        writer = await begun(store)
        await writer.commit(2)
        size = await known(private_redis)
        await writer.commit(3, outcome=Outcome("Running"))
        await forget_since(private_redis, size)

        rows = writer.batch()
        with pytest.raises(Superseded):
            await writer.send(rows)
        with pytest.raises(Superseded):
            await writer.change(Outcome("Succeeded"))
        run = await store.run(writer.run_id)
        next_one = Writer(store, run.run_id, await store.claim(run.run_id, 1, "next"), 2, run.head_hash)
        await next_one.commit(2)

        assert (run.head_seq, run.phase) == (2, "Pending")
        assert await seqs(store, run.run_id) == [4, 3, 2, 1]
        assert verify_history(await store.checkpoints(run.run_id)) == []
        with pytest.raises(Superseded):
            await writer.send(rows)


async def test_an_unanswered_commit_that_was_lost_is_written_when_it_is_sent_again(private_redis):
    """The engine never heard that it was durable, and its head is the row's."""
    async with opened(private_redis.url) as store:
        writer = await begun(store)
        await writer.commit(2)
        size = await known(private_redis)
        rows = writer.batch(2)
        await store.commit(writer.run_id, writer.fence, 2, rows[0].write_id, rows)
        await forget_since(private_redis, size)

        await store.commit(writer.run_id, writer.fence, 2, rows[0].write_id, rows)

        assert await seqs(store, writer.run_id) == [4, 3, 2, 1]


async def test_an_epoch_that_is_given_out_twice_belongs_to_one(private_redis):
    """The claim was lost with the last second: both say epoch 2, and only the claim that is there writes."""
    async with opened(private_redis.url) as store:
        first = await begun(store)
        await first.commit()
        size = await known(private_redis)
        lost = Writer(store, first.run_id, await store.claim(first.run_id, 1, "lost"), 1, first.hash)
        await forget_since(private_redis, size)
        await asyncio.sleep(0)
        with pytest.raises((StoreUnavailable, Superseded)):
            await lost.commit()

        other = Writer(store, first.run_id, await store.claim(first.run_id, 1, "other"), 1, first.hash)
        with pytest.raises(Superseded):
            await lost.commit()
        with pytest.raises(Superseded):
            await store.heartbeat(lost.run_id, lost.fence)
        await other.commit()

        assert (lost.fence.epoch, other.fence.epoch) == (2, 2)
        assert (await store.run(first.run_id)).claim_id == "other"


async def test_a_cut_line_at_the_end_of_the_log_is_a_commit_that_was_not(private_redis):
    """The server drops what is half written; a commit is one line of its log, whole or not at all."""
    async with opened(private_redis.url) as store:
        writer = await begun(store)
        await writer.commit(2)
        size = await known(private_redis)
        rows = await writer.commit(3)
        end = await known(private_redis)
        await forget_since(private_redis, (size + end) // 2)
        run = await _first_answer(store, writer.run_id)

        assert run.head_seq == 2
        assert await seqs(store, run.run_id) == [2, 1]
        assert [row.seq for row in await store.load(run.run_id)] == [1, 2]
        assert rows[0].seq == 3


async def _first_answer(store, run_id):
    """Read a row, past a connection that has ended."""
    try:
        return await store.run(run_id)
    except StoreUnavailable:
        return await store.run(run_id)
