"""The status of a Workflow: what it says of each world."""

from __future__ import annotations

import pytest
from tests.unit.operator.reconcile.builders import (
    CHAIN,
    FAULT,
    NOW,
    RUN,
    UID,
    ago,
    broken,
    checkpoint,
    ended,
    manifest,
    noted,
    obj,
    parked,
    pod,
    run,
    started,
    world,
)
from tests.unit.operator.reconcile.statuses import assert_fits, conditions, status_of

from cairn_operator.reconcile.state import Origin
from cairn_operator.reconcile.status import FULL_NEXT
from cairn_runtime.model.ids import run_id_for, trace_id_for
from cairn_runtime.store.base import Origin as RunOrigin
from cairn_runtime.store.base import Wait

PENDING = pod(phase="Pending", running_since=None)
UNKNOWN = Origin(reason="CheckpointNotFound", message="there is no such checkpoint")
RESUME = {"resume": {"checkpoint": "x", "nonce": "1"}}
SUSPEND = {"suspend": True}

PHASES = {
    "nothing was made yet": (world(), "Pending"),
    "a row, no runner": (world(run=run()), "Pending"),
    "its pod is pending": (world(run=started(), pods=(PENDING,)), "Pending"),
    "its pod runs": (world(run=started(), pods=(pod(),)), "Running"),
    "between two attempts, with a checkpoint": (world(run=started(head_seq=1)), "Running"),
    "parked": (world(run=parked()), "Waiting"),
    "suspended and drained": (world(SUSPEND, run=started(head_seq=1)), "Suspended"),
    "suspended, its runner still draining": (
        world(SUSPEND, run=started(), pods=(pod(deleting=True),)),
        "Running",
    ),
    "suspended while parked": (world(SUSPEND, run=parked()), "Suspended"),
    "suspended in a spec with faults": (broken(SUSPEND, run=started()), "Suspended"),
    "suspended after its end": (world(SUSPEND, run=started(phase="Failed")), "Failed"),
    "succeeded": (world(run=started(phase="Succeeded"), pods=(pod(),)), "Succeeded"),
    "cancelled": (world(run=started(phase="Cancelled")), "Cancelled"),
    "no store, and nothing was shown": (world(store_error=("X", "x")), "Pending"),
    "no store, and a phase was shown": (
        world(store_error=("X", "x"), workflow=obj({"phase": "Waiting"})),
        "Waiting",
    ),
    "no store, and what was shown is no phase": (
        world(store_error=("X", "x"), workflow=obj({"phase": None})),
        "Pending",
    ),
}


@pytest.mark.parametrize(("seen", "phase"), PHASES.values(), ids=PHASES)
def test_the_phase_is_told_by_the_row_and_the_pod(seen, phase):
    """One word for people; the conditions tell the same story."""
    status = status_of(seen)

    assert status["phase"] == phase
    assert_fits(status)


KSTATUS = {
    "under way: reconciling": (world(run=started(), pods=(pod(),)), "True", "False"),
    "not begun: reconciling": (world(), "True", "False"),
    "parked: at rest": (world(run=parked()), "False", "False"),
    "suspended: at rest": (world(SUSPEND, run=run()), "False", "False"),
    "succeeded: at rest": (world(run=started(phase="Succeeded")), "False", "False"),
    "cancelled: at rest": (world(run=started(phase="Cancelled")), "False", "False"),
    "failed: a person must act": (world(run=started(phase="Failed")), "False", "True"),
    "a broken spec before any run: a person must act": (broken(), "False", "True"),
    "a broken spec, and a runner goes on": (broken(run=started(), pods=(pod(),)), "True", "False"),
    "a broken spec, and no runner: a person must act": (broken(run=started()), "False", "True"),
    "code that is not there, and a run goes on": (
        world(run=started(), served=False, accepted=None, faults=(FAULT,)),
        "True",
        "False",
    ),
    "a broken spec after the end: a person must act": (
        broken(run=started(phase="Succeeded")),
        "False",
        "True",
    ),
    "an unknown checkpoint, nothing under way: a person must act": (
        world(RESUME, origin=UNKNOWN),
        "False",
        "True",
    ),
    "an unknown checkpoint, and a run goes on": (
        world(RESUME, origin=UNKNOWN, run=started(), served=False),
        "True",
        "False",
    ),
    "no store: it will be tried again": (world(store_error=("X", "x")), "True", "False"),
}


