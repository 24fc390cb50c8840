"""Durable means: what was acknowledged is there for whoever opens the place next, come what may before."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

import pytest

from cairn_runtime.errors import CheckpointCorrupted
from cairn_runtime.store.base import NewSignal, Outcome, Store, Wait
from cairn_runtime.store.chain import verify_history, verify_payloads
from cairn_runtime.store.contract.cases import CODEC, StoreCase, StoreFactory, begun, new_run
from cairn_runtime.store.contract.options import Crash, Damage
from cairn_runtime.store.contract.pictures import picture

_PROCESS = "cairn_runtime.store.contract.process"
_ACKNOWLEDGED = 25
"""Commits that each process is to hear of before it is killed."""


async def _written(store: Store) -> str:
    """Make a run with something of everything."""
    writer = await begun(store, annotations={"note": 1})
    rows = await writer.commit(4, kind="snapshot", outcome=Outcome("Running"))
    await writer.change(Outcome("Waiting", waits=(Wait("sign#1", "approval", "sign#1"),)))
    await store.send(writer.run_id, NewSignal("go", {"n": 1}, "client"))
    await store.put_progress(writer.run_id, writer.fence, "a#1", b"half")
    await store.pin(rows[0].id, pinned=True)
    await store.hold(rows[1].id, "child")
    await store.prune(writer.run_id, [1, 2, 3])
    return writer.run_id


class TestLasting(StoreCase):
    """What is left when a store object, a process or a server is gone."""

    async def test_a_store_that_was_never_closed_has_lost_nothing(
        self, store: Store, store_factory: StoreFactory
    ) -> None:
        """A process that dies closes nothing; whoever opens the place next sees all that was acknowledged."""
        run_id = await _written(store)
        before = await picture(store, run_id)
        next_one = store_factory()
        await next_one.open()

        try:
            assert await picture(next_one, run_id) == before
        finally:
            await next_one.close()

    async def test_a_server_that_crashed_has_lost_nothing(
        self, store_factory: StoreFactory, store_crash: Crash | None
    ) -> None:
        """What holds the place is ended without a warning, and comes back."""
        if store_crash is None:
            pytest.skip("the fixture store_crash says how")
        store = store_factory()
        await store.open()
        run_id = await _written(store)
        before = await picture(store, run_id)

        await store_crash()
        await store.close()
        again = store_factory()
        await again.open()

        try:
            assert await picture(again, run_id) == before
        finally:
            await again.close()

    async def test_processes_that_are_killed_lose_nothing(self, store: Store, store_url: str | None) -> None:
        """Two steal a run from each other and are killed amid it: what either was told is in the history."""
        if store_url is None:
            pytest.skip("the fixture store_url says where")
        run_id = (await store.create_run(new_run())).run_id
        processes = [await _started(store_url, run_id) for _ in range(2)]
        try:
            told = [fact for facts in await asyncio.gather(*map(_heard, processes)) for fact in facts]
        finally:
            for process in processes:
                if process.returncode is None:
                    process.kill()
                await process.wait()

        rows = await store.load(run_id)
        stored = {row.seq: row.id for row in rows}
        assert len(told) >= 2 * _ACKNOWLEDGED
        assert {seq: stored.get(seq) for seq, _ in told} == dict(told)
        assert [row.epoch for row in rows] == sorted(row.epoch for row in rows)
        assert verify_history(rows) == []


class TestDamage(StoreCase):
    """Bytes that are not what was written."""

    async def test_a_payload_damaged_on_its_way_is_kept_as_it_came(self, store: Store) -> None:
        """A store knows bytes: it mends nothing and hides nothing, and whoever decodes it finds out."""
        writer = await begun(store)
        rows = writer.batch(3)
        broken = bytearray(rows[1].payload or b"")
        broken[len(broken) // 2] ^= 1
        rows[1] = rows[1]._replace(payload=bytes(broken))
        await writer.send(rows)

        read = await store.load(writer.run_id)

        assert read == rows
        assert [finding.first_seq for finding in verify_payloads(read, CODEC)] == [2]
        assert verify_history(await store.checkpoints(writer.run_id)) == []

    async def test_a_payload_damaged_in_its_place_is_found(
        self, store_factory: StoreFactory, store_damage: Damage | None
    ) -> None:
        """By the store itself, or by whoever decodes it; the checkpoints beside it are sound."""
        if store_damage is None:
            pytest.skip("the fixture store_damage says how")
        store = store_factory()
        await store.open()
        writer = await begun(store)
        rows = await writer.commit(3, kind="snapshot")
        await store.close()

        store_damage(rows[1])
        again = store_factory()
        await again.open()
        try:
            beside = [await again.load(writer.run_id, seq) for seq in (1, 3)]
            found = await _findings(again, writer.run_id, 2)
        finally:
            await again.close()

        assert beside == [[rows[0]], [rows[2]]]
        assert found == [2]


async def _findings(store: Store, run_id: str, seq: int) -> list[int]:
    """Seqs of a loaded checkpoint that are damaged."""
    try:
        read = await store.load(run_id, seq)
    except CheckpointCorrupted:
        return [seq]
    return [finding.first_seq for finding in verify_payloads(read, CODEC)]


async def _started(url: str, run_id: str) -> asyncio.subprocess.Process:
    """Start a process that claims and commits; the URL goes by standard input, it may hold a password."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", _PROCESS, stdin=pipe, stdout=pipe)
    assert process.stdin is not None
    process.stdin.write(json.dumps({"url": url, "run": run_id}).encode() + b"\n")
    await process.stdin.drain()
    return process


async def _heard(process: asyncio.subprocess.Process) -> list[tuple[int, str]]:
    """Kill a process once it has told enough; all that it has told until then: seqs and ids."""
    assert process.stdout is not None
    lines = [await process.stdout.readline() for _ in range(_ACKNOWLEDGED)]
    process.kill()
    rest = (await process.stdout.read()).splitlines(keepends=True)
    facts: list[dict[str, Any]] = [json.loads(line) for line in [*lines, *rest] if line.endswith(b"}\n")]
    return [(fact["seq"], fact["id"]) for fact in facts]
