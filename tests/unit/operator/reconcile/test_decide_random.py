"""Random histories: whatever happens between passes, and wherever a pass dies, they come to rest."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from tests.unit.operator.reconcile.builders import UID, run_with, signal
from tests.unit.operator.reconcile.judges import judge, judge_counts, judge_rest, judge_state
from tests.unit.operator.reconcile.models import ENDS, Cluster
from tests.unit.operator.reconcile.statuses import assert_fits

from cairn_operator.reconcile.state import Plan, World
from cairn_runtime.model.ids import run_id_for
from cairn_runtime.store.base import Outcome, Wait

MOST_PASSES = 30
"""Far more than the longest chain: hold, end, hold, create, note, start, and a pod to delete each."""


class Operated(RuleBasedStateMachine):
    """One Workflow under one operator, sometimes two."""

    def __init__(self) -> None:
        super().__init__()
        self.cluster = Cluster({"restart": {"limit": 1, "baseDelay": "2s"}})
        self.stale: tuple[World, Plan] | None = None

    # -- the operator ----------------------------------------------

    @rule(dies_after=st.none() | st.integers(0, 4))
    def one_pass(self, dies_after: int | None) -> None:
        self._pass(dies_after)

    @rule()
    def passes_until_rest(self) -> None:
        for _ in range(MOST_PASSES):
            seen, plan = self._pass(None)
            if self.cluster.deleted:
                return
            if not plan.actions:
                judge_rest(self.cluster, seen, plan)
                return
        raise AssertionError("passes never come to rest")

    @rule()
    def passes_after_the_pause(self) -> None:
        """What was promised for later happens then, without anybody ringing."""
        seen, plan = self._pass(None)
        if plan.actions or plan.again_seconds is None or seen.store_error is not None:
            return
        live = self.cluster.own_pod(seen)
        promised = seen.run is not None and not seen.run.finished and (live is None or live.facts.over)
        self.cluster.advance(plan.again_seconds)
        if promised:
            assert self._pass(None)[1].actions, "it was not time yet"

    @rule()
    def another_operator_observes(self) -> None:
        if not self.cluster.deleted:
            self.stale = self.cluster.decided()

    @precondition(lambda self: self.stale is not None)
    @rule(dies_after=st.none() | st.integers(0, 4))
    def another_operator_acts_late(self, dies_after: int | None) -> None:
        assert self.stale is not None
        self.cluster.act(*self.stale, dies_after=dies_after, stale=True)
        self.stale = None

    def _pass(self, dies_after: int | None) -> tuple[World, Plan]:
        seen, plan = self.cluster.decided()
        if not self.cluster.deleted:
            judge(self.cluster, seen, plan)
            assert_fits(plan.status)
            self.cluster.act(seen, plan, dies_after=dies_after)
        return seen, plan

    # -- the runner and its node ----------------------------------------------

    @rule(data=st.data())
    def a_container_starts(self, data: st.DataObject) -> None:
        if name := self._a_pod(data, running=False):
            self.cluster.begin(name)

    @rule(data=st.data(), finishes=st.sampled_from(["", "", "", "Succeeded", "Failed"]))
    def a_runner_commits(self, data: st.DataObject, finishes: str) -> None:
        name = self._a_pod(data, running=True)
        if not name:
            return
        wrote = self.cluster.commit(
            name, Outcome(finishes or "Running", "StepFailed" if finishes == "Failed" else "")
        )
        if wrote and finishes:
            self.cluster.end(name, "drained: exit 0" if finishes == "Succeeded" else "crash: exit 70")

    @rule(data=st.data(), wakes=st.none() | st.integers(1, 60), how=st.sampled_from(sorted(ENDS)[:9]))
    def a_runner_parks(self, data: st.DataObject, wakes: int | None, how: str) -> None:
        """It parks, and its process ends well or not."""
        name = self._a_pod(data, running=True)
        if not name:
            return
        wake_at = None if wakes is None else self.cluster.now + timedelta(seconds=wakes)
        waits = (Wait("sign#1", "approval", "sign#1", until=wake_at),)
        if self.cluster.commit(name, Outcome("Waiting", waits=waits, wake_at=wake_at)):
            self.cluster.end(name, how if how.startswith("crash") else "drained: exit 0")

    @rule(data=st.data(), how=st.sampled_from(sorted(ENDS)))
    def a_process_ends(self, data: st.DataObject, how: str) -> None:
        if name := self._a_pod(data, running=True):
            self.cluster.end(name, how)

    @rule(data=st.data())
    def a_node_takes_a_pod_away(self, data: st.DataObject) -> None:
        if name := self._a_pod(data):
            self.cluster.evict(name)

    @rule(data=st.data())
    def a_pod_vanishes(self, data: st.DataObject) -> None:
        """Somebody deleted it by force, or its deletion has come to its end."""
        if self.cluster.pods:
            self.cluster.vanish(data.draw(st.sampled_from(sorted(self.cluster.pods))))

    @rule(data=st.data())
    def a_pod_is_told_to_go(self, data: st.DataObject) -> None:
        if name := self._a_pod(data):
            one = self.cluster.pods[name]
            one.facts = replace(one.facts, deleting=True)

    @rule(data=st.data())
    def a_pod_cannot_start(self, data: st.DataObject) -> None:
        if name := self._a_pod(data, running=False):
            one = self.cluster.pods[name]
            one.facts = replace(one.facts, waiting="ImagePullBackOff", waiting_message="no such image")

    @rule(data=st.data(), lost=st.booleans())
    def a_node_is_lost_or_comes_back(self, data: st.DataObject, lost: bool) -> None:
        if name := self._a_pod(data, running=True):
            self.cluster.pods[name].lost = lost

    @rule(seconds=st.sampled_from([1, 5, 31, 400, 4000]))
    def time_passes(self, seconds: int) -> None:
        self.cluster.advance(seconds)

    def _a_pod(self, data: st.DataObject, *, running: bool | None = None) -> str:
        found = [
            name
            for name, one in self.cluster.pods.items()
            if not one.facts.over and running in (None, one.facts.running_since is not None)
        ]
        return data.draw(st.sampled_from(sorted(found))) if found else ""

    # -- people ----------------------------------------------

    @rule(
        changes=st.sampled_from(
            [
                {"suspend": True},
                {"suspend": False},
                {"deletionPolicy": "Delete"},
                {"ttlAfterFinished": "1h"},
                {"pod": {"pendingTimeout": "5s"}},
                {"restart": {"limit": 0}},
                {"restart": {"limit": 2, "baseDelay": "2s"}},
            ]
        )
    )
    def somebody_changes_the_spec(self, changes: dict[str, object]) -> None:
        self.cluster.spec = {**self.cluster.spec, **changes}
        self.cluster.generation += 1

    @rule(broken=st.booleans())
    def the_spec_breaks_or_is_mended(self, broken: bool) -> None:
        self.cluster.broken = broken

    @rule(data=st.data(), nonce=st.sampled_from("123"), patched=st.booleans())
    def somebody_resumes(self, data: st.DataObject, nonce: str, patched: bool) -> None:
        """With a new nonce, or with one that was served before."""
        before = self.cluster.spec.get("resume")
        if before and before["nonce"] == nonce:
            return
        where = ["latest", "latest", "start", "nothing-of-this-name", *sorted(self.cluster.checkpoints)]
        resume: dict[str, object] = {"nonce": nonce, "checkpoint": data.draw(st.sampled_from(where))}
        if patched and resume["checkpoint"] != "start":
            resume["statePatch"] = {"tone": "dry"}
        self.cluster.spec = {**self.cluster.spec, "resume": resume}
        self.cluster.generation += 1

    @rule()
    def somebody_answers(self) -> None:
        run = self.cluster.run
        if run is not None and run.phase == "Waiting":
            self.cluster.signals.append(signal(run_id=run.run_id))

    @rule()
    def somebody_cancels(self) -> None:
        run = self.cluster.run
        if run is not None and not run.finished:
            self.cluster.rows[run.run_id] = run_with(
                run, epoch=run.epoch + 1, claim_id="cli", phase="Cancelled", updated_at=self.cluster.now
            )

    @rule(refusing=st.booleans(), store_down=st.booleans(), suspect=st.booleans())
    def servers_fail_and_come_back(self, refusing: bool, store_down: bool, suspect: bool) -> None:
        self.cluster.refusing, self.cluster.store_down = refusing, store_down
        self.cluster.suspect = suspect

    # -- always ----------------------------------------------

    @invariant()
    def two_never_hold_the_same_right(self) -> None:
        judge_state(self.cluster)
        judge_counts(self.cluster)

    @invariant()
    def forks_keep_their_keys_only_where_nothing_was_changed(self) -> None:
        """A fork from its parent's last checkpoint, with no change, goes on with its parent's keys."""
        for row in self.cluster.rows.values():
            if row.origin is None:
                continue
            parent = self.cluster.rows[row.origin.run_id]
            plain = not row.origin.state_patch and row.origin.seq == parent.head_seq
            if parent.finished:
                assert row.key_base == (parent.key_base if plain else row.run_id)

    @invariant()
    def only_asked_runs_are_made(self) -> None:
        assert set(self.cluster.rows) <= {run_id_for(UID, nonce) for nonce in ("", "1", "2", "3")}


Operated.TestCase.settings = settings(
    max_examples=80, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
)
TestWhateverHappens = Operated.TestCase