@pytest.mark.parametrize(("seen", "reconciling", "stalled"), KSTATUS.values(), ids=KSTATUS)
def test_generic_tools_can_tell_whether_it_is_done(seen, reconciling, stalled):
    """Reconciling while something goes on by itself, Stalled while nothing will."""
    told = conditions(status_of(seen))

    assert (told["Reconciling"]["status"], told["Stalled"]["status"]) == (reconciling, stalled)


SHOWN = {
    "run": RUN,
    "head": {"seq": 7, "id": "cp-7"},
    "progress": "3/9",
    "pod": "digest-1",
    "conditions": [],
}


@pytest.mark.parametrize("make", [world, broken], ids=["a sound spec", "a broken spec"])
def test_a_run_that_the_store_lost_is_told_and_stays_in_sight(make):
    """What was shown of it is the only trace that is left: taken away, the next pass would begin anew."""
    status = status_of(make(workflow=obj({**SHOWN, "phase": "Running"})))

    told = conditions(status)
    assert (told["Degraded"]["status"], told["Degraded"]["reason"]) == ("True", "RunMissing")
    assert (told["Stalled"]["status"], told["Reconciling"]["status"]) == ("True", "False")
    assert {name: status[name] for name in ("run", "head", "progress")} == {
        name: SHOWN[name] for name in ("run", "head", "progress")
    }
    assert (status["phase"], status["pod"]) == ("Pending", "")
    assert_fits(status)


def test_a_lost_run_stays_in_sight_while_another_is_asked_for_in_vain():
    """Whoever takes that nonce back must find what tells that the run was lost."""
    seen = world(RESUME, workflow=obj({**SHOWN, "phase": "Running"}), origin=UNKNOWN)
    status = status_of(seen)

    assert conditions(status)["Degraded"]["reason"] == "CheckpointNotFound"
    taken_back = status_of(world(workflow=obj(status)))
    assert conditions(taken_back)["Degraded"]["reason"] == "RunMissing"
    assert taken_back["head"] == SHOWN["head"]


def test_a_run_that_has_ended_may_go_from_the_store():
    """Rows may expire: how it ended stays, and nobody is alarmed."""
    before = status_of(world(run=started(phase="Succeeded", head_seq=7, head_id="cp-7")))

    assert status_of(world(workflow=obj(before))) == before


DEGRADED = {
    "a store without answer before all": (
        {"store_error": ("StoreUnavailable", "no answer"), "trouble": ("X", "x")},
        "StoreUnavailable",
    ),
    "an action that was refused": (
        {"trouble": ("HistoryConflict", "x"), "create_error": ("Y", "y")},
        "HistoryConflict",
    ),
    "a resume that cannot be served": ({"origin": UNKNOWN, "served": False}, "CheckpointNotFound"),
    "a served nonce needs no origin": ({"origin": UNKNOWN, "served": True}, None),
    "a pod that was refused": ({"create_error": ("Forbidden", "exceeded quota")}, "Forbidden"),
    "a pod that was refused to a run that has ended since": (
        {"create_error": ("Forbidden", "exceeded quota"), "run": started(phase="Cancelled")},
        None,
    ),
    "a pod that was refused before the pause": (
        {"create_error": ("Forbidden", "exceeded quota"), "manifest": manifest(suspend=True)},
        None,
    ),
    "a pod that does not start": (
        {"pods": (pod(running_since=None, waiting="ImagePullBackOff", waiting_message="no image"),)},
        "ImagePullBackOff",
    ),
    "a spec that became broken": ({"manifest": None, "faults": (FAULT,)}, "ManifestInvalid"),
    "a store that is suspected": ({"suspect": True}, "StoreSuspect"),
    "nothing": ({}, None),
}


