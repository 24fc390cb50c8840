"""What happens to the operator: it dies between its writes, it is away, there are two of it.

A run must not notice. Runners work without an operator; whoever comes back finds in the object, the pods and
the store all that it needs, whatever the one before had left half done; two that act at once are held apart
by the fence. Each Workflow here ends as if nothing had happened, and no committed task begins again.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from tests.cluster.harness.commands import say, until
from tests.cluster.installations import OPERATOR, Installation, status
from tests.cluster.workflows import chain, step, told, workflow

from cairn_operator import names
from cairn_runtime.model.ids import trace_id_for

SETTINGS = {
    "CAIRN_FINISHED_PODS": "0",
    "CAIRN_SWEEP_EVERY": "1s",
    "CAIRN_SWEEP_APART": "1s",
    "CAIRN_SWEEP_PATIENCE": "1s",
}
"""So that what is late by nature comes at once."""
EPOCHS_OF_TWO = 8
"""Two operators may find each other's claims without a pod a few times; their pauses part them."""


def test_an_operator_that_was_killed_goes_on_where_it_was(installed):
    """It dies together with a runner; the one that comes after it starts the next runner."""
    installed.hold("two#1")
    installed.apply(chain("killed", "one", "two", "three"))
    installed.begun("two#1")
    installed.phase("killed", "Running")

    installed.kill_operator()
    installed.namespace.kill(installed.runner("killed"))
    installed.begun("two#1", times=2)
    installed.release()

    found = status(installed.phase("killed", "Succeeded"))
    assert installed.state("killed")["done"] == told("one", "two", "three")
    assert [pod["metadata"]["name"][-2:] for pod in installed.runners("killed")] == ["-1", "-2"]
    assert (found["epoch"], found["traceId"]) == (2, trace_id_for(found["run"]))


# -- killed between two writes ------------------------------------------------------------------------------

Deed = Callable[[Installation], None]


def nothing(_: Installation) -> None:
    """Leave it to the operator."""


def begin(installed: Installation) -> None:
    """Apply the Workflow `life`: two of its checkpoints are shown, the one after `c` is a snapshot, its rows
    go with it.
    """
    channels = {"done": {"reducer": "extend", "initial": []}, "big": {}}
    steps = [
        step("a"),
        step("b", "a", python="steps:heavy"),
        step("c", "b", python="steps:heavy"),
        step("d", "c"),
    ]
    spec = {"checkpoint": {"history": {"keepLast": 2}}, "deletionPolicy": "Delete"}
    installed.hold("b#1", "c#1", "d#1")
    installed.apply(workflow("life", *steps, state={"channels": channels}, **spec))


def commit_a(installed: Installation) -> None:
    """Wait until `a` is committed."""
    installed.begun("b#1")


def pin_it(installed: Installation) -> None:
    """Pin the checkpoint after `a`, as soon as it is shown."""
    installed.namespace.until(after_a(installed), bool)
    installed.namespace.kubectl("annotate", after_a(installed), f"{names.PIN_ANNOTATION}=true")


def let_it_go(installed: Installation) -> None:
    """Take the pin away once object and store agree on it."""
    installed.namespace.until(
        after_a(installed),
        lambda one: names.PINNED_ANNOTATION in one["metadata"].get("annotations", {}),
    )
    installed.namespace.kubectl("annotate", after_a(installed), f"{names.PIN_ANNOTATION}-")


def after_a(installed: Installation) -> str:
    """The object that shows the checkpoint after `a`, the second."""
    return f"checkpoints.cairn.dev/life-{status(installed.workflow('life'))['run'][-8:]}-2"


def commit_c(installed: Installation) -> None:
    """Let the run go on, so that other checkpoints are to be shown."""
    installed.release("b#1", "c#1")
    installed.begun("d#1")


def keep_less(installed: Installation) -> None:
    """Let go, by the object alone, of what the runner under way keeps: all before the snapshot after `c`."""
    installed.patch("life", {"checkpoint": {"history": {"keepLast": 1}}})


def fork(installed: Installation) -> None:
    """Ask for a new run while the old one is under way."""
    installed.resume("life", "latest", "1")


def finish(installed: Installation) -> None:
    """Let the fork end."""
    installed.begun("d#1", times=2)
    installed.release()


def compare_and_expire(installed: Installation) -> None:
    """Compare the end with that of an undisturbed run, then let the object go."""
    done = status(installed.phase("life", "Succeeded"))
    assert installed.state("life")["done"] == told("a", "b", "c", "d")
    assert [run["phase"] for run in installed.cairn("runs", "life")] == ["Succeeded", "Cancelled"]
    assert done["lastResume"]["nonce"] == "1"
    assert installed.repeated() == []
    installed.patch("life", {"ttlAfterFinished": "1s"})


def apply_another(installed: Installation) -> None:
    """A list without any Workflow is not believed."""
    installed.apply(chain("another", "z", suspend=True))


