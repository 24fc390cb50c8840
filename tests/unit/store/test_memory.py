"""The memory store beyond the contract: privacy, sharing, threads, and the proof that nobody mutates it."""

from __future__ import annotations

import asyncio
import threading
from typing import Any, cast

import pytest

from cairn_runtime.errors import RunNotFound
from cairn_runtime.model.ids import new_id
from cairn_runtime.store.base import NewSignal, Outcome, Wait
from cairn_runtime.store.contract.cases import begun, new_run
from cairn_runtime.store.opening import open_store


async def test_memory_without_a_name_is_private():
    """Two openings of `memory:` know nothing of each other."""
    one, two = await open_store("memory:"), await open_store("memory:")
    writer = await begun(one)

    with pytest.raises(RunNotFound):
        await two.run(writer.run_id)


async def test_memory_with_a_name_is_shared():
    """By that name, and by no other; closing one opening takes nothing from the others."""
    name = new_id()
    one, two, other = [await open_store(f"memory:{n}") for n in (name, name, new_id())]
    writer = await begun(one)
    await one.close()

    assert (await two.run(writer.run_id)).run_id == writer.run_id
    with pytest.raises(RunNotFound):
        await other.run(writer.run_id)


async def test_changing_a_saved_checkpoint_is_found():
    """Metadata is a dict: whoever changes it after the commit is caught by the next reader."""
    store = await open_store("memory:")
    writer = await begun(store)
    rows = await writer.commit(2)
    rows[0].metadata["tag"] = "changed"

    for read in (store.load(writer.run_id), store.checkpoints(writer.run_id), store.checkpoint(rows[0].id)):
        with pytest.raises(AssertionError, match=rows[0].id):
            await read
    assert await store.checkpoint(rows[1].id) == rows[1]


async def test_empty_metadata_that_was_filled_is_found():
    """Also where there was nothing to remember."""
    store = await open_store("memory:")
    writer = await begun(store)
    rows = await writer.commit(1, metadata={})
    rows[0].metadata["tag"] = "new"

    with pytest.raises(AssertionError):
        await store.load(writer.run_id)


async def test_what_was_given_may_be_changed_afterwards():
    """Manifest, signal values and schemas of waits are the store's own copies, on the way in and out."""
    store = await open_store("memory:")
    manifest, value, schema = [{"a": [1]}, {"b": [2]}, {"c": [3]}]
    writer = await begun(store, manifest=manifest)
    signal = await store.send(writer.run_id, NewSignal("go", value, "me"))
    await writer.commit(outcome=Outcome("Waiting", waits=(Wait("w#1", "approval", "w#1", schema=schema),)))
    read = await store.run(writer.run_id)

    for given in (
        manifest["a"],
        value["b"],
        schema["c"],
        cast("Any", signal).value["b"],
        cast("Any", read).manifest["a"],
    ):
        given.append("changed")

    run = await store.run(writer.run_id)
    assert (run.manifest, run.waits[0].schema) == ({"a": [1]}, {"c": [3]})
    assert [signal.value for signal in await store.signals(writer.run_id)] == [{"b": [2]}]


async def test_a_memory_store_serves_many_threads():
    """Each with a loop of its own, on one run: every head is won once, and nothing is lost."""
    url = f"memory:{new_id()}"
    store = await open_store(url)
    writer = await begun(store)
    won: list[str] = []

    async def race() -> None:
        mine = await open_store(url)
        for _ in range(100):
            run = await mine.run(writer.run_id)
            racer = type(writer)(
                mine, writer.run_id, writer.fence, run.head_seq, run.head_hash or writer.hash
            )
            try:
                rows = await racer.commit()
            except Exception as error:  # noqa: BLE001 - only one kind is expected, and asserted below
                assert type(error).__name__ == "Superseded"  # noqa: PT017
            else:
                won.append(rows[0].id)

    threads = [threading.Thread(target=lambda: asyncio.run(race())) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(row.id for row in await store.load(writer.run_id)) == sorted(won)
    assert len(won) >= 100


async def test_a_run_of_another_name_is_not_created_twice():
    """`create_run` on a shared place answers the row that is there."""
    url = f"memory:{new_id()}"
    one, two = await open_store(url), await open_store(url)
    new = new_run()

    assert await one.create_run(new) == await two.create_run(new)
