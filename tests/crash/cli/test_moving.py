"""`cairn import` as a real process that is ended halfway."""

from __future__ import annotations

import signal
import subprocess

import pytest
from tests.crash.cli.terminal import cairn, rest, running, until

from cairn_runtime.runner.archives.exporting import Exporter
from cairn_runtime.store.chain import verify_history
from cairn_runtime.store.contract.cases import begun
from cairn_runtime.store.memory import MemoryStore
from cairn_runtime.store.opening import open_store, parse_store_url

pytestmark = pytest.mark.slow
CHECKPOINTS = 3000


async def exported():
    """A run of several megabytes as a plain archive."""
    store = MemoryStore(parse_store_url("memory:"))
    await store.open()
    writer = await begun(store)
    await writer.commit(CHECKPOINTS)
    return b"".join([line async for line in Exporter(store, "0.1.0").lines([writer.run_id])])


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGKILL, -9)], ids=["interrupt", "kill"]
)
async def test_an_import_that_was_ended_halfway_is_gone_on_with(tmp_path, number, code):
    """Also while its input does not come: the run stays stopped, and the same file completes it."""
    archive = await exported()
    (tmp_path / "whole").write_bytes(archive)
    store = f"sqlite:///{tmp_path}/store.db"

    def rows():
        said = cairn("runs", "--store", store, "-o", "json", cwd=tmp_path)
        return said.document if said.code == 0 else []

    with running("import", "-", "--store", store, cwd=tmp_path, stdin=subprocess.PIPE) as process:
        process.stdin.buffer.write(archive[: len(archive) * 3 // 4])
        process.stdin.flush()
        until(lambda: any(row["head"] for row in rows()))
        process.send_signal(number)
        rest(process)
    (half,) = rows()
    said = cairn("import", "whole", "--store", store, "-o", "json", cwd=tmp_path)

    assert process.returncode == code
    assert (half["phase"], half["reason"]) == ("Cancelled", "Importing")
    assert half["head"]["seq"] < CHECKPOINTS
    assert (said.code, said.document["runs"], said.document["left"]) == (0, 1, [])
    (whole,) = rows()
    assert (whole["reason"], whole["head"]["seq"]) == ("Imported", CHECKPOINTS)
    there = await open_store(store)
    assert verify_history(await there.checkpoints(whole["run"], limit=CHECKPOINTS)) == []
    await there.close()
