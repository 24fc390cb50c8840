"""One world, one plan: the rules of a pass, one by one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.unit.operator.reconcile.builders import (
    KEEPING,
    KEY,
    RUN,
    UID,
    ago,
    annotated,
    broken,
    checkpoint,
    document,
    ended,
    held,
    noted,
    obj,
    parked,
    plan,
    pod,
    run,
    signal,
    started,
    word,
    world,
)

from cairn_operator.reconcile.decide import (
    CODE_PAUSE_SECONDS,
    LOOK_AGAIN_SECONDS,
    LOST_PAUSE_SECONDS,
    STORE_PAUSE_SECONDS,
)
from cairn_operator.reconcile.state import (
    Annotate,
    CreateRun,
    DeletePod,
    DeleteWorkflow,
    EndRun,
    Hold,
    Note,
    Origin,
    ReleaseHold,
    StartRunner,
)
from cairn_runtime.model.fingerprints import graph_hash
from cairn_runtime.model.ids import run_id_for, trace_id_for
from cairn_runtime.store.base import Origin as RunOrigin
from cairn_runtime.store.base import Wait

RESUME = {"resume": {"checkpoint": "cp-2", "nonce": "1"}}
CHILD = run_id_for(UID, "1")
START = (StartRunner(RUN, 1),)
SUSPEND = {"suspend": True}


def kinds(seen):
    """The names of a plan's actions."""
    return [type(action).__name__ for action in plan(seen).actions]


def counted(action) -> dict[str, Any]:
    """The note about the attempts that an action writes."""
    assert isinstance(action, Annotate)
    note = action.changes["attempts"]
    assert isinstance(note, dict)
    return note


def found(row=None, **changes):
    """An origin that was found: checkpoint 2 of the run."""
    return Origin(checkpoint(2, **changes), row or started(head_seq=2, head_id="cp-2"))


# -- making runs ----------------------------------------------


def test_a_first_run_is_made_as_the_spec_asks():
    """The row carries the accepted document, its own keys, and what the sweep must know."""
    seen = world({"deletionPolicy": "Delete"})

    (made,) = plan(seen).actions
    assert isinstance(made, CreateRun)
    assert made.new.run_id == made.new.key_base == RUN
    assert made.new.workflow == KEY
    assert made.new.manifest == document(deletionPolicy="Delete")
    assert made.new.graph_hash == graph_hash(seen.manifest.spec)
    assert made.new.origin is None
    assert made.new.annotations == {"installation": "home", "deletionPolicy": "Delete"}


@pytest.mark.parametrize("labels", [{}, {"cairn.dev/thread": "alice"}])
def test_the_label_names_the_thread_of_a_new_run(labels):
    """Read from the object as it is now: a label changes no generation."""
    seen = world()
    accepted = {**document(), "metadata": {"name": "digest", "labels": labels}}

    (made,) = plan(replace(seen, accepted=accepted)).actions
    assert made.new.thread == labels.get("cairn.dev/thread", "")


def test_a_fork_holds_ends_and_only_then_looks_where_to_fork():
    """The old run is ended before the fork is made: until then `latest` may move."""
    seen = world(RESUME, run=started(head_seq=2, head_id="cp-2"), served=False, origin=found())

    asked_for, hold, end = plan(seen).actions
    assert asked_for == Note("resume", CHILD, ("f:spec", "f:resume"), f"{RUN}/cp-2", CHILD)
    assert hold == Hold("cp-2", CHILD)
    assert isinstance(end, EndRun)
    assert (end.run_id, end.expected_epoch) == (RUN, 1)
    assert (end.outcome.phase, end.outcome.reason) == ("Cancelled", "Forked")


def test_a_fork_is_made_once_the_old_run_is_over():
    """It names its origin and what it changes, and its row says that the origin is held."""
    spec = {
        "resume": {
            "checkpoint": "cp-2",
            "nonce": "1",
            "statePatch": {"x": 1},
            "asStep": "a",
            "steps": ["b"],
            "skip": ["a"],
        }
    }
    over = started(head_seq=2, head_id="cp-2", phase="Failed", trace_id=trace_id_for(RUN))

    asked_for, hold, made = plan(world(spec, run=over, served=False, origin=found(over))).actions
    assert (asked_for.what, asked_for.act) == ("patch", CHILD)
    assert hold == Hold("cp-2", CHILD)
    assert isinstance(made, CreateRun)
    assert made.new.run_id == CHILD
    assert made.new.origin == RunOrigin(RUN, 2, "cp-2", {"x": 1}, "a", ("b",), ("a",))
    assert made.new.annotations["held"] is True
    assert made.new.trace_id == trace_id_for(CHILD)


