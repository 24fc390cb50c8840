"""Finished runs go after `?ttl=`, all of their keys at one time, and never while somebody needs them."""

from __future__ import annotations

import asyncio

import pytest
from tests.contract.redis.opened import keys_of, opened

from cairn_runtime.errors import CheckpointNotFound, RunNotFound
from cairn_runtime.model.ids import new_id
from cairn_runtime.store.base import NewSignal, Outcome
from cairn_runtime.store.contract.cases import begun


def expiries(server, run_id: str) -> set[int]:
    """When the keys of a run expire, in milliseconds; -1: never."""
    with server.admin() as client:
        times = {client.execute_command("PEXPIRETIME", key) for key in keys_of(run_id).values()}
    return times - {-2}


@pytest.mark.parametrize("phase", ["Succeeded", "Failed", "Cancelled"])
async def test_all_keys_of_a_finished_run_expire_at_one_time(private_redis, phase):
    """Half a run would be worse than none."""
    async with opened(private_redis.url, ttl="1h") as store:
        writer = await begun(store)
        await writer.commit(2)
        await store.send(writer.run_id, NewSignal("go", 1, new_id()))
        await store.put_progress(writer.run_id, writer.fence, "a#1", b"1")
        await writer.change(Outcome("Running"))
        running = expiries(private_redis, writer.run_id)

        await writer.commit(outcome=Outcome(phase))
        await writer.change(Outcome(phase, "again"))
        await store.put_progress(writer.run_id, writer.fence, "b#1", b"1")

        assert running == {-1}
        (at,) = expiries(private_redis, writer.run_id)
        assert at > 0


async def test_a_key_that_comes_after_the_end_gets_the_same_time(private_redis):
    """A thread that outlived its step may save progress late; nobody would ever remove it."""
    async with opened(private_redis.url, ttl="1h") as store:
        writer = await begun(store)
        await writer.commit(outcome=Outcome("Succeeded"))
        await store.put_progress(writer.run_id, writer.fence, "a#1", b"1")

        (at,) = expiries(private_redis, writer.run_id)
        assert at > 0
        assert await store.progress(writer.run_id) == {"a#1": b"1"}


async def test_without_a_ttl_nothing_expires(private_redis):
    """Retention is the operator's, unless the URL says otherwise."""
    async with opened(private_redis.url) as store:
        writer = await begun(store)
        await writer.commit(outcome=Outcome("Succeeded"))

        assert expiries(private_redis, writer.run_id) == {-1}


async def test_a_run_that_comes_back_to_life_stays(private_redis):
    """A claim, or a commit that is no end, takes the time away; the next end sets it again."""
    async with opened(private_redis.url, ttl="1h") as store:
        writer = await begun(store)
        await writer.commit(outcome=Outcome("Failed"))
        writer.fence = await store.claim(writer.run_id, 1, "again")
        claimed = expiries(private_redis, writer.run_id)
        await writer.commit(outcome=Outcome("Running"))
        running = expiries(private_redis, writer.run_id)
        await writer.commit(outcome=Outcome("Succeeded"))

        assert claimed == running == {-1}
        assert -1 not in expiries(private_redis, writer.run_id)


async def test_a_pinned_or_held_run_stays_until_it_is_let_go(private_redis):
    """A fork that is on the way finds its origin."""
    async with opened(private_redis.url, ttl="1h") as store:
        writer = await begun(store)
        rows = await writer.commit(2, outcome=Outcome("Succeeded"))
        await store.pin(rows[0].id, pinned=True)
        pinned = expiries(private_redis, writer.run_id)
        await store.hold(rows[1].id, "child")
        await store.pin(rows[0].id, pinned=False)
        held = expiries(private_redis, writer.run_id)
        await store.release_hold("child")

        assert pinned == held == {-1}
        assert -1 not in expiries(private_redis, writer.run_id)


async def test_a_hold_that_counts_no_more_lets_the_run_go_at_the_next_prune(private_redis):
    """A child that has its own checkpoint needs its origin no longer, though it never said so."""
    async with opened(private_redis.url, ttl="1h") as store:
        writer, child = await begun(store), await begun(store)
        rows = await writer.commit(2, outcome=Outcome("Succeeded"))
        await store.hold(rows[1].id, child.run_id)
        await child.commit(kind="snapshot")

        await store.prune(writer.run_id, [])

        assert -1 not in expiries(private_redis, writer.run_id)


async def test_an_expired_run_is_gone_from_everywhere(private_redis):
    """Listings leave it out, and who watches is told once."""
    async with opened(private_redis.url, ttl="4s") as store:
        writer, other = await begun(store), await begun(store)
        rows = await writer.commit(outcome=Outcome("Succeeded"))
        _, cursor = await store.changed("")
        await asyncio.sleep(4.2)

        with pytest.raises(RunNotFound):
            await store.run(writer.run_id)
        with pytest.raises(CheckpointNotFound):
            await store.checkpoint(rows[0].id)
        assert [run.run_id for run in await store.runs()] == [other.run_id]
        named, cursor = await store.changed(cursor)
        assert named == [writer.run_id]
        assert (await store.changed(cursor))[0] == []
        assert await store.load(other.run_id) == []
