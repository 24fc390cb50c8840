"""Many faults in a row, of all kinds and in an order that nobody chose, while Workflows of all shapes run.

What single faults do is tested by name elsewhere; here they meet. After each fault the Workflows must come a
few tasks further, so whatever gets stuck is found at once. In the end every Workflow has the state of an
undisturbed run, every history proves, and no committed task began again.

    CAIRN_TEST_STORM_SEED     the order of the faults; a failure names the one it had
    CAIRN_TEST_STORM_FAULTS   how many
"""

from __future__ import annotations

import json
import os
import random
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import pytest
from tests.cluster import installations
from tests.cluster.harness.cluster import Cluster
from tests.cluster.harness.commands import CommandFailed, say
from tests.cluster.harness.faults import NoSuchProcess
from tests.cluster.installations import OPERATOR, Installation, status
from tests.cluster.test_stores import start_redis
from tests.cluster.workflows import SMALL, STEPS, step, workflow

SEED = int(os.environ.get("CAIRN_TEST_STORM_SEED", "1"))
FAULTS = int(os.environ.get("CAIRN_TEST_STORM_FAULTS", "10"))
FURTHER = 3
"""Tasks that must begin between two faults."""
STUCK_SECONDS = 150.0
LINKS, ITEMS, ROUNDS, RANKS = 60, 240, 30, 40

WORK = (
    STEPS
    + '''

def slow(state, ctx):
    """A step that takes as long as a short request does."""
    done = work(state, ctx)
    time.sleep(0.4)
    return done


def slow_item(state, ctx):
    """The same for an item."""
    time.sleep(0.4)
    return item(state, ctx)


def count(state, ctx):
    """A step of a loop."""
    return {**slow(state, ctx), "n": 1}
'''
)
RUN: dict[str, Any] = {
    "code": {"steps.py": WORK},
    "pod": SMALL,
    # Faults without a checkpoint between them may be many; that they end a run is tested elsewhere.
    "restart": {"limit": 1000, "baseDelay": "100ms", "maxDelay": "2s"},
    # Nor is a step to blame that cannot speak while its runner is cut off.
    "retry": {"policy": "Fixed", "limit": 1000, "baseDelay": "500ms"},
}
CHANNELS = {
    "done": {"reducer": "extend", "initial": []},
    "n": {"reducer": "add", "initial": 0},
    "left": {"reducer": "extend", "initial": []},
}


# -- what runs, and how it must end --------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Shape:
    """A Workflow, and what an undisturbed run of it leaves."""

    document: dict[str, Any]
    ends: Callable[[dict[str, Any]], bool]

    @property
    def name(self) -> str:
        """Its name."""
        found: str = self.document["metadata"]["name"]
        return found


def slow(name: str, *needs: str, **more: Any) -> dict[str, Any]:
    """A step that takes a while."""
    return step(name, *needs, **{"python": "steps:slow", **more})


def line() -> Shape:
    """Steps one after the other."""
    names = [f"s{n}" for n in range(LINKS)]
    steps = [slow(names[0]), *(slow(after, before) for before, after in pairwise(names))]
    return Shape(
        workflow("line", *steps, state={"channels": CHANNELS}, **RUN),
        lambda state: state["done"] == [f"{name}#1" for name in names],
    )


def crowd() -> Shape:
    """Items side by side, collected in order."""
    each = {"in": "state.items", "parallelism": 4, "collect": "results"}
    items = list(range(ITEMS))
    return Shape(
        workflow(
            "crowd",
            {"name": "each", "python": "steps:slow_item", "foreach": each},
            slow("end", "each"),
            input={"items": items},
            state={"channels": CHANNELS},
            **RUN,
        ),
        lambda state: (state["results"], state["done"]) == (items, ["end#1"]),
    )


def loop() -> Shape:
    """Rounds of two steps, until there were enough; nothing is counted twice."""
    again = [{"to": "count", "when": f"state.n < {ROUNDS}"}, {"to": "end", "otherwise": True}]
    return Shape(
        workflow(
            "loop",
            slow("count", python="steps:count"),
            slow("look", "count", next=again),
            slow("end"),
            state={"channels": CHANNELS},
            **RUN,
        ),
        lambda state: state["n"] == ROUNDS and sorted(state["done"]) == sorted(rounds()),
    )


