"""Facts about a world: why an attempt ended, what was counted, what is due."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.operator.reconcile.builders import (
    NOW,
    ago,
    ended,
    noted,
    pod,
    run,
    started,
    word,
    world,
)

from cairn_operator.reconcile import checks
from cairn_operator.reconcile.checks import Cause
from cairn_operator.reconcile.state import Attempts, Ended

NO_PYTHON = 'failed to create: exec: "python": executable file not found in $PATH'

CAUSES = {
    "it is not there any more": (None, "Disrupted", "PodVanished"),
    "exit 0 with a last word: it did what it could": (ended(0, word("Drained")), "Done", "Drained"),
    "exit 0 without one: a step ended the process": (ended(0), "Crashed", "RunnerCrashed"),
    "exit 0 with a line that is no last word": (ended(0, '{"level": "info"}'), "Crashed", "RunnerCrashed"),
    "exit 69: no store": (ended(69, word()), "NoStore", "StoreUnavailable"),
    "exit 69 without a word: somebody's own": (ended(69), "Crashed", "RunnerCrashed"),
    "exit 75: another claim": (ended(75, word()), "Fenced", "Superseded"),
    "exit 75 without a word: somebody's own": (ended(75), "Crashed", "RunnerCrashed"),
    "exit 78 by its word": (ended(78, word("RunnerTooOld", "old")), "Unusable", "RunnerTooOld"),
    "exit 78 without a word": (ended(78, "no env"), "Unusable", "RunnerUnusable"),
    "exit 1 with a word": (ended(1, word("StepFailed")), "Crashed", "StepFailed"),
    "exit 70": (ended(70, word("KeyError")), "Crashed", "KeyError"),
    "killed": (ended(137), "Crashed", "RunnerCrashed"),
    "out of memory": (ended(137, "", "OOMKilled"), "Crashed", "OOMKilled"),
    "out of memory, whatever its log says last": (ended(137, "bye", "OOMKilled"), "Crashed", "OOMKilled"),
    "no Cairn": (ended(1, "python: No module named cairn_runtime"), "Unusable", "RunnerMissing"),
    "no Cairn, as an error": (
        ended(1, "ModuleNotFoundError: No module named 'cairn_runtime'"),
        "Unusable",
        "RunnerMissing",
    ),
    "a runner that spoke is there, whatever it misses": (
        ended(70, word("ModuleNotFoundError", "No module named 'cairn_runtime_extras'")),
        "Crashed",
        "ModuleNotFoundError",
    ),
    "no Python": (ended(128, NO_PYTHON, "StartError"), "Unusable", "RunnerMissing"),
    "no Python, as Docker says it": (
        ended(127, NO_PYTHON, "ContainerCannotRun"),
        "Unusable",
        "RunnerMissing",
    ),
    "a container that could not be started this time": (
        ended(128, "cgroup: device or resource busy", "StartError"),
        "Crashed",
        "RunnerCrashed",
    ),
    "evicted, nothing said": (
        pod(phase="Failed", running_since=None, disrupted="Evicted"),
        "Disrupted",
        "Evicted",
    ),
    "drained by the cluster in good order": (
        ended(0, word("Drained"), disrupted="EvictionByEvictionAPI"),
        "Done",
        "Drained",
    ),
    "killed by the cluster": (
        ended(137, disrupted="DeletionByTaintManager"),
        "Disrupted",
        "DeletionByTaintManager",
    ),
    "killed by the cluster, which deletes it too": (
        ended(137, disrupted="EvictionByEvictionAPI", deleting=True),
        "Disrupted",
        "EvictionByEvictionAPI",
    ),
    "killed after its grace period": (ended(137, deleting=True), "Disrupted", "PodDeleted"),
    "too old, in a pod that is deleted": (
        ended(78, word("RunnerTooOld"), deleting=True),
        "Unusable",
        "RunnerTooOld",
    ),
    "over, and nobody knows how": (pod(phase="Failed", running_since=None), "Disrupted", "PodVanished"),
}


@pytest.mark.parametrize(("facts", "kind", "reason"), CAUSES.values(), ids=CAUSES)
def test_why_an_attempt_ended(facts, kind, reason):
    """The cause decides whether it counts, and its reason is what people read."""
    cause = checks.cause_of(facts)

    assert (cause.kind, cause.reason) == (kind, reason)


def test_what_is_missing_says_how_to_mend_it():
    """The line that a Dockerfile needs."""
    assert (
        "pip install 'cairn-workflows" in checks.cause_of(ended(1, "No module named cairn_runtime")).message
    )


def test_a_crash_says_what_was_said():
    """The last word's message, else the end of the log, where the reason stands."""
    assert "exit code 70: no key x" in checks.cause_of(ended(70, word("KeyError", "no key x"))).message
    cut = checks.cause_of(ended(1, "x" * 5000 + "the end\n")).message
    assert cut.endswith("the end")
    assert len(cut) < checks.MAX_MESSAGE + 100