@pytest.mark.parametrize(("changes", "reason"), DEGRADED.values(), ids=DEGRADED)
def test_what_holds_it_up_is_told(changes, reason):
    """The first thing to mend, in the API's own words."""
    status = status_of(world(**{"run": started(), **changes}))

    told = conditions(status)["Degraded"]
    assert told["status"] == ("False" if reason is None else "True")
    assert told["reason"] == (reason or "Healthy")
    assert bool(told["message"]) == (reason is not None)
    assert_fits(status)


def test_all_faults_stand_in_one_message():
    """The same words as on the command line, each with its path."""
    told = conditions(status_of(broken(faults=(FAULT, FAULT))))["Accepted"]

    assert (told["status"], told["reason"]) == ("False", "ManifestInvalid")
    assert told["message"] == f"{FAULT}\n{FAULT}"


def test_a_condition_keeps_the_time_of_its_last_change():
    """What stays as it is keeps its time, whatever its reason; what changes gets a new one."""
    first = status_of(world(run=started(), pods=(pod(),), now=ago(500)))
    before = {"workflow": obj(first)}

    same = conditions(status_of(world(run=started(), pods=(pod(),), **before)))
    over = conditions(status_of(world(run=started(phase="Failed", reason="CrashLoop"), **before)))
    long_ago, now = ago(500).strftime("%Y-%m-%dT%H:%M:%SZ"), NOW.strftime("%Y-%m-%dT%H:%M:%SZ")
    assert {c["lastTransitionTime"] for c in same.values()} == {long_ago}
    changed = {name for name, c in over.items() if c["lastTransitionTime"] == now}
    assert changed == {"Running", "Failed", "Reconciling", "Stalled"}
    assert over["Failed"]["reason"] == "CrashLoop"


def test_a_status_of_the_same_world_is_the_same():
    """Or it would be written for ever."""
    seen = world(run=noted(parked(), total=2), pods=(ended(0),), head=checkpoint(2))
    first = status_of(seen)

    again = world(run=seen.run, pods=seen.pods, head=seen.head, workflow=obj(first), now=ago(-500))
    assert status_of(again) == first


def test_a_store_without_answer_takes_nothing_away():
    """People still see where the run stood; only the conditions tell of the outage."""
    before = status_of(world(run=started(head_seq=2, head_id="cp-2"), head=checkpoint(2), pods=(pod(),)))
    after = status_of(world(store_error=("StoreUnavailable", "no answer"), workflow=obj(before)))

    kept = {name for name in before if name not in ("conditions", "observedGeneration")}
    assert {name: after[name] for name in kept} == {name: before[name] for name in kept}
    assert conditions(after)["Degraded"]["status"] == "True"
    assert_fits(after)


def test_where_the_run_stands():
    """Run, epoch, pod, head and steps, for people and columns."""
    row = noted(started(head_seq=1, head_id="cp-1", epoch=4), total=3)
    status = status_of(world(run=row, head=checkpoint(1), pods=(pod(epoch=4, name="p"),)))

    assert (status["run"], status["epoch"], status["pod"], status["restarts"]) == (RUN, 4, "p", 3)
    assert status["traceId"] == trace_id_for(RUN)
    assert status["observedGeneration"] == 3
    assert status["head"] == {
        "seq": 1,
        "id": "cp-1",
        "step": "a",
        "time": "2026-01-02T03:02:26.000000Z",
        "bytes": 312,
    }
    assert (status["currentSteps"], status["step"], status["progress"]) == (["b"], "b", "1/2")


def test_a_pod_that_is_over_is_not_shown():
    """The field says which pod the run holds."""
    assert status_of(world(run=started(), pods=(ended(1),)))["pod"] == ""


