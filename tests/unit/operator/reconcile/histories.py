"""What happens to a Workflow between two passes: by its runner, its node, its servers and people.

Every event takes one number, of which it makes its choices, so that a history is a list of names and numbers
that shrinks well. What does not apply at the moment changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import TypeVar

from tests.unit.operator.reconcile.builders import run_with, signal
from tests.unit.operator.reconcile.models import ENDS, Cluster

from cairn_runtime.store.base import Outcome, Wait

_T = TypeVar("_T")
Event = Callable[[Cluster, int], None]
SPECS = (
    {"suspend": True},
    {"suspend": False},
    {"deletionPolicy": "Delete"},
    {"deletionPolicy": "Retain"},
    {"pod": {"pendingTimeout": "5s"}},
    {"pod": {}},
    {"restart": {"limit": 0}},
    {"restart": {"limit": 2, "baseDelay": "2s"}},
)
CRASHES = [how for how in ENDS if how.startswith("crash")]
DELAYS = (1, 5, 31, 400, 4000)


def chosen(number: int, among: list[_T] | tuple[_T, ...]) -> _T:
    """One of them."""
    return among[number % len(among)]


def a_pod(cluster: Cluster, number: int, *, running: bool | None = None) -> str:
    """A pod whose process is not over; the newest most of the time."""
    found = [
        name
        for name, one in cluster.pods.items()
        if not one.facts.over and running in (None, one.facts.running_since is not None)
    ]
    return (found[-1] if number % 4 else chosen(number // 4, found)) if found else ""


# -- the runner ----------------------------------------------


def begins(cluster: Cluster, number: int) -> None:
    """The kubelet starts a container."""
    if name := a_pod(cluster, number, running=False):
        cluster.begin(name)


def commits(cluster: Cluster, number: int) -> None:
    """A runner writes a checkpoint."""
    if name := a_pod(cluster, number, running=True):
        cluster.commit(name, Outcome("Running"))


def finishes(cluster: Cluster, number: int) -> None:
    """A run comes to its end; how its process ends is another matter."""
    name = a_pod(cluster, number, running=True)
    if name and cluster.commit(name, chosen(number, (Outcome("Succeeded"), Outcome("Failed", "StepFailed")))):
        cluster.end(name, chosen(number, list(ENDS)))


def parks(cluster: Cluster, number: int) -> None:
    """Its tasks wait; its process ends well, or not."""
    name = a_pod(cluster, number, running=True)
    wake_at = chosen(number, (None, cluster.now + timedelta(seconds=number % 90 + 1)))
    waits = (Wait("sign#1", "approval", "sign#1", until=wake_at),)
    if name and cluster.commit(name, Outcome("Waiting", waits=waits, wake_at=wake_at)):
        cluster.end(name, chosen(number, ("drained: exit 0", "drained: exit 0", *CRASHES)))


def ends(cluster: Cluster, number: int) -> None:
    """A process ends, in whatever way."""
    if name := a_pod(cluster, number, running=True):
        cluster.end(name, chosen(number, list(ENDS)))


def crashes(cluster: Cluster, number: int) -> None:
    """A process crashes."""
    if name := a_pod(cluster, number, running=True):
        cluster.end(name, chosen(number, CRASHES))


def starts_and_ends(cluster: Cluster, number: int) -> None:
    """A container begins, and its process is over before anybody looked."""
    begins(cluster, number)
    ends(cluster, number // 2)


# -- the node ----------------------------------------------


def evicts(cluster: Cluster, number: int) -> None:
    """The node takes a pod away."""
    if name := a_pod(cluster, number):
        cluster.evict(name)


def vanishes(cluster: Cluster, number: int) -> None:
    """A pod is not there any more: by force, or because its deletion has come to its end."""
    if cluster.pods:
        cluster.vanish(chosen(number, list(cluster.pods)))


def obeys(cluster: Cluster, number: int) -> None:
    """A pod that was told to go drains, and goes."""
    for name in [name for name, one in cluster.pods.items() if one.facts.deleting]:
        if not cluster.pods[name].facts.over:
            cluster.end(name, "drained: exit 0")
        if number % 2:
            cluster.vanish(name)


def is_lost(cluster: Cluster, number: int) -> None:
    """A node is heard no more, for a while; or it comes back with what runs on it."""
    if name := a_pod(cluster, number, running=True):
        cluster.pods[name].lost = number % 3 > 0
    cluster.advance(DELAYS[number % 3])


def is_stuck(cluster: Cluster, number: int) -> None:
    """A container cannot start."""
    if name := a_pod(cluster, number, running=False):
        one = cluster.pods[name]
        one.facts = replace(one.facts, waiting="ImagePullBackOff", waiting_message="no such image")


def time_passes(cluster: Cluster, number: int) -> None:
    """A second, or an hour."""
    cluster.advance(chosen(number, DELAYS))


# -- people and servers ----------------------------------------------


def deletes_a_pod(cluster: Cluster, number: int) -> None:
    """Somebody deletes a pod gracefully."""
    if name := a_pod(cluster, number):
        one = cluster.pods[name]
        one.facts = replace(one.facts, deleting=True)


def changes_the_spec(cluster: Cluster, number: int) -> None:
    """What may be changed at any time."""
    cluster.spec = {**cluster.spec, **chosen(number, SPECS)}
    cluster.generation += 1


def sets_a_time_to_live(cluster: Cluster, number: int) -> None:
    """A finished Workflow is to go after an hour."""
    cluster.spec = {**cluster.spec, "ttlAfterFinished": "1h"}


def breaks_the_spec(cluster: Cluster, number: int) -> None:
    """Or mends it."""
    cluster.broken = number % 3 == 0


def resumes(cluster: Cluster, number: int) -> None:
    """With a new nonce, or with one that was served before."""
    nonce = chosen(number, "12345")
    before = cluster.spec.get("resume")
    if before and before["nonce"] == nonce:
        return
    known = list(cluster.checkpoints)
    where = ["latest", "start", "nothing-of-this-name", *known[-3:]]
    resume: dict[str, object] = {"nonce": nonce, "checkpoint": chosen(number // 5, where)}
    if number % 2 and resume["checkpoint"] != "start":
        resume["statePatch"] = {"tone": "dry"}
    cluster.spec = {**cluster.spec, "resume": resume}
    cluster.generation += 1


def answers(cluster: Cluster, number: int) -> None:
    """Somebody approves."""
    run = cluster.run
    if run is not None and run.phase == "Waiting":
        cluster.signals.append(signal(run_id=run.run_id))


def cancels(cluster: Cluster, number: int) -> None:
    """Somebody cancels the run from the command line."""
    run = cluster.run
    if run is not None and not run.finished:
        cluster.rows[run.run_id] = run_with(
            run, epoch=run.epoch + 1, claim_id="cli", phase="Cancelled", updated_at=cluster.now
        )


def asks_for_the_end(cluster: Cluster, number: int) -> None:
    """Somebody cancels a run by an annotation; it may be one that has ended long ago."""
    if cluster.rows:
        cluster.cancel = chosen(number, list(cluster.rows))


def servers_fail(cluster: Cluster, number: int) -> None:
    """A quota refuses pods, the store is silent or suspected; most of the time all is well again."""
    cluster.refusing, cluster.store_down, cluster.suspect = (number % 8 == n for n in (1, 2, 3))


WEIGHTS: dict[Event, int] = {
    begins: 5,
    commits: 4,
    finishes: 1,
    parks: 3,
    ends: 2,
    crashes: 3,
    starts_and_ends: 2,
    evicts: 1,
    vanishes: 1,
    obeys: 2,
    is_lost: 2,
    is_stuck: 1,
    time_passes: 4,
    deletes_a_pod: 1,
    changes_the_spec: 2,
    sets_a_time_to_live: 1,
    breaks_the_spec: 1,
    resumes: 3,
    answers: 2,
    cancels: 1,
    asks_for_the_end: 1,
    servers_fail: 1,
}
EVENTS = [event.__name__ for event, weight in WEIGHTS.items() for _ in range(weight)]
BY_NAME = {event.__name__: event for event in WEIGHTS}
