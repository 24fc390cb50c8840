"""Random graphs, random outcomes, random orders: the planner is never stuck and never depends on the
order.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.engine.builders import NOW, compiled

from cairn_runtime.engine.compiled import CompiledWorkflow
from cairn_runtime.engine.frontier import RunState
from cairn_runtime.engine.plan import Planner

MAX_JUMPS = 3
"""After so many visits a step jumps no more, so that every run ends."""


@dataclass(frozen=True)
class Case:
    """A graph and what each visit of each step decides."""

    flow: CompiledWorkflow
    choices: dict[tuple[str, int], str | None]

    def run(self, seed: int) -> tuple[dict[str, int], list[tuple[str, int]]]:
        """Complete tasks in an order drawn from the seed; answer how often each step ended, and the order."""
        order = random.Random(seed)
        planner = Planner(self.flow, RunState(), [])
        planner.begin({})
        planner.advance(NOW)
        done: list[tuple[str, int]] = []
        while planner.state.tasks:
            task = order.choice(list(planner.state.tasks.values()))
            planner.finish(task.step, None, self.choices.get((task.step, task.visit)))
            planner.advance(NOW)
            done.append((task.step, task.visit))
        assert planner.state.idle, f"stuck with tokens on {planner.state.tokens}"
        return dict(planner.state.ended), done


@st.composite
def cases(draw: st.DrawFn, *, cyclic: bool) -> Case:
    count = draw(st.integers(1, 8))
    names = [f"s{n}" for n in range(count)]
    needs: dict[str, list[str]] = {name: [] for name in names}
    gotos: dict[str, list[str]] = {name: [] for name in names}
    for n, name in enumerate(names):
        needs[name] = [other for other in names[:n] if draw(st.integers(0, 3)) == 0]
        targets = names if cyclic else names[n + 1 :]
        gotos[name] = [other for other in targets if draw(st.integers(0, 4)) == 0]
    order = draw(st.permutations(names))
    steps = [{"name": name, "needs": needs[name], "goto": gotos[name]} for name in order]
    choices = {
        (name, visit): draw(st.sampled_from([None, *gotos[name]]))
        for name in names
        for visit in range(1, MAX_JUMPS + 1)
    }
    return Case(compiled(steps), choices)


@settings(max_examples=500, deadline=None)
@given(cases(cyclic=True), st.lists(st.integers(0, 10**6), min_size=3, max_size=5))
def test_no_order_of_completion_changes_what_runs_or_gets_stuck(case: Case, seeds: list[int]) -> None:
    """Every order of completion runs every step the same number of times, and comes to an end."""
    results = [case.run(seed)[0] for seed in seeds]

    assert all(result == results[0] for result in results)


@settings(max_examples=300, deadline=None)
@given(cases(cyclic=False), st.integers(0, 10**6))
def test_an_acyclic_graph_runs_in_topological_order(case: Case, seed: int) -> None:
    """Each step runs at most once, and after every step that leads to it and runs at all."""
    ended, done = case.run(seed)

    place = {step: n for n, (step, _) in enumerate(done)}
    graph = case.flow.graph
    assert all(count == 1 for count in ended.values())
    for n, sources in enumerate(graph.sources):
        for source in sources:
            if graph.names[n] in place and graph.names[source] in place:
                assert place[graph.names[source]] < place[graph.names[n]]
