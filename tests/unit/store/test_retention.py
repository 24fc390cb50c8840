"""What a policy lets go, as tables and for any history."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cairn_runtime.store.pruning import droppable
from cairn_runtime.store.retention import NOTHING_BUT_THE_HEAD, Entry, Policy, Walk

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
EVER = 10**9


def history(text: str) -> list[Entry]:
    """Entries of an hour each from `0 a1 a1+ B2`: step and visit, `0` for the start; a capital is a snapshot,
    `+` says that the step comes next.
    """
    words = text.split()
    entries = []
    for seq, word in enumerate(words, start=1):
        step, visit = ("", 0) if word == "0" else (word[0].lower(), int(word[1:].rstrip("+")))
        kind = "snapshot" if word[0].isupper() else "delta"
        age = timedelta(hours=len(words) - seq)
        entries.append(Entry(seq, kind, step, visit, word.endswith("+"), 10, NOW - age))
    return entries


def left(entries: list[Entry], policy: Policy, keep: frozenset[int] = frozenset()) -> list[int]:
    """Seqs that stay."""
    walk = Walk(policy, NOW, keep)
    return [entry.seq for entry in reversed(entries) if not walk.goes(entry)][::-1]


@pytest.mark.parametrize(
    ("text", "policy", "stays"),
    [
        pytest.param("A1 B1 C1 D1", (2, EVER), [3, 4], id="the newest ended steps keep theirs"),
        pytest.param("A1 B1 C1 D1", (9, EVER), [1, 2, 3, 4], id="fewer than may stay"),
        pytest.param("A1 B1 C1 D1", (0, EVER), [4], id="the head stays whatever is said"),
        pytest.param(
            "A1 B1 C1 D1", (3, 3600.0 * 1.5), [3, 4], id="what is too old goes though it is among them"
        ),
        pytest.param("A1 B1 C1 D1", (3, 3600.0 * 2), [3, 4], id="what has just come to the age goes"),
        pytest.param("A1 B1 C1 D1", (3, 1e-9), [4], id="a head of any age stays"),
        pytest.param("a1 b1 c1 d1", (1, EVER), [1, 2, 3, 4], id="the head is folded from all before it"),
        pytest.param("a1 B1 c1 d1", (1, EVER), [2, 3, 4], id="nothing before the head's snapshot"),
        pytest.param("a1 B1 c1 D1", (2, EVER), [2, 3, 4], id="the second newest needs its snapshot"),
        pytest.param("A1 B1+ B1+ B1+ B1 C1", (2, EVER), [5, 6], id="items in the middle of an ended step"),
        pytest.param(
            "A1 B1+ b1+ b1 C1", (2, EVER), [2, 3, 4, 5], id="items that the step's end is folded from"
        ),
        pytest.param("A1 B1 C1+ C1+ C1+", (2, EVER), [1, 2, 5], id="a step under way counts for none"),
        pytest.param("A1+ A2+ A3+ A4+", (2, EVER), [2, 3, 4], id="a visit before the newest has ended"),
        pytest.param("A1+ B1 A1 C1", (3, EVER), [2, 3, 4], id="the end of a step that others overtook"),
        pytest.param("0 a1 B1", (3, EVER), [1, 2, 3], id="the start is no step, but may be needed"),
        pytest.param("0 A1 B1", (9, EVER), [2, 3], id="the start counts for none"),
    ],
)
def test_a_policy_keeps_the_newest_ends_of_steps(text, policy, stays):
    """Steps are counted, not checkpoints; what is kept brings along what it is folded from."""
    assert left(history(text), Policy(*policy)) == stays


def test_what_is_pinned_or_held_stays_with_its_chain():
    """Whatever the policy says."""
    assert left(history("A1 b1 c1 D1 E1"), NOTHING_BUT_THE_HEAD, frozenset({2})) == [1, 2, 5]


def test_a_walk_tells_when_age_lets_go_of_more():
    """So nobody looks again before: the oldest that only its age will let go, never the head."""
    walk = Walk(Policy(3, 86400.0), NOW)
    for entry in reversed(history("A1 B1 C1 D1")):
        walk.goes(entry)

    assert walk.oldest_kept == NOW - timedelta(hours=2)


def lived(drawn: list[tuple[str, bool, str]]) -> str:
    """A history as a run makes one: visits go up, and a visit that has ended does not come again.

    `end+` is an end after which the step is to run once more.
    """
    visits: dict[str, int] = {}
    words = []
    for step, snapshot, what in drawn:
        visit = visits.setdefault(step, 1)
        words.append(f"{step.upper() if snapshot else step}{visit}{'' if what == 'end' else '+'}")
        visits[step] = visit + (what != "middle")
    return " ".join(words)


histories = st.lists(
    st.tuples(st.sampled_from("abc"), st.booleans(), st.sampled_from(["middle", "end", "end", "end+"])),
    min_size=1,
    max_size=14,
).map(lambda drawn: history(lived(drawn)))
policies = st.builds(
    Policy, st.integers(0, 6), st.sampled_from([0.0, 3600.0 * 2.5, 3600.0 * 6.5, float(EVER)])
)
seqs = st.frozensets(st.integers(1, 14), max_size=3)


@given(entries=histories, policy=policies, keep=seqs)
def test_the_walk_and_the_store_agree(entries, policy, keep):
    """What the walk lets go the store removes, all of it and nothing besides."""
    stays = left(entries, policy, keep)
    goes = [entry.seq for entry in entries if entry.seq not in stays]

    assert droppable({entry.seq: entry.kind for entry in entries}, goes, keep) == set(goes)


@given(entries=histories, policy=policies, keep=seqs)
def test_a_second_pass_finds_nothing(entries, policy, keep):
    """A prune changes nothing in what is kept: two pruners, or one that was cut short, come to the same."""
    stays = left(entries, policy, keep)
    again = left([entry for entry in entries if entry.seq in stays], policy, keep)

    assert again == stays


@given(entries=histories, at=st.integers(1, 14), policy=policies)
def test_what_went_is_never_wanted_later(entries, at, policy):
    """A run that goes on lets go of more and never of less: a zombie's prune takes nothing too much."""
    before = entries[:at]

    assert {entry.seq for entry in before} & set(left(entries, policy)) <= set(left(before, policy))
