"""Drawings of a graph: every step once, every edge down, whatever the graph."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import pairwise
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.cli.builders import workflow

from cairn_runtime.cli.views.drawing_mermaid import draw_mermaid
from cairn_runtime.cli.views.drawing_svg import draw_svg
from cairn_runtime.cli.views.drawing_text import draw_text
from cairn_runtime.cli.views.layouts import layout
from cairn_runtime.cli.views.pictures import Arrow, Box, Picture, boxes_of, picture, picture_document
from cairn_runtime.cli.views.texts import cells
from cairn_runtime.engine.frontier import RunState

REVIEW = [
    {"name": "fetch", "python": "steps:fetch", "foreach": {"in": "state.urls"}},
    {"name": "count", "run": "wc -w < $CAIRN_STATE", "needs": ["fetch"]},
    {"name": "draft", "python": "steps:draft", "needs": ["fetch"]},
    {
        "name": "check",
        "python": "steps:check",
        "needs": ["draft", "count"],
        "next": [{"to": "draft", "when": "state.score < 7"}, {"to": "sign", "otherwise": True}],
    },
    {"name": "sign", "approval": {}},
    {"name": "send", "python": "steps:send", "needs": ["sign"], "catch": "mourn"},
    {"name": "mourn", "sleep": "1h30m"},
]


@st.composite
def pictures(draw: st.DrawFn) -> Picture:
    """Any graph: forward arrows in any number, and some that close loops."""
    names = [f"s{n}" for n in range(draw(st.integers(1, 14)))]
    pairs = st.tuples(st.sampled_from(names), st.sampled_from(names))
    arrows = []
    for a, b in draw(st.lists(pairs, max_size=30)):
        back = names.index(a) >= names.index(b)
        arrows.append(Arrow(a, b, "next" if back else "needs", "when x < 1 && y" if back else "", back))
    return Picture("any", tuple(Box(name, f"run {name}") for name in names), tuple(dict.fromkeys(arrows)))


def test_the_text_shows_branches_joins_loops_and_conditions():
    """One line for each step, rails for the edges, conditions in words."""
    assert draw_text(picture(workflow(REVIEW)), 80) == [
        "digest · 7 steps",
        "",
        "○   fetch  python steps:fetch · foreach state.urls",
        "├─╮",
        "○ │ count  run wc -w < $CAIRN_STATE",
        "│ ○ draft  python steps:draft",
        "├─╯",
        "○   check  python steps:check",
        "│          ↺ draft  when state.score < 7",
        "│          → sign   otherwise",
        "○   sign   approval",
        "○   send   python steps:send",
        "│          → mourn  if it fails",
        "○   mourn  sleep 1h30m",
    ]


def test_the_text_of_a_run_says_how_each_step_stands():
    """Marks, words and visits, and what the marks mean."""
    shown = workflow(REVIEW)
    state = RunState(
        visits={"fetch": 1, "count": 1, "draft": 2, "check": 1},
        ended={"fetch": 1, "count": 1, "draft": 1, "check": 1},
        tokens={"draft": {}},
    )

    lines = draw_text(picture(shown, boxes_of(shown, state, running=False, skipped={"count"})), 80)
    assert "◌ │ count  [skipped]  run wc -w < $CAIRN_STATE" in lines
    assert "│ ◇ draft  [next, visit 2]  python steps:draft" in lines
    assert lines[-1] == "○ to do  ◇ next  ● done  ◌ skipped"


@given(pictures(), st.integers(30, 100))
def test_every_step_is_drawn_once_and_fits(shown, width):
    """Whatever the graph, each step has its line, and no line is too long."""
    lines = draw_text(shown, width)

    drawn = [match[1] for line in lines[2:] if (match := re.search(r"○[ │]* (s\d+) ", f"{line} "))]
    assert sorted(drawn) == sorted(box.name for box in shown.boxes)
    assert max(map(cells, lines)) <= width


@given(pictures())
def test_every_rail_leads_somewhere(shown):
    """What goes down from a line is taken up by the next, and nothing begins or ends in the air."""
    down = set("│├┤┼┬╭╮○")
    up = set("│├┤┼┴╰╯")
    rails = [line[:40].split("  s")[0] for line in draw_text(shown, 200)[2:]]
    for upper, lower in pairwise(rails):
        for n, char in enumerate(lower):
            if char in up and n % 2 == 0 and "s" not in lower[:n]:
                assert n < len(upper)
                assert upper[n] in down


def test_a_graph_with_too_many_rails_names_the_edges():
    """A fan-out of a hundred still fits a terminal."""
    names = [f"b{n}" for n in range(100)]
    shown = Picture(
        "wide",
        (Box("a", "run a"), *(Box(name, "run b") for name in names)),
        tuple(Arrow("a", name, "needs") for name in names),
    )

    lines = draw_text(shown, 80)
    assert max(map(cells, lines)) <= 80
    assert any(line.endswith("→ b99") for line in lines)


@given(pictures())
def test_boxes_of_a_layout_never_touch(shown):
    """On each layer boxes stand beside each other, and every edge leads to a lower layer."""
    widths = {box.name: 40.0 + 10 * n for n, box in enumerate(shown.boxes)}
    placed = layout(shown.ordered(), shown.forward(), widths)

    for n, a in enumerate(shown.boxes):
        for b in shown.boxes[n + 1 :]:
            if placed.places[a.name].layer == placed.places[b.name].layer:
                apart = abs(placed.places[a.name].x - placed.places[b.name].x)
                assert apart >= (widths[a.name] + widths[b.name]) / 2
    for source, targets in shown.forward().items():
        assert all(placed.places[source].layer < placed.places[t].layer for t in targets)
    assert all(0 <= p.x <= placed.width for p in placed.places.values())


@given(pictures())
def test_the_svg_is_well_formed_and_stays_on_its_page(shown):
    """Any XML reader reads it, each step is in it, and nothing lies outside."""
    root = ET.fromstring("\n".join(draw_svg(shown)))

    space = "{http://www.w3.org/2000/svg}"
    titles = [title.text for title in root.iter(f"{space}title")]
    assert titles == [f"{box.name}: {box.what} (to do)" for box in shown.boxes]
    for box in root.iter(f"{space}rect"):
        if box.get("width") != "100%":
            assert float(box.get("x", 0)) >= 0
            assert float(box.get("x", 0)) + float(box.get("width", 0)) <= float(root.get("width", 0)) + 1


def test_the_svg_escapes_what_people_write():
    """A command with angle brackets is text, not markup."""
    steps = [{"name": "a", "run": "cat <in >out && echo \"a\" 'b' \x1b"}]

    root = ET.fromstring("\n".join(draw_svg(picture(workflow(steps)))))
    assert "<in >out" in "".join(root.itertext())


def test_mermaid_numbers_its_steps_and_escapes_their_words():
    """A step may be called `end`, and a condition may hold quotes."""
    steps = [
        {
            "name": "end",
            "run": "true",
            "next": [{"to": "end", "when": 'state.a == "x"'}, {"to": "b", "otherwise": True}],
        },
        {"name": "b", "approval": {}},
    ]

    lines = draw_mermaid(picture(workflow(steps)))
    assert lines == [
        "flowchart TD",
        '  s0["<b>end</b><br/>run true"]',
        '  s1{{"<b>b</b><br/>approval"}}',
        '  s0 -->|"↺ when state.a == #quot;x#quot;"| s0',
        '  s0 -->|"otherwise"| s1',
        "  classDef todo fill:#f8fafc,stroke:#94a3b8,color:#334155",
        "  class s0,s1 todo",
    ]


@pytest.mark.parametrize("standing", ["ready", "running", "waiting", "done", "skipped", "failed"])
def test_every_standing_has_its_look_everywhere(standing):
    """All three drawings know every way in which a step can stand."""
    shown = picture(workflow(REVIEW))
    changed = replace(shown, boxes=(replace(shown.boxes[0], standing=standing), *shown.boxes[1:]))

    assert draw_text(changed, 80) != draw_text(shown, 80)
    assert f"  class s0 {standing}" in draw_mermaid(changed)
    assert draw_svg(changed) != draw_svg(shown)


def test_the_document_holds_what_the_drawings_show():
    """A program gets the same steps and edges."""
    document: Any = picture_document(picture(workflow(REVIEW)))

    assert document["steps"][3] == {
        "name": "check",
        "what": "python steps:check",
        "standing": "todo",
        "visits": 0,
    }
    assert {
        "from": "check",
        "to": "draft",
        "kind": "next",
        "when": "when state.score < 7",
        "loop": True,
    } in document["edges"]
