"""Which runs of deleted Workflows go from the store, and when rather none does."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cairn_operator.reconcile.sweep import Row, sweep


def row(uid, policy="Delete", installation="home", run_id=""):
    """A run of a Workflow."""
    return Row(run_id or f"run-of-{uid}", uid, {"installation": installation, "deletionPolicy": policy})


OTHERS = {f"other-{n}" for n in range(20)}
"""Workflows that are listed, and have rows that nobody asked to delete."""


def swept(rows, before=(), now=(), **more):
    """The runs that go, in an installation with others."""
    kept = [row(uid, "Retain") for uid in sorted(OTHERS)]
    return sweep([*rows, *kept], OTHERS | {*before}, OTHERS | {*now}, installation="home", **more).delete


CASES = {
    "in neither list: its rows go": ([row("a")], [], [], ("run-of-a",)),
    "in the first list only": ([row("a")], ["a"], [], ()),
    "in the second list only: it was made meanwhile": ([row("a")], [], ["a"], ()),
    "in both lists": ([row("a")], ["a"], ["a"], ()),
    "kept by its policy": ([row("a", "Retain")], [], [], ()),
    "a policy that is none": ([row("a", None)], [], [], ()),
    "of another installation": ([row("a", installation="theirs")], [], [], ()),
    "of nobody known": ([Row("r", "a", {})], [], [], ()),
    "all runs of a Workflow go": ([row("a", run_id="2"), row("a", run_id="1")], [], [], ("2", "1")),
    "the newest run says the policy: it was set to Delete": (
        [row("a", run_id="2"), row("a", "Retain", run_id="1")],
        [],
        [],
        ("2", "1"),
    ),
    "the newest run says the policy: it was set to Retain": (
        [row("a", "Retain", run_id="2"), row("a", run_id="1")],
        [],
        [],
        (),
    ),
    "another installation's newer row says nothing": (
        [row("a", "Retain", "theirs", "2"), row("a", run_id="1")],
        [],
        [],
        ("1",),
    ),
}


@pytest.mark.parametrize(("rows", "before", "now", "gone"), CASES.values(), ids=CASES)
def test_what_goes(rows, before, now, gone):
    """Only what nobody has seen twice, is ours, and was to be deleted."""
    assert swept(rows, before, now) == gone


def many(count, prefix="x", policy="Delete"):
    """Workflows by the dozen."""
    return [row(f"{prefix}{n}", policy) for n in range(count)]


def uids(rows):
    """Their uids."""
    return [one.uid for one in rows]


@pytest.mark.parametrize(("before", "now"), [((), ()), (("a",), ()), ((), ("a",))])
def test_a_list_without_any_workflow_is_never_believed(before, now):
    """Another cluster, or a definition that was deleted and made again: nothing goes, however long."""
    for rows in ([row("x")], many(60)):
        refused = sweep(rows, set(before), set(now), installation="home", long_gone={*uids(rows)})

        assert refused.delete == ()
        assert "no Workflow at all is listed" in refused.refused
        assert refused.absent == frozenset()


@pytest.mark.parametrize(
    ("there", "gone", "refused"),
    [(4, 1, False), (3, 1, True), (80, 20, False), (79, 20, True), (1, 4, True)],
    ids=["one of five", "one of four", "a fifth", "more than a fifth", "four of five"],
)
def test_how_many_may_go_at_once(there, gone, refused):
    """A fifth of those that are known; in a small installation too."""
    kept, lost = many(there, "k"), many(gone, "l")
    plan = sweep([*kept, *lost], set(uids(kept)), set(uids(kept)), installation="home")

    assert len(plan.delete) == (0 if refused else gone)
    assert bool(plan.refused) == refused
    assert plan.absent == set(uids(lost))


def test_what_every_list_has_missed_for_long_goes_however_many_there_are():
    """Of an installation of two, one is half; those that are not long gone stay, and it is said."""
    rows = [row("there"), row("old"), row("new")]
    plan = sweep(rows, {"there"}, {"there"}, installation="home", long_gone={"old", "there"})

    assert plan.delete == ("run-of-old",)
    assert "2 of 3" in plan.refused
    assert sweep(rows[:2], {"there"}, {"there"}, installation="home", long_gone={"old"}).refused == ""


def test_rows_that_were_kept_for_good_do_not_hide_a_wrong_list():
    """A thousand retained ones would make any share small."""
    assert swept([*many(1000, "old", "Retain"), *many(60)]) == ()


@given(
    st.lists(
        st.builds(
            row,
            st.sampled_from("abcdef"),
            st.sampled_from(["Delete", "Retain"]),
            st.sampled_from(["home", "theirs"]),
        )
    ),
    st.sets(st.sampled_from("abcdef")),
    st.sets(st.sampled_from("abcdef")),
)
def test_whatever_goes_was_ours_and_gone_twice(rows, before, now):
    """No row of a Workflow that anybody has seen, none of another installation."""
    gone = swept(rows, before, now)

    uids_gone = {run_id.removeprefix("run-of-") for run_id in gone}
    assert not uids_gone & (before | now)
    own = {
        one.uid: one.annotations["deletionPolicy"]
        for one in reversed(rows)
        if one.annotations["installation"] == "home"
    }
    assert all(own[uid] == "Delete" for uid in uids_gone)
