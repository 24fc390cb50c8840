"""Where a store in a file or a folder is, whatever its process does meanwhile."""

from __future__ import annotations

import pytest

from cairn_runtime.store.contract.cases import begun, new_run
from cairn_runtime.store.opening import open_store


@pytest.mark.parametrize("url", ["file:store", "sqlite:///store.db"])
async def test_a_step_that_changes_the_folder_takes_nothing_away(url, tmp_path, monkeypatch):
    """A relative address is that of the folder in which the store was opened."""
    monkeypatch.chdir(tmp_path)
    store = await open_store(url)
    writer = await begun(store)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")

    await writer.commit()
    await store.heartbeat(writer.run_id, writer.fence)
    again = await store.create_run(new_run())

    assert [row.seq for row in await store.load(writer.run_id)] == [1]
    assert (await store.run(again.run_id)).head_seq == 0
    await store.close()
