"""Which Checkpoint objects are shown, made, deleted and pinned."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.operator.reconcile.builders import checkpoint

from cairn_operator.reconcile.projection import MAX_PINNED, MAX_SHOWN, Projection, Shown, project

NEWEST = [checkpoint(seq) for seq in range(9, 0, -1)]


def shown(seq, pin=None, name=""):
    """The object of a checkpoint."""
    return Shown(name or f"digest-{seq}", f"uid-{name or seq}", f"cp-{seq}", pin)


def seqs(rows):
    """Numbers of the checkpoints that are to be made."""
    return [row.seq for row in rows]


def gone(plan):
    """Names of the objects that are to be deleted."""
    return [item.name for item in plan.delete]


def test_the_newest_are_made_newest_first():
    """A pass that dies early has shown what people look for."""
    assert seqs(project(NEWEST, [], [], keep_last=3).create) == [9, 8, 7]


def test_what_fell_out_goes():
    """Objects follow the head, however far it moved meanwhile."""
    plan = project(NEWEST, [], [shown(8), shown(2), shown(1)], keep_last=2)

    assert seqs(plan.create) == [9]
    assert gone(plan) == ["digest-2", "digest-1"]


def test_in_line_there_is_nothing_to_do():
    """A second look costs no write."""
    assert not project(NEWEST, [], [shown(9), shown(8)], keep_last=2)
    assert project(NEWEST, [], [shown(9)], keep_last=2)
    assert Projection(unpin=("x",))


def test_never_more_than_fifty_of_the_newest():
    """Each is an object in the API server, whatever `keepLast` says."""
    many = [checkpoint(seq) for seq in range(200, 0, -1)]

    assert len(project(many, [], [], keep_last=100_000).create) == MAX_SHOWN == 50


def test_pinned_checkpoints_are_shown_beside_the_newest():
    """However old, and wherever they were pinned; up to a bound."""
    old = [checkpoint(seq) for seq in (2, 1)]
    many = [checkpoint(seq) for seq in range(1000, 500, -1)]

    assert seqs(project(NEWEST, old, [], keep_last=1).create) == [9, 2, 1]
    assert len(project([], many, [], keep_last=1).create) == MAX_PINNED


PINS = {
    "true pins it": ("true", False, ("cp-5",), (), []),
    "true on a pinned one changes nothing": ("true", True, (), (), []),
    "false lets it go, and so does the object": ("false", True, (), ("cp-5",), ["digest-5"]),
    "false on one that is not pinned changes nothing": ("false", False, (), (), ["digest-5"]),
    "none leaves a pin as it is": (None, True, (), (), []),
    "none pins nothing": (None, False, (), (), ["digest-5"]),
    "any other word is none": ("yes", True, (), (), []),
}


@pytest.mark.parametrize(("pin", "is_pinned", "pins", "unpins", "deleted"), PINS.values(), ids=PINS)
def test_the_annotation_says_what_is_pinned(pin, is_pinned, pins, unpins, deleted):
    """Of an object that is not among the newest any more."""
    pinned = [checkpoint(5)] if is_pinned else []
    plan = project(NEWEST, pinned, [shown(9), shown(5, pin)], keep_last=1)

    assert (plan.pin, plan.unpin, gone(plan)) == (pins, unpins, deleted)
    assert plan.create == ()


def test_letting_go_of_one_that_is_among_the_newest_keeps_its_object():
    """It is shown for its age now."""
    plan = project(NEWEST, [checkpoint(9)], [shown(9, "false")], keep_last=1)

    assert plan == Projection(unpin=("cp-9",))


def test_a_copy_of_an_object_goes():
    """Whatever the order of the list, the first by name stays."""
    objects = [shown(9, name="z"), shown(9, name="a")]

    for listed in (objects, objects[::-1]):
        assert gone(project(NEWEST, [], listed, keep_last=1)) == ["z"]


@given(
    st.lists(st.integers(1, 12), unique=True),
    st.lists(st.integers(1, 12), unique=True),
    st.lists(st.tuples(st.integers(1, 14), st.sampled_from([None, "true", "false"])), max_size=8),
    st.integers(1, 60),
)
def test_one_pass_brings_the_objects_in_line(newest, pinned, objects, keep_last):
    """Carried out, a second pass finds nothing to do but pins of what is not in the store."""
    rows = [checkpoint(seq) for seq in sorted(newest, reverse=True)]
    held = {f"cp-{seq}": checkpoint(seq) for seq in pinned}
    listed = [shown(seq, pin, name=f"o{n}") for n, (seq, pin) in enumerate(objects)]

    plan = project(rows, held.values(), listed, keep_last=keep_last)
    held |= {row.id: row for row in rows if row.id in plan.pin}
    left = [item for item in listed if item not in plan.delete]
    left += [shown(row.seq, name=f"new-{row.seq}") for row in plan.create]
    after = project(
        rows, [row for key, row in held.items() if key not in plan.unpin], left, keep_last=keep_last
    )
    assert (after.create, after.delete, after.unpin) == ((), (), ())
    assert not set(after.pin) & {row.id for row in rows}
