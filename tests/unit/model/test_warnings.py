"""Warnings: where a graph makes a conflict possible, and what has no effect."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from cairn_runtime.model.validation import validate

FUNCTIONS = "".join(f"def {name}(state):\n    return {{'x': 1}}\n\n" for name in "abcdef")
"""Functions that all replace the channel x."""


def warnings(
    steps: str, *, functions: str = FUNCTIONS, sources: dict[str, str] | None = None, **spec: Any
) -> list[str]:
    """The warnings for steps whose functions all write x, which is a channel with reducer replace."""
    document = {
        "apiVersion": "cairn.dev/v1alpha1",
        "kind": "Workflow",
        "metadata": {"name": "warned"},
        "spec": {
            "code": {"m.py": functions} if functions else {},
            "state": {"channels": {"x": {}}},
            "steps": yaml.safe_load(f"[{steps}]"),
            **spec,
        },
    }
    report = validate(document, sources=sources)
    assert report.faults == ()
    return [str(warning) for warning in report.warnings]


def conflict(first: str, second: int) -> str:
    """The warning that step number `second` may meet the step called `first`."""
    return (
        f'spec.steps[{second}].python: possible conflict: "{first}" may run at the same time and replaces'
        f' "x" too;'
        " give it a reducer, or let one need the other"
    )


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        pytest.param(
            "{name: a, python: 'm:a'}, {name: b, python: 'm:b'}", [conflict("a", 1)], id="two entries"
        ),
        pytest.param(
            "{name: s, run: x}, {name: a, python: 'm:a', needs: [s]}, {name: b, python: 'm:b', needs: [s]}",
            [conflict("a", 2)],
            id="two followers of one step",
        ),
        pytest.param(
            "{name: s, run: x, next: [{to: a, when: visits.s > 1}, {to: b, when: visits.s > 2}]},"
            " {name: a, python: 'm:a'}, {name: b, python: 'm:b'}",
            [conflict("a", 2)],
            id="two branches that may both be taken",
        ),
        pytest.param(
            "{name: s, run: x, next: [{to: a, when: visits.s > 1}, {to: b, otherwise: true}]},"
            " {name: a, python: 'm:a', needs: [s]}, {name: b, python: 'm:b'}",
            [conflict("a", 2)],
            id="a branch of otherwise, and a step that is needed besides",
        ),
        pytest.param(
            "{name: a, python: 'm:a'}, {name: s, run: x}, {name: b, python: 'm:b', join: any, needs: [a, s]}",
            [conflict("a", 2)],
            id="a step that runs for each token does not wait for the others",
        ),
        pytest.param(
            "{name: h, run: x}, {name: a, python: 'm:a', needs: [h]}, {name: b, python: 'm:b', needs: [h]},"
            " {name: t, run: x, needs: [a, b], next: [{to: h, when: visits.h < 3}]}",
            [conflict("a", 2)],
            id="side by side inside a loop, though each leads to the other by the loop",
        ),
        pytest.param(
            "{name: s, run: x}, {name: o, run: x, join: any, needs: [s, r],"
            " next: [{to: a, when: visits.o > 1}, {to: b, otherwise: true}]},"
            " {name: r, run: x}, {name: a, python: 'm:a'}, {name: b, python: 'm:b'}",
            [conflict("a", 4)],
            id="branches that exclude each other, of a step that runs twice",
        ),
    ],
)
def test_steps_that_may_meet_are_named(steps, expected):
    """Neither waits for the other, and one run can come to both."""
    assert warnings(steps) == expected


@pytest.mark.parametrize(
    "steps",
    [
        pytest.param(
            "{name: a, python: 'm:a'}, {name: b, python: 'm:b', needs: [a]}", id="one needs the other"
        ),
        pytest.param(
            "{name: a, python: 'm:a'}, {name: s, run: x, needs: [a]}, {name: b, python: 'm:b', needs: [s]}",
            id="one needs the other by way of a third",
        ),
        pytest.param(
            "{name: a, python: 'm:a'}, {name: b, python: 'm:b', join: any, needs: [a]}",
            id="every token of the second comes from the first",
        ),
        pytest.param(
            "{name: s, run: x, next: [{to: a, when: visits.s > 1}, {to: b, otherwise: true}]},"
            " {name: a, python: 'm:a'}, {name: b, python: 'm:b'}",
            id="otherwise excludes the other branches",
        ),
        pytest.param(
            "{name: s, run: x, next: [{to: p, when: visits.s > 1}, {to: q, otherwise: true}]}, {name: p,"
            " run: x},"
            " {name: q, run: x}, {name: a, python: 'm:a', needs: [p]}, {name: b, python: 'm:b', needs: [q]}",
            id="further down on branches that exclude each other",
        ),
        pytest.param(
            "{name: a, python: 'm:a', catch: b}, {name: b, python: 'm:b'}, {name: c, python: 'm:c', needs:"
            " [a]}",
            id="catch excludes what follows",
        ),
        pytest.param(
            "{name: s, python: 'm:a', goto: [a, b], next: [{to: c}]}, {name: a, python: 'm:a'},"
            " {name: b, python: 'm:b'}, {name: c, python: 'm:c'}",
            id="goto names one step and takes the place of next",
        ),
        pytest.param(
            "{name: a, python: 'm:a'}, {name: b, python: 'm:b', needs: [a], next: [{to: a, when: visits.a"
            " < 3}]}",
            id="one after the other in a loop",
        ),
        pytest.param("{name: a, run: x}, {name: b, run: x}", id="shell steps, of which nothing is known"),
    ],
)
def test_steps_that_cannot_meet_are_not_warned_of(steps):
    """A warning that is wrong teaches people to pass over them."""
    assert warnings(steps) == []


@pytest.mark.parametrize("reducer", ["last", "max", "add", "python: m:a"])
def test_only_replace_can_conflict(reducer):
    """Every other reducer takes both writes."""
    steps = "{name: a, python: 'm:a'}, {name: b, python: 'm:b'}"

    assert warnings(steps, state={"channels": {"x": {"reducer": reducer}}}) == []


def test_items_that_replace_a_channel_conflict_with_each_other():
    """All items are ready at the same time, so none has seen what another wrote."""
    each = "{name: a, python: 'm:a', foreach: {in: input.l}}"
    collected = "{name: a, python: 'm:a', foreach: {in: input.l, collect: pages}}"

    assert warnings(each, input={"l": []}) == [
        (
            'spec.steps[0].python: every item replaces the channel "x", which conflicts with the other items;'
            " collect the results, or give it a reducer"
        )
    ]
    assert warnings(collected, input={"l": []}) == []


def test_at_most_twenty_conflicts_are_listed():
    """Fifty functions side by side need one remedy, not a thousand lines."""
    code = "".join(f"def f{n}(state):\n    return {{'x': 1}}\n" for n in range(50))

    assert (
        len(warnings(", ".join(f"{{name: s{n}, python: 'm:f{n}'}}" for n in range(50)), functions=code)) == 20
    )


def test_code_beside_the_manifest_is_looked_at_too():
    """Files are given as text; inline modules of the same name win."""
    sources = {"lib/tools.py": "async def run(state, ctx):\n    return {'x': 1, **state}\n"}
    steps = "{name: a, python: 'lib.tools:run'}, {name: b, python: 'lib.tools:run'}"

    assert warnings(steps, functions="", sources=sources) == [conflict("a", 1)]
    assert warnings(steps, functions="") == []


def test_only_what_the_function_itself_returns_counts():
    """Inner functions, computed dicts and other constants say nothing about the step's writes."""
    code = (
        "def a(state):\n"
        "    def inner():\n"
        "        return {'x': 1}\n"
        "    f = lambda: {'x': 2}\n"
        "    if state:\n"
        "        return dict(x=1)\n"
        "    return {1: 2, 'y': 3, **inner()}\n"
        "b = a\n"
    )

    found = warnings("{name: a, python: 'm:a'}, {name: b, python: 'm:b'}", functions=code)

    assert found == ['spec.steps[0].python: returns "y", which is no channel']


