"""What no plan may do, whatever was observed: judged by what really happened, not by what a pass knows."""

from __future__ import annotations

from tests.unit.operator.reconcile.builders import KEEPING
from tests.unit.operator.reconcile.models import Attempt, Cluster, Count

from cairn_operator.reconcile.checks import SILENT_SECONDS
from cairn_operator.reconcile.state import (
    Annotate,
    CreateRun,
    DeletePod,
    DeleteWorkflow,
    EndRun,
    Hold,
    Note,
    Plan,
    ReleaseHold,
    StartRunner,
    World,
)
from cairn_runtime.store.base import Run

HOUR = 3600.0
CALM_ENDS = 3
"""After so many ends at one head somebody must have paused."""


def judge(cluster: Cluster, seen: World, plan: Plan) -> None:
    """Look at a plan that was made of what is true now."""
    if seen.store_error is not None:
        assert plan.actions == ()
    for action in plan.actions:
        match action:
            case StartRunner():
                judge_start(cluster, seen, action)
            case EndRun():
                judge_end(cluster, seen, action)
                if action.outcome.reason == "Forked" and seen.origin is not None:
                    assert any(isinstance(one, Hold) for one in plan.actions), "its origin may be pruned"
            case CreateRun(new):
                assert new.run_id == seen.wanted
                assert new.run_id not in cluster.rows, "a nonce is served once"
                assert seen.run is None or seen.run.finished, "two runs at once"
                assert (
                    new.origin is None
                    or (new.origin.checkpoint_id, new.run_id) in cluster.holds
                    or any(action == Hold(new.origin.checkpoint_id, new.run_id) for action in plan.actions)
                ), "nobody keeps its origin"
            case DeletePod():
                judge_delete(cluster, seen, action)
            case DeleteWorkflow():
                assert seen.run is not None
                assert seen.run.finished
                assert seen.served, "somebody asked for more"
                assert cluster.spec.get("ttlAfterFinished")
                assert (cluster.now - seen.run.updated_at).total_seconds() >= HOUR
            case Note() | Hold() | ReleaseHold() | Annotate():
                pass
    making = [one for one in plan.actions if isinstance(one, Hold | CreateRun)]
    unknown = seen.origin is not None and seen.origin.checkpoint is None
    assert not (making and (unknown or cluster.broken or seen.served)), "nothing is touched"
    starts = [one for one in plan.actions if isinstance(one, StartRunner)]
    assert len(starts) <= 1
    assert not (making and starts)


def judge_asked(cluster: Cluster, seen: World, plan: Plan) -> None:
    """What a person asked for is in the audit before it is done."""
    told: list[tuple[str, str]] = []
    for action in plan.actions:
        match action:
            case Note(what, act):
                told.append(("resume" if what == "patch" else what, act))
            case Hold(_, child):
                assert told == [("resume", child)]
            case EndRun(run_id, _, outcome) if outcome.reason == "Cancelled":
                assert told == [("cancel", f"{run_id}:annotation")]
            case EndRun(_, _, outcome) if outcome.reason == "Forked" and cluster.spec.get("resume"):
                assert told == [("resume", seen.wanted)]
            case _:
                pass


