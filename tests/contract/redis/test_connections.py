"""Connections that break, stall, or are left in the middle of a call."""

from __future__ import annotations

import asyncio

import pytest
from tests.contract.redis.opened import opened
from tests.crash.executors.processes import until

from cairn_runtime.errors import StoreUnavailable
from cairn_runtime.model.ids import new_id
from cairn_runtime.store.base import NewSignal, Outcome
from cairn_runtime.store.contract.cases import begun, seqs


async def test_a_cancelled_caller_leaves_nobody_its_reply(servers, private_redis):
    """The reply that comes for a caller that has gone is not read by the next one."""
    proxy = servers.proxy(private_redis)
    async with opened(proxy.url(private_redis.url)) as store:
        one, two = await begun(store), await begun(store)
        for _ in range(5):
            held = proxy.hold(b"HGETALL")
            gone = asyncio.create_task(store.run(one.run_id))
            await asyncio.to_thread(held.wait)
            gone.cancel()
            after = asyncio.create_task(store.run(two.run_id))
            await asyncio.sleep(0)
            held.release()

            assert (await after).run_id == two.run_id
            with pytest.raises(asyncio.CancelledError):
                await gone


async def test_a_cancelled_commit_is_known_again(servers, private_redis):
    """It may have been written; sent again it is success, and the next write stands on it."""
    proxy = servers.proxy(private_redis)
    async with opened(proxy.url(private_redis.url)) as store:
        writer = await begun(store)
        rows = writer.batch(2)
        held = proxy.hold(rows[0].id.encode())
        gone = asyncio.create_task(store.commit(writer.run_id, writer.fence, 0, rows[0].write_id, rows))
        await asyncio.to_thread(held.wait)
        gone.cancel()
        held.release()

        await writer.send(rows)
        await writer.commit()

        assert await seqs(store, writer.run_id) == [3, 2, 1]


async def test_a_commit_without_an_answer_is_sent_once(servers, private_redis):
    """The driver's habit to repeat would hide from the engine what it must decide."""
    proxy = servers.proxy(private_redis)
    async with opened(proxy.url(private_redis.url)) as store:
        writer = await begun(store)
        await writer.commit()
        rows = writer.batch(2)
        proxy.drop_reply(rows[0].id.encode())

        with pytest.raises(StoreUnavailable, match="closed the connection"):
            await writer.send(rows)
        sent = proxy.requests(rows[0].id.encode())
        await writer.send(rows)

        assert sent == 1
        assert await seqs(store, writer.run_id) == [3, 2, 1]
        assert (await store.run(writer.run_id)).checkpoints == 3


@pytest.mark.parametrize("bytes_passed", [0, 1, 40, 400])
async def test_half_a_commit_is_no_commit(servers, private_redis, bytes_passed):
    """Wherever the connection is cut, what arrives is all of it or nothing."""
    proxy = servers.proxy(private_redis)
    async with opened(proxy.url(private_redis.url)) as store:
        writer = await begun(store)
        await writer.commit()
        rows = writer.batch(2)
        proxy.cut_after(bytes_passed, rows[0].id.encode())

        with pytest.raises(StoreUnavailable):
            await writer.send(rows)
        before = await seqs(store, writer.run_id)
        await writer.send(rows)

        assert before == [1]
        assert await seqs(store, writer.run_id) == [3, 2, 1]


async def test_a_read_whose_connection_ended_is_tried_again(servers, private_redis):
    """Nothing can go wrong by reading twice, and a connection that was idle may have been closed long ago."""
    proxy = servers.proxy(private_redis)
    async with opened(proxy.url(private_redis.url)) as store:
        writer = await begun(store)
        proxy.drop_reply(b"HGETALL")

        assert (await store.run(writer.run_id)).run_id == writer.run_id


async def test_a_dead_connection_is_thrown_away(servers, private_redis):
    """After a cut all calls work again, the first of them on a new connection."""
    proxy = servers.proxy(private_redis)
    async with opened(proxy.url(private_redis.url)) as store:
        writer = await begun(store)
        for _ in range(3):
            proxy.cut()
            await asyncio.sleep(0.05)
            await writer.commit()
            await store.heartbeat(writer.run_id, writer.fence)

        assert await seqs(store, writer.run_id) == [3, 2, 1]


