"""Stores that older releases left behind: opened by this one, everything is there and can go on."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

import pytest

from cairn_runtime.errors import HistoryConflict
from cairn_runtime.store.base import Fence, Outcome
from cairn_runtime.store.chain import verify_history, verify_payloads
from cairn_runtime.store.codec import Codec
from cairn_runtime.store.contract.cases import new_run
from cairn_runtime.store.opening import open_store
from cairn_runtime.store.sqlite_files import APPLICATION_ID, SCHEMA_VERSION

RUN = "0190a000-0000-7000-8000-000000000001"
DELETED = "0190a000-0000-7000-8000-000000000002"


@pytest.fixture
def schema_01(tmp_path: Path) -> str:
    """The URL of a store that schema 1 wrote."""
    path = tmp_path / "old.db"
    with sqlite3.connect(path) as db:
        db.executescript((Path(__file__).parent / "schemas" / "sqlite_01.sql").read_text())
        db.execute("PRAGMA user_version=1")
        db.execute(f"PRAGMA application_id={APPLICATION_ID}")
    db.close()
    return f"sqlite:///{path}"


async def test_a_populated_store_of_schema_1_is_brought_forward(schema_01):
    """Rows, history, payloads, pins, holds, gaps, signals, progress and tombstones are as they were."""
    store = await open_store(schema_01)

    run = await store.run(RUN)
    history = await store.checkpoints(RUN)
    payloads = [await store.checkpoint(row.id) for row in history]

    assert await store.migrate() == SCHEMA_VERSION
    assert (run.phase, run.epoch, run.head_seq, run.signals_pending, run.annotations) == (
        "Waiting",
        1,
        3,
        1,
        {},
    )
    assert [row.seq for row in history] == [3, 1]
    assert [found.reason for found in verify_history(history, await store.gaps(RUN)) if found.fault] == []
    assert list(verify_payloads(payloads, Codec())) == []
    assert (await store.pins(RUN), await store.holds(RUN)) == ({1}, {3: {"child-that-never-came"}})
    assert await store.progress(RUN) == {"draft#1": b"half"}
    assert [signal.value for signal in await store.signals(RUN)] == [{"x": [1, None]}]
    with pytest.raises(HistoryConflict):
        await store.create_run(new_run(run_id=DELETED))
    await store.close()


async def test_a_run_of_schema_1_goes_on_under_its_claim(schema_01):
    """The runner that held it before the release was changed may still write, and notes can be set."""
    store = await open_store(schema_01)
    run = await store.run(RUN)

    await store.commit(RUN, Fence(run.epoch, run.claim_id), 3, "write", [], Outcome("Running"))
    await store.annotate(RUN, {"kept": True})

    assert ((await store.run(RUN)).phase, (await store.run(RUN)).annotations) == ("Running", {"kept": True})
    await store.close()


async def test_several_that_open_an_old_store_at_once_bring_it_forward_once(schema_01):
    """One migrates, the others wait and find it done."""
    stores = await asyncio.gather(*(open_store(schema_01) for _ in range(8)))

    assert {(await store.run(RUN)).phase for store in stores} == {"Waiting"}
    assert {await store.migrate() for store in stores} == {SCHEMA_VERSION}
    for store in stores:
        await store.close()
