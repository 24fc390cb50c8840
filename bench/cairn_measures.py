"""Cairn's side: runs inside this process, with the real executor, on a store made for each call.

The Workflow's models are built without the limit of 500 steps, which is the manifest's and not the engine's.
What is timed is the loop from its first decision to its last commit; opening the store, compiling the
Workflow and importing the steps is start-up, which `process_measures` has.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast
from uuid import uuid4

import orjson
from bench.measures import Measure, Quantities, Stopwatch, growth, need
from bench.texts import CHANNELS, INITIAL

from cairn_runtime.engine.compiled import compile_workflow
from cairn_runtime.engine.control import Control
from cairn_runtime.engine.execute import CodeSource, Executor
from cairn_runtime.engine.fold import read_payload
from cairn_runtime.engine.frontier import RunState
from cairn_runtime.engine.history import fold_at
from cairn_runtime.engine.loop import RunLoop
from cairn_runtime.model.values import JSONObject
from cairn_runtime.model.workflow import Step, Workflow
from cairn_runtime.store.base import NewRun, Store
from cairn_runtime.store.codec import Codec
from cairn_runtime.store.opening import open_store
from cairn_runtime.store.threads import ThreadedStore

STEPS = Path(__file__).parent / "steps"
URLS = {"memory": "memory:", "sqlite": "sqlite:///{}/cairn.db", "file": "file://{}/runs"}


@dataclass(frozen=True, slots=True)
class Done:
    """A run that succeeded, its store still open."""

    watch: Stopwatch
    channels: JSONObject
    run_id: str


async def chain(folder: str, *, store: str, durability: str, steps: int) -> Quantities:
    """Steps one after the other; each rewrites one of ten channels of 1 KiB."""
    channels = {name: {"initial": value} for name, value in INITIAL.items()}
    listed = [_step(f"s{n}", "rewrite", [f"s{n - 1}"] if n else []) for n in range(steps)]
    workflow = _workflow(listed, state={"channels": channels}, checkpoint={"durability": durability})
    opened = await open_store(URLS[store].format(folder))
    try:
        done = await _run(opened, workflow)
    finally:
        await opened.close()
    need(
        len([value for name, value in done.channels.items() if name in INITIAL and value != INITIAL[name]]),
        CHANNELS,
    )
    return done.watch.per(steps)


async def fan(folder: str, *, store: str, width: int) -> Quantities:
    """One step, so many beside each other, and one that waits for all."""
    middle = [f"m{n}" for n in range(width)]
    listed = [
        _step("a", "one", []),
        *(_step(name, "one", ["a"]) for name in middle),
        _step("z", "one", middle),
    ]
    opened = await open_store(URLS[store].format(folder))
    try:
        done = await _run(
            opened, _workflow(listed, state={"channels": {"total": {"reducer": "add", "initial": 0}}})
        )
    finally:
        await opened.close()
    need(done.channels["total"], width + 2)
    return done.watch.per(width + 2)


async def foreach(folder: str, *, store: str, items: int) -> Quantities:
    """A foreach whose items return a result each; ten are under way at a time."""
    listed = [_step("each", "double", [], foreach={"in": "input.list", "collect": "out"})]
    opened = await open_store(URLS[store].format(folder))
    try:
        done = await _run(opened, _workflow(listed, input={"list": list(range(items))}))
    finally:
        await opened.close()
    need(done.channels["out"], [2 * n for n in range(items)])
    return done.watch.per(items)


async def grow(folder: str, *, store: str, steps: int) -> Quantities:
    """A loop that appends 1 KiB at each visit; then the state is read back from the store."""
    again = {"to": "append", "when": f"visits.append < {steps}"}
    listed = [_step("append", "append", [], next=[again], maxVisits=steps)]
    workflow = _workflow(listed, state={"channels": {"log": {"reducer": "append", "initial": []}}})
    url = URLS[store].format(folder)
    with Stopwatch() as whole:
        opened = await open_store(url)
        try:
            done = await _run(opened, workflow)
        finally:
            await opened.close()
    done.watch.written_bytes = whole.written_bytes
    opened = await open_store(url)
    try:
        run = await opened.run(done.run_id)
        begin = time.perf_counter()
        folded = await fold_at(opened, Codec(), run.run_id, run.head_seq)
        read_seconds = time.perf_counter() - begin
        need(len(cast("list[Any]", folded.state.channels["log"])), steps)
        plain = await _plain_bytes(opened, run.run_id)
    finally:
        await opened.close()
    found = growth(done.watch, Path(folder), count=steps, payload_bytes=run.bytes, read_seconds=read_seconds)
    return {**found, "plain": plain / (steps * 1024)}


async def _run(store: Store, workflow: Workflow) -> Done:
    """Run a Workflow to its end on an open store."""
    executor = Executor(code=CodeSource(str(STEPS)))
    try:
        flow = compile_workflow(workflow, executor.load_function)
        run_id = str(uuid4())
        await store.create_run(NewRun(run_id, "default/bench/uid", {}, flow.graph_hash, run_id))
        await store.claim(run_id, 0, str(uuid4()))
        control = Control.at_head(store, Codec(), await store.run(run_id), flow.graph_hash)
        loop = RunLoop(flow, RunState(), control, executor, key_base=run_id)
        if isinstance(store, ThreadedStore):
            store.alone = loop.alone  # as the runner process does
        executor.prepare(workflow.spec.steps[0])
        loop.begin()
        with Stopwatch() as watch:
            ending = await loop.run()
        need(ending.phase, "Succeeded")
        return Done(watch, loop.state.channels, run_id)
    finally:
        await executor.close()


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


MEASURES: dict[str, Measure] = {"chain": chain, "fan": fan, "foreach": foreach, "grow": grow}
