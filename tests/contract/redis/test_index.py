"""The index of runs is a hint: what it lacks is found again, what it names too much is passed over."""

from __future__ import annotations

import asyncio

import pytest
from tests.contract.redis.opened import keys_of, opened, prefix_of

from cairn_runtime.errors import StoreUnavailable
from cairn_runtime.model.ids import new_id
from cairn_runtime.store.base import NewSignal, Outcome
from cairn_runtime.store.contract.cases import Writer, begun, new_run
from cairn_runtime.store.redis.records import member_of


@pytest.fixture(params=["one server", "cluster"])
def url(request):
    """A place on one server, and on a cluster, where the index lies on another server than most runs."""
    return request.getfixturevalue("redis_url" if request.param == "one server" else "redis_cluster_url")


async def drop_index(store) -> None:
    """Delete the index, as a person might."""
    nodes, key = store._nodes, store._keys.runs
    await nodes.ask(key, b"*2\r\n$3\r\nDEL\r\n$%d\r\n%b\r\n" % (len(key), key), "write")


async def drop_member(store, run) -> None:
    """Take one run out of the index, as a server that lost its last second."""
    key, member = store._keys.runs, member_of(run.run_id, run.workflow, run.thread)
    line = b"*3\r\n$4\r\nZREM\r\n$%d\r\n%b\r\n$%d\r\n%b\r\n" % (len(key), key, len(member), member)
    assert await store._nodes.ask(key, line, "write") == 1


async def test_a_deleted_index_is_put_together_again(url):
    """By the first call that needs it, from the rows of all servers."""
    async with opened(url) as store:
        writers = [await begun(store) for _ in range(30)]
        rows = [(await writer.commit())[0] for writer in writers]
        listed = [run.run_id for run in await store.runs()]
        await store.delete_run(writers[0].run_id)

        await drop_index(store)
        assert [run.run_id for run in await store.runs()] == [r for r in listed if r != writers[0].run_id]
        await drop_index(store)
        assert set((await store.changed(""))[0]) == set(listed)
        await drop_index(store)
    async with opened(url) as store:
        assert (await store.checkpoint(rows[7].id)).hash == rows[7].hash


async def test_a_lost_member_comes_back_with_the_next_claim(url):
    """Every run attempt mends what a crash of the index's server may have lost."""
    async with opened(url) as store:
        run = await store.create_run(new_run())
        await drop_member(store, run)
        lost = await store.runs()

        await store.claim(run.run_id, 0, new_id())

        assert lost == []
        assert [one.run_id for one in await store.runs()] == [run.run_id]


@pytest.mark.parametrize("way", ["create again", "migrate"])
async def test_a_lost_member_comes_back(url, way):
    """Whoever creates the run again, or asks for the index to be mended."""
    async with opened(url) as store:
        new = new_run()
        run = await store.create_run(new)
        await drop_member(store, run)

        await (store.create_run(new) if way == "create again" else store.migrate())

        assert [one.run_id for one in await store.runs()] == [run.run_id]


async def test_a_run_that_was_announced_and_never_made_is_passed_over(servers, private_redis):
    """The creator died between index and row: nobody sees anything, and the run can be created later."""
    proxy = servers.proxy(private_redis)
    new = new_run()
    async with opened(proxy.url(private_redis.url)) as dying:
        proxy.drop_request(new.graph_hash.encode())
        with pytest.raises(StoreUnavailable):
            await dying.create_run(new)
    async with opened(private_redis.url) as store:
        before = (await store.runs(), (await store.changed(""))[0], await store.find_checkpoints("x"))
        made = await store.create_run(new)

        assert before == ([], [], [])
        assert await store.runs() == [made]


