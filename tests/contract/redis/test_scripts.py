"""A script that is refused has changed nothing, whatever the reason."""

from __future__ import annotations

import pytest
from tests.contract.redis.opened import contents, keys_of, opened

from cairn_runtime.errors import CheckpointTooLarge, StoreUnavailable, StoreUnusable
from cairn_runtime.model.ids import new_id
from cairn_runtime.store.base import NewSignal, Outcome
from cairn_runtime.store.contract.cases import begun
from cairn_runtime.store.redis.keys import PARTS


@pytest.mark.parametrize("part", [part for part in PARTS if part != "held"])
async def test_a_key_of_another_type_is_met_before_the_first_write(private_redis, part):
    """A script keeps what it wrote before it failed, so nothing may fail after its first write."""
    async with opened(private_redis.url, ttl="1h") as store:
        writer = await begun(store)
        rows = await writer.commit(3, kind="snapshot")
        await store.send(writer.run_id, NewSignal("go", 1, new_id()))
        calls = [
            lambda: store.put_progress(writer.run_id, writer.fence, "a#1", b"1"),
            lambda: store.send(writer.run_id, NewSignal("go", 2, new_id())),
            lambda: store.pin(rows[0].id, pinned=True),
            lambda: store.prune(writer.run_id, [1]),
            lambda: writer.change(Outcome("Succeeded", consumed=(1,))),
            lambda: writer.commit(2, outcome=Outcome("Succeeded", consumed=(1,))),
            lambda: store.claim(writer.run_id, 1, "newer"),
        ]
        refused = 0
        with private_redis.admin() as client:
            client.delete(keys_of(writer.run_id)[part])
            client.set(keys_of(writer.run_id)[part], "of another program")
            for call in calls:
                before = contents(client, writer.run_id)
                try:
                    await call()
                except StoreUnusable as error:
                    refused += 1
                    assert "another program uses the same prefix" in str(error)  # noqa: PT017 - not all refuse
                    assert contents(client, writer.run_id) == before

    assert refused


async def test_a_full_memory_refuses_before_the_first_write(private_redis):
    """Writes say so and can be sent again; what makes room still works."""
    async with opened(private_redis.url) as store:
        writer, other = await begun(store), await begun(store)
        await writer.commit(3, kind="snapshot")
        with private_redis.admin() as client:
            client.config_set("maxmemory", "1")
            before = contents(client, writer.run_id)
            rows = writer.batch(2)

            with pytest.raises(StoreUnavailable, match="memory is full"):
                await writer.send(rows)
            with pytest.raises(StoreUnavailable, match="memory is full"):
                await writer.change(Outcome("Running"))

            assert contents(client, writer.run_id) == before
            assert (await store.run(writer.run_id)).head_seq == 3
            assert await store.delete_run(other.run_id) is True
            client.config_set("maxmemory", "0")
        await writer.send(rows)
        assert (await store.run(writer.run_id)).head_seq == 5


async def test_a_forgotten_script_is_sent_again(private_redis):
    """A server that was restarted, or told to, knows no script."""
    async with opened(private_redis.url) as store:
        writer = await begun(store)
        with private_redis.admin() as client:
            for _ in range(3):
                client.script_flush()
                await writer.commit()
                await store.load(writer.run_id)

        assert (await store.run(writer.run_id)).head_seq == 3


async def test_a_value_over_the_servers_bound_says_which(private_redis):
    """The server closes the connection on it, which must not look like an outage that passes."""
    async with opened(private_redis.url) as store:
        writer = await begun(store)
        with private_redis.admin() as client:
            client.config_set("proto-max-bulk-len", 1024 * 1024)
        payload = b"x" * (1024 * 1024 + 1)

        with pytest.raises(CheckpointTooLarge, match="proto-max-bulk-len"):
            await writer.commit(payload=payload, size=len(payload))

        await writer.commit()
        assert (await store.run(writer.run_id)).head_seq == 1


async def test_a_damaged_header_is_named_and_hides_nothing(private_redis):
    """What was changed on the server comes out with what can be read, and its hash no longer fits."""
    async with opened(private_redis.url) as store:
        writer = await begun(store)
        await writer.commit(3)
        log = keys_of(writer.run_id)["log"]
        with private_redis.admin() as client:
            client.delete(log)
            client.xadd(log, {"d": b"\xff nonsense"}, id="2-0")
            client.xadd(log, {"d": b"[3]"}, id="3-0")

        rows = await store.checkpoints(writer.run_id)

        assert [(row.seq, row.metadata) for row in rows] == [(3, {"damaged": True}), (2, {"damaged": True})]
