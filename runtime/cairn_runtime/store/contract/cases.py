"""What the tests of the contract share: the store under test, and a writer that commits as a runner does.

Every test gets a place of its own from `store_factory`; a second call of the factory opens the same place
again, as another process would.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any, Literal

import pytest
import pytest_asyncio
import zstandard

from cairn_runtime.model.ids import new_id, utc_now
from cairn_runtime.store.base import GENESIS_HASH, Checkpoint, Fence, NewRun, Outcome, Store
from cairn_runtime.store.chain import sealed
from cairn_runtime.store.codec import FORMAT_VERSION, Codec

StoreFactory = Callable[[], Store]
CODEC = Codec()


class StoreCase:
    """Base of the contract's test classes; needs the fixture `store_factory`."""

    pytestmark = pytest.mark.asyncio

    @pytest_asyncio.fixture
    async def store(self, store_factory: StoreFactory) -> AsyncIterator[Store]:
        """The store under test, open."""
        store = store_factory()
        await store.open()
        yield store
        await store.close()


def new_run(**changes: Any) -> NewRun:  # noqa: ANN401 - any field of NewRun
    """Build a run that is valid in every field that the test does not name."""
    fields: dict[str, Any] = {
        "run_id": new_id(),
        "workflow": "default/digest/6d3c1f0e",
        "manifest": {"kind": "Workflow", "spec": {"steps": [{"name": "a", "run": "true"}]}},
        "graph_hash": "ab" * 32,
        "key_base": "base",
    }
    return NewRun(**(fields | changes))


@dataclass(slots=True)
class Writer:
    """The holder of a fence, with the head that it knows."""

    store: Store
    run_id: str
    fence: Fence
    seq: int = 0
    hash: str = GENESIS_HASH

    def batch(self, count: int = 1, **changes: Any) -> list[Checkpoint]:  # noqa: ANN401 - any column
        """Build the next checkpoints, sealed and chained, of one write."""
        write_id = changes.pop("write_id", None) or new_id()
        out: list[Checkpoint] = []
        parent = self.hash
        for seq in range(self.seq + 1, self.seq + count + 1):
            row = checkpoint(self.run_id, seq, epoch=self.fence.epoch, write_id=write_id, parent_hash=parent)
            out.append(sealed(row._replace(**changes)))
            parent = out[-1].hash
        return out

    async def send(self, rows: list[Checkpoint], outcome: Outcome | None = None) -> None:
        """Commit a batch that stands on the known head, and know the new head."""
        await self.store.commit(self.run_id, self.fence, self.seq, rows[0].write_id, rows, outcome)
        self.seq, self.hash = rows[-1].seq, rows[-1].hash

    async def commit(
        self,
        count: int = 1,
        *,
        outcome: Outcome | None = None,
        **changes: Any,  # noqa: ANN401 - any column
    ) -> list[Checkpoint]:
        """Build the next checkpoints and commit them."""
        rows = self.batch(count, **changes)
        await self.send(rows, outcome)
        return rows

    async def change(self, outcome: Outcome, write_id: str = "") -> str:
        """Commit a change of the row alone; answer its write_id."""
        write_id = write_id or new_id()
        await self.store.commit(self.run_id, self.fence, self.seq, write_id, [], outcome)
        return write_id


def checkpoint(
    run_id: str,
    seq: int,
    *,
    epoch: int,
    write_id: str,
    parent_hash: str,
    kind: Literal["delta", "snapshot"] = "delta",
) -> Checkpoint:
    """Build one checkpoint whose payload says which it is; its hash is still empty."""
    encoded = CODEC.encode({"seq": seq, "text": "x" * (seq % 7) * 400}, salt=os.urandom(16))
    return Checkpoint(
        run_id=run_id,
        seq=seq,
        id=new_id(),
        parent_hash=parent_hash,
        hash="",
        epoch=epoch,
        write_id=write_id,
        kind=kind,
        step="draft",
        visit=1,
        item=None if seq % 2 else seq,
        next=("check", "send"),
        metadata={"tag": "t\u00e4g", "deep": {"list": [1, 2.5, None]}},
        created_at=utc_now(),
        format_version=FORMAT_VERSION,
        graph_hash="ab" * 32,
        digest=encoded.digest,
        size=len(encoded.payload),
        payload=encoded.payload,
    )


def repacked(payload: bytes) -> bytes:
    """The same content in other bytes, as another key would make them; what is damaged stays damaged."""
    try:
        if payload[1]:
            return b"\1\0" + zstandard.decompress(payload[2:])
    except zstandard.ZstdError:
        return payload + b"!"
    return b"\1\1" + zstandard.compress(payload[2:], level=1)


async def begun(store: Store, **changes: Any) -> Writer:  # noqa: ANN401 - any field of NewRun
    """Create a run and claim it."""
    run = await store.create_run(new_run(**changes))
    return Writer(store, run.run_id, await store.claim(run.run_id, 0, new_id(), "0.1.0"))


async def seqs(store: Store, run_id: str) -> list[int]:
    """The seqs that are there, newest first."""
    return [row.seq for row in await store.checkpoints(run_id, limit=10_000)]
