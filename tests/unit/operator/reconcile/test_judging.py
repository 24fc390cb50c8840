"""Judging a spec takes a bounded time: who may write one Workflow must not stop all others."""

from __future__ import annotations

import gc
import sys
import time

import pytest

from cairn_operator.reconcile.judging import TOO_LONG, Reports, judged
from cairn_runtime.model.validation import Report

SECONDS = 0.3
MANY = [f"a{n:x}" for n in range(400)]


def workflow(**spec):
    """A Workflow as the API server has it."""
    return {
        "apiVersion": "cairn.dev/v1alpha1",
        "kind": "Workflow",
        "metadata": {"name": "w", "namespace": "team"},
        "spec": {"steps": [{"name": "a", "run": ":"}], **spec},
    }


def with_schema(schema, initial):
    """A Workflow with a channel of that schema."""
    return workflow(state={"channels": {"x": {"schema": schema, "initial": initial}}})


def fanned(levels):
    """A schema whose references double at each level."""
    links = {f"d{n}": {"anyOf": [{"$ref": f"#/$defs/d{n + 1}"}] * 2} for n in range(levels)}
    return {"$ref": "#/$defs/d0", "$defs": {**links, f"d{levels}": {"type": "integer"}}}


NEEDS = [{"name": name, "run": ":", "needs": [f"zz{n}{k}" for k in range(55)]} for n, name in enumerate(MANY)]
NAMES = "".join(f"n{n:05x}=1\n" for n in range(15_000))
DEAR = {
    "needs that do not exist": workflow(steps=NEEDS),
    "functions that do not exist": workflow(
        steps=[{"name": name, "python": f"s:foo{name}"} for name in MANY], code={"s.py": NAMES}
    ),
    "a long elif": workflow(
        steps=[{"name": "a", "python": "s:f"}], code={"s.py": "if a: pass\n" + "elif a: pass\n" * 2900}
    ),
}


@pytest.fixture
def deep(monkeypatch):
    """As many frames as the watches let every thread have."""
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(50_000)
    yield
    sys.setrecursionlimit(before)


@pytest.mark.parametrize("name", DEAR)
@pytest.mark.usefixtures("deep")
def test_a_spec_that_takes_too_long_has_that_as_its_fault(name):
    """A Workflow of 200 KB held the operator for a minute, and lost it the Lease each time."""
    begin = time.process_time()

    report = judged(DEAR[name], seconds=SECONDS)

    assert [str(fault) for fault in report.faults] == [f"spec: {TOO_LONG}"]
    assert report.workflow is None
    assert time.process_time() - begin < 10 * SECONDS


@pytest.mark.parametrize(
    ("schema", "initial"),
    [
        pytest.param(fanned(30), "text", id="references that fan out"),
        pytest.param(
            {"anyOf": [{"pattern": f"(?:a{{0,250}}){{0,60}}{n}"} for n in range(1500)]}, "a", id="patterns"
        ),
        pytest.param({"items": {"enum": list(range(5000))}}, [-1] * 20_000, id="a long list by a long list"),
    ],
)
def test_a_schema_that_is_too_dear_is_left_to_the_run(schema, initial):
    """The library that judges by it cannot be interrupted; one kilobyte of it never ended."""
    begin = time.process_time()

    report = judged(with_schema(schema, initial))

    assert report.faults == ()
    assert time.process_time() - begin < SECONDS


def test_other_schemas_are_judged_as_everywhere():
    """What is wrong is told when the Workflow is applied, not when it runs."""
    found = judged(with_schema({"items": {"type": "string"}}, ["a", 1])).faults
    broken = judged(with_schema({"type": "numbr"}, None)).faults

    assert [fault.path for fault in found] == ["spec.state.channels.x.initial[1]"]
    assert [fault.path for fault in broken] == ["spec.state.channels.x.schema.type"]


def test_warnings_are_not_looked_for():
    """Nobody reads them here, and 500 steps with one function of 3,000 keys had one and a half million."""
    keys = ",".join(f"'x{n}':1" for n in range(3000))
    steps = [{"name": name, "python": "s:f"} for name in MANY]

    report = judged(workflow(steps=steps, code={"s.py": f"def f(s):\n return {{{keys}}}\n"}))

    assert (report.faults, report.warnings) == ((), ())


def test_nothing_rings_afterwards():
    """An alarm that was left on would end whatever the operator does next."""
    judged(workflow(), seconds=0.05)

    end = time.process_time() + 0.2
    while time.process_time() < end:
        pass
    assert judged(workflow()).workflow is not None
    assert gc.isenabled()


def test_of_what_was_judged_so_much_is_kept_as_fits():
    """What was used last stays; one that is over the bound alone is kept until the next comes."""
    kept, reports = Reports(most_bytes=10), {name: Report(None, (), ()) for name in "abcd"}
    for name, size in (("a", 4), ("b", 4), ("a", 2), ("c", 4)):
        kept.put(name, reports[name], size)
    assert [kept.get(name) for name in "bac"] == [reports[name] for name in "bac"]

    kept.put("d", reports["d"], 4)
    assert [kept.get(name) for name in "abcd"] == [reports["a"], None, reports["c"], reports["d"]]
    kept.put("b", reports["b"], 11)
    assert [kept.get(name) for name in "acdb"] == [None, None, None, reports["b"]]
