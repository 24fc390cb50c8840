"""Export and import, where a user has a server."""

from __future__ import annotations

import pytest

from cairn_runtime.model.ids import new_id
from cairn_runtime.runner.archives.arrivals import Wishes
from cairn_runtime.runner.archives.exporting import Exporter
from cairn_runtime.runner.archives.importing import Importer
from cairn_runtime.store.base import Outcome
from cairn_runtime.store.chain import verify_history
from cairn_runtime.store.codec import Codec
from cairn_runtime.store.contract.cases import begun
from cairn_runtime.store.opening import open_store

WAYS = [
    ("memory", "postgres"),
    ("file", "sqlite"),
    ("sqlite", "file"),
    ("sqlite", "postgres"),
    ("sqlite", "redis-cluster"),
    ("postgres", "redis"),
    ("postgres", "memory"),
    ("redis", "sqlite"),
    ("redis", "postgres"),
]


@pytest.mark.parametrize(("out_of", "into"), WAYS)
async def test_a_history_goes_between_any_two_stores(url_of, out_of, into):
    """Hash for hash and byte for byte, pruned, pinned and with progress; and back again it is the same."""
    here = await open_store(url_of(out_of))
    there = await open_store(url_of(into))
    try:
        writer = await begun(here, run_id=new_id())
        rows = [row for _ in range(4) for row in await writer.commit(60, kind="snapshot")]
        await here.put_progress(writer.run_id, writer.fence, "draft#1[2]", bytes(range(256)))
        await here.pin(rows[5].id, pinned=True)
        await here.prune(writer.run_id, [*range(1, 100), 130, 131])
        await writer.change(Outcome("Failed", "StepFailed", "no luck"))

        lines = [line async for line in Exporter(here, "0.1.0").lines([writer.run_id])]
        report = await Importer(there, Codec(), Wishes()).take(lines)
        again = [line async for line in Exporter(there, "0.1.0").lines([writer.run_id])]

        assert report.left == []
        assert await there.read(writer.run_id) == await here.read(writer.run_id)
        assert again[2:-1] == lines[2:-1]
        run = await there.run(writer.run_id)
        assert (run.phase, run.reason, run.message) == ("Failed", "StepFailed", "no luck")
        headers = await there.checkpoints(writer.run_id, limit=1000)
        assert not any(f.fault for f in verify_history(headers, await there.gaps(writer.run_id)))
    finally:
        await here.close()
        await there.close()
