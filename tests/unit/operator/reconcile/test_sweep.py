"""Which runs of deleted Workflows go from the store, and when rather none does."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cairn_operator.reconcile.sweep import FEW, Row, sweep


def row(uid, policy="Delete", installation="home", run_id=""):
    """A run of a Workflow."""
    return Row(run_id or f"run-of-{uid}", uid, {"installation": installation, "deletionPolicy": policy})


def swept(rows, before=(), now=()):
    """The runs that go."""
    return sweep(rows, set(before), set(now), installation="home").delete


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


def test_a_list_that_is_empty_by_mistake_costs_nothing():
    """Where a large share looks deleted, none is removed, and it is said why."""
    refused = sweep(many(60), set(), set(), installation="home")

    assert refused.delete == ()
    assert "60 of 60" in refused.refused


@pytest.mark.parametrize(
    ("there", "gone", "refused"),
    [(0, FEW, False), (0, FEW + 1, True), (80, 20, False), (79, 20, True)],
    ids=["a few may always go", "more than a few", "a fifth", "more than a fifth"],
)
def test_how_many_may_go_at_once(there, gone, refused):
    """A fifth of those that are known, or a few."""
    kept, lost = many(there, "k"), many(gone, "l")

    assert len(swept([*kept, *lost], uids(kept), uids(kept))) == (0 if refused else gone)


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