@pytest.mark.parametrize(
    ("resume", "row", "keeps"),
    [
        ({}, {"phase": "Failed"}, True),
        ({"statePatch": {"x": 1}}, {"phase": "Failed"}, False),
        ({"skip": ["b"]}, {"phase": "Failed"}, False),
        ({"steps": ["b"]}, {"phase": "Failed"}, False),
        ({"asStep": "b"}, {"phase": "Failed"}, False),
        ({}, {"phase": "Failed", "head_seq": 3}, False),
        ({}, {"phase": "Running"}, False),
    ],
    ids=[
        "from the head of a finished run, unchanged: it goes on with the same keys",
        "a patched state is another history",
        "skipping is another history",
        "other steps are another history",
        "counting as a step is another history",
        "from before the head is another history",
        "two runs that are both under way do not share keys",
    ],
)
def test_a_fork_keeps_its_parents_keys_only_where_it_goes_on(resume, row, keeps):
    """Idempotency keys say that a task is the same one."""
    parent = started(**{"head_seq": 2, "key_base": "old", **row})
    spec = {"resume": {**RESUME["resume"], **resume}}
    seen = world(spec, run=started(phase="Failed"), served=False, origin=found(parent))

    made = plan(seen).actions[-1]
    assert made.new.key_base == ("old" if keeps else CHILD)


def test_a_run_from_the_start_takes_the_place_of_the_old_one():
    """It has no origin and holds nothing, and needs the old run ended like any other."""
    spec = {"resume": {"checkpoint": "start", "nonce": "1"}}

    asked_for = Note("resume", CHILD, ("f:spec", "f:resume"), RUN, CHILD)
    assert kinds(world(spec, run=started(), served=False)) == ["Note", "EndRun"]
    told, made = plan(world(spec, run=started(phase="Cancelled"), served=False)).actions
    assert told == asked_for
    assert kinds(world(spec, served=False)) == ["CreateRun"]
    assert made.new.origin is None
    assert "held" not in made.new.annotations


@pytest.mark.parametrize(
    "row",
    [None, started(), started(phase="Failed")],
    ids=["there is no run yet", "a run is under way", "the run is over"],
)
def test_an_unknown_checkpoint_touches_nothing(row):
    """What there is goes on, and the status says why the resume is not served."""
    origin = Origin(reason="CheckpointNotFound", message="no such")
    live = pod()
    seen = world(RESUME, run=row, served=False, origin=origin, pods=(live,) if row else ())

    assert plan(seen).actions == ()


def test_a_broken_spec_makes_nothing_and_stops_nothing():
    """A runner that lives goes on, even a silent one; a pod is built from an accepted spec only."""
    assert plan(broken()).actions == ()
    assert plan(broken(run=started(), pods=(pod(),))).actions == ()
    assert plan(broken(run=started(), pods=(pod(),), quiet_seconds=99.0)).actions == ()
    assert plan(broken(run=run())).actions == ()
    assert plan(broken(run=noted(started()), pods=(ended(137),))).actions == ()
    assert plan(broken(run=started(head_seq=1), pods=(ended(0, word()),))).actions == ()


def test_how_a_runner_ended_is_counted_whatever_the_spec():
    """Its pod may be gone when the spec is mended."""
    assert kinds(broken(run=started(), pods=(ended(137),))) == ["Annotate"]


def test_code_that_is_not_there_yet_is_looked_for_again():
    """Nobody rings for a ConfigMap; and the run that there is goes on meanwhile."""
    spec = {"codeFrom": {"configMap": "code"}}

    assert plan(world(spec, accepted=None)).again_seconds == CODE_PAUSE_SECONDS
    old = world(spec, accepted=None, run=noted(started(), at=ago(900).isoformat()), served=False)
    assert plan(old).actions == START
    live = world(spec, accepted=None, run=started(), served=False, pods=(pod(),))
    assert plan(live).again_seconds == CODE_PAUSE_SECONDS


