"""`changed` while transactions become visible in another order than they began."""

from __future__ import annotations

import asyncio

from tests.contract.postgres.places import beside, opened, rows, table

from cairn_runtime.store.base import Outcome
from cairn_runtime.store.contract.cases import begun, new_run


async def test_a_change_that_becomes_visible_late_is_named_late(postgres_url):
    """It began before others that a watcher has seen already; the cursor remembers that it was open."""
    async with opened(postgres_url) as store, beside(postgres_url) as connection:
        slow, quick = await begun(store), await begun(store)
        names = {"heads": table(store, "heads"), "runs": table(store, "runs"), "id": slow.run_id}
        _, cursor = await store.changed("")
        await connection.execute("BEGIN")
        await rows(
            connection,
            "UPDATE {heads} h SET change = pg_current_xact_id() FROM {runs} r"
            " WHERE r.run = h.run AND r.run_id = {id}",
            **names,
        )
        await quick.commit()
        first, cursor = await store.changed(cursor)
        await quick.commit()
        second, cursor = await store.changed(cursor)
        await connection.execute("COMMIT")
        third, cursor = await store.changed(cursor)
        fourth, _ = await store.changed(cursor)

    assert (first, second) == ([quick.run_id], [quick.run_id])
    assert third == [slow.run_id]
    assert fourth == []


async def test_an_old_transaction_makes_nobody_repeat(postgres_url):
    """Somebody's long report, anywhere on the server, does not make each answer name everything."""
    async with opened(postgres_url) as store, beside(postgres_url) as connection:
        writer = await begun(store)
        await connection.execute("BEGIN")
        await connection.execute("SELECT pg_current_xact_id()")
        await writer.commit()
        _, cursor = await store.changed("")

        named, _ = await store.changed(cursor)

    assert named == []


async def test_a_run_is_named_through_its_whole_life(postgres_url):
    """Also when it is finished, claimed again and deleted: it moves from one index to the other."""
    async with opened(postgres_url) as store:
        writer = await begun(store)
        _, cursor = await store.changed("")
        named = []
        for change in (
            lambda: writer.change(Outcome("Succeeded")),
            lambda: store.claim(writer.run_id, 1, "again"),
            lambda: store.delete_run(writer.run_id),
        ):
            await change()
            found, cursor = await store.changed(cursor)
            named.append(found)

    assert named == [[writer.run_id]] * 3


async def test_a_watcher_beside_many_writers_misses_none(postgres_url):
    """Every commit that was answered before a look is in that look or an earlier one."""
    async with opened(postgres_url, "pool=6") as store:
        writers = [await begun(store) for _ in range(6)]
        done: dict[str, int] = {}
        known: dict[str, int] = {}
        cursor = (await store.changed(""))[1]

        async def write(writer):
            for _ in range(15):
                await writer.commit()
                done[writer.run_id] = writer.seq

        async def watch():
            nonlocal cursor
            for _ in range(40):
                before = dict(done)
                named, cursor = await store.changed(cursor)
                for run_id in named:
                    known[run_id] = (await store.run(run_id)).head_seq
                for run_id, seq in before.items():
                    assert known.get(run_id, 0) >= seq

        await asyncio.gather(watch(), *(write(writer) for writer in writers))


async def test_a_server_that_was_started_again_is_asked_anew(private_postgres):
    """After a crash numbers of transactions may be given out twice: one look names everything."""
    async with opened(private_postgres.url) as store:
        run = await store.create_run(new_run())
        _, cursor = await store.changed("")
        private_postgres.kill()
        private_postgres.start()

        named, cursor = await store.changed(cursor)
        after, _ = await store.changed(cursor)

    assert (named, after) == ([run.run_id], [])


async def test_a_backend_that_crashed_counts_as_a_start(private_postgres):
    """The server goes on after it under the same first process."""
    async with opened(private_postgres.url) as store:
        run = await store.create_run(new_run())
        place = (await store.changed(""))[1].partition("/")[0]
        _, cursor = await store.changed("")
        private_postgres.execute("SELECT pg_stat_reset_shared('bgwriter')")

        named, later = await store.changed(cursor)

    assert named == [run.run_id]
    assert later.partition("/")[0] != place