async def test_a_server_that_says_nothing_is_given_up(servers, private_redis):
    """After `?timeout=` everybody who waits hears it, and the connection is not used again."""
    proxy = servers.proxy(private_redis)
    async with opened(proxy.url(private_redis.url), timeout="2s") as store:
        writer = await begun(store)
        rows = writer.batch()
        proxy.stall()

        answers = await asyncio.gather(
            writer.send(rows), store.run(writer.run_id), store.runs(), return_exceptions=True
        )
        proxy.mend()
        await writer.send(rows)

        assert [type(answer) for answer in answers] == [StoreUnavailable] * 3
        assert "did not answer within 2 s" in str(answers[0])
        assert await seqs(store, writer.run_id) == [1]


async def test_a_claim_whose_answer_was_lost_is_claimed_again(servers, private_redis):
    """The same claim_id gets the same fence."""
    proxy = servers.proxy(private_redis)
    async with opened(proxy.url(private_redis.url)) as store:
        writer = await begun(store)
        proxy.drop_reply(b"newer")

        with pytest.raises(StoreUnavailable):
            await store.claim(writer.run_id, 1, "newer")

        assert await store.claim(writer.run_id, 1, "newer") == (2, "newer")


async def test_a_restarted_server_has_everything_and_no_script(servers):
    """SIGKILL loses nothing that the server had written to its log; scripts are sent anew."""
    server = servers.redis(settings={"appendfsync": "always"})
    async with opened(server.url) as store:
        writer = await begun(store)
        await writer.commit(2, outcome=Outcome("Waiting"))
        await store.send(writer.run_id, NewSignal("go", 1, "me"))
        before = await store.run(writer.run_id)
        server.kill()
        rows = writer.batch()
        with pytest.raises(StoreUnavailable):
            await writer.send(rows)
        server.start()

        assert await store.run(writer.run_id) == before
        await writer.send(rows)
        await writer.commit(outcome=Outcome("Succeeded", consumed=(1,)))
        assert await seqs(store, writer.run_id) == [4, 3, 2, 1]


async def test_many_callers_share_few_connections(servers, private_redis):
    """A hundred commits at once go over the connection that there is, and none gets the reply of another."""
    proxy = servers.proxy(private_redis)
    async with opened(proxy.url(private_redis.url)) as store:
        writers = [await begun(store) for _ in range(100)]

        await asyncio.gather(*(writer.commit() for writer in writers))
        heads = await store.heads([writer.run_id for writer in writers])

        assert {run_id: head.hash for run_id, head in heads.items()} == {w.run_id: w.hash for w in writers}
        assert proxy.connections <= 2


async def test_closing_leaves_no_connection(servers, private_redis):
    """Nor does a store that could not be opened."""
    proxy = servers.proxy(private_redis)
    async with opened(proxy.url(private_redis.url)) as store:
        await begun(store)

    await asyncio.to_thread(until, lambda: proxy.open_connections == 0, "the proxy has none either")


async def test_a_reply_is_read_without_the_loop_where_nothing_else_needs_it(private_redis):
    """A runner that waits for a commit and nothing else has it before the loop turns."""
    async with opened(private_redis.url) as store:
        writer = await begun(store)
        await writer.commit()
        store.alone = lambda: True
        turned = False

        def turn() -> None:
            nonlocal turned
            turned = True

        for _ in range(20):
            # A server that is slow once may let the loop turn; a reply by way of the loop does each time.
            turned, new = False, new_id()
            asyncio.get_running_loop().call_soon(turn)
            await writer.commit(id=new, write_id=new)
            if not turned:
                break
        assert not turned


async def test_a_late_reply_holds_up_the_loop_for_a_moment_only(servers, private_redis):
    """Whoever tells the runner to drain is heard while its server says nothing."""
    proxy = servers.proxy(private_redis)
    async with opened(proxy.url(private_redis.url)) as store:
        writer = await begun(store)
        await writer.commit()
        store.alone = lambda: True
        rows = writer.batch(1)
        held = proxy.hold(rows[0].id.encode())
        late = asyncio.create_task(writer.send(rows))
        await asyncio.to_thread(held.wait)  # its end is heard: the loop turns

        assert not late.done()
        held.release()
        await late
        assert await seqs(store, writer.run_id) == [2, 1]