def test_waits_are_shown_to_who_must_answer():
    """With what is asked, and until when."""
    wait = Wait("sign#1", "approval", "sign#1", "Publish?", deadline=ago(-60))
    nap = Wait("nap#1", "sleep", until=ago(-60))
    status = status_of(world(run=parked(waits=(wait, nap))))

    assert status["waits"] == [
        {
            "task": "sign#1",
            "kind": "approval",
            "name": "sign#1",
            "message": "Publish?",
            "deadline": "2026-01-02T03:05:05.000000Z",
        },
        {"task": "nap#1", "kind": "sleep", "until": "2026-01-02T03:05:05.000000Z"},
    ]
    assert conditions(status)["Waiting"]["message"] == "approval sign#1, sleep nap#1"


def test_the_last_resume_stays_shown():
    """Which nonce became which run; also while another one cannot be served, and after it is gone."""
    child = run_id_for(UID, "1")
    row = started(run_id=child, origin=RunOrigin(RUN, 2, "cp-2"))
    shown = status_of(world(RESUME, run=row))["lastResume"]
    kept = obj({"lastResume": shown})

    assert shown == {"nonce": "1", "checkpoint": "cp-2", "run": child}
    assert status_of(world(run=row, workflow=kept))["lastResume"] == shown
    assert status_of(world(RESUME, run=row, served=False, workflow=kept))["lastResume"] == shown
    assert status_of(world(RESUME, run=started(), served=True, workflow=kept))["lastResume"] == shown
    assert "lastResume" not in status_of(world(RESUME, run=started(), served=True))
    assert "lastResume" not in status_of(world(run=started()))


def test_a_run_from_the_start_says_so():
    """It has no origin."""
    spec = {"resume": {"checkpoint": "start", "nonce": "1"}}
    row = started(run_id=run_id_for(UID, "1"))

    assert status_of(world(spec, run=row))["lastResume"]["checkpoint"] == "start"


@pytest.mark.parametrize(
    ("row", "error"),
    [
        (
            started(phase="Failed", reason="StepFailed", message="no"),
            {"reason": "StepFailed", "message": "no"},
        ),
        (noted(started(), cause="OOMKilled", message="m"), {"reason": "OOMKilled", "message": "m"}),
        (noted(started(phase="Succeeded"), cause="OOMKilled"), None),
        (noted(started(phase="Cancelled"), cause="OOMKilled"), None),
        (noted(started(), cause=""), None),
    ],
    ids=[
        "why the run failed",
        "why the last runner ended",
        "all is well in the end",
        "a person ended it",
        "nothing went wrong",
    ],
)
def test_what_went_wrong_last(row, error):
    """The run's own words before those about its pods."""
    assert status_of(world(run=row)).get("lastError") == error


PROGRESS = {
    "not begun": (run(), None, "0/2"),
    "at the first step": (started(head_seq=1), checkpoint(1, next=("a",)), "0/2"),
    "at the second": (started(head_seq=1), checkpoint(1), "1/2"),
    "nothing left": (started(head_seq=2), checkpoint(2, next=()), "2/2"),
    "succeeded, whatever was not chosen": (started(phase="Succeeded"), checkpoint(2), "2/2"),
    "a step that the spec does not name": (started(head_seq=1), checkpoint(1, next=("x",)), "2/2"),
}


@pytest.mark.parametrize(("row", "head", "expected"), PROGRESS.values(), ids=PROGRESS)
def test_progress_counts_what_the_run_cannot_come_to_any_more(row, head, expected):
    """Of all steps."""
    assert len(CHAIN) == 2
    assert status_of(world(run=row, head=head))["progress"] == expected


@pytest.mark.parametrize(("of", "progress"), [(RUN, "1/2"), ("another", "0/2")])
def test_progress_that_is_not_told_stays_with_its_own_run(of, progress):
    """A fork does not begin where the run before it was when nobody could tell."""
    head = checkpoint(1, next=tuple(f"s{n}" for n in range(FULL_NEXT)))
    seen = world(run=started(head_seq=1), head=head, workflow=obj({"run": of, "progress": "1/2"}))

    assert status_of(seen)["progress"] == progress
