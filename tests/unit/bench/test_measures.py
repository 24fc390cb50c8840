"""The benchmark's measures run, at sizes that take no time, and stop where something else was computed."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path

import pytest
from bench import cairn_measures, floor_measures, process_measures
from bench.cases import FULL, QUICK, Case
from bench.machine import file_system, fsync_ms
from bench.measures import Measure, Stopwatch, need, spread
from bench.rounds import MODULES, cases_of
from bench.rows import DEFAULTS, local_rows
from bench.server_rows import server_rows
from bench.texts import large_texts

ROOT = Path(__file__).parents[3]
STORES = ["memory", "sqlite", "file"]
READ_ONLY = ("langgraph", "dbos")
"""Sides that are read, not imported: they are no dependency of the tests."""


@pytest.mark.parametrize("store", STORES)
@pytest.mark.parametrize("durability", ["sync", "async", "exit"])
async def test_a_chain_is_measured_on_every_store_with_every_durability(store, durability, tmp_path):
    """All ten channels are rewritten, both clocks have run, and the state was read back."""
    found = await cairn_measures.chain(str(tmp_path), store=store, durability=durability, steps=12)

    assert found["ms"] > 0
    assert found["cpu_ms"] > 0
    assert found["read_ms"] > 0


@pytest.mark.parametrize("store", STORES)
async def test_many_runs_at_once_are_measured_on_one_store(store, tmp_path):
    """Every run of them rewrites its own channels, or the measure stops."""
    found = await cairn_measures.many(str(tmp_path), store=store, runs=3, steps=12)

    assert found["steps_a_second"] > 0


@pytest.mark.parametrize("store", STORES)
async def test_writes_of_one_size_are_timed_one_by_one(store, tmp_path):
    """What is between two steps is one write; the state read back holds the last of them."""
    found = await cairn_measures.writes(str(tmp_path), store=store, kib=4, count=15)

    assert 0 < found["p50_ms"] <= found["p99_ms"]


async def test_the_floor_inserts_the_payloads_of_the_same_chain():
    """One row for the beginning and one for each step: the texts cannot be packed much further."""
    rows = await cairn_measures.rewritten(12)

    assert len(rows) == 1 + 12
    assert all(len(row.payload or b"") == row.size > 700 for row in rows)


@pytest.mark.parametrize("store", STORES)
async def test_a_fan_out_wider_than_a_manifest_may_be_is_measured(store, tmp_path):
    """The limit of 500 steps is the manifest's and not the engine's."""
    assert (await cairn_measures.fan(str(tmp_path), store=store, width=510))["ms"] > 0


@pytest.mark.parametrize("store", STORES)
async def test_a_foreach_is_measured(store, tmp_path):
    """Results come back in item order, or the measure stops."""
    assert (await cairn_measures.foreach(str(tmp_path), store=store, items=25))["ms"] > 0


@pytest.mark.parametrize("store", ["sqlite", "file"])
async def test_growth_counts_what_was_stored_written_and_left_on_disk(store, tmp_path):
    """No payload is smaller than three quarters of what was appended: the texts cannot be packed further."""
    found = await cairn_measures.grow(str(tmp_path), store=store, steps=30)

    assert 0.75 < found["stored"] < found["plain"]
    assert found["stored"] < found["disk"]
    assert found["stored"] < found["written"]
    assert found["read_ms"] > 0


async def test_a_runner_says_when_its_first_task_began_and_what_it_took(tmp_path):
    """The clock is the machine's, so that two processes read the same one."""
    found = await process_measures.runner(str(tmp_path), store="sqlite")

    assert found["seconds"] > 0
    assert found["peak_mib"] > 10


async def test_a_manifest_is_validated_in_a_process_of_its_own(tmp_path):
    """A program that does not end well stops the measure."""
    found = await process_measures.validate(str(tmp_path), steps=3)

    assert found["seconds"] >= found["cpu_seconds"] / 2
    assert found["peak_mib"] > 10


