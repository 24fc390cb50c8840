"""Whole processes: how long `cairn validate` and a runner take to start, and how a killed foreach goes on.

A process's memory is its peak as the kernel counts it. Of one that ends by itself `wait4` tells it, to a
launcher that is smaller than any Python with imports: at first a child's size is its parent's.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast
from uuid import uuid4

from bench.measures import Measure, Quantities, need
from bench.places import place

from cairn_runtime.engine.history import fold_at
from cairn_runtime.model.values import JSONObject
from cairn_runtime.store.base import NewRun
from cairn_runtime.store.codec import Codec
from cairn_runtime.store.opening import open_store

ROOT = Path(__file__).parents[1]
STEPS = ROOT / "bench" / "steps"
CAIRN = Path(sys.executable).with_name("cairn")
MIB = 1024 * 1024
_LAUNCHER = """
import json, os, sys, time
begin = time.monotonic()
null = [(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)]
pid = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ, file_actions=null)
_, status, usage = os.wait4(pid, 0)
cpu = usage.ru_utime + usage.ru_stime
print(json.dumps([time.monotonic() - begin, cpu, usage.ru_maxrss * 1024, os.waitstatus_to_exitcode(status)]))
"""
_LINE_BYTES = 37
"""Length of a line that the step `logged` writes."""


async def validate(folder: str, *, manifest: str = "", steps: int = 0) -> Quantities:
    """`cairn validate` on a file of the tree, or on a manifest made of so many steps."""
    path = ROOT / manifest
    if not manifest:
        path = Path(folder) / "workflow.yaml"
        path.write_text(json.dumps(_manifest([_made(n) for n in range(steps)])))
    return await _launched([str(CAIRN), "validate", str(path)])


async def imports(_folder: str) -> Quantities:
    """A process that imports all that a runner needs, and ends."""
    return await _launched([sys.executable, "-P", "-c", "import cairn_runtime.runner.process"])


async def python(_folder: str) -> Quantities:
    """A process that does nothing: what the interpreter itself takes."""
    return await _launched([sys.executable, "-P", "-c", "pass"])


async def runner(folder: str, *, store: str) -> Quantities:
    """A runner process, from before its start to the first line of its first task."""
    async with place(store, folder) as where:
        run = await _new_run(folder, where.url, [{"name": "begun", "python": "watched:begun"}])
        begin = time.monotonic_ns()
        async with _running(run) as process:
            need(await process.wait(), 0)
    now, cpu, peak = run.log.read_text().split()
    return {
        "seconds": (int(now) - begin) / 1e9,
        "cpu_seconds": float(cpu),
        "peak_mib": int(peak) * 1024 / MIB,
    }


async def killed(folder: str, *, store: str, items: int) -> Quantities:
    """A foreach whose runner is killed at half; how soon the next one has run its first item."""
    step: JSONObject = {"name": "each", "python": "watched:logged"}
    step["foreach"] = {"in": "input.list", "collect": "out"}
    async with place(store, folder) as where:
        run = await _new_run(folder, where.url, [step], input={"list": list(range(items))})
        return await _killed_at_half(run, items)


async def _killed_at_half(run: _Run, items: int) -> Quantities:
    async with _running(run) as process:
        while len(run.lines()) < items // 2:
            need(process.returncode, None)
            await asyncio.sleep(0.002)
        process.kill()
        await process.wait()
    committed = await _items_done(run)
    before = len(run.lines())
    await run.claim_again()
    begin = time.monotonic_ns()
    async with _running(run) as process:
        need(await process.wait(), 0)
    after = run.lines()[before:]
    await _check_results(run, items)
    need(sorted({item for _, item in run.lines()}), list(range(items)))
    return {
        "seconds": (after[0][0] - begin) / 1e9,
        "twice": len([item for _, item in after if item in committed]),
        "again": before - len(committed),
    }


@dataclass(slots=True)
class _Run:
    """A run in some store, and the claim for its next runner."""

    folder: Path
    url: str
    run_id: str
    epoch: int
    claim_id: str

    @property
    def log(self) -> Path:
        return self.folder / "log"

    def lines(self) -> list[tuple[int, int]]:
        """Moment and position of each item that was run, in order."""
        data = self.log.read_bytes() if self.log.exists() else b""
        whole = len(data) // _LINE_BYTES * _LINE_BYTES
        rows = (data[at : at + _LINE_BYTES].split() for at in range(0, whole, _LINE_BYTES))
        return [(int(row[0]), int(row[2])) for row in rows]

    async def claim_again(self) -> None:
        """Claim the run for its next runner."""
        store = await open_store(self.url)
        self.epoch, self.claim_id = await store.claim(self.run_id, self.epoch, str(uuid4()))
        await store.close()


async def _new_run(folder: str, url: str, steps: Sequence[JSONObject], **fields: Any) -> _Run:  # noqa: ANN401
    """Make a run and claim it."""
    run = _Run(Path(folder), url, str(uuid4()), 0, "")
    store = await open_store(run.url)
    manifest = _manifest(list(steps), **fields)
    await store.create_run(
        NewRun(run.run_id, "default/bench/uid", manifest, "", run.run_id, folder=str(STEPS))
    )
    await store.close()
    await run.claim_again()
    return run


@asynccontextmanager
async def _running(run: _Run) -> Any:  # noqa: ANN401 - mypy has no name for a process of asyncio
    """Start a runner process of a run; it is over when the block is."""
    environment = {
        **os.environ,
        "BENCH_LOG": str(run.log),
        "CAIRN_RUN_ID": run.run_id,
        "CAIRN_EPOCH": str(run.epoch),
        "CAIRN_CLAIM": run.claim_id,
        "CAIRN_STORE_URL": run.url,
        "CAIRN_TERMINATION_MESSAGE": str(run.folder / "last-word"),
    }
    with (run.folder / "output").open("ab") as output:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-P", "-m", "cairn_runtime.runner", env=environment, stdout=output, stderr=output
        )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def _items_done(run: _Run) -> set[int]:
    """Positions whose end is committed."""
    store = await open_store(run.url)
    head = (await store.run(run.run_id)).head_seq
    folded = await fold_at(store, Codec(), run.run_id, head)
    await store.close()
    return set(folded.state.groups["each"].results)


async def _check_results(run: _Run, items: int) -> None:
    """See that the run succeeded with every result in its place."""
    store = await open_store(run.url)
    row = await store.run(run.run_id)
    folded = await fold_at(store, Codec(), run.run_id, row.head_seq)
    await store.close()
    need(row.phase, "Succeeded")
    need(folded.state.channels["out"], [2 * n for n in range(items)])


async def _launched(command: list[str]) -> Quantities:
    """Run a program to its end: wall and processor seconds, peak memory."""
    launcher = await asyncio.create_subprocess_exec(
        sys.executable, "-I", "-S", "-c", _LAUNCHER, *command, stdout=asyncio.subprocess.PIPE
    )
    said, _ = await launcher.communicate()
    seconds, cpu_seconds, peak, code = cast("list[float]", json.loads(said))
    need(code, 0)
    return {"seconds": seconds, "cpu_seconds": cpu_seconds, "peak_mib": peak / MIB}


def _manifest(steps: list[JSONObject], **fields: Any) -> JSONObject:  # noqa: ANN401 - a manifest's fields
    return {
        "apiVersion": "cairn.dev/v1alpha1",
        "kind": "Workflow",
        "metadata": {"name": "bench"},
        "spec": cast("JSONObject", {"steps": steps, **fields}),
    }


def _made(n: int) -> JSONObject:
    """One of many steps: every third has a condition, so that expressions are compiled too."""
    step: JSONObject = {"name": f"s{n}", "run": "true"}
    if n:
        step["needs"] = [f"s{n - 1}"]
    if n % 3 == 0:
        step["when"] = "visits.s0 < 2"
    return step


MEASURES: dict[str, Measure] = {
    "validate": validate,
    "imports": imports,
    "python": python,
    "runner": runner,
    "killed": killed,
}
