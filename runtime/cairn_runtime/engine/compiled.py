"""A Workflow made ready to run: graph, expressions, reducers and retry settings, worked out once.

Everything that the planner asks at every step is a field here, so that deciding is looking up.
Pure but for the user's reducers, which the caller loads.
"""

from __future__ import annotations

from dataclasses import dataclass

from cairn_runtime.channels.cells import Cells, LoadFunction, build_cells
from cairn_runtime.engine.graph import Graph, build_graph
from cairn_runtime.engine.retry import RetrySettings, resolve
from cairn_runtime.model.edges import edges
from cairn_runtime.model.expressions import Expression, compile_expression
from cairn_runtime.model.fingerprints import graph_hash
from cairn_runtime.model.values import JSONObject
from cairn_runtime.model.workflow import CheckpointPolicy, Spec, Step, Workflow


@dataclass(frozen=True, slots=True)
class Branch:
    """A `next` entry."""

    to: str
    when: Expression | None
    otherwise: bool


@dataclass(frozen=True, slots=True)
class CompiledStep:
    """A step with all that the planner asks of it."""

    name: str
    index: int
    spec: Step
    followers: tuple[str, ...]
    """Steps that name this one in `needs`: edges that always fire."""
    branches: tuple[Branch, ...]
    when: Expression | None
    list_: Expression | None
    """The foreach list."""
    collect: str | None
    parallelism: int
    any_join: bool
    joins: bool
    """Whether several edges lead here: what policy Barrier looks for."""
    waits: bool
    """Whether the step is a wait and runs no code: approval, signal, sleep."""
    retry: RetrySettings

    @property
    def when_per_item(self) -> bool:
        """Whether `when` is asked for each item."""
        return self.when is not None and self.when.uses_item


@dataclass(frozen=True, slots=True)
class CompiledWorkflow:
    """A Workflow with all that the engine asks of it."""

    name: str
    graph: Graph
    steps: dict[str, CompiledStep]
    cells: Cells
    input: JSONObject
    checkpoint: CheckpointPolicy
    timeout_seconds: float | None
    graph_hash: str


def compile_workflow(workflow: Workflow, load: LoadFunction) -> CompiledWorkflow:
    """Work out everything about a valid Workflow that does not depend on a run.

    Raises:
        StepUnusable: a reducer's function cannot be loaded.
    """
    spec = workflow.spec
    drawn = edges(spec.steps)
    graph = build_graph([step.name for step in spec.steps], [(e.source, e.target) for e in drawn])
    followers: dict[str, list[str]] = {step.name: [] for step in spec.steps}
    for edge in drawn:
        if edge.kind == "needs":
            followers[edge.source].append(edge.target)
    steps = {
        step.name: _compile_step(spec, step, n, tuple(followers[step.name]), graph)
        for n, step in enumerate(spec.steps)
    }
    return CompiledWorkflow(
        name=workflow.metadata.name,
        graph=graph,
        steps=steps,
        cells=build_cells(spec, load),
        input=spec.input,
        checkpoint=spec.checkpoint,
        timeout_seconds=spec.timeout,
        graph_hash=graph_hash(spec),
    )


def _compile_step(
    spec: Spec, step: Step, index: int, followers: tuple[str, ...], graph: Graph
) -> CompiledStep:
    path = f"spec.steps[{index}]"
    foreach = step.foreach
    return CompiledStep(
        name=step.name,
        index=index,
        spec=step,
        followers=followers,
        branches=tuple(
            Branch(
                to=branch.to,
                when=compile_expression(branch.when, f"{path}.next[{n}].when") if branch.when else None,
                otherwise=branch.otherwise,
            )
            for n, branch in enumerate(step.next)
        ),
        when=compile_expression(step.when, f"{path}.when") if step.when else None,
        list_=compile_expression(foreach.in_, f"{path}.foreach.in") if foreach else None,
        collect=foreach.collect if foreach else None,
        parallelism=foreach.parallelism if foreach else 1,
        any_join=step.join == "any",
        joins=len(graph.sources[index]) > 1,
        waits=step.approval is not None or step.signal is not None or step.sleep is not None,
        retry=resolve(step.retry, spec.retry),
    )