@pytest.mark.parametrize(
    "message", ["", "null", "[]", "{", '{"run": 1}', '"run"', "[" * 5000, '{"a": "\\ud800"}', "\ud800"]
)
def test_a_last_word_that_is_none_is_no_word(message):
    """A log may end in anything."""
    assert checks.last_word(Ended(1, "", message)) == {}


@given(st.text(), st.integers(-10, 300), st.text(), st.booleans(), st.text(max_size=10))
def test_every_end_has_a_cause(message, code, reason, deleting, disrupted):
    """Whatever a kubelet tells."""
    cause = checks.cause_of(ended(code, message, reason, deleting=deleting, disrupted=disrupted))

    assert cause.reason or cause.kind == "Done"


# -- counting ----------------------------------------------

CRASH, GONE, DONE = (
    Cause("Crashed", "OOMKilled", "m"),
    Cause("Disrupted", "Evicted", "e"),
    Cause("Done", "Drained"),
)
BEFORE = {
    "epoch": 1,
    "headSeq": 4,
    "restarts": 2,
    "total": 7,
    "disruptions": 3,
    "cause": "Old",
    "message": "o",
}
COUNTS = {
    "a crash at the same head adds one": (4, CRASH, (3, 8, 3, "OOMKilled", "m")),
    "a crash after a new checkpoint begins again": (5, CRASH, (1, 8, 0, "OOMKilled", "m")),
    "a disruption is no crash": (4, GONE, (2, 7, 4, "Evicted", "e")),
    "a disruption after a new checkpoint begins again": (5, GONE, (0, 7, 1, "Evicted", "e")),
    "a good end leaves what people read": (4, DONE, (2, 7, 4, "Old", "o")),
}


@pytest.mark.parametrize(("head", "cause", "expected"), COUNTS.values(), ids=COUNTS)
def test_what_an_end_adds(head, cause, expected):
    """Crashes and disruptions in a row are counted apart, crashes also in all."""
    row = noted(started(epoch=2, head_seq=head), **BEFORE)

    note = checks.counted(row, cause, NOW)
    assert (note.epoch, note.head_seq, note.at) == (2, head, NOW)
    assert (note.restarts, note.total, note.disruptions, note.cause, note.message) == expected


def test_a_note_is_read_as_it_was_written():
    """Also one without a time."""
    for at in (None, ago(5)):
        note = Attempts(3, 9, 1, 4, 2, "OOMKilled", "too much", at)

        assert checks.attempts_of(run(annotations={"attempts": checks.attempts_out(note)})) == note


def test_a_long_message_is_cut():
    """A row is no place for a log."""
    note = checks.counted(started(), Cause("Crashed", "X", "x" * 9999), NOW)

    assert len(note.message) == checks.MAX_MESSAGE


@pytest.mark.parametrize(
    "broken",
    [
        {"at": "2026-01-01T00:00:00"},
        {"at": "0001-01-01T00:00:00+23:59"},
        {"at": "soon"},
        {"at": 5},
        {"epoch": "1"},
        {"epoch": -1},
        {"restarts": 10**400},
        {"total": True},
        {"disruptions": 1.5},
        {"headSeq": None},
    ],
    ids=str,
)
def test_a_note_that_is_not_ours_counts_as_none(broken):
    """Anybody who can write into the store can write one."""
    assert checks.attempts_of(noted(started(), **broken)) == Attempts()


@pytest.mark.parametrize("note", [None, 1, "x", [], {}, {"epoch": 1}], ids=str)
def test_a_note_of_another_shape_counts_as_none(note):
    """And never raises."""
    assert checks.attempts_of(run(annotations={"attempts": note})) == Attempts()


# -- pods ----------------------------------------------


def test_the_pod_of_a_run_is_that_of_its_epoch():
    """No other run's, no other epoch's."""
    own = pod(epoch=2, name="own")
    others = (pod(), pod(run_id="x", epoch=2), own)

    assert checks.runner_pod(world(run=started(epoch=2), pods=others)) is own
    assert checks.runner_pod(world(run=started(epoch=3), pods=others)) is None
    assert checks.runner_pod(world(pods=others)) is None


@pytest.mark.parametrize(
    ("facts", "is_stuck"),
    [
        ({"running_since": None, "waiting": "ImagePullBackOff"}, True),
        ({"running_since": None}, False),
        ({"waiting": "CrashLoopBackOff"}, False),
        ({"running_since": None, "waiting": "X", "phase": "Failed"}, False),
    ],
    ids=["it does not start, and it is said why", "nothing is said", "it runs", "it is over"],
)
def test_a_stuck_pod_is_one_that_is_said_to_be(facts, is_stuck):
    """Being slow is not being stuck."""
    assert checks.stuck(pod(**facts)) == is_stuck


@pytest.mark.parametrize(
    ("facts", "beats"),
    [(None, False), (pod(), True), (pod(running_since=ago(30)), False), (ended(0), False)],
    ids=["no pod", "up for a minute", "up for half a minute", "over"],
)
def test_only_a_runner_that_is_up_must_show_itself(facts, beats):
    """A pending pod, a pause, a suspended run: their silence tells nothing."""
    assert checks.beats(world(run=started(), now=NOW + timedelta(0)), facts) is beats