def test_without_the_store_nothing_is_done():
    """What is not known is not acted upon; the store is asked again."""
    made = plan(world(run=None, store_error=("StoreUnavailable", "no answer"), pods=(pod(),)))

    assert made.actions == ()
    assert made.again_seconds == STORE_PAUSE_SECONDS


SHOWN = {"run": RUN, "phase": "Running", "head": {"seq": 7, "id": "cp-7"}}
LOST = {
    "its status tells of checkpoints": ({}, True),
    "it had ended": ({"phase": "Succeeded"}, True),
    "it had no checkpoint": ({"head": {"seq": 0, "id": ""}}, False),
    "nothing was told of it": ({"run": None, "head": None}, False),
    "its status was not written by us": ({"head": "x"}, False),
}


@pytest.mark.parametrize(("changes", "lost"), LOST.values(), ids=LOST)
def test_a_run_that_the_store_lost_is_not_begun_again(changes, lost):
    """Neither from nothing, nor from an origin; nor does an older one go on that the store still has."""
    seen = world(workflow=obj({**SHOWN, **changes}))
    older = replace(seen, run=started(run_id="older"))

    decided = plan(seen)
    assert bool(decided.actions) is not lost
    if lost:
        assert decided.again_seconds == LOST_PAUSE_SECONDS
        assert plan(older).actions == plan(replace(older, origin=found())).actions == ()


def test_without_a_nonce_any_run_that_was_told_of_is_lost():
    """Its `resume` was taken away since: what is asked for then is no new run."""
    assert plan(world(workflow=obj({**SHOWN, "run": "another"}))).actions == ()


def test_a_new_nonce_is_not_lost():
    """By it a person says that the run is to begin anew."""
    spec = {"resume": {"checkpoint": "start", "nonce": "new"}}

    assert kinds(world(spec, workflow=obj({**SHOWN, "run": "another"}, **spec))) == ["CreateRun"]


def test_a_run_that_is_found_again_goes_on():
    """By the same rules as if it had never been away."""
    seen = world(workflow=obj(SHOWN), run=started(head_seq=7, head_id="cp-7"))

    assert plan(seen).actions == plan(replace(seen, workflow=obj())).actions != ()


# -- a runner that lives ----------------------------------------------


def test_a_live_runner_is_left_alone():
    """It is looked at again after a while, whoever rings."""
    made = plan(world(run=started(), pods=(pod(),)))

    assert made.actions == ()
    assert made.again_seconds == LOOK_AGAIN_SECONDS


def test_a_silent_runner_is_replaced():
    """Its pod is told to go and the next epoch begins at once: the fence makes it harmless."""
    seen = world(run=started(), pods=(pod(),), quiet_seconds=31.0)

    gone, start = plan(seen).actions
    assert isinstance(gone, DeletePod)
    assert (gone.name, gone.uid) == (pod().name, "pod-1")
    assert start == START[0]


@pytest.mark.parametrize(
    ("changes", "facts"),
    [
        ({"quiet_seconds": 30.0}, {}),
        ({"quiet_seconds": 31.0}, {"running_since": ago(30)}),
        ({"quiet_seconds": 31.0}, {"running_since": None, "phase": "Pending"}),
        ({"quiet_seconds": 31.0, "suspect": True}, {}),
    ],
    ids=[
        "a silence of no more than thirty seconds",
        "a pod that has not run for longer than that",
        "a pod that does not run yet",
        "a store that is suspected",
    ],
)
def test_a_runner_that_may_live_is_not_replaced(changes, facts):
    """Silence must be long, the pod up for as long, and the store beyond suspicion."""
    assert plan(world(run=started(), pods=(pod(**facts),), **changes)).actions == ()


def test_a_silent_pod_that_is_told_to_go_already_is_not_told_again():
    """On a lost node it may stay for hours; the next epoch does not wait for it."""
    assert plan(world(run=started(), pods=(pod(deleting=True),), quiet_seconds=31.0)).actions == START


STRANDED = {"phase": "Pending", "running_since": None, "deleting": True}
GOING = {
    "it was to be gone long ago": (STRANDED | {"gone_by": ago(31)}, START),
    "it has a little longer": (STRANDED | {"gone_by": ago(30)}, ()),
    "it does not say when": (STRANDED, ()),
    "it has begun, and shows itself": ({"deleting": True, "gone_by": ago(600)}, ()),
}