def rounds() -> list[str]:
    """All tasks of the loop."""
    return [f"{name}#{n}" for name in ("count", "look") for n in range(1, ROUNDS + 1)] + ["end#1"]


def web() -> Shape:
    """Branches that part and meet; checkpoints are saved without waiting for them."""
    ranks = [[f"w{rank}{branch}" for branch in "abc"] for rank in range(RANKS)]
    steps = [slow(name) for name in ranks[0]]
    for before, after in pairwise(ranks):
        steps += [slow(name, *before) for name in after]
    return Shape(
        workflow("web", *steps, state={"channels": CHANNELS}, checkpoint={"durability": "async"}, **RUN),
        lambda state: sorted(state["done"]) == sorted(f"{name}#1" for rank in ranks for name in rank),
    )


# -- what happens --------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Storm:
    """The faults of one test, by one seed."""

    installed: Installation
    shapes: list[Shape]
    store: str
    """Label of the pod in which the store is."""
    chance: random.Random = field(default_factory=lambda: random.Random(SEED))
    cut: list[str] = field(default_factory=list)
    nonces: int = 0

    @property
    def cluster(self) -> Cluster:
        """The namespace."""
        return self.installed.namespace

    def pods(self, selector: str) -> list[str]:
        """Names of the pods with a label that have not ended."""
        running = "--field-selector=status.phase=Running"
        listed = self.cluster.kubectl("get", "pods", f"--selector={selector}", running, "--output=name")
        return sorted(found.removeprefix("pod/") for found in listed.split())

    def some_runner(self) -> str:
        """A runner's pod.

        Raises:
            NoSuchProcess: there is none now.
        """
        found = [pod for pod in self.pods("app.kubernetes.io/name=cairn-runner") if pod not in self.cut]
        if not found:
            raise NoSuchProcess("no runner is there")
        return self.chance.choice(found)

    def some_workflow(self) -> str:
        """A Workflow that has not ended.

        Raises:
            NoSuchProcess: all have.
        """
        found = self.unfinished()
        if not found:
            raise NoSuchProcess("all have ended")
        return self.chance.choice(found)

    def unfinished(self) -> list[str]:
        """Workflows that have not ended; a run that was superseded by a fork is not theirs any more."""
        phases = {
            one["metadata"]["name"]: status(one).get("phase") for one in self.cluster.get("cwf")["items"]
        }
        assert "Failed" not in phases.values(), phases
        return sorted(name for name, phase in phases.items() if phase != "Succeeded")

    # Each of these is one fault.

    def kill_runner(self) -> None:
        """SIGKILL, as when it needs too much memory."""
        self.cluster.kill(self.some_runner(), signal.SIGKILL)

    def drain_runner(self) -> None:
        """Delete its pod, as when a node is drained."""
        self.cluster.kubectl("delete", f"pod/{self.some_runner()}", "--wait=false")

    def erase_runner(self) -> None:
        """Delete its pod without waiting for its end, as when a node is lost."""
        self.cluster.kubectl(
            "delete", f"pod/{self.some_runner()}", "--force", "--grace-period=0", "--wait=false"
        )

    def cut_runner(self) -> None:
        """Cut it off from everything; if that lasts for 30 seconds, another one gets its place."""
        pod = self.some_runner()
        self.cluster.cut_network(pod)
        self.cut.append(pod)

    def mend_runner(self) -> None:
        """Give a runner that was cut off its network back."""
        if not self.cut:
            raise NoSuchProcess("none is cut off")
        self.cluster.restore_network(self.cut.pop(0))

    def kill_operator(self) -> None:
        """SIGKILL; the kubelet starts it again."""
        self.installed.kill_operator()

    def move_operator(self) -> None:
        """Delete its pod: another one starts while it ends."""
        selector = f"--selector=app.kubernetes.io/name={OPERATOR}"
        self.cluster.kubectl("delete", "pod", selector, "--wait=false")

    def double_operator(self) -> None:
        """One more operator; or, where there are two, one less."""
        wanted = 1 if len(self.pods(f"app.kubernetes.io/name={OPERATOR}")) > 1 else 2
        self.cluster.kubectl("scale", f"deployment/{OPERATOR}", f"--replicas={wanted}")

    def kill_store(self) -> None:
        """SIGKILL of the database."""
        for pod in self.pods(self.store):
            self.cluster.kill(pod, signal.SIGKILL)

    def hold(self) -> None:
        """Suspend a Workflow, and let it go on."""
        name = self.some_workflow()
        self.installed.patch(name, {"suspend": True})
        self.installed.patch(name, {"suspend": False})

    def fork(self) -> None:
        """Go on with a new run from the newest checkpoint."""
        self.nonces += 1
        self.installed.resume(self.some_workflow(), "latest", str(self.nonces))

    # And so they come.

    def rage(self, faults: int) -> dict[str, int]:
        """Let so many faults happen, each when the Workflows came further after the one before."""
        kinds = (
            *(self.kill_runner, self.drain_runner, self.erase_runner, self.cut_runner, self.mend_runner),
            *(self.kill_operator, self.move_operator, self.double_operator, self.kill_store),
            *(self.hold, self.fork),
        )
        happened: dict[str, int] = {}
        while sum(happened.values()) < faults and self.unfinished():
            fault = self.chance.choice(kinds)
            try:
                fault()
            except (NoSuchProcess, CommandFailed, TimeoutError) as error:
                # What it was meant for has just ended; the pod that comes next is met by the next fault.
                say(f"seed {SEED}: {fault.__name__} met nobody: {error}")
                continue
            happened[fault.__name__] = happened.get(fault.__name__, 0) + 1
            say(f"seed {SEED}: {fault.__name__}")
            self.come_further()
        return happened

    def come_further(self) -> None:
        """Wait until some more tasks have begun, or all is done."""
        wanted, until = len(self.installed.beginnings()) + FURTHER, time.monotonic() + STUCK_SECONDS
        while self.unfinished() and len(self.installed.beginnings(at_least=wanted, seconds=5)) < wanted:
            assert time.monotonic() < until, f"nothing goes on any more (seed {SEED})"

    def calm(self) -> None:
        """Give back what was taken, and wait until all has ended."""
        for pod in self.cut:
            with suppress(NoSuchProcess, CommandFailed):  # whoever was replaced meanwhile is gone
                self.cluster.restore_network(pod)
        self.installed.scale(1)
        for shape in self.shapes:
            self.installed.phase(shape.name, "Succeeded", seconds=STUCK_SECONDS)