def test_a_key_that_is_no_channel_is_found_before_the_run():
    """Under strict such a write fails the step; without it the channel is made."""
    steps = "{name: a, python: 'm:a'}"

    assert warnings(steps, state={"channels": {"xs": {}}}) == [
        'spec.steps[0].python: returns "x", which is no channel; did you mean "xs"?'
    ]
    assert warnings(steps, state={"channels": {"xs": {}}, "strict": False}) == []


@pytest.mark.parametrize(
    ("steps", "spec", "warning"),
    [
        pytest.param(
            "{name: a, sleep: 1s, timeout: 3s}",
            {},
            "spec.steps[0].timeout: has no effect on a step that only waits",
            id="a timeout of a sleep",
        ),
        pytest.param(
            "{name: a, approval: {}, timeout: 3s}",
            {},
            "spec.steps[0].timeout: has no effect on a step that only waits; approval.deadline bounds the"
            " wait",
            id="a timeout of an approval",
        ),
        pytest.param(
            "{name: a, signal: {name: go}, retry: {limit: 3}}",
            {},
            "spec.steps[0].retry: has no effect on a step that only waits",
            id="a retry of a signal",
        ),
        pytest.param(
            "{name: a, run: x, next: [{to: b}, {to: c, otherwise: true}]}, {name: b, run: x, needs: [c]},"
            " {name: c, run: x, needs: [a]}",
            {},
            "spec.steps[0].next[1]: never fires, because spec.steps[0].next[0] always does",
            id="an otherwise beside an entry that always fires",
        ),
        pytest.param(
            "{name: a, run: x, when: 'input.tone == \"dry\" && !has(input.other)'}",
            {"input": {"tones": []}},
            'spec.steps[0].when: column 6: the input has no "tone"; did you mean "tones"?',
            id="an input that is not given",
        ),
        pytest.param(
            "{name: a, run: x}",
            {"code": {"json.py": ""}},
            'spec.code["json.py"]: hides the module "json" of the standard library',
            id="a file that hides a module",
        ),
        pytest.param(
            "{name: a, python: 'step:a'}",
            {"code": {"steps.py": "def a(state): ..."}},
            'spec.steps[0].python: spec.code has no "step.py"; did you mean "steps"?',
            id="a misspelt module",
        ),
    ],
)
def test_what_has_no_effect_is_named(steps, spec, warning):
    """It is no fault, but nobody means it."""
    assert warnings(steps, **spec) == [warning]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        pytest.param(
            "def run(state)\n    pass\n",
            "spec.steps[0].python: tools.py: line 1, column 15: not Python: expected ':'",
            id="a file that is no Python",
        ),
        pytest.param(
            "def ran(state): ...\n",
            'spec.steps[0].python: tools.py defines no "run" at top level; did you mean "ran"?',
            id="a function that is not there",
        ),
        pytest.param("x = 1\0", "spec.steps[0].python: tools.py: ", id="a file with a zero byte"),
    ],
)
def test_a_file_beside_the_manifest_that_cannot_work_is_a_fault(text, fault):
    """The run would end at its first step."""
    document = {
        "apiVersion": "cairn.dev/v1alpha1",
        "kind": "Workflow",
        "metadata": {"name": "beside"},
        "spec": {"steps": [{"name": "a", "python": "tools:run"}]},
    }

    report = validate(document, sources={"tools.py": text})

    assert [str(found)[: len(fault)] for found in report.faults] == [fault]


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("if x:\n    pass\n" + "elif x:\n    pass\n" * 3000, id="a long chain of elif"),
        pytest.param("run = " + "-" * 100_000 + "1", id="nested too deep to be parsed"),
        pytest.param("from elsewhere import *\n", id="a star import"),
        pytest.param("def __getattr__(name): ...\n", id="a module that makes its names"),
        pytest.param(
            "try:\n    import fast as run\nexcept ImportError:\n    def run(state): ...\n", id="in a try"
        ),
        pytest.param("for n in 'ab':\n    run = n\n", id="in a loop"),
        pytest.param("match 1:\n    case 1:\n        run, other = 1, 2\n", id="in a match"),
        pytest.param("class run: ...\n", id="a class"),
    ],
)
def test_a_function_that_may_be_there_is_no_fault(text):
    """What cannot be told from the text is left to the run."""
    assert warnings("{name: a, python: 'tools:run'}", functions="", sources={"tools.py": text}) == []