@pytest.mark.parametrize(("facts", "actions"), GOING.values(), ids=GOING)
def test_a_pod_that_never_began_and_does_not_go_is_not_waited_for(facts, actions):
    """Its node is lost, or a finalizer of somebody hangs: the run waited as long as the object was there."""
    assert plan(world(run=started(), pods=(pod(**facts),))).actions == actions


def test_nothing_takes_its_place_while_the_spec_has_faults():
    """It is waited for, and looked at again."""
    seen = broken(run=started(), pods=(pod(**STRANDED, gone_by=ago(600)),))

    assert plan(seen).actions == ()
    assert plan(seen).again_seconds == LOOK_AGAIN_SECONDS


def test_a_pod_may_be_pending_for_ever_by_default():
    """A cluster may be full for a night."""
    waiting = pod(phase="Pending", running_since=None, created_at=ago(10**6))

    assert plan(world(run=started(), pods=(waiting,))).actions == ()


def test_a_pod_that_is_pending_for_too_long_fails_the_run():
    """With what it waited for as the message; before that, it is looked at when the time is over."""
    spec = {"pod": {"pendingTimeout": "1m"}}
    facts = {"phase": "Pending", "running_since": None, "waiting_message": "0/3 nodes fit"}
    late = world(spec, run=started(), pods=(pod(**facts, created_at=ago(60)),))
    early = world(spec, run=started(), pods=(pod(**facts, created_at=ago(45)),))

    (end,) = plan(late).actions
    assert end.outcome.reason == "PendingTimeout"
    assert "0/3 nodes fit" in end.outcome.message
    assert plan(early).actions == ()
    assert plan(early).again_seconds == 15.0


@pytest.mark.parametrize(
    "facts",
    [{"running_since": ago(1)}, {"running_since": None, "phase": "Pending", "deleting": True}],
    ids=["it runs", "it is told to go"],
)
def test_a_pod_that_runs_or_goes_is_not_pending(facts):
    """The limit is for what has not begun."""
    seen = world({"pod": {"pendingTimeout": "1s"}}, run=started(), pods=(pod(**facts),))

    assert plan(seen).actions == ()


STUCK = {"phase": "Pending", "running_since": None, "waiting": "Unschedulable", "created_at": ago(1)}
OUTDATED = {
    "it does not start, and the spec has changed": (STUCK | {"generation": 2}, ["DeletePod"]),
    "the spec is the same": (STUCK | {"generation": 3}, []),
    "it does not say what it was built from": (STUCK, []),
    "it is on its way": (STUCK | {"waiting": "", "generation": 2}, []),
    "it is told to go already": (STUCK | {"generation": 2, "deleting": True}, []),
    "it runs": ({"generation": 2}, []),
}


@pytest.mark.parametrize(("facts", "expected"), OUTDATED.values(), ids=OUTDATED.keys())
def test_a_pod_that_does_not_start_is_made_anew_once_the_spec_has_changed(facts, expected):
    """`spec.pod` may be changed at any time; whoever mends it must not have to delete the pod as well."""
    seen = world(run=started(), pods=(pod(**facts),))
    seen = replace(seen, workflow=replace(seen.workflow, generation=3))

    assert [type(action).__name__ for action in plan(seen).actions] == expected


# -- the next attempt ----------------------------------------------


def test_a_new_run_gets_its_first_runner():
    """The first epoch is 1."""
    assert plan(world(run=run())).actions == (StartRunner(RUN, 0),)


@pytest.mark.parametrize("facts", [ended(137), ended(69, word()), ended(75, word()), ended(0, word()), None])
def test_an_end_is_counted_before_anything_else(facts):
    """The note names the epoch, so that counting again after a crash changes nothing."""
    seen = world(run=started(), pods=(facts,) if facts else ())

    (note,) = plan(seen).actions
    assert counted(note)["epoch"] == 1
    assert counted(note)["restarts"] == (1 if facts == ended(137) else 0)


def test_a_runner_that_drained_with_new_checkpoints_is_followed_at_once():
    """Nothing went wrong and something came of it: there is nothing to note."""
    assert plan(world(run=started(head_seq=3), pods=(ended(0, word()),))).actions == START


def test_a_crash_waits_for_its_pause():
    """The pause begins when the process ended, not when somebody looked."""
    row = noted(started(), restarts=1, total=1, at=ago(0.25).isoformat())
    seen = world(run=row, pods=(ended(137),))

    assert plan(seen).actions == ()
    assert plan(seen).again_seconds == 0.75
    assert plan(replace(seen, now=ago(-0.75))).actions == START


