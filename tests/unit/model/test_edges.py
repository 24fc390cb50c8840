"""The edge list: which edges a step draws, and in what order."""

from __future__ import annotations

from cairn_runtime.model.edges import Edge, edges
from cairn_runtime.model.workflow import Step


def _steps(*documents: dict[str, object]) -> list[Step]:
    return [Step.model_validate({"run": "true", **document}) for document in documents]


def test_each_field_draws_its_edges_in_file_order() -> None:
    """A step draws needs, next, catch and goto, in this order, after the steps before it in the file."""
    steps = _steps(
        {"name": "a", "next": [{"to": "b"}, {"to": "c", "otherwise": True}], "catch": "c"},
        {"name": "b", "needs": ["a", "c"], "goto": ["a", "c"]},
        {"name": "c"},
    )

    found = edges(steps)

    assert found == [
        Edge("a", "b", "next", 0),
        Edge("a", "c", "next", 1),
        Edge("a", "c", "catch", 0),
        Edge("a", "b", "needs", 0),
        Edge("c", "b", "needs", 1),
        Edge("b", "a", "goto", 0),
        Edge("b", "c", "goto", 1),
    ]


def test_an_edge_to_an_unknown_step_stays_in_the_list() -> None:
    """Names are judged by validation, so the list leaves nothing out."""
    found = edges(_steps({"name": "a", "needs": ["nobody"]}))

    assert found == [Edge("nobody", "a", "needs", 0)]
