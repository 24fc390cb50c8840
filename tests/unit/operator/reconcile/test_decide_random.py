"""Random histories: whatever happens between passes, and wherever a pass dies, they come to rest."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.operator.reconcile.histories import BY_NAME, EVENTS
from tests.unit.operator.reconcile.judges import judge, judge_counts, judge_keys, judge_rest, judge_state
from tests.unit.operator.reconcile.models import Cluster
from tests.unit.operator.reconcile.statuses import assert_fits

from cairn_operator.reconcile.state import Plan, World

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
        assert_fits(plan.status)
        self.cluster.act(seen, plan, dies_after=dies_after)
        judge_state(self.cluster)
        judge_counts(self.cluster)
        judge_keys(self.cluster)
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


@settings(max_examples=80)
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