@pytest.mark.parametrize(
    ("note", "restart", "pause"),
    [
        ({"restarts": 1}, {}, 1.0),
        ({"restarts": 2}, {}, 2.0),
        ({"restarts": 4}, {}, 8.0),
        ({"restarts": 900}, {"limit": 1000}, 300.0),
        ({"restarts": 3}, {"baseDelay": "3s", "maxDelay": "10s"}, 10.0),
        ({"disruptions": 2}, {}, 1.0),
        ({"disruptions": 3}, {}, 2.0),
        ({"disruptions": 10**6}, {}, 30.0),
        ({"restarts": 1, "disruptions": 5}, {}, 8.0),
    ],
    ids=[
        "the first crash: the base delay",
        "the second: twice that",
        "the fourth: eight times that",
        "many: the longest of the defaults",
        "the spec's own delays",
        "the second disruption in a row: a second",
        "the third: two",
        "a million: half a minute",
        "both: the longer one",
    ],
)
def test_pauses_grow(note, restart, pause):
    """Crashes by the spec, disruptions gently."""
    seen = world({"restart": restart}, run=noted(started(), **note), pods=())

    assert plan(seen).actions == ()
    assert plan(seen).again_seconds == pause


def test_the_first_disruption_costs_nothing():
    """Nobody is punished for a drained node."""
    assert plan(world(run=noted(started(), disruptions=1))).actions == START


def test_pods_that_the_server_refuses_are_made_slowly():
    """A quota is asked every five seconds, then ever less often."""
    refused = {"create_error": ("Forbidden", "exceeded quota")}

    assert plan(world(run=noted(started(), disruptions=1), **refused)).again_seconds == 5.0
    assert plan(world(run=noted(started(), disruptions=3), **refused)).again_seconds == 20.0
    assert plan(world(run=noted(started(), disruptions=99), **refused)).again_seconds == 300.0


@pytest.mark.parametrize("cause", ["ended", "ahead"])
def test_a_clock_that_is_ahead_makes_no_pause_longer(cause):
    """The end of a process is told by its node's clock, and a note may be another operator's."""
    if cause == "ended":
        (note,) = plan(world(run=started(), pods=(ended(137, ended_at=ago(-3600)),))).actions
        assert counted(note)["at"] == "2026-01-02T03:04:05.000000Z"
    else:
        row = noted(started(), restarts=1, at=ago(-3600).isoformat())
        assert plan(world(run=row, pods=(ended(137),))).actions == START


@pytest.mark.parametrize(("restarts", "gives_up"), [(2, False), (3, True)])
def test_a_run_is_given_up_after_too_many_crashes(restarts, gives_up):
    """`limit` is the number of restarts; the message says how often, and the last cause."""
    row = noted(started(), restarts=restarts, cause="OOMKilled", message="pod x", at=ago(900).isoformat())

    (action,) = plan(world({"restart": {"limit": 2}}, run=row, pods=(ended(137),))).actions
    assert isinstance(action, EndRun) == gives_up
    if gives_up:
        assert action.outcome.reason == "CrashLoop"
        assert action.outcome.phase == "Failed"
        assert "3 times in a row" in action.outcome.message
        assert "OOMKilled: pod x" in action.outcome.message


def test_disruptions_never_fail_a_run():
    """However many there are."""
    row = noted(started(), disruptions=10**6, at=ago(900).isoformat())

    assert plan(world({"restart": {"limit": 0}}, run=row)).actions == START


def test_no_run_is_given_up_by_limits_that_nobody_wrote():
    """The limits of a spec that cannot be read are not known."""
    row = noted(started(), restarts=99, at=ago(900).isoformat())

    assert plan(broken({"restart": {"limit": 1}}, run=row, pods=(ended(137),))).actions == ()


@pytest.mark.parametrize(
    "facts",
    [ended(78, word("RunnerTooOld", "older")), ended(1, "No module named cairn_runtime")],
    ids=["it says that it cannot", "there is no Cairn in the image"],
)
def test_what_cannot_run_fails_the_run_at_once(facts):
    """Starting it again would end the same way."""
    (end,) = plan(world(run=started(), pods=(facts,))).actions

    assert isinstance(end, EndRun)
    assert (end.run_id, end.expected_epoch) == (RUN, 1)
    assert end.outcome.phase == "Failed"
    assert end.outcome.reason in {"RunnerTooOld", "RunnerMissing"}
    assert end.outcome.message


