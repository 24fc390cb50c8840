"""What lies in the tables: exact, small where it is hot, and never rewritten."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from tests.contract.postgres.places import beside, opened, rows, table

from cairn_runtime.errors import (
    CheckpointCorrupted,
    CheckpointNotFound,
    InvalidInput,
    RunNotFound,
    Superseded,
)
from cairn_runtime.model.ids import new_id
from cairn_runtime.store.base import NewSignal, Outcome, Wait
from cairn_runtime.store.chain import is_sealed
from cairn_runtime.store.contract.cases import begun, new_run

STRANGE = {
    "z": 1e16,
    "a": 1.0,
    "\0": "\0",
    "2": -0.0,
    "\u2028": "\U0001f9f1",
    "z2": 2**64 - 1,
    "deep": [[], {}, None],
}


async def test_json_comes_back_to_the_letter(postgres_url):
    """Numbers, the order of keys and zero bytes: headers are hashed, and a manifest is what was accepted."""
    async with opened(postgres_url) as store:
        writer = await begun(store, manifest=STRANGE, annotations=STRANGE)
        (row,) = await writer.commit(metadata=STRANGE)
        waits = (Wait("a#1", "signal", "go", "\0", STRANGE),)
        await writer.change(Outcome("Waiting", message="bad \0 byte", waits=waits))
        sent = await store.send(writer.run_id, NewSignal("go", STRANGE, "me"))

        run = await store.run(writer.run_id)
        (read,) = await store.load(writer.run_id)

    for found in (run.manifest, run.annotations, read.metadata, run.waits[0].schema, sent.value):
        assert repr(found) == repr(STRANGE)
    assert (run.message, run.waits) == ("bad \0 byte", waits)
    assert (read, is_sealed(read)) == (row, True)


async def test_what_the_server_calls_jsonb_would_not_do(postgres_url):
    """Why the columns are `json`: the other changes numbers and the order of keys, and has no zero byte."""
    async with beside(postgres_url) as connection:
        ((kept,),) = await rows(connection, """SELECT '{{"z": 1e16, "a": 1}}'::json::text""")
        ((changed,),) = await rows(connection, """SELECT '{{"z": 1e16, "a": 1}}'::jsonb::text""")
        with pytest.raises(Exception, match="u0000"):
            await rows(connection, r"""SELECT '{{"a": "\u0000"}}'::jsonb""")

    assert kept == '{"z": 1e16, "a": 1}'
    assert changed == '{"a": 1, "z": 10000000000000000}'


@pytest.mark.parametrize("text", ["a\0b", "\ud800"], ids=["a zero byte", "half a surrogate pair"])
async def test_names_that_postgres_cannot_keep_are_refused_in_words(postgres_url, text):
    """In whatever place they stand; nothing is cut off, and nothing is written."""
    async with opened(postgres_url) as store:
        writer = await begun(store)
        calls = [
            lambda: store.create_run(new_run(run_id=text)),
            lambda: store.create_run(new_run(workflow=text)),
            lambda: store.run(text),
            lambda: store.claim(writer.run_id, 1, text),
            lambda: store.send(writer.run_id, NewSignal(text, 1, "me")),
            lambda: store.send(writer.run_id, NewSignal("go", 1, text)),
            lambda: store.put_progress(writer.run_id, writer.fence, text, b""),
            lambda: store.find_checkpoints(text),
            lambda: store.hold(text, "child"),
            lambda: writer.commit(step=text),
            lambda: writer.change(Outcome("Running", reason=text)),
            lambda: store.heads([text]),
        ]
        for call in calls:
            with pytest.raises((InvalidInput, UnicodeEncodeError, TypeError)):
                await call()

        assert (await store.run(writer.run_id)).head_seq == 0
        assert await store.signals(writer.run_id) == []
        assert await store.progress(writer.run_id) == {}


async def test_numbers_beyond_64_bits_are_nobodys_seq(postgres_url):
    """A person may ask for any."""
    async with opened(postgres_url) as store:
        writer = await begun(store)
        await writer.commit(3, kind="snapshot")

        with pytest.raises(CheckpointNotFound, match="no checkpoint"):
            await store.load(writer.run_id, 2**70)
        with pytest.raises(RunNotFound):
            await store.load("unknown", 2**70)
        assert len(await store.checkpoints(writer.run_id, before=2**70)) == 3
        assert await store.prune(writer.run_id, [2**70, -(2**70), 1]) == 1


async def test_commits_touch_no_index_of_the_hot_row(postgres_url):
    """Each new version of a row lies beside the old one; rows that nothing changes are not written at all."""
    async with opened(postgres_url) as store, beside(postgres_url) as connection:
        writer = await begun(store, manifest={"text": "x" * 200_000})
        await writer.change(Outcome("Running"))
        tables = {"runs": table(store, "runs"), "heads": table(store, "heads")}
        before = await rows(
            connection, "SELECT pg_relation_size('{runs}'), ctid, xmin::text FROM {runs}", **tables
        )

        for _ in range(100):
            await writer.commit()
        after = await rows(
            connection, "SELECT pg_relation_size('{runs}'), ctid, xmin::text FROM {runs}", **tables
        )
        ((pages,),) = await rows(connection, "SELECT pg_relation_size('{heads}') / 8192", **tables)

    assert before == after
    # Versions of a row that leave its page would have filled several.
    assert pages <= 2


async def test_payloads_are_stored_as_they_are(postgres_url):
    """They are compressed or encrypted already."""
    async with opened(postgres_url) as store, beside(postgres_url) as connection:
        writer = await begun(store)
        payload = b"a" * 1_000_000
        await writer.commit(payload=payload, size=len(payload))

        ((size,),) = await rows(
            connection,
            "SELECT pg_column_size(payload) FROM {checkpoints}",
            checkpoints=table(store, "checkpoints"),
        )
        (read,) = await store.load(writer.run_id)

    assert size >= len(payload)
    assert read.payload == payload


async def test_a_damaged_row_of_a_run_hides_no_other(postgres_url, caplog):
    """Somebody wrote into the tables by hand."""
    async with opened(postgres_url) as store, beside(postgres_url) as connection:
        good, bad = await begun(store), await begun(store)
        names = {"heads": table(store, "heads"), "runs": table(store, "runs"), "id": bad.run_id}
        await rows(
            connection,
            "UPDATE {heads} h SET waits = '[1]' FROM {runs} r WHERE r.run = h.run AND r.run_id = {id}",
            **names,
        )

        with pytest.raises(CheckpointCorrupted, match=bad.run_id):
            await store.run(bad.run_id)
        listed = await store.runs()

    assert [run.run_id for run in listed] == [good.run_id]
    assert "left out a damaged run" in caplog.text


async def test_many_runs_commit_side_by_side(postgres_url):
    """No run's commit waits for another run's row, and none is lost."""
    async with opened(postgres_url, "pool=6") as store:
        writers = [await begun(store) for _ in range(24)]

        async def work(writer):
            for _ in range(10):
                await writer.commit()
            return await store.load(writer.run_id)

        loaded = await asyncio.gather(*(work(writer) for writer in writers))

    assert [len(history) for history in loaded] == [10] * 24


async def test_a_run_that_is_held_up_holds_up_no_other(postgres_url):
    """Somebody keeps one run's row locked: its commit waits, all others go on."""
    async with opened(postgres_url, "pool=4") as store, beside(postgres_url) as connection:
        stuck, free = await begun(store), await begun(store)
        names = {"heads": table(store, "heads"), "runs": table(store, "runs"), "id": stuck.run_id}
        async with connection.transaction():
            await rows(
                connection,
                "SELECT 1 FROM {heads} h JOIN {runs} r USING (run) WHERE r.run_id = {id} FOR UPDATE OF h",
                **names,
            )
            waiting = asyncio.ensure_future(stuck.commit())
            for _ in range(20):
                await free.commit()
            held_up = not waiting.done()
        await waiting

        assert held_up
        assert (await store.run(stuck.run_id)).head_seq == 1


