"""Cairn's side: runs inside this process, with the real executor, on a store made for each call.

The store is opened by its URL with no options, and told when nothing else is under way, as the runner process
does. The Workflow's models are built without the limit of 500 steps, which is the manifest's and not the
engine's.
What is timed is the loop from its first decision to its last commit; opening the store, compiling the
Workflow and importing the steps is start-up, which `process_measures` has.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, cast
from uuid import uuid4

import orjson
from bench.measures import MOMENTS, Growth, Measure, Quantities, Stopwatch, need, spread
from bench.places import place
from bench.texts import CHANNELS, INITIAL, large_texts

from cairn_runtime.engine.compiled import compile_workflow
from cairn_runtime.engine.control import Control
from cairn_runtime.engine.execute import CodeSource, Executor
from cairn_runtime.engine.fold import read_payload
from cairn_runtime.engine.frontier import RunState
from cairn_runtime.engine.history import newest_valid
from cairn_runtime.engine.loop import RunLoop
from cairn_runtime.model.workflow import Step, Workflow
from cairn_runtime.store.base import Checkpoint, NewRun, Store
from cairn_runtime.store.codec import Codec
from cairn_runtime.store.opening import open_store
from cairn_runtime.store.owned import HoldsUp

STEPS = Path(__file__).parent / "steps"


@dataclass(frozen=True, slots=True)
class Ready:
    """A run that is claimed and compiled; nothing has run yet."""

    run_id: str
    loop: RunLoop

    async def go(self) -> None:
        """Run it to its end, which has to be a good one."""
        need((await self.loop.run()).phase, "Succeeded")

    async def timed(self) -> Stopwatch:
        """Run it to its end, with a watch."""
        with Stopwatch() as watch:
            await self.go()
        return watch


async def chain(folder: str, *, store: str, durability: str, steps: int) -> Quantities:
    """Steps one after the other; each rewrites one of ten channels of 1 KiB; then the state is read back."""
    workflow = rewriting(steps, durability)
    async with _opened(store, folder) as opened, _ready(opened, workflow, alone=True) as run:
        watch = await run.timed()
        _check_rewritten(run)
        state, read_seconds = await _read_back(opened, run.run_id)
        need(state.channels, run.loop.state.channels)
    return {**watch.per(steps), "read_ms": read_seconds * 1e3}


async def many(folder: str, *, store: str, runs: int, steps: int) -> Quantities:
    """Many runs of such steps at once in one process, on one store."""
    workflow = rewriting(steps, "sync")
    async with _opened(store, folder) as opened, AsyncExitStack() as stack:
        ready = [await stack.enter_async_context(_ready(opened, workflow, alone=False)) for _ in range(runs)]
        with Stopwatch() as watch:
            await asyncio.gather(*(run.go() for run in ready))
        for run in ready:
            _check_rewritten(run)
    return {"steps_a_second": runs * steps / watch.seconds}


async def writes(folder: str, *, store: str, kib: int, count: int) -> Quantities:
    """A step that writes a large text again and again: from its end to its next start, all that is between.

    That is the checkpoint, encoded, hashed and durable, and what the engine decides before and after.
    """
    visits = count + 1
    again = {"to": "write", "when": f"visits.write < {visits}"}
    listed = [_step("write", "write", [], next=[again], maxVisits=visits)]
    channels = {"kib": {"initial": kib}, "value": {"initial": ""}}
    workflow = _workflow(listed, state={"channels": channels})
    texts = large_texts(kib)
    MOMENTS.clear()
    async with _opened(store, folder) as opened, _ready(opened, workflow, alone=True) as run:
        await run.timed()
        state, _ = await _read_back(opened, run.run_id)
    need(state.channels["value"] == texts[visits % len(texts)], True)
    return spread([begin - end for (_, end), (begin, _) in pairwise(MOMENTS)])


async def fan(folder: str, *, store: str, width: int) -> Quantities:
    """One step, so many beside each other, and one that waits for all."""
    middle = [f"m{n}" for n in range(width)]
    listed = [
        _step("a", "one", []),
        *(_step(name, "one", ["a"]) for name in middle),
        _step("z", "one", middle),
    ]
    workflow = _workflow(listed, state={"channels": {"total": {"reducer": "add", "initial": 0}}})
    async with _opened(store, folder) as opened, _ready(opened, workflow, alone=True) as run:
        watch = await run.timed()
    need(run.loop.state.channels["total"], width + 2)
    return watch.per(width + 2)


async def foreach(folder: str, *, store: str, items: int) -> Quantities:
    """A foreach whose items return a result each; ten are under way at a time."""
    listed = [_step("each", "double", [], foreach={"in": "input.list", "collect": "out"})]
    workflow = _workflow(listed, input={"list": list(range(items))})
    async with _opened(store, folder) as opened, _ready(opened, workflow, alone=True) as run:
        watch = await run.timed()
    need(run.loop.state.channels["out"], [2 * n for n in range(items)])
    return watch.per(items)


async def grow(folder: str, *, store: str, steps: int) -> Quantities:
    """A loop that appends 1 KiB at each visit; then the state is read back from the store, opened anew."""
    again = {"to": "append", "when": f"visits.append < {steps}"}
    listed = [_step("append", "append", [], next=[again], maxVisits=steps)]
    workflow = _workflow(listed, state={"channels": {"log": {"reducer": "append", "initial": []}}})
    async with place(store, folder) as where:
        left, written = await where.left_bytes(), await where.written_bytes()
        opened = await open_store(where.url)
        try:
            async with _ready(opened, workflow, alone=True) as run:
                watch = await run.timed()
        finally:
            await opened.close()
        left, written = await where.left_bytes() - left, await where.written_bytes() - written
        opened = await open_store(where.url)
        try:
            state, read_seconds = await _read_back(opened, run.run_id)
            need(len(cast("list[Any]", state.channels["log"])), steps)
            stored = (await opened.run(run.run_id)).bytes
            plain = await _plain_bytes(opened, run.run_id)
        finally:
            await opened.close()
    found = Growth(stored, left, written, read_seconds).of(watch, steps)
    return {**found, "plain": plain / (steps * 1024)}


async def rewritten(steps: int) -> list[Checkpoint]:
    """The checkpoints of such a chain: the floor inserts their payloads."""
    opened = await open_store("memory:")
    async with _ready(opened, rewriting(steps, "sync"), alone=True) as run:
        await run.go()
        headers = await opened.checkpoints(run.run_id, limit=1_000_000)
        return [await opened.checkpoint(header.id) for header in reversed(headers)]


def rewriting(steps: int, durability: str) -> Workflow:
    """A chain of steps, each of which rewrites one of ten channels of 1 KiB."""
    channels = {name: {"initial": value} for name, value in INITIAL.items()}
    listed = [_step(f"s{n}", "rewrite", [f"s{n - 1}"] if n else []) for n in range(steps)]
    return _workflow(listed, state={"channels": channels}, checkpoint={"durability": durability})


@asynccontextmanager
async def _opened(store: str, folder: str) -> AsyncIterator[Store]:
    """Open a store in a place made for it."""
    async with place(store, folder) as where:
        opened = await open_store(where.url)
        try:
            yield opened
        finally:
            await opened.close()


@asynccontextmanager
async def _ready(store: Store, workflow: Workflow, *, alone: bool) -> AsyncIterator[Ready]:
    """Make a run and its loop; `alone`: the event loop is there for this run only, as in a runner process."""
    executor = Executor(code=CodeSource(str(STEPS)))
    try:
        flow = compile_workflow(workflow, executor.load_function)
        run_id = str(uuid4())
        await store.create_run(NewRun(run_id, "default/bench/uid", {}, flow.graph_hash, run_id))
        await store.claim(run_id, 0, str(uuid4()))
        control = Control.at_head(store, Codec(), await store.run(run_id), flow.graph_hash)
        loop = RunLoop(flow, RunState(), control, executor, key_base=run_id)
        if alone and isinstance(store, HoldsUp):
            store.alone = loop.alone
        executor.prepare(workflow.spec.steps[0])
        loop.begin()
        yield Ready(run_id, loop)
    finally:
        await executor.close()


async def _read_back(store: Store, run_id: str) -> tuple[RunState, float]:
    """Read a run's state as a runner that goes on would, and how long that took."""
    begin = time.perf_counter()
    newest = await newest_valid(store, Codec(), await store.run(run_id))
    return newest.folded.state, time.perf_counter() - begin


