"""`python -m bench.cluster`: what a person on a cluster waits for, and what the operator costs it.

Measured on the cluster that is there, or on one that is started for it (as the cluster tests do), with an
operator and a Postgres of its own. Times are by this machine's clock, from before `kubectl apply` is started
until the thing is seen; where pods have another clock than this machine, they cannot be compared.
A bar that is not met is a line of the table. `--into PAGE` puts the table between the marks of a page.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from bench.pages import put_into
from tests.cluster import installations
from tests.cluster.harness.choosing import chosen
from tests.cluster.harness.cluster import Cluster
from tests.cluster.harness.places import places
from tests.cluster.installations import Installation
from tests.cluster.workflows import SMALL, chain

MARKS = ("<!-- cluster: begin -->", "<!-- cluster: end -->")
PATIENCE_SECONDS = 300.0


@dataclass(frozen=True, slots=True)
class Line:
    """A row of the table; `values` are all that were measured."""

    what: str
    unit: str
    values: list[float]
    bar: str
    met: Callable[[list[float]], bool]

    def text(self) -> str:
        """The row in Markdown."""
        shown = f"{statistics.median(self.values):.3g}"
        if len(self.values) > 1:
            shown += f" ({min(self.values):.3g} - {max(self.values):.3g}; {len(self.values)} times)"
        verdict = "met" if self.met(self.values) else "NOT MET"
        return f"| {self.what} | {self.unit} | {shown} | {self.bar}: {verdict} |"


def main() -> int:
    """Measure and print; answers 0 when everything could be measured."""
    parser = argparse.ArgumentParser(prog="python -m bench.cluster", description=__doc__)
    parser.add_argument(
        "--into", type=Path, metavar="PAGE", help="put the table between the marks of this page"
    )
    parser.add_argument("--rounds", type=int, default=10, help="how often each short thing is done")
    parser.add_argument("--crowd", type=int, default=500, help="Workflows for the operator's memory")
    asked = parser.parse_args()
    with _installed() as installed:
        lines = []
        for line in _lines(installed, asked):
            print(line.text(), file=sys.stderr, flush=True)
            lines.append(line)
        repeated = installed.repeated()
    lines.append(
        Line("committed steps run again, in all of this", "steps", [len(repeated)], "0", lambda v: v == [0])
    )
    table = "\n".join(
        [
            "| what | unit | median (least - most) | bar |",
            "| --- | --- | --- | --- |",
            *(line.text() for line in lines),
        ]
    )
    print(table)
    if asked.into is not None:
        put_into(asked.into, table, MARKS)
    return 0


def _lines(installed: Installation, asked: argparse.Namespace) -> Iterator[Line]:
    yield from starts(installed, asked.rounds)
    yield from kills(installed, 2 * asked.rounds)
    yield from writes(installed)
    yield from absence(installed)
    yield from memory(installed, asked.crowd)


def starts(installed: Installation, rounds: int) -> Iterator[Line]:
    """From `kubectl apply` to the first step that is committed, and to the end of ten steps."""
    first, whole = [], []
    for n in range(rounds):
        name = f"start-{n}"
        begin = time.time()
        installed.apply(quick(name))
        installed.namespace.wait(f"cwf/{name}", "condition=Succeeded")
        whole.append(time.time() - begin)
        rows = [row for row in installed.checkpoints(name) if row["step"]]
        first.append(_seconds(min(row["createdAt"] for row in rows)) - begin)
    yield Line("apply until the first step is committed", "s", first, "p50 at most 3", _p50(3))
    yield Line("apply until 10 trivial steps have Succeeded", "s", whole, "at most 4", _p50(4))


def kills(installed: Installation, times: int) -> Iterator[Line]:
    """From SIGKILL for the runner until the step that it was at runs again."""
    steps = [f"s{n}" for n in range(times)]
    installed.hold(*(f"{one}#1" for one in steps))
    installed.apply(chain("killed", *steps))
    took = []
    for one in steps:
        installed.begun(f"{one}#1")
        pod = installed.newest_runner("killed")
        installed.namespace.wait(f"pod/{pod}", "condition=Ready")
        begin = time.time()
        installed.namespace.kill(pod)
        again = installed.begun(f"{one}#1", times=2)
        took.append(again[-1]["at"] - begin)
        installed.release(f"{one}#1")
    installed.namespace.wait("cwf/killed", "condition=Succeeded")

    def met(values: list[float]) -> bool:
        return statistics.median(values) <= 3 and max(values) <= 8

    yield Line("SIGKILL of the runner until its step runs again", "s", took, "p50 at most 3, worst 8", met)


def writes(installed: Installation) -> Iterator[Line]:
    """What the operator writes to the API server for each step of a Workflow."""
    names = [f"written-{n}" for n in range(20)]
    before = Counter(installed.api_writes())
    begin = time.time()
    for name in names:
        installed.apply(quick(name))
    for name in names:
        installed.namespace.wait(f"cwf/{name}", "condition=Succeeded", seconds=PATIENCE_SECONDS)
    took = time.time() - begin
    counts = Counter(installed.api_writes()) - before
    del counts["update Lease"]  # one every three seconds, whatever there is to do
    steps = len(names) * 10
    told = ", ".join(f"{what} {count / steps:.2g}" for what, count in counts.most_common())
    yield Line(
        f"the operator's writes for each step ({told})",
        "writes",
        [counts.total() / steps],
        "at most 2",
        _p50(2),
    )
    statuses = counts["status Workflow"]
    yield Line(
        "status writes while 20 Workflows of 10 steps run",
        "a second",
        [statuses / took],
        "at most 20",
        _p50(20),
    )


def absence(installed: Installation) -> Iterator[Line]:
    """What a running Workflow and its status lose while no operator is there for a minute."""
    steps = ("before", "meanwhile", "after")
    installed.hold("before#1", "after#1")
    installed.apply(chain("alone", *steps))
    installed.begun("before#1")
    installed.scale(0)
    gone = time.time()
    installed.release("before#1")
    (noticed,) = installed.begun("after#1")
    time.sleep(max(60 - (time.time() - gone), 0))
    installed.release("after#1")
    installed.namespace.wait(f"pod/{installed.newest_runner('alone')}", "jsonpath={.status.phase}=Succeeded")
    begin = time.time()
    installed.namespace.kubectl("scale", "deployment/cairn-operator", "--replicas=1")
    installed.phase("alone", "Succeeded")
    back = time.time() - begin
    yield Line(
        "no operator for a minute: until a runner's next step",
        "s",
        [noticed["at"] - gone],
        "at most 3",
        _p50(3),
    )
    yield Line(
        "operator started again until the status is true, its start included",
        "s",
        [back],
        "at most 5",
        _p50(5),
    )


def memory(installed: Installation, crowd: int) -> Iterator[Line]:
    """The operator's memory with many Workflows, a tenth of them with a runner."""
    active = crowd // 10
    names = [f"m{n}" for n in range(crowd)]
    installed.hold("one#1")
    documents = [chain(name, "one", suspend=n >= active, pod=SMALL) for n, name in enumerate(names)]
    installed.apply({"apiVersion": "v1", "kind": "List", "items": documents})
    held = [f"cwf/{name}" for name in names[active:]]
    wanted = ("--for=jsonpath={.status.phase}=Suspended", f"--timeout={PATIENCE_SECONDS:g}s")
    installed.namespace.kubectl("wait", *held, *wanted, timeout_seconds=PATIENCE_SECONDS + 10)
    installed.begun("one#1", times=active, seconds=PATIENCE_SECONDS)
    mib = installed.memory()
    for name, when in (("VmRSS", "now"), ("VmHWM", "at most")):
        what = f"operator's memory with {crowd} Workflows, {active} active: {when}"
        yield Line(what, "MiB", [mib[name]], "at most 150", _p50(150))
    installed.release()


def quick(name: str) -> dict[str, object]:
    """A Workflow of ten trivial steps, one after the other."""
    document = chain(name, *(f"s{n}" for n in range(10)))
    document["spec"]["code"] = {"steps.py": "def work(state, ctx):\n    return {'done': [ctx.step]}\n"}
    return document


@contextmanager
def _installed() -> Iterator[Installation]:
    """Cairn in a fresh namespace of a cluster, which is ended afterwards if it was started for this."""
    provider = chosen(places())
    was_there = provider.running()
    try:
        provider.up()
        cluster = Cluster(provider)
        installations.build_images(cluster)
        installations.define(cluster)
        with cluster.new_namespace() as store, cluster.new_namespace() as namespace:
            yield installations.install(namespace, installations.start_postgres(store))
    finally:
        if not was_there:
            provider.down()


def _seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def _p50(limit: float) -> Callable[[list[float]], bool]:
    return lambda values: statistics.median(values) <= limit


if __name__ == "__main__":
    sys.exit(main())
