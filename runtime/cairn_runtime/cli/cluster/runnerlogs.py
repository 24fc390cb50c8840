"""The log of a Workflow: of its newest runner, or of one after another until the run is over.

    list pods ──> the next one that was not read ──> wait for its container ──> read to its end ──┐
       ^                                                                                          │
       └── none left: wait until the Workflow names another pod, or is over <─────────────────────┘

The pods are listed again after each end, so that one that lived between two looks is read too. Where a
connection breaks, lines are asked for again from the last moment that was read, and those known left out.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

from cairn_runtime.cli.cluster.facts import Runner, runner_of, seen_of
from cairn_runtime.cli.cluster.looking import runners_of
from cairn_runtime.cli.kubectl import WORKFLOWS, Kubectl
from cairn_runtime.cli.outputs import Output
from cairn_runtime.cli.views.loglines import Wanted, is_wanted, readable
from cairn_runtime.errors import EXIT_DONE, NotFound

_AGAIN_SECONDS = 1.0
_ALL = Wanted()


@dataclass(frozen=True, slots=True)
class Reading:
    """Which log is read, and how."""

    workflow: str
    run: str = ""
    """A run's id or a part of it; empty: the current one."""
    follow: bool = False
    previous: bool = False
    """The pod before the newest."""
    wanted: Wanted = _ALL


def logs(output: Output, kubectl: Kubectl, reading: Reading) -> int:
    """Show a log.

    Raises:
        NotFound: no pod of this Workflow is there.
    """
    if reading.follow:
        for line in _followed(output, kubectl, reading):
            _show(output, reading, line)
        return EXIT_DONE
    runners = [one for one in _of_run(kubectl, reading) if one.begun]
    runners = runners[1:] if reading.previous else runners
    if not runners:
        which = "before the newest" if reading.previous else "with a log"
        raise NotFound(
            f"{reading.workflow} has no pod {which}; pods that ended are kept for an hour, three at most"
        )
    for line in kubectl.say("logs", runners[0].name, "--container=runner").splitlines():
        _show(output, reading, line)
    return EXIT_DONE


def _followed(output: Output, kubectl: Kubectl, reading: Reading) -> Iterator[str]:
    """Lines of the newest pod, and of all that come after it, until the run is over."""
    known: set[str] = set()
    while True:
        new = [one for one in _of_run(kubectl, reading) if one.name not in known]
        if not known:
            new = new[:1]
        for runner in reversed(new):
            if known and output.for_people:
                output.note(f"-- {runner.name} goes on")
            known.add(runner.name)
            yield from _to_the_end(kubectl, runner.name)
        if not new and not _more_to_come(kubectl, reading, known):
            return


def _more_to_come(kubectl: Kubectl, reading: Reading, known: set[str]) -> bool:
    """Wait until the Workflow names a pod that was not read; false: the run is over."""
    for document in kubectl.watch(reading.workflow):
        seen = seen_of(document)
        if reading.run not in seen.run:
            return False
        if seen.pod and seen.pod not in known:
            return True
        if seen.finished:
            return False
    return False


def _to_the_end(kubectl: Kubectl, name: str) -> Iterator[str]:
    """The lines of one pod until its container has ended; a pod that goes away ends them too."""
    last, over = "", False
    try:
        while not over:
            over = _begun(kubectl, name) in ("Succeeded", "Failed")
            known = last
            since = (f"--since-time={last}",) if last else ()
            words = ("logs", name, "--container=runner", "--follow", "--timestamps", *since)
            for raw in kubectl.stream(*words):
                at, _, line = raw.rstrip("\n").partition(" ")
                # Without their zone moments compare as text, however many digits they have.
                if at.rstrip("Z") > known.rstrip("Z"):
                    last = at
                    yield line
            if not over and last == known:
                time.sleep(_AGAIN_SECONDS)  # its node cannot be reached
    except NotFound:
        return


def _begun(kubectl: Kubectl, name: str) -> str:
    """Wait until a pod has a log; answers its phase.

    Raises:
        NotFound: it is gone.
    """
    for document in kubectl.watch(name, kind="pods"):
        runner = runner_of(document)
        if runner.begun or runner.phase in ("Succeeded", "Failed"):
            return runner.phase
    return ""


def _of_run(kubectl: Kubectl, reading: Reading) -> list[Runner]:
    """The pods of the run that is meant, newest first."""
    seen = seen_of(kubectl.get(WORKFLOWS, reading.workflow))
    run = reading.run or seen.run
    return [one for one in runners_of(kubectl, reading.workflow) if run in one.run]


def _show(output: Output, reading: Reading, line: str) -> None:
    if not is_wanted(line, reading.wanted):
        return
    if output.for_people:
        output.text(readable(line))
    else:
        output.text([line])