@pytest.fixture
def store_url(request: pytest.FixtureRequest, namespace: Cluster, images: None) -> str:
    """A store of this test's own, which it may end."""
    url: str = request.param(namespace)
    return url


@pytest.mark.parametrize(
    ("store_url", "store"),
    [
        pytest.param(installations.start_postgres, "app.kubernetes.io/name=postgres", id="Postgres"),
        pytest.param(start_redis, "app=redis", id="Redis"),
    ],
    indirect=["store_url"],
)
def test_whatever_happens_every_run_ends_as_if_nothing_had(installed, store):
    """States are those of undisturbed runs, histories prove, and of each Workflow one run succeeded."""
    shapes = [line(), crowd(), loop(), web()]
    storm = Storm(installed, shapes, store)
    documents = [shape.document for shape in shapes]
    installed.apply(json.dumps({"apiVersion": "v1", "kind": "List", "items": documents}))
    storm.come_further()

    happened = storm.rage(FAULTS)
    storm.calm()

    say(f"seed {SEED}: {sum(happened.values())} faults: {happened}")
    for shape in shapes:
        state = installed.state(shape.name)
        assert shape.ends(state), f"{shape.name} (seed {SEED}): {state}"
    runs = installed.cairn("runs")
    # One that ended before its fork was served has succeeded too, and another one goes on from it.
    left = {(run["origin"] or {}).get("run") for run in runs}
    ended = [run for run in runs if run["phase"] == "Succeeded" and run["run"] not in left]
    succeeded = [run["workflow"].rpartition("/")[2] for run in ended]
    assert sorted(succeeded) == sorted(shape.name for shape in shapes), runs
    assert {run["phase"] for run in runs} <= {"Succeeded", "Cancelled"}, runs
    installed.cairn("verify")
