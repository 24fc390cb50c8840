"""The benchmark's measures run, at sizes that take no time, and stop where something else was computed."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path

import pytest
from bench import cairn_measures, process_measures
from bench.measures import Measure, Stopwatch, need
from bench.rounds import MODULES, cases_of
from bench.rows import FULL, QUICK, Case, table

ROOT = Path(__file__).parents[3]
STORES = ["memory", "sqlite", "file"]


@pytest.mark.parametrize("store", STORES)
@pytest.mark.parametrize("durability", ["sync", "async", "exit"])
async def test_a_chain_is_measured_on_every_store_with_every_durability(store, durability, tmp_path):
    """All ten channels are rewritten, and both clocks have run."""
    found = await cairn_measures.chain(str(tmp_path), store=store, durability=durability, steps=12)

    assert found["ms"] > 0
    assert found["cpu_ms"] > 0


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
    found = await process_measures.runner(str(tmp_path))

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
    found = await process_measures.killed(str(tmp_path), items=3000)

    assert found["twice"] == 0
    assert found["again"] >= 0
    assert found["seconds"] > 0


def test_a_measure_that_computed_the_wrong_thing_stops():
    """A fast wrong answer is no measurement."""
    with pytest.raises(AssertionError, match="computed 1, not 2"):
        need(1, 2)


def test_a_stopwatch_counts_processor_time_and_bytes_written(tmp_path):
    """Bytes are those handed to the system, whatever becomes of them."""
    with Stopwatch() as watch:
        (tmp_path / "file").write_bytes(bytes(100_000))

    assert watch.seconds > 0
    assert 100_000 <= watch.written_bytes < 200_000


@pytest.mark.parametrize("sizes", [FULL, QUICK], ids=["full", "quick"])
def test_every_case_calls_a_measure_with_the_parameters_that_it_takes(sizes):
    """LangGraph's side is read, not imported: it is no dependency of the tests."""
    taken = {"cairn": _taken(cairn_measures.MEASURES), "processes": _taken(process_measures.MEASURES)}
    taken["langgraph"] = _written(ROOT / f"{MODULES['langgraph'].replace('.', '/')}.py")

    wrong = [case.key for case in cases_of(table(sizes, "x.yaml")) if not _fits(case, taken)]

    assert wrong == []


def test_both_sides_have_the_same_measures():
    """A measure of one side alone would be no comparison; LangGraph's has one more, for its defaults."""
    assert set(_written(ROOT / "bench/langgraph_measures.py")) - {"defaults"} == set(cairn_measures.MEASURES)


def _fits(case: Case, taken: dict[str, dict[str, set[str]]]) -> bool:
    known = taken[case.side].get(case.measure, set())
    return set(case.parameters) <= known and set(case.warm or {}) <= known


def _taken(measures: dict[str, Measure]) -> dict[str, set[str]]:
    return {name: set(inspect.signature(measure).parameters) for name, measure in measures.items()}


def _written(path: Path) -> dict[str, set[str]]:
    """Public async functions of a module, and the names of their keyword-only parameters."""
    found = [node for node in ast.parse(path.read_text()).body if isinstance(node, ast.AsyncFunctionDef)]
    public = [node for node in found if not node.name.startswith("_")]
    return {node.name: {argument.arg for argument in node.args.kwonlyargs} for node in public}