def judge_lines(cluster: Cluster) -> None:
    """Each fork and each end on request is one line, and pauses alternate with their ends."""
    told = [(line.what, line.source or line.target) for line in cluster.lines.values()]
    for row in cluster.rows.values():
        if row.run_id in cluster.tainted:
            continue
        forks = [what for what in ("resume", "patch") if f"{what}:{row.run_id}" in cluster.lines]
        assert row.origin is None or forks, "a fork that nobody asked for"
        assert told.count(("cancel", row.run_id)) <= 1
        pauses = [what for what, run in told if what in ("pause", "unpause") and run == row.run_id]
        assert pauses == ["pause", "unpause"] * (len(pauses) // 2) + ["pause"] * (len(pauses) % 2)


def judge_start(cluster: Cluster, seen: World, action: StartRunner) -> None:
    """A runner is started for the newest run, and only where none is at work."""
    run = cluster.run
    assert run is not None
    assert (action.run_id, action.expected_epoch) == (run.run_id, run.epoch)
    assert not run.finished, "a finished run gets no pod"
    assert not cluster.spec.get("suspend"), "suspended: nothing starts"
    assert not cluster.broken, "a pod is built from an accepted spec"
    own = cluster.own_pod(seen)
    if own is not None and not own.facts.over:
        assert own.facts.running_since is not None
        assert own.lost, "its runner lives and is heard"
        assert not cluster.suspect
        assert cluster.quiet(run) > SILENT_SECONDS
        return
    assert own is None or own.fate != "unusable", "it would end the same way"
    if run.phase == "Waiting":
        woken = run.wake_at is not None and run.wake_at <= cluster.now
        assert woken or cluster.signals, "nothing is due"
    if run.run_id not in cluster.tainted:
        assert crashes_in_a_row(cluster, run) <= limit(cluster)
        ends = [at for head, at in cluster.ends.get(run.run_id, []) if head == run.head_seq]
        assert len(ends) < CALM_ENDS or cluster.now > ends[-1], "a storm of pods"


def judge_end(cluster: Cluster, seen: World, action: EndRun) -> None:
    """A run is ended for one of five reasons, and never for what the cluster did to it."""
    run = cluster.rows[action.run_id]
    assert not run.finished
    own: Attempt | None = cluster.own_pod(seen)
    match action.outcome.reason:
        case "Forked":
            assert not cluster.broken
            assert seen.wanted not in cluster.rows
        case "CrashLoop":
            assert not cluster.broken
            assert run.run_id in cluster.tainted or crashes_in_a_row(cluster, run) > limit(cluster)
        case "Cancelled":
            assert cluster.cancel == run.run_id, "nobody asked for this run's end"
        case "PendingTimeout":
            assert own is not None
            assert own.facts.running_since is None
            assert cluster.spec["pod"]["pendingTimeout"]
        case _:
            assert own is not None
            assert own.fate == "unusable"


def judge_delete(cluster: Cluster, seen: World, action: DeletePod) -> None:
    """The pod that holds the run's fence goes only when it is over, silent, outdated, or to be suspended."""
    run, found = cluster.run, cluster.pods[action.name]
    assert not found.facts.deleting
    own = cluster.own_pod(seen)
    if found is own and run is not None and not found.facts.over:
        silent = found.lost and cluster.quiet(run) > SILENT_SECONDS
        stuck = found.facts.running_since is None and found.facts.waiting
        outdated = stuck and found.facts.generation < cluster.generation and not cluster.broken
        assert silent or outdated or cluster.spec.get("suspend")
        return
    if found is own and run is not None:
        assert run.finished, "how its last attempt ended is still to be told"


def crashes_in_a_row(cluster: Cluster, run: Run) -> int:
    """Crashes that were seen with no new checkpoint between them."""
    crashes = head = 0
    for count in cluster.counts.get(run.run_id, []):
        crashes = (0 if count.head_seq > head else crashes) + count.crashed
        head = count.head_seq
    return 0 if run.head_seq > head else crashes


def limit(cluster: Cluster) -> int:
    """Crashes in a row that are allowed."""
    restart = cluster.spec.get("restart")
    return restart["limit"] if restart else 5


def judge_counts(cluster: Cluster) -> None:
    """Each epoch is counted once, crashes as crashes."""
    for run_id, counts in cluster.counts.items():
        if run_id in cluster.tainted:
            continue
        assert _epochs(counts) == sorted(set(_epochs(counts))), "an epoch was counted twice"
        note = cluster.rows[run_id].annotations["attempts"]
        assert isinstance(note, dict)
        assert note["total"] == sum(count.crashed for count in counts)


def _epochs(counts: list[Count]) -> list[int]:
    return [count.epoch for count in counts]


def judge_state(cluster: Cluster) -> None:
    """At no moment do two pods hold the same right."""
    alive = [(one.facts.run_id, one.facts.epoch) for one in cluster.pods.values() if not one.facts.over]
    assert len(alive) == len(set(alive))


def judge_keys(cluster: Cluster) -> None:
    """A fork from its parent's last checkpoint, with no change, goes on with its parent's keys."""
    for row in cluster.rows.values():
        if row.origin is not None:
            parent = cluster.rows[row.origin.run_id]
            goes_on = row.origin.plain and row.origin.seq == parent.head_seq
            assert row.key_base == (parent.key_base if goes_on else row.run_id)


def judge_rest(cluster: Cluster, seen: World, plan: Plan) -> None:
    """Where nothing is left to do, all was done that the spec asks for, or it is known when to go on."""
    run = seen.run
    if seen.store_error is not None:
        assert plan.again_seconds is not None
        return
    if run is not None and (run.head_seq or run.finished) and run.run_id not in cluster.tainted:
        assert not any(child == run.run_id for _, child in cluster.holds), "an origin is kept for nobody"
    if run is not None and not run.finished:
        pauses = run.annotations.get("pauses")
        on = isinstance(pauses, dict) and pauses["on"]
        assert on == bool(cluster.spec.get("suspend")), "the audit does not tell whether it is held"
    if run is not None and not cluster.broken:
        policy = cluster.spec.get("deletionPolicy", "Retain")
        assert run.annotations["deletionPolicy"] == policy, "the sweep does not know"
    over = [one for one in cluster.pods.values() if one.facts.over and not one.facts.deleting]
    assert run is None or len(over) <= KEEPING.finished_pods + 1, "finished pods pile up"
    for one in cluster.pods.values():
        current = run is not None and (one.facts.run_id, one.facts.epoch) == (run.run_id, run.epoch)
        assert run is None or current or one.facts.over or one.facts.deleting, "a pod of another epoch"
    origin_known = seen.origin is None or seen.origin.checkpoint is not None
    if not cluster.broken and origin_known:
        assert seen.served, "what the spec asks for is made"
    assert run is None or run.finished or cluster.cancel != run.run_id, "its end was asked for"
    if run is None or run.finished or cluster.spec.get("suspend"):
        return
    own = cluster.own_pod(seen)
    if own is not None and not own.facts.over:
        assert plan.again_seconds is not None
        return
    if run.phase == "Waiting" and run.wake_at is None and not cluster.signals:
        return
    if cluster.broken:
        return
    assert plan.again_seconds is not None, "nobody will start its runner"
    assert plan.again_seconds > 0
