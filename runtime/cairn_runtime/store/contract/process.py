"""A process of the suite: takes a run from whoever has it, commits, and tells what was acknowledged.

    python -m cairn_runtime.store.contract.process

Standard input: one line of JSON, `{"url": ..., "run": ...}`.
Standard output: one line for each checkpoint whose commit was acknowledged, flushed, so that a killed process
has told all there is.
It goes on until it is killed.
"""

from __future__ import annotations

import asyncio
import json
import sys

from cairn_runtime.errors import StoreUnavailable, Superseded
from cairn_runtime.model.ids import new_id
from cairn_runtime.store.base import GENESIS_HASH, Store
from cairn_runtime.store.contract.cases import Writer
from cairn_runtime.store.opening import open_store


async def hold(store: Store, run_id: str) -> None:
    """Claim the run and commit a few times, or until another one has it."""
    run = await store.run(run_id)
    fence = await store.claim(run_id, run.epoch, new_id())
    # The head is read after the claim: from here on only this process moves it.
    run = await store.run(run_id)
    writer = Writer(store, run_id, fence, run.head_seq, run.head_hash or GENESIS_HASH)
    for _ in range(5):
        for row in await writer.commit(2):
            sys.stdout.write(json.dumps({"seq": row.seq, "id": row.id}) + "\n")
            sys.stdout.flush()


async def main() -> None:
    """Hold the run again and again."""
    told = json.loads(sys.stdin.readline())
    store = await open_store(told["url"])
    while True:
        try:
            await hold(store, told["run"])
        except (Superseded, StoreUnavailable):
            continue


if __name__ == "__main__":
    asyncio.run(main())
