"""A process of the races: opens a store and does one thing over and over, telling what was acknowledged.

    python racer.py URL RUN_ID steal ROUNDS     claim the run from the other one, and commit until superseded
    python racer.py URL RUN_ID twin ROUNDS      commit with the fence that both have, on the head there is
    python racer.py URL RUN_ID write ROUNDS     claim once and commit until killed
    python racer.py URL RUN_ID create ROUNDS    open the store anew and create the same runs as the others
    python racer.py URL RUN_ID signal ROUNDS    send signals, each twice

Standard output: one JSON line per acknowledged call, flushed, so that a killed process has told all there is.
It begins when it reads a line on standard input.
"""

from __future__ import annotations

import asyncio
import json
import sys

from cairn_runtime.errors import Superseded
from cairn_runtime.model.ids import new_id
from cairn_runtime.store.base import GENESIS_HASH, Fence, NewSignal, Store
from cairn_runtime.store.contract.cases import Writer, new_run
from cairn_runtime.store.opening import open_store


def tell(**fact: object) -> None:
    """Say what was acknowledged."""
    sys.stdout.write(json.dumps(fact) + "\n")
    sys.stdout.flush()


async def claimed(store: Store, run_id: str) -> Writer:
    """Take the run from whoever has it."""
    while True:
        run = await store.run(run_id)
        try:
            fence = await store.claim(run_id, run.epoch, new_id())
        except Superseded:
            continue
        # The head is read after the claim: from here on only this writer moves it.
        run = await store.run(run_id)
        tell(claim=fence.epoch)
        return Writer(store, run_id, fence, run.head_seq, run.head_hash or GENESIS_HASH)


async def steal(store: Store, run_id: str, rounds: int) -> None:
    """Claim, commit a few times, lose the run, and again."""
    for n in range(rounds):
        writer = await claimed(store, run_id)
        try:
            for _ in range(3):
                rows = await writer.commit(1 + n % 3)
                for row in rows:
                    tell(seq=row.seq, id=row.id, epoch=row.epoch)
        except Superseded:
            continue


async def twin(store: Store, run_id: str, rounds: int) -> None:
    """Commit on the head that is there, with the fence that everybody has."""
    fence = Fence(1, "shared")
    for _ in range(rounds):
        run = await store.run(run_id)
        writer = Writer(store, run_id, fence, run.head_seq, run.head_hash or GENESIS_HASH)
        try:
            rows = await writer.commit(2)
        except Superseded:
            continue
        for row in rows:
            tell(seq=row.seq, id=row.id, epoch=row.epoch)


async def write(store: Store, run_id: str, rounds: int) -> None:
    """Commit until killed."""
    writer = await claimed(store, run_id)
    for _ in range(rounds):
        for row in await writer.commit(2):
            tell(seq=row.seq, id=row.id, epoch=row.epoch)


async def create(store: Store, run_id: str, rounds: int) -> None:
    """Create what the others create."""
    for n in range(rounds):
        run = await store.create_run(new_run(run_id=f"{run_id}-{n}"))
        tell(run=run.run_id, at=run.created_at.isoformat())


async def signal(store: Store, run_id: str, rounds: int) -> None:
    """Send each signal twice, as a client does that heard no answer."""
    for _ in range(rounds):
        client_id = new_id()
        first, again = [await store.send(run_id, NewSignal("go", client_id, client_id)) for _ in range(2)]
        tell(number=first.number, again=again.number, client=client_id)


async def main(url: str, run_id: str, what: str, rounds: str) -> None:
    """Wait for the word, open, race."""
    sys.stdin.readline()
    store = await open_store(url)
    races = {"steal": steal, "twin": twin, "write": write, "create": create, "signal": signal}
    await races[what](store, run_id, int(rounds))
    await store.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
