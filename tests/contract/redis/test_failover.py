"""Behind Sentinels the store follows the master; in a cluster it follows the keys."""

from __future__ import annotations

import asyncio
from itertools import pairwise

import pytest
from redis.crc import key_slot
from tests.contract.redis.opened import keys_of, opened

from cairn_runtime.errors import StoreUnavailable, StoreUnusable
from cairn_runtime.store.chain import verify_history
from cairn_runtime.store.contract.cases import begun, seqs
from cairn_runtime.store.opening import open_store

PATIENCE_SECONDS = 60.0


async def insist(call):
    """Repeat a call while there is no master, as the engine does."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            try:
                return await call()
            except StoreUnavailable:
                await asyncio.sleep(0.2)


async def test_a_writer_goes_on_with_the_new_master(servers):
    """The master is killed under it; the same commit again finds the replica that took its place."""
    sentinels = servers.redis_sentinel()
    async with opened(sentinels.url, timeout="2s") as store:
        writer = await begun(store)
        await writer.commit(3)
        with sentinels.master.admin() as client:
            assert client.wait(1, 5000) == 1
        sentinels.master.kill()
        rows = writer.batch(2)

        await insist(lambda: writer.send(rows))
        await insist(lambda: store.heartbeat(writer.run_id, writer.fence))
        await writer.commit()

        assert await seqs(store, writer.run_id) == [6, 5, 4, 3, 2, 1]
        assert verify_history(await store.checkpoints(writer.run_id)) == []


async def test_a_name_that_the_sentinels_do_not_know_may_come(servers):
    """Sentinels learn of masters; the error says which name was asked for."""
    sentinels = servers.redis_sentinel(1)

    with pytest.raises(StoreUnavailable, match="other"):
        await open_store(sentinels.url.replace("master=cairn", "master=other"))


async def test_runs_of_all_slots_are_one_store(redis_cluster_url):
    """Listings, heads and changes look on every server; each run stays on one."""
    async with opened(redis_cluster_url) as store:
        writers = [await begun(store) for _ in range(40)]
        await asyncio.gather(*(writer.commit(2) for writer in writers))
        ids = [writer.run_id for writer in writers]

        heads = await store.heads(ids)
        listed = await store.runs()

        assert {head.seq for head in heads.values()} == {2}
        assert {run.run_id for run in listed} == set(ids)
        assert all(one.created_at >= two.created_at for one, two in pairwise(listed))
        assert len(store._nodes.masters()) == 3
        assert len({store._nodes._owner(store._keys.of(run_id).row) for run_id in ids}) == 3


async def test_a_slot_that_moves_is_followed(servers):
    """While it moves scripts must wait: a cluster runs none on keys that may be in two places."""
    cluster = servers.redis_cluster()
    async with opened(cluster.url) as store:
        writer = await begun(store)
        await writer.commit(2)
        keys = keys_of(writer.run_id)
        slot = key_slot(keys["row"].encode())
        source = next(n for n in cluster.nodes if n.port == store._nodes._owner(keys["row"].encode()).host[1])
        target = next(node for node in cluster.nodes if node is not source)
        with source.admin() as from_, target.admin() as to:
            names = [client.execute_command("CLUSTER", "MYID").decode() for client in (from_, to)]
            to.execute_command("CLUSTER", "SETSLOT", slot, "IMPORTING", names[0])
            from_.execute_command("CLUSTER", "SETSLOT", slot, "MIGRATING", names[1])
            moved = from_.execute_command("CLUSTER", "GETKEYSINSLOT", slot, 100)
            from_.execute_command("MIGRATE", target.host, target.port, "", 0, 5000, "KEYS", *moved)
            rows = writer.batch()
            with pytest.raises(StoreUnavailable, match="moving"):
                await writer.send(rows)
            moving = await store.run(writer.run_id)
            for client in (to, from_):
                client.execute_command("CLUSTER", "SETSLOT", slot, "NODE", names[1])
            await writer.send(rows)
            await writer.commit()

        assert moving.head_seq == 2
        assert await seqs(store, writer.run_id) == [4, 3, 2, 1]
        with source.admin() as client:
            assert client.execute_command("CLUSTER", "COUNTKEYSINSLOT", slot) == 0


async def test_a_node_that_comes_back_is_used_again(servers):
    """While it is away its runs are unavailable and the others are not."""
    cluster = servers.redis_cluster()
    async with opened(cluster.url, timeout="2s") as store:
        writers = [await begun(store) for _ in range(12)]
        ports = [store._nodes._owner(store._keys.of(writer.run_id).row).host[1] for writer in writers]
        victim = next(node for node in cluster.nodes if node.port == ports[0])
        there = [writer for writer, port in zip(writers, ports, strict=True) if port == victim.port]
        rows = {writer.run_id: writer.batch() for writer in there}
        victim.kill()
        with pytest.raises(StoreUnavailable):
            await there[0].send(rows[there[0].run_id])
        await asyncio.to_thread(victim.start)

        for writer in there:
            await insist(lambda writer=writer: writer.send(rows[writer.run_id]))

        assert {(await insist(lambda w=w: store.run(w.run_id))).head_seq for w in there} == {1}


async def test_a_cluster_has_no_other_database(redis_cluster_url):
    """A number in the path is a mistake there."""
    with pytest.raises(StoreUnusable, match=r"database 0 only|SELECT is not allowed"):
        await open_store(redis_cluster_url.replace("/0?", "/1?"))
