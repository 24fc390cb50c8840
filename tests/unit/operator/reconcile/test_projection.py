"""Which Checkpoint objects are shown, made, deleted and pinned."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.operator.reconcile.builders import checkpoint

from cairn_operator.reconcile.projection import MAX_PINNED, MAX_SHOWN, Projection, Shown, project

NEWEST = [checkpoint(seq) for seq in range(9, 0, -1)]


def shown(seq, pin=None, noted=None, name=""):
    """The object of a checkpoint."""
    return Shown(name or f"digest-{seq}", f"uid-{name or seq}", f"cp-{seq}", pin, noted)


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
    assert Projection(unpin=(shown(1),))


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
    "a person pins it": ("true", None, False, True),
    "a person pins what is pinned": ("true", None, True, True),
    "a person lets go by taking the annotation away": (None, "true", True, False),
    "a person lets go in so many words": ("false", "true", True, False),
    "a person lets go of what was pinned elsewhere": ("false", None, True, False),
    "false on one that is not pinned": ("false", None, False, False),
    "it was let go in the store": ("true", "true", False, False),
    "it was pinned in the store": (None, None, True, True),
    "it was pinned in the store after a person had let go": (None, "false", True, True),
    "both let it go": (None, "true", False, False),
    "both agree that it is pinned": ("true", "true", True, True),
    "both agree that it is not": (None, None, False, False),
    "any other word is none": ("yes", None, True, True),
    "any other word in place of true lets go": ("yes", "true", True, False),
}


@pytest.mark.parametrize(("pin", "noted", "stored", "pinned"), PINS.values(), ids=PINS)
def test_who_spoke_since_both_agreed_says_what_is_pinned(pin, noted, stored, pinned):
    """The store and the object follow; an object that is neither pinned nor among the newest goes."""
    item = shown(5, pin, noted)
    plan = project(NEWEST, [checkpoint(5)] if stored else [], [shown(9), item], keep_last=1)

    assert plan.pin == ((item,) if pinned and not stored else ())
    assert plan.unpin == ((item,) if stored and not pinned else ())
    assert gone(plan) == ([] if pinned else ["digest-5"])
    agreed = (pin, noted) == ("true", "true")
    assert plan.mark == (((item, True),) if pinned and not agreed else ())
    assert plan.create == ()


@pytest.mark.parametrize(("pin", "noted", "stored", "pinned"), PINS.values(), ids=PINS)
def test_once_both_were_brought_in_line_nothing_is_left_to_say(pin, noted, stored, pinned):
    """Also for one that stays for its age: its annotation and its note say the same as the store."""
    item = shown(9, pin, noted)
    plan = project(NEWEST, [checkpoint(9)] if stored else [], [item], keep_last=1)
    mark = dict(plan.mark).get(item)

    value = "true" if mark else None
    after = item if mark is None else shown(9, value, value)
    assert not project(NEWEST, [checkpoint(9)] if pinned else [], [after], keep_last=1)


def test_letting_go_of_one_that_is_among_the_newest_keeps_its_object():
    """It is shown for its age now."""
    plan = project(NEWEST, [checkpoint(9)], [shown(9, "false")], keep_last=1)

    assert plan == Projection(unpin=(shown(9, "false"),), mark=((shown(9, "false"), False),))


def test_a_copy_of_an_object_goes():
    """Whatever the order of the list, the first by name stays."""
    objects = [shown(9, name="z"), shown(9, name="a")]

    for listed in (objects, objects[::-1]):
        assert gone(project(NEWEST, [], listed, keep_last=1)) == ["z"]


WORDS = st.sampled_from([None, "true", "false", "yes"])


@given(
    st.lists(st.integers(1, 12), unique=True),
    st.lists(st.integers(1, 12), unique=True),
    st.lists(st.tuples(st.integers(1, 14), WORDS, WORDS), max_size=8),
    st.integers(1, 60),
)
def test_one_pass_brings_the_objects_in_line(newest, pinned, objects, keep_last):
    """Carried out, a second pass finds nothing to do but pins of what is not in the store."""
    rows = [checkpoint(seq) for seq in sorted(newest, reverse=True)]
    held = {f"cp-{seq}": checkpoint(seq) for seq in pinned}
    listed = [shown(seq, pin, noted, name=f"o{n}") for n, (seq, pin, noted) in enumerate(objects)]

    plan = project(rows, held.values(), listed, keep_last=keep_last)
    before = dict(held)
    pin, unpin = ({item.checkpoint_id for item in items} for items in (plan.pin, plan.unpin))
    held |= {row.id: row for row in rows if row.id in pin}
    marked = {item.name: value for item, value in plan.mark if item.checkpoint_id in held or not value}
    left = [
        replace(item, pin=(word := "true" if marked[item.name] else None), noted=word)
        if item.name in marked
        else item
        for item in listed
        if item not in plan.delete
    ]
    noted = {row.id: "true" if row.id in before else None for row in plan.create}
    left += [shown(row.seq, noted[row.id], noted[row.id], name=f"new-{row.seq}") for row in plan.create]
    after = project(rows, [row for key, row in held.items() if key not in unpin], left, keep_last=keep_last)
    still = {item.checkpoint_id for item in after.pin}
    assert (after.create, after.delete, after.unpin) == ((), (), ())
    assert not still & {row.id for row in rows}
    assert {item.checkpoint_id for item, _ in after.mark} <= still
