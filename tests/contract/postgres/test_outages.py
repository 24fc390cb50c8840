"""Servers that are killed, restarted or paused, and lost answers: nothing half done, nothing done twice."""

from __future__ import annotations

import asyncio

import pytest
from tests.contract.postgres.places import opened, with_option

from cairn_runtime.errors import StoreUnavailable, StoreUnusable
from cairn_runtime.store.base import NewSignal
from cairn_runtime.store.contract.cases import begun
from cairn_runtime.store.opening import parse_store_url
from cairn_runtime.store.postgres import PostgresStore


async def insist(call):
    """Repeat a call until it is answered, as the engine does."""
    for _ in range(100):
        try:
            return await call()
        except StoreUnavailable:
            await asyncio.sleep(0.1)
    return await call()


@pytest.mark.parametrize("ending", ["kill", "stop"])
async def test_a_store_goes_on_when_its_server_is_back(private_postgres, ending):
    """Without being opened again; what was acknowledged is there."""
    async with opened(private_postgres.url) as store:
        writer = await begun(store)
        rows = await writer.commit(3)
        getattr(private_postgres, ending)()
        with pytest.raises(StoreUnavailable):
            await writer.commit()
        with pytest.raises(StoreUnavailable):
            await store.run(writer.run_id)
        private_postgres.start()

        assert await insist(lambda: store.load(writer.run_id)) == rows
        more = await writer.commit(2)

        assert await store.load(writer.run_id) == [*rows, *more]


async def test_connections_that_died_while_idle_cost_nobody_an_error(private_postgres):
    """An administrator ended them, or the server was started again: nothing had been sent on them."""
    async with opened(private_postgres.url) as store:
        writer = await begun(store)
        await asyncio.gather(*(store.run(writer.run_id) for _ in range(6)))
        ended = private_postgres.terminate_backends()

        await writer.commit()
        private_postgres.stop()
        private_postgres.start()
        await writer.commit()

        assert ended > 0
        assert (await store.run(writer.run_id)).head_seq == 2


@pytest.mark.parametrize("after_bytes", [0, 1])
async def test_a_commit_whose_answer_was_lost_is_sent_again_once(servers, private_postgres, after_bytes):
    """The store repeats nothing by itself; the same call again finds its own write."""
    proxy = servers.proxy(private_postgres)
    async with opened(proxy.url(private_postgres.url)) as store:
        writer = await begun(store)
        await writer.commit()
        await writer.commit()
        rows = writer.batch()
        lost = proxy.drop_reply(rows[0].id.encode(), after_bytes=after_bytes)
        call = (writer.run_id, writer.fence, 2, rows[0].write_id, rows)

        with pytest.raises(StoreUnavailable):
            await store.commit(*call)
        lost.wait()
        sent = proxy.requests(rows[0].id.encode())
        await store.commit(*call)

        assert sent == 1
        assert (await store.run(writer.run_id)).head_seq == 3


async def test_a_signal_whose_answer_was_lost_is_stored_once(servers, private_postgres):
    """At the end of its transaction: whether it was committed, nobody knows."""
    proxy = servers.proxy(private_postgres)
    async with opened(proxy.url(private_postgres.url)) as store:
        writer = await begun(store)
        lost = proxy.drop_reply(b"COMMIT")
        signal = NewSignal("go", 1, "me")

        with pytest.raises(StoreUnavailable):
            await store.send(writer.run_id, signal)
        lost.wait()
        await store.send(writer.run_id, signal)

        assert [stored.number for stored in await store.signals(writer.run_id)] == [1]


async def test_a_server_that_says_nothing_is_given_up(private_postgres):
    """The connection is thrown away, also where only the process stands still and the network lives."""
    async with opened(private_postgres.url, "timeout=1s") as store:
        writer = await begun(store)
        private_postgres.pause()
        try:
            with pytest.raises(StoreUnavailable, match=r"no answer|timeout"):
                await writer.commit()
            with pytest.raises(StoreUnavailable, match=r"timeout expired|no answer"):
                await store.run(writer.run_id)
        finally:
            private_postgres.resume()

        await insist(lambda: store.run(writer.run_id))


async def test_a_commit_larger_than_any_buffer_goes_through(postgres_url):
    """It leaves in many pieces, and comes back in many."""
    async with opened(postgres_url) as store:
        writer = await begun(store)
        payload = bytes(8_000_000)
        rows = await writer.commit(4, payload=payload, size=len(payload))

        assert await store.load(writer.run_id) == rows


async def test_a_cancelled_caller_leaves_no_half_used_connection(private_postgres):
    """The next caller gets a whole one, whatever the first was in the middle of."""
    async with opened(private_postgres.url, "pool=1") as store:
        writer = await begun(store)
        for turns in range(12):
            call = asyncio.ensure_future(store.send(writer.run_id, NewSignal("go", turns, f"c{turns}")))
            for _ in range(turns):
                await asyncio.sleep(0)
            call.cancel()
            await asyncio.gather(call, return_exceptions=True)
            assert (await store.run(writer.run_id)).run_id == writer.run_id

        await writer.commit()
        stored = await store.signals(writer.run_id)
        left = private_postgres.execute(
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE application_name = 'cairn' AND starts_with(state, 'idle in')"
        )

    assert [signal.number for signal in stored] == list(range(1, len(stored) + 1))
    assert left == [(0,)]


async def test_a_cancelled_commit_is_there_or_not_and_can_be_sent_again(private_postgres):
    """It may have been carried out: the same call again tells."""
    async with opened(private_postgres.url) as store:
        writer = await begun(store)
        for turns in range(1, 8):
            rows = writer.batch()
            call = asyncio.ensure_future(
                store.commit(writer.run_id, writer.fence, writer.seq, rows[0].write_id, rows)
            )
            for _ in range(turns):
                await asyncio.sleep(0)
            call.cancel()
            await asyncio.gather(call, return_exceptions=True)
            await writer.send(rows)

        assert [row.seq for row in await store.load(writer.run_id)] == list(range(1, 8))


async def test_a_server_that_is_not_there_is_unavailable(private_postgres):
    """Opening says so; a store that was never opened says that."""
    private_postgres.stop()
    store = PostgresStore(parse_store_url(private_postgres.url))

    with pytest.raises(StoreUnusable, match="not open"):
        await store.run("any")
    with pytest.raises(StoreUnavailable, match="refused"):
        await store.open()
    with pytest.raises(StoreUnusable, match="not open"):
        await store.run("any")


async def test_a_server_without_room_for_a_connection_is_unavailable(servers):
    """Others use them all; one of them will be free again."""
    server = servers.postgres(settings={"max_connections": "8", "superuser_reserved_connections": "0"})
    async with opened(server.url, "pool=20") as store:
        writer = await begun(store)

        answers = await asyncio.gather(*(store.run(writer.run_id) for _ in range(20)), return_exceptions=True)

    assert {type(answer).__name__ for answer in answers} <= {"Run", "StoreUnavailable"}
    assert any(isinstance(answer, StoreUnavailable) for answer in answers)


async def test_several_hosts_are_tried_in_turn(private_postgres, servers):
    """The first is gone: the second is found."""
    other = servers.postgres()
    other.stop()
    url = private_postgres.url.replace(f"{private_postgres.host}:", f"{other.host}:{other.port},127.0.0.1:")

    async with opened(with_option(url, "timeout=2s")) as store:
        assert await store.runs() == []
