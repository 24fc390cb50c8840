"""Random histories: whatever happens between passes, and wherever a pass dies, they come to rest."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.operator.reconcile.builders import UID, ago, checkpoint, pod, run
from tests.unit.operator.reconcile.histories import BY_NAME, EVENTS, SPECS
from tests.unit.operator.reconcile.judges import (
    judge,
    judge_asked,
    judge_counts,
    judge_keys,
    judge_lines,
    judge_rest,
    judge_state,
)
from tests.unit.operator.reconcile.models import ENDS, Attempt, Cluster
from tests.unit.operator.reconcile.statuses import assert_fits

from cairn_operator.reconcile.state import Plan, World
from cairn_runtime.model.ids import run_id_for
from cairn_runtime.store.base import Wait

MOST_PASSES = 30
"""Far more than the longest chain: hold, end, hold, create, note, start, and a pod to delete each."""
ENOUGH_WRITES = 9
"""A pass that would die after so many writes lives."""


@dataclass
class Operator:
    """Makes passes over the model, and is judged at each."""

    cluster: Cluster = field(default_factory=lambda: Cluster({"restart": {"limit": 1, "baseDelay": "2s"}}))
    stale: tuple[World, Plan] | None = None
    """What another operator has observed and decided, and not yet done."""

    def one_pass(self, dies_after: int | None = None) -> tuple[World, Plan]:
        """Observe, decide, and act as far as the process lives."""
        seen, plan = self.cluster.decided()
        judge(self.cluster, seen, plan)
        judge_asked(self.cluster, seen, plan)
        assert_fits(plan.status)
        self.cluster.act(seen, plan, dies_after=dies_after)
        judge_state(self.cluster)
        judge_counts(self.cluster)
        judge_keys(self.cluster)
        judge_lines(self.cluster)
        return seen, plan

    def until_rest(self, number: int) -> None:
        """Every prefix of every plan is a legal start: some of these passes die on the way."""
        for n in range(MOST_PASSES):
            dies_after = (number >> n) % 5 if number >> n & 1 and n < ENOUGH_WRITES else None
            seen, plan = self.one_pass(dies_after)
            if self.cluster.deleted:
                return
            if not plan.actions:
                judge_rest(self.cluster, seen, plan)
                return
        raise AssertionError("passes never come to rest")

    def after_the_pause(self, number: int) -> None:
        """What was promised for later happens then, without anybody ringing."""
        self.until_rest(number)
        if self.cluster.deleted:
            return
        seen, plan = self.one_pass()
        live = self.cluster.own_pod(seen)
        resting = seen.run is None or seen.run.finished or seen.store_error is not None
        if resting or plan.again_seconds is None or (live is not None and not live.facts.over):
            return
        self.cluster.advance(plan.again_seconds)
        if not self.cluster.spec.get("suspend"):
            assert self.one_pass()[1].actions, "it was not time yet"

    def another(self, number: int) -> None:
        """A second operator acts on what it observed before, and looks again."""
        if self.stale is not None:
            self.cluster.act(*self.stale, dies_after=number % ENOUGH_WRITES, stale=True)
        self.stale = self.cluster.decided() if number % 3 else None


PASSES = ["one_pass", "until_rest", "until_rest", "until_rest", "after_the_pause", "another", "none"]
HAPPENINGS = st.tuples(st.sampled_from(EVENTS), st.integers(0, 999), st.sampled_from(PASSES))


@settings(max_examples=60)
@given(st.lists(HAPPENINGS, min_size=20, max_size=60))
def test_passes_come_to_rest_whatever_happens(history):
    """After any history, with passes that die between any two writes, and with a second operator."""
    operator = Operator()
    operator.until_rest(0)
    for event, number, passes in history:
        BY_NAME[event](operator.cluster, number)
        if passes == "one_pass":
            operator.one_pass(number % ENOUGH_WRITES)
        elif passes != "none":
            getattr(operator, passes)(number)
        if operator.cluster.deleted:
            return
    operator.until_rest(0)


# -- any world at all ----------------------------------------------

NOTES = [
    None,
    "not ours",
    {
        "epoch": 1,
        "headSeq": 0,
        "restarts": 9,
        "total": 9,
        "disruptions": 0,
        "cause": "",
        "message": "",
        "at": None,
    },
    {
        "epoch": 2,
        "headSeq": 9,
        "restarts": 0,
        "total": 9,
        "disruptions": 99,
        "cause": "X",
        "message": "",
        "at": "x",
    },
]
PHASES = ["Pending", "Running", "Running", "Waiting", "Succeeded", "Failed", "Cancelled"]


@st.composite
def clusters(draw):
    """Rows, notes and pods that no history leads to: another release wrote them, or a person did."""
    resume = st.sampled_from(["start", "latest", "nowhere", "cp-1"])
    spec = draw(st.sampled_from([*SPECS, {"ttlAfterFinished": "1h"}]))
    if draw(st.booleans()):
        spec = {**spec, "resume": {"checkpoint": draw(resume), "nonce": "1"}}
    cluster = Cluster(spec, broken=draw(st.sampled_from([False, False, True])))
    for nonce in draw(st.lists(st.sampled_from(["", "1", "2"]), unique=True)):
        head = draw(st.integers(0, 2))
        made = checkpoint(head, run_id=run_id_for(UID, nonce), id=f"cp-{head}{nonce}")
        cluster.checkpoints |= {made.id: made} if head else {}
        notes = {"attempts": draw(st.sampled_from(NOTES)), "held": draw(st.sampled_from([True, None, "x"]))}
        cluster.rows[made.run_id] = run(
            run_id=made.run_id,
            key_base=made.run_id,
            epoch=draw(st.integers(0, 3)),
            head_seq=head,
            head_id=made.id if head else "",
            phase=draw(st.sampled_from(PHASES)),
            waits=(Wait("sign#1", "approval", "sign#1"),),
            wake_at=draw(st.sampled_from([None, ago(5), ago(-5)])),
            annotations={**notes, "deletionPolicy": draw(st.sampled_from(["Retain", "Delete", 7]))},
        )
    cluster.tainted |= set(cluster.rows)
    cluster.signs |= dict.fromkeys(cluster.rows, ago(draw(st.sampled_from([1, 99]))))
    for n in range(draw(st.integers(0, 6))):
        _add_a_pod(draw, cluster, f"p{n}")
    return cluster


def _add_a_pod(draw, cluster, name):
    run_id = draw(st.sampled_from([*cluster.rows, "nobodys"]))
    epoch = cluster.rows[run_id].epoch if run_id in cluster.rows else 3
    own = (run_id, draw(st.sampled_from([-1, *range(1, epoch + 1), *[epoch or -1] * 3])))
    if own in {(one.facts.run_id, one.facts.epoch) for one in cluster.pods.values()}:
        return
    since = draw(st.sampled_from([None, ago(2), ago(60)]))
    facts = pod(name=name, uid=name, run_id=own[0], epoch=own[1], running_since=since, created_at=ago(70))
    made = replace(facts, deleting=draw(st.booleans()), phase="Pending" if since is None else "Running")
    cluster.pods[name] = Attempt(made, "", lost=since is not None)
    how = draw(st.sampled_from([None, None, *ENDS]))
    if how is not None:
        cluster.end(name, how)


@settings(max_examples=60)
@given(clusters(), st.integers(0, 999))
def test_passes_come_to_rest_from_any_world(cluster, number):
    """Whoever wrote it; and what follows from there is as good as what follows from a history."""
    operator = Operator(cluster)
    operator.until_rest(number)
    for event in (
        "begins",
        "commits",
        "parks",
        "answers",
        "starts_and_ends",
        "time_passes",
        "begins",
        "finishes",
    ):
        if not cluster.deleted:
            BY_NAME[event](cluster, number)
            operator.until_rest(number)
