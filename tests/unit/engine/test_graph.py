"""The graph's tables against the words of the rule, followed literally on small graphs."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cairn_runtime.engine.graph import Graph, bits, build_graph

Edges = list[tuple[str, str]]


def graph_of(*edges: str, names: str = "") -> Graph:
    """Build a graph of one-letter steps from edges such as `ab`."""
    order = names or "".join(sorted({letter for edge in edges for letter in edge}))
    return build_graph(list(order), [(edge[0], edge[1]) for edge in edges])


def named(graph: Graph, members: int) -> str:
    return "".join(graph.names[n] for n in bits(members))


@pytest.mark.parametrize(
    ("edges", "waiting", "holding"),
    [
        pytest.param(["ab", "bc"], "c", "ab", id="every step above holds back in a chain"),
        pytest.param(["ab", "ac", "cd"], "b", "a", id="a branch that does not lead there does not hold back"),
        pytest.param(["ab", "bc", "cb"], "c", "ab", id="a head holds back its loop"),
        pytest.param(["ab", "bc", "cb"], "b", "ac", id="a head waits until the pass is over"),
        pytest.param(
            ["ab", "bc", "cb", "cd"], "d", "abc", id="a step that hangs on a loop waits for all of it"
        ),
        pytest.param(["ab", "bb"], "b", "a", id="a step that leads to itself does not hold back itself"),
        pytest.param(
            ["ab", "bc", "cd", "dc", "db"], "c", "abd", id="the outer head holds back the inner one"
        ),
        pytest.param(
            ["ab", "bc", "cd", "db", "bx", "xd"], "x", "ab", id="a loop edge leads around to no sibling"
        ),
        pytest.param(
            ["ab", "bp", "pc", "cb", "ax", "xc"], "p", "ab", id="nor from outside, through the next pass"
        ),
        pytest.param(
            ["ab", "bc", "cb", "ax", "xc"], "b", "acx", id="the next pass waits for who joins the loop late"
        ),
    ],
)
def test_a_step_is_held_back_by_what_can_still_lead_to_it(
    edges: list[str], waiting: str, holding: str
) -> None:
    """`blockers` holds exactly the steps with a path that counts."""
    graph = graph_of(*edges)

    assert named(graph, graph.blockers[graph.index[waiting]]) == holding


def test_entering_a_loop_waits_for_no_loop_edge() -> None:
    """Who only leads to the head through the loop itself does not hold back its first pass."""
    graph = graph_of("ab", "bc", "cb", "ax", "xc")

    assert named(graph, graph.entry_blockers[graph.index["b"]]) == "a"


@pytest.mark.parametrize(
    ("edges", "names", "entries"),
    [
        pytest.param(["ab"], "ab", "a", id="single steps without edges from outside"),
        pytest.param(
            ["ab", "ba"], "ba", "b", id="the first in the file where a loop has no edge from outside"
        ),
        pytest.param(["ab", "ba", "ca"], "abc", "c", id="no entry into a loop that is entered from outside"),
        pytest.param(["ab"], "abx", "ax", id="steps without any edge"),
    ],
)
def test_first_tokens_go_to_the_entries(edges: list[str], names: str, entries: str) -> None:
    """Entries are the heads of parts with no edge from outside."""
    graph = graph_of(*edges, names=names)

    assert "".join(graph.names[n] for n in graph.entries) == entries


def test_loops_inside_a_loop_show_without_its_loop_edges() -> None:
    """A loop's inner loops are found, outermost first."""
    graph = graph_of("ab", "bc", "cd", "dc", "db")

    assert [(graph.names[loop.head], named(graph, loop.members)) for loop in graph.loops] == [
        ("b", "bcd"),
        ("c", "cd"),
    ]


@st.composite
def small_graphs(draw: st.DrawFn) -> tuple[list[str], Edges]:
    count = draw(st.integers(1, 7))
    names = [f"s{n}" for n in range(count)]
    pairs = [(a, b) for a in names for b in names]
    return names, draw(st.lists(st.sampled_from(pairs), max_size=14, unique=True))


@settings(max_examples=400, deadline=None)
@given(small_graphs())
def test_the_tables_equal_the_rule_followed_literally(case: tuple[list[str], Edges]) -> None:
    """Whatever the graph: path by path search gives the same blockers, loops and entries."""
    names, edges = case
    graph = build_graph(names, edges)
    literal = Literal(names, edges)

    for waiting in names:
        row = graph.index[waiting]
        assert {graph.names[n] for n in bits(graph.blockers[row])} == literal.holding_back(waiting)
        assert {graph.names[n] for n in bits(graph.entry_blockers[row])} == literal.holding_back_entry(
            waiting
        )
    assert {graph.names[n] for n in graph.entries} == literal.entries()


class Literal:
    """The rule's sentences, one method each, with no table and no bit."""

    def __init__(self, names: list[str], edges: Edges) -> None:
        self.names = names
        self.edges = set(edges)
        self.loops = list(self._loops(set(names), self.edges))

    def _reach(self, start: str, edges: set[tuple[str, str]]) -> set[str]:
        found, front = set(), {start}
        while front:
            front = {b for a, b in edges if a in front} - found
            found |= front
        return found

    def _loops(self, members: set[str], edges: set[tuple[str, str]]) -> Iterator[tuple[str, frozenset[str]]]:
        seen: set[str] = set()
        for name in self.names:
            if name not in members or name in seen:
                continue
            ahead = self._reach(name, edges)
            part = {other for other in ahead if name in self._reach(other, edges)}
            if not part:
                continue
            seen |= part
            inside = {(a, b) for a, b in edges if a in part and b in part}
            from_outside = [
                n for n in self.names if n in part and any(b == n and a not in part for a, b in self.edges)
            ]
            head = from_outside[0] if from_outside else next(n for n in self.names if n in part)
            yield head, frozenset(part)
            yield from self._loops(part, {(a, b) for a, b in inside if b != head})

    def holding_back(self, waiting: str) -> set[str]:
        """Steps with a path to it, over no loop edge of a loop that holds it unless that leads to itself."""
        holding = [(head, part) for head, part in self.loops if waiting in part]
        cut = {
            (a, b)
            for a, b in self.edges
            for head, part in holding
            if a in part and b == head and b != waiting
        }
        return {
            name for name in self.names if name != waiting and waiting in self._reach(name, self.edges - cut)
        }

    def holding_back_entry(self, waiting: str) -> set[str]:
        """The same without any loop edge, for a head; nobody for other steps."""
        if all(head != waiting for head, _ in self.loops):
            return set()
        holding = [(head, part) for head, part in self.loops if waiting in part]
        cut = {(a, b) for a, b in self.edges for head, part in holding if a in part and b == head}
        return {
            name for name in self.names if name != waiting and waiting in self._reach(name, self.edges - cut)
        }

    def entries(self) -> set[str]:
        parts = {
            name: frozenset(
                {name} | {o for o in self._reach(name, self.edges) if name in self._reach(o, self.edges)}
            )
            for name in self.names
        }
        heads = {part: head for head, part in reversed(self.loops)}
        return {
            heads.get(part, name)
            for name, part in parts.items()
            if not any(b in part and a not in part for a, b in self.edges)
        }
