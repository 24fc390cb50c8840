"""The status of any world: whatever a row, a runner or the API says, the server takes it."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.engine.builders import NOW as ENGINE_NOW
from tests.unit.engine.builders import started as planner_of
from tests.unit.operator.reconcile.builders import (
    CHAIN,
    NOW,
    RUN,
    ago,
    broken,
    checkpoint,
    document,
    noted,
    obj,
    parked,
    pod,
    run_with,
    started,
    world,
)
from tests.unit.operator.reconcile.statuses import assert_fits, conditions, status_of

from cairn_operator.reconcile import status as room
from cairn_operator.reconcile.state import Origin
from cairn_runtime.engine.frontier import MAX_NEXT
from cairn_runtime.errors import Fault
from cairn_runtime.model.workflow import Workflow
from cairn_runtime.store.base import Origin as RunOrigin
from cairn_runtime.store.base import Wait

HOSTILE = [
    "",
    " ",
    "no spaces please",
    "9lives",
    "ends:",
    ",",
    "x" * 5000,
    "é",
    "\x00\x1b",
    "\ud800",
    "😀" * 2000,
]
TEXTS = st.sampled_from([*HOSTILE, "OOMKilled", "as usual"])
WORDS = st.tuples(TEXTS, TEXTS)
TIMES = st.none() | st.sampled_from([ago(5), ago(-5)])
WAITS = st.builds(
    Wait,
    task=TEXTS,
    kind=st.sampled_from(["approval", "signal", "sleep", "park"]),
    name=TEXTS,
    message=TEXTS,
    deadline=TIMES,
    until=TIMES,
)


@st.composite
def worlds(draw):
    """A row, a head, a pod and troubles of every kind."""
    phase = draw(st.sampled_from(["Pending", "Running", "Waiting", "Succeeded", "Failed", "Cancelled"]))
    row = started(
        run_id=draw(st.just(RUN) | TEXTS),
        phase=phase,
        reason=draw(TEXTS),
        message=draw(TEXTS),
        waits=(draw(WAITS), draw(WAITS)) * draw(st.sampled_from([0, 1, 15])),
        head_seq=draw(st.integers(0, 3)),
        head_id=draw(TEXTS),
        origin=draw(st.none() | st.builds(RunOrigin, TEXTS, st.just(1), TEXTS)),
    )
    row = draw(st.just(row) | st.just(noted(row, cause=draw(TEXTS), message=draw(TEXTS), total=2)))
    names = tuple(draw(st.sampled_from([[], ["a"], HOSTILE, [*HOSTILE, *"abcdefghijklmnopqrstuvwxyz"]])))
    changes = {
        "run": draw(st.none() | st.just(row)),
        "head": draw(st.none() | st.just(checkpoint(row.head_seq, step=draw(TEXTS), next=names))),
        "origin": draw(st.none() | st.builds(Origin, reason=TEXTS, message=TEXTS)),
        "served": draw(st.booleans()),
        "pods": (
            pod(run_id=row.run_id, waiting=draw(TEXTS), waiting_message=draw(TEXTS), running_since=None),
        ),
        "store_error": draw(st.none() | WORDS),
        "create_error": draw(st.none() | WORDS),
        "trouble": draw(st.none() | WORDS),
        "suspect": draw(st.booleans()),
    }
    spec = draw(st.sampled_from([{}, {"suspend": True}, {"resume": {"checkpoint": "x", "nonce": "1"}}]))
    faults = (Fault(draw(TEXTS), draw(TEXTS)), Fault(draw(TEXTS), draw(TEXTS)))
    return draw(st.sampled_from([world(spec, **changes), broken(spec, **changes, faults=faults)]))


@settings(max_examples=40)
@given(worlds(), worlds())
def test_the_server_takes_the_status_of_any_world(first, then):
    """One that it refuses is refused whole, and people see nothing at all; so of every second pass."""
    status = status_of(first)
    after = status_of(replace(then, workflow=replace(then.workflow, status=status), now=ago(-60)))

    assert_fits(status)
    assert_fits(after)
    before = conditions(status)
    for name, condition in conditions(after).items():
        same = condition["status"] == before[name]["status"]
        assert (condition["lastTransitionTime"] == before[name]["lastTransitionTime"]) == same


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ("OOMKilled", "OOMKilled"),
        ("Exit:1,Node_2", "Exit:1,Node_2"),
        ("no spaces please", "nospacesplease"),
        ("9lives:", "lives"),
        ("", "Unknown"),
        ("☠", "Unknown"),
        ("x" * 5000, "x" * 128),
    ],
)
def test_a_reason_is_made_a_word(said, reason):
    """A word that is one stays as it is."""
    status = status_of(world(run=started(phase="Failed", reason=said)))

    assert status["lastError"]["reason"] == reason
    assert conditions(status)["Failed"]["reason"] == (reason if said else "Failed")


WORST = "\\" * 5000


@pytest.mark.parametrize(
    "text", [WORST, "\x00" * 5000, "😀" * 5000, '"' * 5000], ids=["backslashes", "zeros", "faces", "quotes"]
)
def test_the_largest_status_is_small(text):
    """500 steps at once, all of them waiting, and everything that can go wrong said at length."""
    names = tuple(f"s{n:03d}-{'x' * 40}" for n in range(500))
    steps = [{"name": name, "run": "true"} for name in names]
    row = noted(
        parked(
            waits=tuple(Wait(text, "approval", text, text, deadline=NOW, until=NOW) for _ in range(500)),
            head_id=text,
        ),
        cause=text,
        message=text,
    )
    seen = world(
        {"steps": steps},
        run=row,
        head=checkpoint(2, next=names, step=text),
        trouble=(text, text),
        workflow=obj({"lastResume": {"nonce": "x" * 63, "checkpoint": "x" * 64, "run": "x" * 64}}),
    )
    wrong = replace(seen, manifest=None, accepted=None, faults=tuple(Fault(text, text) for _ in range(500)))
    failed = replace(wrong, run=run_with(row, phase="Failed", reason=text, message=text))

    for one in (seen, wrong, failed):
        assert_fits(status_of(one))
    assert len(status_of(seen)["waits"]) == len(status_of(seen)["currentSteps"]) == 20


def test_a_foreach_over_ten_thousand_items_is_one_step():
    """Its items are tasks, and tasks are not in a status."""
    steps = [{"name": "all", "run": "true", "foreach": {"in": "state.items"}}]
    spec = {"steps": steps, "input": {"items": list(range(10_000))}}
    head = checkpoint(9_000, step="all", item=8_999, next=("all",))
    status = status_of(world(spec, run=started(head_seq=9_000), head=head))

    assert (status["currentSteps"], status["progress"]) == (["all"], "0/1")
    assert_fits(status)


# -- progress ----------------------------------------------


@st.composite
def acyclic(draw):
    """Steps whose edges lead forward only, in any order in the file."""
    names = [f"s{n}" for n in range(draw(st.integers(1, 9)))]
    steps = [
        {
            "name": name,
            "run": "true",
            "needs": [other for other in names[:n] if draw(st.integers(0, 3)) == 0],
            "goto": [other for other in names[n + 1 :] if draw(st.integers(0, 4)) == 0],
        }
        for n, name in enumerate(names)
    ]
    return draw(st.permutations(steps))


def walk(steps, seed):
    """Run the steps with the real planner; yield the `next` of each checkpoint."""
    order = random.Random(seed)
    planner = planner_of(steps)
    yield planner.state.next_steps()
    while planner.state.tasks:
        task = order.choice(list(planner.state.tasks.values()))
        choices = [None, *next(step.get("goto", []) for step in steps if step["name"] == task.step)]
        planner.finish(task.step, None, order.choice(choices))
        planner.advance(ENGINE_NOW)
        yield planner.state.next_steps()


def shown(steps, nexts):
    """The numbers of done steps that the statuses show, one after the other."""
    manifest = Workflow.model_validate(document(steps=steps))
    status = {}
    for seq, names in enumerate(nexts, 1):
        seen = world(run=started(head_seq=seq), head=checkpoint(seq, next=names), workflow=obj(status))
        status = status_of(replace(seen, manifest=manifest))
        done, total = map(int, status["progress"].split("/"))
        assert total == len(steps)
        yield done


@settings(max_examples=40)
@given(acyclic(), st.integers(0, 10**6))
def test_progress_never_falls_on_an_acyclic_graph(steps, seed):
    """Whatever is chosen, in whatever order the steps end; at the end it is all of them."""
    numbers = list(shown(steps, walk(steps, seed)))

    assert numbers == sorted(numbers)
    assert numbers[-1] == len(steps)


@pytest.mark.parametrize("width", [MAX_NEXT - 1, MAX_NEXT, MAX_NEXT + 1, 60])
def test_progress_never_falls_where_more_is_under_way_than_a_checkpoint_names(width):
    """What is not named may lead anywhere; so the number stands still until all is named again."""
    short = [{"name": f"s{n}", "run": "true"} for n in range(width)]
    long = [
        {"name": f"t{n}-{m}", "run": "true", "needs": [f"s{n}"] if m == 0 else [f"t{n}-{m - 1}"]}
        for n in range(MAX_NEXT, width)
        for m in range(5)
    ]
    numbers = list(shown([*short, *long], walk([*short, *long], 1)))

    assert numbers == sorted(numbers)
    assert numbers[0] == 0
    assert numbers[-1] == len(short) + len(long)


def test_the_operator_knows_how_many_names_the_engine_writes():
    """It may not import the engine, so the number stands twice."""
    assert room.FULL_NEXT == MAX_NEXT
    assert len(CHAIN) < MAX_NEXT