async def test_a_run_whose_creator_heard_nothing_is_listed(servers, private_redis):
    """The row was made and its creator died: the index knew before."""
    proxy = servers.proxy(private_redis)
    new = new_run()
    async with opened(proxy.url(private_redis.url)) as dying:
        other = await begun(dying)  # so that the server knows the scripts
        proxy.drop_reply(new.graph_hash.encode())
        with pytest.raises(StoreUnavailable):
            await dying.create_run(new)
    async with opened(private_redis.url) as store:
        assert [run.run_id for run in await store.runs()] == [new.run_id, other.run_id]
        assert set((await store.changed(""))[0]) == {new.run_id, other.run_id}


async def test_two_creators_at_once_agree(url):
    """Row and index say the same time, whoever was first."""
    async with opened(url) as one, opened(url) as two:
        for _ in range(10):
            new = new_run()
            runs = await asyncio.gather(*(store.create_run(new) for store in (one, two, one, two)))
            assert len({run.created_at for run in runs}) == 1

        listed = await one.runs()
        assert listed == sorted(listed, key=lambda run: (run.created_at, run.run_id), reverse=True)


async def test_a_change_is_never_missed_whoever_died_after_it(url):
    """A commit writes its run's keys and nothing else, so there is nothing that could be left undone."""
    async with opened(url) as watcher, opened(url) as other:
        writers = [await begun(other) for _ in range(20)]
        _, cursor = await watcher.changed("")
        for writer in writers[:5]:
            await writer.commit()
        for writer in writers[5:8]:
            await other.send(writer.run_id, NewSignal("go", 1, new_id()))

        named, later = await watcher.changed(cursor)

        assert set(named) == {writer.run_id for writer in writers[:8]}
        assert (await watcher.changed(later))[0] == []
        assert set((await watcher.changed(cursor))[0]) == set(named)


async def test_watchers_at_once_miss_nothing(url):
    """Several watchers of one opening, while rows change under them."""
    async with opened(url) as store:
        writers = [await begun(store) for _ in range(20)]
        _, cursor = await store.changed("")
        seen: list[set[str]] = [set(), set(), set()]

        async def watch(which: int) -> None:
            at = cursor
            for _ in range(10):
                named, at = await store.changed(at)
                seen[which].update(named)
            await done.wait()
            named, at = await store.changed(at)
            seen[which].update(named)

        async def write(writer: Writer) -> None:
            await writer.commit()

        done = asyncio.Event()
        watching = [asyncio.create_task(watch(n)) for n in range(3)]
        await asyncio.gather(*(write(writer) for writer in writers))
        done.set()
        await asyncio.gather(*watching)

        assert seen == [{writer.run_id for writer in writers}] * 3


async def test_an_old_checkpoint_is_found_among_newer_runs(url):
    """Also one whose id says nothing, and one from a clock that is far ahead."""
    async with opened(url) as store:
        first = await begun(store)
        rows = first.batch(3)
        ids = ["no-time-in-it", new_id(0), "ffffffff-ffff-7fff-bfff-ffffffffffff"]
        rows = [row._replace(id=id_) for row, id_ in zip(rows, ids, strict=True)]
        await first.send(rows)
        for _ in range(30):
            await begun(store)

    async with opened(url) as store:
        assert [(await store.checkpoint(row.id)).seq for row in rows] == [1, 2, 3]


async def test_no_key_is_made_outside_the_prefix(private_redis):
    """What a store may touch is what its user may be allowed."""
    async with opened(private_redis.url, prefix="team-a") as store:
        writer = await begun(store)
        rows = await writer.commit(3, kind="snapshot", outcome=Outcome("Running"))
        await store.send(writer.run_id, NewSignal("go", 1, new_id()))
        await store.hold(rows[0].id, "child")
        await store.prune(writer.run_id, [2])
    with private_redis.admin() as client:
        keys = {key.decode() for key in client.keys("*")}

    assert {key.partition(":")[0] for key in keys} == {"team-a"}
    assert set(keys_of(writer.run_id, "team-a").values()) & keys
    assert prefix_of("x?prefix=team-a") == "team-a"