@pytest.mark.slow
async def test_no_committed_item_of_a_killed_foreach_runs_twice(tmp_path):
    """What ran and was not committed may run again; it is counted."""
    found = await process_measures.killed(str(tmp_path), store="sqlite", items=3000)

    assert found["twice"] == 0
    assert found["again"] >= 0
    assert found["seconds"] > 0


def test_a_measure_that_computed_the_wrong_thing_stops():
    """A fast wrong answer is no measurement."""
    with pytest.raises(AssertionError, match="computed 1, not 2"):
        need(1, 2)


def test_a_stopwatch_counts_wall_and_processor_time():
    """Both clocks run while something is computed."""
    with Stopwatch() as watch:
        sum(range(100_000))

    assert watch.seconds > 0
    assert watch.cpu_seconds > 0


@pytest.mark.parametrize(
    ("seconds", "p50", "p99"),
    [
        pytest.param([0.001], 1.0, 1.0, id="one write is all of them"),
        pytest.param([0.001, 0.002], 1.0, 2.0, id="half of two is the first"),
        pytest.param([n / 1000 for n in range(100, 0, -1)], 50.0, 99.0, id="one of a hundred may be slower"),
        pytest.param([n / 1000 for n in range(1, 1001)], 500.0, 990.0, id="ten of a thousand may be slower"),
    ],
)
def test_a_percentile_is_a_write_that_there_was(seconds, p50, p99):
    """The nearest rank: nothing is interpolated between a fast write and a slow one."""
    found = spread(seconds)

    assert found["p50_ms"] == pytest.approx(p50)
    assert found["p99_ms"] == pytest.approx(p99)


def test_large_texts_have_their_size_and_differ():
    """A write that repeats the last one's bytes would be no write to some."""
    texts = large_texts(4)

    assert {len(text) for text in texts} == {4096}
    assert len(set(texts)) == len(texts)


def test_a_sync_is_timed_in_the_folder_that_is_asked_for(tmp_path):
    """The machine's line tells of the disk that the stores are on, and leaves nothing there."""
    assert fsync_ms(tmp_path, page_bytes=8192, count=3) > 0
    assert file_system(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("sizes", [FULL, QUICK], ids=["full", "quick"])
def test_every_case_calls_a_measure_with_the_parameters_that_it_takes(sizes):
    """A name that is wrong would be found after minutes, in the middle of a run."""
    taken = {
        "cairn": _taken(cairn_measures.MEASURES),
        "processes": _taken(process_measures.MEASURES),
        "floor": _taken(floor_measures.MEASURES),
        **{side: _written(side) for side in READ_ONLY},
    }
    rows = [*local_rows(sizes, "x.yaml"), *server_rows(sizes)]

    wrong = [case.key for case in [*cases_of(rows), DEFAULTS] if not _fits(case, taken)]

    assert wrong == []


def test_both_engines_have_the_same_measures():
    """A measure of one side alone would be no comparison; LangGraph's has one more, for its defaults."""
    assert set(_written("langgraph")) - {"defaults"} == set(cairn_measures.MEASURES)
    assert set(_written("dbos")) < set(cairn_measures.MEASURES)
    assert set(floor_measures.MEASURES) < set(cairn_measures.MEASURES)


def _fits(case: Case, taken: dict[str, dict[str, set[str]]]) -> bool:
    known = taken[case.side].get(case.measure, set())
    return set(case.parameters) <= known and set(case.warm or {}) <= known


def _taken(measures: dict[str, Measure]) -> dict[str, set[str]]:
    return {name: set(inspect.signature(measure).parameters) for name, measure in measures.items()}


def _written(side: str) -> dict[str, set[str]]:
    """Public async functions of a side's module that measure, and the names of their own parameters."""
    tree = ast.parse((ROOT / f"{MODULES[side].replace('.', '/')}.py").read_text())
    found = [node for node in tree.body if isinstance(node, ast.AsyncFunctionDef)]
    measures = [node for node in found if [argument.arg for argument in node.args.args] == ["folder"]]
    public = [node for node in measures if not node.name.startswith("_")]
    return {node.name: {argument.arg for argument in node.args.kwonlyargs} for node in public}