@pytest.mark.parametrize("ends", ["commit", "rollback"])
async def test_a_writer_that_waited_looks_at_the_row_again(postgres_url, ends):
    """A claim in a transaction that is open: whoever commits meanwhile waits, and is judged afterwards."""
    async with opened(postgres_url) as store, beside(postgres_url) as connection:
        writer = await begun(store)
        await connection.execute("BEGIN")
        await rows(
            connection, "UPDATE {heads} SET epoch = 2, claim_id = 'newer'", heads=table(store, "heads")
        )
        calls = [
            asyncio.ensure_future(call)
            for call in (
                writer.store.put_progress(writer.run_id, writer.fence, "a#1", b"late"),
                writer.store.heartbeat(writer.run_id, writer.fence),
                writer.commit(),
            )
        ]
        await asyncio.wait(calls, timeout=0.3)
        waited = not any(call.done() for call in calls)
        await connection.execute(ends)
        answers = await asyncio.gather(*calls, return_exceptions=True)
        progress, run = await store.progress(writer.run_id), await store.run(writer.run_id)

    assert waited
    if ends == "commit":
        assert {type(answer) for answer in answers} == {Superseded}
        assert (progress, run.head_seq) == ({}, 0)
    else:
        assert not any(isinstance(answer, BaseException) for answer in answers)
        assert (progress, run.head_seq) == ({"a#1": b"late"}, 1)


async def test_a_signal_on_its_way_is_before_the_beat_that_misses_it(postgres_url):
    """A beat waits for it: else its time would be earlier than the beat's, and a deadline would beat it."""
    async with opened(postgres_url) as store:
        writer = await begun(store)
        sending = store._sessions.transaction()
        async with sending as wire:
            await wire.fetch("lock_head", run_id=writer.run_id)
            beat = asyncio.ensure_future(store.heartbeat(writer.run_id, writer.fence))
            await asyncio.wait([beat], timeout=0.3)
            waited = not beat.done()
            ((run, _, _, now),) = await wire.fetch("lock_head", run_id=writer.run_id)
            values = {"name": "go", "value": "1", "client_id": "me", "wait": ""}
            await wire.fetch("add_signal", run=run, now=now, **values)
        seen = await beat
        (signal,) = await store.signals(writer.run_id)

    assert waited
    assert signal.created_at <= seen.now


async def test_the_same_row_change_from_two_sides_at_once_is_written_once(postgres_url):
    """The second copy waits, does not see the first one's write, and falls over the key: it was ours."""
    async with opened(postgres_url) as store:
        writer = await begun(store)
        for _ in range(20):
            call = (writer.run_id, writer.fence, 0, new_id(), [], Outcome("Running"))
            await asyncio.gather(*(store.commit(*call) for _ in range(4)))

        run = await store.run(writer.run_id)

    assert run.phase == "Running"


async def test_origins_and_folders_come_back(postgres_url):
    """Also those of a run with no folder and no origin."""
    new = replace(new_run(), folder="/w\u00f6rk", trace_id="t")
    async with opened(postgres_url) as store:
        run = await store.create_run(new)

    assert (run.folder, run.trace_id, run.origin) == ("/w\u00f6rk", "t", None)