# -- waiting ----------------------------------------------


@pytest.mark.parametrize(
    "facts",
    [None, ended(0, word()), ended(70), ended(137), ended(69, word()), ended(137, disrupted="Evicted")],
    ids=["its pod is gone", "exit 0", "exit 70", "killed", "exit 69", "evicted"],
)
def test_a_parked_run_holds_no_pod_however_its_process_ended(facts):
    """It had parked before."""
    seen = world(run=parked(), pods=(facts,) if facts else ())

    assert plan(seen).actions == ()
    assert plan(seen).again_seconds is None


def test_a_parked_run_that_nobody_has_claimed_waits_like_any_other():
    """It was brought in from elsewhere."""
    assert plan(world(run=parked(epoch=0))).actions == ()


def test_a_parked_run_is_looked_at_when_it_wakes():
    """Not before, and then its runner is started."""
    row = parked(wake_at=ago(-20))

    assert plan(world(run=row)).actions == ()
    assert plan(world(run=row)).again_seconds == 20.0
    assert plan(world(run=row, now=ago(-20))).actions == START
    # Nothing could be started then; whoever mends the spec rings.
    assert plan(broken(run=row)).again_seconds is None


def test_an_answer_starts_the_runner():
    """The runner judges whether it is one."""
    assert plan(world(run=parked(), signals=(signal(),))).actions == START
    assert plan(world(run=parked(), signals=(signal(wait="other#1"),))).actions == ()


def test_a_due_run_whose_runner_keeps_crashing_is_counted():
    """Being due does not make a crash harmless."""
    row = noted(parked(epoch=2, wake_at=ago(5)), epoch=1)
    seen = world(run=row, pods=(ended(137, epoch=2),))

    (note,) = plan(seen).actions
    assert counted(note)["restarts"] == 1


def test_a_due_run_whose_runner_parks_again_is_not_started_in_a_loop():
    """Two clocks may differ about what is due; the second end with nothing new is paused for."""
    row = noted(parked(wake_at=ago(5)), disruptions=2)

    assert plan(world(run=row, pods=(ended(0, word()),))).again_seconds == 1.0


# -- suspending ----------------------------------------------


@pytest.mark.parametrize("make", [world, broken], ids=["a good spec", "a spec broken elsewhere"])
@pytest.mark.parametrize(
    "row", [run(), started(), parked(wake_at=ago(5))], ids=["new", "between attempts", "due"]
)
def test_a_suspended_workflow_starts_nothing(make, row):
    """Whatever else is in the spec."""
    assert set(kinds(make(SUSPEND, run=row, served=True))) <= {"Note", "Annotate"}


def test_suspending_drains_the_runner_once():
    """It is told to go by its own grace period, and not told again."""
    row = held(started())
    told = plan(world({"suspend": True}, run=row, pods=(pod(),))).actions

    assert [(a.name, a.grace_seconds) for a in told] == [(pod().name, None)]
    assert plan(world({"suspend": True}, run=row, pods=(pod(deleting=True),))).actions == ()
    assert kinds(world(SUSPEND, run=row, pods=(ended(0, word()),))) == ["Annotate"]


def test_each_pause_and_its_end_is_told_once():
    """Before anything is done; numbered in the row, so that a pass that begins again writes the same line."""
    told, noted_then, *rest = plan(world(SUSPEND, run=started(), pods=(pod(),))).actions

    assert told == Note("pause", f"{RUN}:1", ("f:spec", "f:suspend"), RUN)
    assert noted_then == Annotate(RUN, {"pauses": {"number": 1, "on": True}})
    assert [type(action) for action in rest] == [DeletePod]
    told, noted_then, *rest = plan(world(run=held(started(), 7))).actions
    assert (told.what, told.act) == ("unpause", f"{RUN}:8")
    assert noted_then == Annotate(RUN, {"pauses": {"number": 8, "on": False}})
    assert plan(world(SUSPEND, run=started(phase="Failed"))).actions == ()
    assert plan(world(run=held(started(phase="Failed")))).actions == ()


