"""`python -m bench.growth`: what a store of a million checkpoints answers, holds, and lets go of.

    python -m bench.growth                               fills and measures private servers, both shapes
    python -m bench.growth fill --runs 1000 --each 1000  the store of CAIRN_STORE_URL
    python -m bench.growth measure                       what was filled; prunes half of it at the end

Filled is through `commit`, so that every row is one that a runner could have written: sealed, chained, whole.
Two shapes, since they fail in different ways: many runs of a thousand checkpoints, and one of a million.
The pruner is a process of its own, as an operator is; its writer commits to another run all the while.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from bench.servers import POSTGRES_URL, REDIS_URL, running

from cairn_runtime.engine.frontier import RunState
from cairn_runtime.model.ids import new_id, utc_now
from cairn_runtime.model.values import JSONObject, JSONValue
from cairn_runtime.store.base import GENESIS_HASH, Checkpoint, Fence, NewRun, Store
from cairn_runtime.store.chain import sealed
from cairn_runtime.store.codec import FORMAT_VERSION, Codec, Encoded
from cairn_runtime.store.opening import open_store
from cairn_runtime.store.prunes import prune_run
from cairn_runtime.store.retention import Policy

SNAPSHOT_EVERY = 100
READS = 2000
_BATCH = 500
_PAGE = 100
_MANIFEST: JSONObject = {"kind": "Workflow", "spec": {"steps": [{"name": "turn", "run": "true"}]}}


@dataclass(frozen=True, slots=True)
class Line:
    """A row of the table, and its bar where there is one."""

    what: str
    shown: str
    bar: str = ""

    def text(self) -> str:
        """The row in Markdown."""
        return f"| {self.what} | {self.shown} | {self.bar} |"


class Filler:
    """Writes the history of one run."""

    def __init__(self, store: Store, run_id: str, fence: Fence) -> None:
        codec = Codec()
        text = os.urandom(128).hex()
        events: JSONValue = [["write", "text", "replace", text, "turn#1"]]
        self._delta = codec.encode({"events": events}, salt=os.urandom(16))
        whole: JSONObject = {"events": events, "state": {**RunState().to_json(), "channels": {"text": text}}}
        self._snapshot = codec.encode(whole, salt=os.urandom(16))
        self._store, self._run_id, self._fence = store, run_id, fence
        self._seq, self._hash = 0, GENESIS_HASH

    @classmethod
    async def begin(cls, store: Store, number: int) -> Filler:
        """Create and claim a run."""
        run_id = new_id()
        await store.create_run(NewRun(run_id, f"bench/growth-{number % 50}/uid", _MANIFEST, "", run_id))
        return cls(store, run_id, await store.claim(run_id, 0, new_id()))

    async def commit(self, count: int) -> None:
        """Write so many more checkpoints in one commit."""
        rows = list(self._rows(count))
        await self._store.commit(self._run_id, self._fence, self._seq, rows[0].write_id, rows)
        self._seq, self._hash = rows[-1].seq, rows[-1].hash

    def _rows(self, count: int) -> Iterator[Checkpoint]:
        parent = self._hash
        for seq in range(self._seq + 1, self._seq + count + 1):
            is_snapshot = seq % SNAPSHOT_EVERY == 0
            row = self._row(seq, parent, self._snapshot if is_snapshot else self._delta)
            row = sealed(row._replace(kind="snapshot") if is_snapshot else row)
            parent = row.hash
            yield row

    def _row(self, seq: int, parent: str, body: Encoded) -> Checkpoint:
        identity = new_id()
        return Checkpoint(
            run_id=self._run_id,
            seq=seq,
            id=identity,
            parent_hash=parent,
            hash="",
            epoch=self._fence.epoch,
            write_id=identity,
            kind="delta",
            step="turn",
            visit=seq,
            item=None,
            next=("turn",),
            metadata={},
            created_at=datetime.now(UTC),
            format_version=FORMAT_VERSION,
            graph_hash="",
            digest=body.digest,
            size=len(body.payload),
            payload=body.payload,
        )


async def fill(url: str, runs: int, each: int) -> float:
    """Fill a store; answers rows a second."""
    store = await open_store(url)
    started = time.monotonic()
    for number in range(runs):
        filler = await Filler.begin(store, number)
        for start in range(0, each, _BATCH):
            await filler.commit(min(_BATCH, each - start))
    await store.close()
    return runs * each / (time.monotonic() - started)


async def timed(call: Callable[[], Awaitable[object]], count: int) -> list[float]:
    """Milliseconds of each of so many calls."""
    out = []
    for _ in range(count):
        started = time.perf_counter()
        await call()
        out.append((time.perf_counter() - started) * 1000)
    return out


def spread(values: list[float]) -> str:
    """Median and 99th percentile."""
    return f"{statistics.median(values):.2f} / {p99(values):.2f} ms"


def p99(values: list[float]) -> float:
    """The 99th percentile."""
    return sorted(values)[int(len(values) * 0.99)]


async def measure(url: str) -> list[Line]:
    """Read, then prune while a writer goes on."""
    store = await open_store(url)
    ids = [run.run_id for run in await store.runs(limit=1000)]
    heads = await store.heads(ids[:500])
    checkpoints = sum(head.seq for head in heads.values())
    some = random.Random(1)  # noqa: S311 - the same runs each time

    async def page_in_the_middle() -> None:
        run_id = some.choice(list(heads))
        await store.checkpoints(run_id, before=max(heads[run_id].seq // 2, 1), limit=_PAGE)

    reads = await timed(lambda: store.heads([some.choice(ids)]), READS)
    lines = [
        Line("read a head, p50 / p99", spread(reads), f"p99 at most 5 ms: {_met(p99(reads) <= 5)}"),
        Line("read 500 heads", spread(await timed(lambda: store.heads(ids[:500]), 50))),
        Line("load the newest", spread(await timed(lambda: store.load(some.choice(ids)), 200))),
        Line(
            "list a page of 100, the newest",
            spread(await timed(lambda: store.checkpoints(some.choice(ids), limit=_PAGE), 200)),
        ),
        Line("list a page of 100, in the middle", spread(await timed(page_in_the_middle, 200))),
        Line("list a page of 100 runs", spread(await timed(lambda: store.runs(limit=_PAGE), 50))),
    ]
    used = (await store.check()).used_bytes
    lines.append(Line("size", f"{(used or 0) / 2**20:.0f} MiB"))
    lines += await _pruned(store, url, checkpoints)
    await store.close()
    return lines


async def _pruned(store: Store, url: str, checkpoints: int) -> list[Line]:
    """Prune in another process while commits go on, and compare these with commits that are alone."""
    writer = await Filler.begin(store, 0)
    alone = await timed(lambda: writer.commit(1), READS)
    command = [sys.executable, "-m", "bench.growth", "prune", "--most", str(checkpoints // 2)]
    pruner = await asyncio.create_subprocess_exec(
        *command, env={**os.environ, "CAIRN_STORE_URL": url}, stdout=subprocess.PIPE
    )
    beside: list[float] = []
    assert pruner.stdout is not None
    await pruner.stdout.readline()  # it has begun
    telling = asyncio.create_task(pruner.stdout.read())
    while not telling.done():
        beside += await timed(lambda: writer.commit(1), 10)
    rate = float(await telling)
    await pruner.wait()
    ratio = p99(beside) / p99(alone)
    return [
        Line("commits that are alone, p50 / p99", spread(alone)),
        Line(
            "commits beside a prune, p50 / p99",
            f"{spread(beside)} ({len(beside)} commits)",
            f"p99 at most doubled: {ratio:.2f} x, {_met(ratio <= 2)}",
        ),
        Line("prune", f"{rate:,.0f} rows/s", f"at least 5,000: {_met(rate >= 5000)}"),
    ]


async def prune(url: str, most: int) -> None:
    """Prune the oldest runs until so many checkpoints went; says when it begins, then rows a second."""
    store = await open_store(url)
    ids = [run.run_id for run in await store.runs(limit=1000)][::-1]
    print("begun", flush=True)
    started, gone = time.monotonic(), 0
    for run_id in ids:
        pruned = await prune_run(store, run_id, Policy(10, 1e9), utc_now(), at_most=most - gone)
        gone += pruned.checkpoints
        if gone >= most:
            break
    print(gone / (time.monotonic() - started), flush=True)
    await store.close()


def _met(met: bool) -> str:  # noqa: FBT001 - a fact, not a switch
    return "met" if met else "NOT MET"


def whole() -> None:
    """Fill private servers in both shapes and measure them."""
    with tempfile.TemporaryDirectory(prefix="cairn-growth-") as folder, running(Path(folder)) as servers:
        for name, fact in servers.facts.items():
            print(f"{name}: {fact}")
        for runs, each in ((1000, 1000), (1, 1_000_000)):
            for variable, kind in ((POSTGRES_URL, "schema"), (REDIS_URL, "prefix")):
                address = servers.urls[variable]
                url = f"{address}{'&' if '?' in address else '?'}{kind}=growth_{runs}"
                rate = asyncio.run(fill(url, runs, each))
                print(f"\n{variable}: {runs:,} runs of {each:,}, filled with {rate:,.0f} rows/s\n")
                _print(asyncio.run(measure(url)))


def _print(lines: list[Line]) -> None:
    print("| what | measured | bar |\n| --- | --- | --- |")
    for line in lines:
        print(line.text(), flush=True)


def main() -> int:
    """Do what was asked."""
    parser = argparse.ArgumentParser(prog="python -m bench.growth", description=__doc__)
    parser.add_argument("what", nargs="?", default="whole", choices=["whole", "fill", "measure", "prune"])
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--each", type=int, default=1000, help="checkpoints of a run")
    parser.add_argument("--most", type=int, default=100_000, help="checkpoints that a prune takes")
    given = parser.parse_args()
    # By the environment: an address may hold a password, and arguments are for all to see.
    url = os.environ.get("CAIRN_STORE_URL", "")
    match given.what:
        case "fill":
            print(f"{asyncio.run(fill(url, given.runs, given.each)):,.0f} rows/s")
        case "measure":
            _print(asyncio.run(measure(url)))
        case "prune":
            asyncio.run(prune(url, given.most))
        case _:
            whole()
    return 0


if __name__ == "__main__":
    sys.exit(main())