LIFE: tuple[tuple[str, Deed, Deed], ...] = (
    # write before which an operator dies; what is done before it starts; what is done while it lives
    ("create_run", begin, nothing),
    ("claim", nothing, nothing),
    ("create_pod", nothing, nothing),
    ("annotate", nothing, nothing),
    ("status", nothing, nothing),
    ("event", nothing, nothing),
    ("create_checkpoint", commit_a, nothing),
    ("pin", nothing, pin_it),
    ("mark_checkpoint", nothing, nothing),
    ("unpin", nothing, let_it_go),
    ("delete_checkpoint", commit_c, nothing),
    ("prune", keep_less, nothing),
    ("audit", fork, nothing),
    ("hold", nothing, nothing),
    ("claim_to_end", nothing, nothing),
    ("end_run", nothing, nothing),
    ("release_hold", nothing, nothing),
    ("delete_pod", finish, nothing),
    ("delete_workflow", nothing, compare_and_expire),
    ("delete_run", apply_another, nothing),
)
"""The life of a Workflow in which an operator dies before each of its writes."""


def test_operators_die_before_each_of_their_writes(installed):
    """The next one goes on from what is left, and the end is that of a life without deaths."""
    installed.scale(0)

    for write, before, meanwhile in LIFE:
        name = f"dies-at-{write.replace('_', '-')}"
        before(installed)
        installed.start_once(name, CAIRN_DIE_AT=write, **SETTINGS)
        meanwhile(installed)
        installed.died(name)
    installed.start_once("lives", **SETTINGS)

    until(lambda: runs_of(installed) == {"another"}, "the rows of the deleted Workflow are gone", every=0.5)
    assert {write for write, *_ in LIFE} == set(names.WRITES)
    asked = sorted(line["what"] for line in installed.cairn("audit")["lines"])
    assert asked == ["delete", "delete", "pause", "pin", "resume", "unpin"], "each act is one line"


def runs_of(installed: Installation) -> set[str]:
    """Names of the Workflows that have runs in the store."""
    return {run["workflow"].rpartition("/")[2] for run in installed.cairn("runs")}


# -- several, and none --------------------------------------------------------------------------------------


def test_two_operators_at_once_do_no_harm(installed):
    """Both act on everything; the fence lets one of them through each time."""
    pairs = [f"pair-{n}" for n in range(4)]
    installed.start_once("second")
    installed.namespace.wait("pod/second", "condition=Ready")
    installed.hold("two-0#1", "two-1#1")

    for n, name in enumerate(pairs):
        installed.apply(chain(name, f"one-{n}", f"two-{n}", f"three-{n}"))
    installed.begun("two-0#1")
    installed.begun("two-1#1")
    installed.resume("pair-0", "latest", "1")
    installed.namespace.kill(installed.newest_runner("pair-1"))
    installed.begun("two-0#1", times=2)
    installed.begun("two-1#1", times=2)
    installed.release()

    for n, name in enumerate(pairs):
        found = status(installed.phase(name, "Succeeded"))
        assert installed.state(name)["done"] == told(f"one-{n}", f"two-{n}", f"three-{n}")
        assert found["epoch"] <= EPOCHS_OF_TWO, f"{name} came to epoch {found['epoch']}"
    assert sorted(run["phase"] for run in installed.cairn("runs")) == ["Cancelled", *["Succeeded"] * 4]


def test_runs_do_not_notice_that_there_is_no_operator(installed):
    """They go on and end; what needs an operator happens when one is back, and the status is true then."""
    installed.hold("two#1", "dead#1")
    installed.apply(chain("unnoticed", "one", "two", "three"))
    installed.apply(chain("orphan", "dead"))
    installed.begun("two#1")
    installed.begun("dead#1")
    for name in ("unnoticed", "orphan"):
        installed.phase(name, "Running")
    orphan = installed.runner("orphan")

    installed.scale(0)
    installed.namespace.kill(orphan)
    installed.release("two#1")
    installed.apply(chain("applied", "late"))
    until(lambda: installed.cairn("runs", "unnoticed")[0]["phase"] == "Succeeded", "the run ends")
    assert status(installed.workflow("unnoticed"))["phase"] == "Running"
    assert len(installed.begun("dead#1")) == 1
    asked = time.monotonic()
    installed.namespace.kubectl("scale", f"deployment/{OPERATOR}", "--replicas=1")

    found = status(installed.phase("unnoticed", "Succeeded"))
    say(f"the status was true {time.monotonic() - asked:.1f} s after an operator was asked for")
    assert found["epoch"] == 1
    installed.begun("dead#1", times=2)
    installed.release()
    for name in ("orphan", "applied"):
        installed.phase(name, "Succeeded")
    assert installed.state("unnoticed")["done"] == told("one", "two", "three")
