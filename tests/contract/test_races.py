"""Real processes on one store: whoever was told that a write is durable finds it in its place."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, cast

import pytest
from tests.servers.fixtures import with_option

from cairn_runtime.model.ids import new_id
from cairn_runtime.store.base import Checkpoint
from cairn_runtime.store.chain import verify_history, verify_payloads
from cairn_runtime.store.contract.cases import CODEC, begun, new_run
from cairn_runtime.store.opening import open_store

RACER = Path(__file__).with_name("racer.py")


@pytest.fixture(params=["sqlite", "file", "postgres", "redis"])
def url(request, url_of) -> str:
    """The place that all processes share."""
    # Races are about order, not about patience: a slow disk is no fault.
    return with_option(url_of(request.param), "timeout", "60s")


@contextmanager
def racers(
    url: str, run_id: str, what: str, *, rounds: int, count: int
) -> Iterator[list[subprocess.Popen[str]]]:
    """Start processes that wait for the word, and leave none behind."""
    command = [sys.executable, str(RACER), url, run_id, what, str(rounds)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    started = [subprocess.Popen(command, text=True, **cast("Any", pipes)) for _ in range(count)]
    try:
        yield started
    finally:
        for process in started:
            process.kill()
            process.communicate()


def race(url: str, run_id: str, what: str, *, rounds: int, count: int = 2) -> list[list[dict[str, Any]]]:
    """Let processes race to their end; answer what each was told."""
    with racers(url, run_id, what, rounds=rounds, count=count) as started:
        for process in started:
            cast("IO[str]", process.stdin).write("go\n")
            cast("IO[str]", process.stdin).flush()
        told = []
        for process in started:
            out, errors = process.communicate(timeout=100)
            assert process.returncode == 0, errors
            told.append([json.loads(line) for line in out.splitlines()])
        return told


async def history_of(url: str, run_id: str) -> list[Checkpoint]:
    """Read the run's checkpoints, proved."""
    store = await open_store(url)
    rows = await store.load(run_id)
    run = await store.run(run_id)
    await store.close()
    assert verify_history(rows) == []
    assert list(verify_payloads(rows, CODEC)) == []
    assert (run.head_seq, run.checkpoints) == (len(rows), len(rows))
    return rows


def acknowledged(told: list[list[dict[str, Any]]]) -> dict[int, str]:
    """Seqs and ids that any process was told of; no seq twice."""
    facts = [(fact["seq"], fact["id"]) for facts in told for fact in facts if "seq" in fact]
    assert max(Counter(seq for seq, _ in facts).values()) == 1
    return dict(facts)


async def test_two_processes_that_steal_a_run_lose_nothing(url):
    """A few hundred rounds of claims: every acknowledged commit is in the history, and nothing else is."""
    store = await open_store(url)
    run_id = (await store.create_run(new_run())).run_id
    await store.close()

    told = race(url, run_id, "steal", rounds=100)
    rows = await history_of(url, run_id)
    epochs = [fact["claim"] for facts in told for fact in facts if "claim" in fact]

    assert {row.seq: row.id for row in rows} == acknowledged(told)
    assert [row.epoch for row in rows] == sorted(row.epoch for row in rows)
    assert sorted(epochs) == list(range(1, 201))


async def test_of_two_processes_with_one_fence_one_wins_each_head(url):
    """A few hundred commits on the same heads: one of the two is acknowledged each time."""
    store = await open_store(url)
    run_id = (await store.create_run(new_run())).run_id
    await store.claim(run_id, 0, "shared")
    await store.close()

    told = race(url, run_id, "twin", rounds=150)
    rows = await history_of(url, run_id)

    assert {row.seq: row.id for row in rows} == acknowledged(told)
    assert len(rows) >= 2 * 150


async def test_a_killed_writer_loses_nothing_that_was_acknowledged(url):
    """SIGKILL amid its commits, five times: the next process goes on from there."""
    store = await open_store(url)
    run_id = (await store.create_run(new_run())).run_id
    await store.close()
    told: list[list[dict[str, Any]]] = []

    for stop_after in (7, 1, 30, 2, 15):
        with racers(url, run_id, "write", rounds=10_000, count=1) as (process,):
            cast("IO[str]", process.stdin).write("go\n")
            cast("IO[str]", process.stdin).flush()
            out = cast("IO[str]", process.stdout)
            lines = [out.readline() for _ in range(stop_after)]
            process.kill()
            # By the same reader: `communicate` would pass over the lines that it has in its buffer already.
            lines += out.readlines()
        told.append([json.loads(line) for line in lines if line.endswith("}\n")])
    rows = {row.seq: row.id for row in await history_of(url, run_id)}

    assert acknowledged(told).items() <= rows.items()
    # A commit whose answer was not heard may be there as well: at most one of two checkpoints for each kill.
    assert len(rows) - len(acknowledged(told)) <= 2 * 5


async def test_processes_that_open_a_new_store_at_once_make_one(url):
    """The schema is made once, and each run is created once."""
    prefix = new_id()

    told = race(url, prefix, "create", rounds=20, count=4)
    store = await open_store(url)
    runs = await store.runs()
    await store.close()

    assert len(runs) == 20
    assert [facts == told[0] for facts in told] == [True] * 4
    assert {fact["run"]: fact["at"] for fact in told[0]} == {
        run.run_id: run.created_at.isoformat() for run in runs
    }


async def test_signals_of_several_processes_are_numbered_once(url):
    """Without a hole, and each the same when it is sent again."""
    store = await open_store(url)
    writer = await begun(store)

    told = [fact for facts in race(url, writer.run_id, "signal", rounds=60, count=3) for fact in facts]
    signals = await store.signals(writer.run_id)
    await store.close()

    assert sorted(fact["number"] for fact in told) == list(range(1, 181))
    assert all(fact["number"] == fact["again"] for fact in told)
    assert {signal.number: signal.client_id for signal in signals} == {f["number"]: f["client"] for f in told}