@pytest.mark.parametrize("note", [None, 7, {}, {"number": -1, "on": True}, {"number": 1.5, "on": 1}])
def test_a_note_about_pauses_that_is_not_ours_counts_as_none(note):
    """Another release wrote it, or a person."""
    row = started(annotations={**run().annotations, "pauses": note})

    assert plan(world(SUSPEND, run=row)).actions[0].act == f"{RUN}:1"


# -- cancelling ----------------------------------------------


def asked(seen, run_id=RUN):
    """The world after somebody has asked that a run end."""
    return replace(seen, workflow=replace(seen.workflow, document=annotated(seen.workflow.document, run_id)))


@pytest.mark.parametrize(
    "seen",
    [
        world(run=run()),
        world(run=started(), pods=(pod(),)),
        world(run=parked()),
        world(SUSPEND, run=started()),
        broken(run=started()),
    ],
    ids=["not begun", "at work", "parked", "suspended", "with faults in the spec"],
)
def test_a_run_whose_end_was_asked_for_ends(seen):
    """Wherever it stands; its pod holds an older epoch then, and goes as a stray."""
    told, end = plan(asked(seen)).actions

    annotation = ("f:metadata", "f:annotations", "f:cairn.dev/cancel")
    assert told == Note("cancel", f"{RUN}:annotation", annotation, RUN)
    assert isinstance(end, EndRun)
    assert (end.run_id, end.outcome.phase, end.outcome.reason) == (RUN, "Cancelled", "Cancelled")


@pytest.mark.parametrize(
    "seen",
    [
        asked(world(run=started(), pods=(pod(),)), "another run"),
        asked(world(run=started(phase="Succeeded"))),
        asked(world(run=started(phase="Cancelled"))),
    ],
    ids=["another run was meant", "it has succeeded", "it was cancelled"],
)
def test_an_end_that_was_asked_for_touches_only_the_run_that_was_meant(seen):
    """What was asked of a run before is still written there when the next one runs."""
    assert plan(seen).actions == ()


@pytest.mark.parametrize("document", [{}, {"metadata": 1}, {"metadata": {"annotations": 1}}])
def test_whatever_stands_in_the_annotations_harms_nothing(document):
    """The object is as a person left it."""
    seen = world(run=started(), pods=(pod(),))

    assert plan(replace(seen, workflow=replace(seen.workflow, document=document))).actions == ()


# -- finished ----------------------------------------------


@pytest.mark.parametrize("phase", ["Succeeded", "Failed", "Cancelled"])
@pytest.mark.parametrize("facts", [None, ended(137), ended(78, word()), pod()])
def test_a_finished_run_is_left_alone(phase, facts):
    """Whatever its pod says: the row is what happened."""
    assert plan(world(run=started(phase=phase), pods=(facts,) if facts else ())).actions == ()


def test_how_a_drained_runner_ended_is_counted_while_the_workflow_is_suspended():
    """Later its pod would look like one that vanished, and people would read so."""

    def noted_in(seen):
        return plan(seen).actions[0].changes["attempts"]

    row = held(started())
    note = noted_in(world(SUSPEND, run=row))

    assert (note["epoch"], note["cause"]) == (1, "")
    assert plan(world(SUSPEND, run=noted(row))).actions == ()
    assert plan(world(SUSPEND, run=held(run()))).actions == ()
    assert noted_in(world(SUSPEND, run=row, pods=(ended(137),)))["restarts"] == 1
    assert kinds(world(SUSPEND, run=row, pods=(ended(78, word("RunnerTooOld", "x")),))) == ["EndRun"]


def test_a_finished_workflow_stays_while_a_resume_waits_to_be_served():
    """Somebody has asked for more, and only made a mistake in it."""
    spec = {**RESUME, "ttlAfterFinished": "1s"}
    origin = Origin(reason="CheckpointNotFound", message="no such")

    assert plan(world(spec, run=started(phase="Succeeded"), served=False, origin=origin)).actions == ()


def test_a_finished_workflow_goes_when_its_time_is_over():
    """`ttlAfterFinished` counts from the run's last change."""
    over = started(phase="Succeeded", updated_at=ago(60))

    assert plan(world({"ttlAfterFinished": "1m"}, run=over)).actions == (DeleteWorkflow(),)
    assert plan(world({"ttlAfterFinished": "90s"}, run=over)).actions == ()
    assert plan(world({"ttlAfterFinished": "90s"}, run=over)).again_seconds == 30.0
    assert plan(world({"ttlAfterFinished": "1m"}, run=started(updated_at=ago(60)))).actions != (
        DeleteWorkflow(),
    )