def _check_rewritten(run: Ready) -> None:
    channels = run.loop.state.channels
    changed = [name for name, value in channels.items() if name in INITIAL and value != INITIAL[name]]
    need(len(changed), CHANNELS)


async def _plain_bytes(store: Store, run_id: str) -> int:
    """Bytes of all payloads of a run before compression."""
    headers = await store.checkpoints(run_id, limit=1_000_000)
    rows = [await store.checkpoint(header.id) for header in headers]
    return sum(len(orjson.dumps(read_payload(row, Codec()))) for row in rows)


def _step(name: str, function: str, needs: list[str], **fields: Any) -> Step:  # noqa: ANN401 - a manifest's fields
    """A step of `bench/steps`, with as many needs as it takes."""
    step = Step.model_validate({"name": name, "python": f"work:{function}", **fields})
    return step.model_copy(update={"needs": needs})


def _workflow(steps: list[Step], **fields: Any) -> Workflow:  # noqa: ANN401 - as above
    """A Workflow with as many steps as it takes."""
    spec = {"steps": [{"name": "none", "run": "true"}], **fields}
    made = Workflow.model_validate(
        {"apiVersion": "cairn.dev/v1alpha1", "kind": "Workflow", "metadata": {"name": "bench"}, "spec": spec}
    )
    return made.model_copy(update={"spec": made.spec.model_copy(update={"steps": steps})})


MEASURES: dict[str, Measure] = {
    "chain": chain,
    "many": many,
    "writes": writes,
    "fan": fan,
    "foreach": foreach,
    "grow": grow,
}