# -- tidying ----------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [{"epoch": 0}, {"epoch": 2}, {"run_id": "another"}, {"epoch": -1}],
    ids=["an older epoch", "a newer epoch", "another run", "a label that is no number"],
)
def test_pods_of_other_runs_and_epochs_go(changes):
    """They are fenced, and nobody needs what they do."""
    stray = pod(name="stray", uid="s", **changes)

    assert [a.name for a in plan(world(run=started(), pods=(pod(), stray))).actions] == ["stray"]
    assert plan(world(run=started(), pods=(pod(), replace(stray, deleting=True)))).actions == ()


def test_of_finished_pods_the_newest_stay_for_a_while():
    """So that somebody can read their logs; the one whose end is still to be judged always stays."""
    old = [
        ended(1, name=f"p{n}", uid=f"u{n}", epoch=n, created_at=ago(1000 - n), ended_at=ago(900 - n))
        for n in range(2, 7)
    ]
    aged = ended(1, name="aged", uid="ua", epoch=9, created_at=ago(1), ended_at=ago(3601))
    own = ended(0, word(), created_at=ago(99999), ended_at=ago(99999))

    gone = {a.name for a in plan(world(run=parked(), pods=(own, aged, *old))).actions}
    assert gone == {"p2", "p3", "p4", "aged"}
    assert {a.name for a in plan(world(run=started(phase="Failed"), pods=(own,))).actions} == {own.name}
    assert KEEPING.finished_pods == 3


def test_a_finished_pod_that_is_told_to_go_is_not_told_again():
    """Somebody may hold it for hours; each telling would be a pass at once."""
    held_back = ended(1, epoch=7, deleting=True, created_at=ago(99999), ended_at=ago(99999))

    assert plan(world(run=started(phase="Failed"), pods=(held_back,))).actions == ()


@pytest.mark.parametrize(
    ("spec", "pods", "again"),
    [
        pytest.param({}, (), None, id="nothing is left to do"),
        pytest.param({}, (ended(1),), 3600.0, id="its pod goes in an hour"),
        pytest.param({"ttlAfterFinished": "2m"}, (ended(1),), 60.0, id="the Workflow goes before"),
        pytest.param({"ttlAfterFinished": "2d"}, (ended(1),), 3600.0, id="the Workflow goes after it"),
        pytest.param({"ttlAfterFinished": "2m"}, (), 60.0, id="it has no pod any more"),
    ],
)
def test_what_is_over_is_looked_at_when_something_of_it_goes(spec, pods, again):
    """Nobody rings for that: its row and its pods change no more."""
    made = plan(world(spec, run=started(phase="Succeeded"), pods=pods))

    assert (made.actions, made.again_seconds) == ((), again)


def test_a_changed_policy_is_kept_where_the_sweep_finds_it():
    """Once the object is gone, nobody else knows what was asked."""
    seen = world({"deletionPolicy": "Delete"}, run=started(), pods=(pod(),))

    assert plan(seen).actions == (Annotate(RUN, {"deletionPolicy": "Delete"}),)
    over = world({"deletionPolicy": "Delete"}, run=started(phase="Failed"))
    assert plan(over).actions == (Annotate(RUN, {"deletionPolicy": "Delete"}),)


@pytest.mark.parametrize(
    ("changes", "goes"),
    [
        ({"head_seq": 1}, True),
        ({"phase": "Failed"}, True),
        ({"head_seq": 4, "phase": "Succeeded"}, True),
        ({}, False),
    ],
    ids=["it has a checkpoint", "it never will have one", "it is over", "it has none yet"],
)
def test_a_forks_origin_is_let_go(changes, goes):
    """As soon as nobody needs it, and only once."""
    row = started(annotations={**run().annotations, "held": True}, **changes)

    released = plan(world(run=row, pods=(pod(),))).actions
    assert released == ((ReleaseHold(RUN), Annotate(RUN, {"held": None})) if goes else ())


def test_a_named_signal_wakes_who_waits_for_its_name():
    """Also where several tasks wait; a signal without a name answers nobody."""
    row = parked(waits=(Wait("x#1", "sleep"), Wait("y#1", "signal", "go")))

    assert plan(world(run=row, signals=(signal(wait="", name="go"),))).actions == START
    assert plan(world(run=row, signals=(signal(wait="", name=""),))).actions == ()
