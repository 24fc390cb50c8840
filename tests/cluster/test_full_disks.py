"""A disk that is full is waited for: nothing is lost, nothing counts, and with room again the run goes on.

The disk is a volume in memory that is no larger than its `sizeLimit`: a file system of its own, which says
`No space left on device` as any other. A file of zeros fills it while a step is at work, and goes again.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable

import pytest
from tests.cluster import installations
from tests.cluster.harness.cluster import Cluster
from tests.cluster.harness.commands import until
from tests.cluster.installations import IMAGE, Installation, status
from tests.cluster.test_stores import postgres_pod
from tests.cluster.workflows import step, told, workflow

TIMES = 6
"""So often a runner asks a store in vain before there is room again: long enough to see its pauses grow."""
DATA = "/var/lib/postgresql/data"
BIG = "import os\n\ndef big(state, ctx):\n    return {**work(state, ctx), 'big': os.urandom(1 << 20).hex()}\n"
"""A step whose result does not fit in what a full disk has left in its files, and cannot be made smaller."""

FLOW = """
apiVersion: cairn.dev/v1alpha1
kind: Workflow
metadata: {name: full}
spec:
  state: {channels: {done: {reducer: extend, initial: []}, big: {}}}
  steps:
    - {name: a, python: "steps:work"}
    - {name: b, python: "steps:big", needs: [a]}
    - {name: c, python: "steps:measure", needs: [b]}
"""
STEPS = """
import os, pathlib, time

def work(state, ctx):
    with open("/tmp/begun", "a") as file:
        file.write(ctx.step + "\\n")
    return {"done": [ctx.step]}

def big(state, ctx):
    done = work(state, ctx)
    while not pathlib.Path("/tmp/go").exists():
        time.sleep(0.01)
    return {**done, "big": os.urandom(1 << 20).hex()}

def measure(state, ctx):
    return {**work(state, ctx), "big": len(state["big"])}
"""
RUN = (
    "cp /flow/* . && cairn run full.yaml && echo begun: $(cat begun)"
    " && cairn state full -o json && cairn verify -o json"
)
LAPTOP = """
apiVersion: v1
kind: Pod
metadata: {name: laptop}
spec:
  restartPolicy: Never
  terminationGracePeriodSeconds: 0
  automountServiceAccountToken: false
  containers:
    - name: laptop
      image: IMAGE
      imagePullPolicy: IfNotPresent
      command: [sh, -c, RUN]
      env: [{name: CAIRN_STORE_URL, value: "PLACE"}]
      volumeMounts: [{name: flow, mountPath: /flow}, {name: data, mountPath: /data}]
  volumes:
    - {name: flow, configMap: {name: flow}}
    - {name: data, emptyDir: {medium: Memory, sizeLimit: 8Mi}}
"""


def fill(cluster: Cluster, pod: str, folder: str) -> None:
    """Take all the room that a disk has left."""
    taken = f"dd if=/dev/zero of={folder}/ballast bs=4k 2>&1; df --output=avail {folder}"
    said = cluster.exec(pod, "sh", "-c", taken)
    assert "No space left on device" in said
    assert said.split()[-1] == "0"


def make_room(cluster: Cluster, pod: str, folder: str) -> None:
    """Give the room back."""
    cluster.exec(pod, "rm", f"{folder}/ballast")


def pauses(log: str) -> list[float]:
    """What a runner has waited after each time that it asked a full store, one after the other."""
    lines = [line for line in log.splitlines() if "store did not answer" in line and "make room" in line]
    return [float(found[1]) for line in lines if (found := re.search(r"retry_seconds\W+([0-9.]+)", line))]


def in_vain(log: Callable[[], str]) -> None:
    """Wait until a runner has asked so often, with pauses that grow."""
    until(lambda: len(pauses(log())) >= TIMES, "the runner asks again and again", seconds=45, every=0.5)
    found = pauses(log())[:TIMES]
    assert max(found) >= 8 * found[0], found


@pytest.mark.parametrize("url", ["sqlite:////data/cairn.db", "file:///data/runs"], ids=["SQLite", "file"])
def test_a_run_on_a_laptop_waits_for_room_on_its_disk(namespace, images, url):
    """`cairn run` says what is missing, ends well once it is there, and no step ran twice."""
    config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "flow"}}
    namespace.apply(json.dumps({**config, "data": {"full.yaml": FLOW, "steps.py": STEPS}}))
    pod = LAPTOP.replace("IMAGE", IMAGE).replace("RUN", json.dumps(RUN)).replace("PLACE", url)
    namespace.apply(pod)
    namespace.wait("pod/laptop", "condition=Ready")
    begun = ("sh", "-c", "cat begun || true")
    until(lambda: namespace.exec("laptop", *begun).split() == ["a", "b"], "the large step is at work")

    fill(namespace, "laptop", "/data")
    namespace.exec("laptop", "touch", "go")
    in_vain(lambda: namespace.logs("laptop"))
    assert namespace.exec("laptop", *begun).split() == ["a", "b"]
    make_room(namespace, "laptop", "/data")

    namespace.until("pod/laptop", lambda found: status(found).get("phase") in ("Succeeded", "Failed"))
    log = namespace.logs("laptop")
    assert status(namespace.get("pod/laptop"))["phase"] == "Succeeded", log
    assert "begun: a b c\n" in log
    documents = re.findall(r"^\{.*?^\}", log, re.MULTILINE | re.DOTALL)
    state, proofs = (json.loads(found) for found in documents[-2:])
    assert (state["done"], state["big"]) == (["a", "b", "c"], 2 << 20)
    [proof] = proofs["runs"]
    assert (proof["sound"], proof["checkpoints"]) == (True, 4)


@pytest.fixture
def store_url(namespace: Cluster, images: None) -> str:
    """A Postgres on a small disk, of this test's own."""
    return installations.start_postgres(namespace, data={"medium": "Memory", "sizeLimit": "160Mi"})


def test_a_run_on_a_cluster_waits_for_room_on_the_disk_of_postgres(installed: Installation):
    """Its runner is not replaced and nothing counts: it has what it could not save, and saves it then."""
    steps = (step("a"), step("b", "a", python="steps:big"), step("c", "b"))
    channels = {"done": {"reducer": "extend", "initial": []}, "big": {}}
    document = workflow("full", *steps, state={"channels": channels})
    document["spec"]["code"]["steps.py"] += BIG
    installed.hold("b#1")
    installed.apply(document)
    installed.begun("b#1")
    runner, postgres = installed.newest_runner("full"), postgres_pod(installed)
    # It runs, as it has begun its task; its log can be had only when that was told.
    installed.namespace.wait(f"pod/{runner}", "condition=Ready")

    fill(installed.namespace, postgres, DATA)
    installed.release("b#1")
    in_vain(lambda: installed.namespace.logs(runner))
    make_room(installed.namespace, postgres, DATA)

    found = status(installed.phase("full", "Succeeded"))
    assert (found["epoch"], found["restarts"]) == (1, 0)
    state = installed.state("full")
    assert state["done"] == told("a", "b", "c")
    assert len(state["big"]) == 2 << 20
    [proof] = installed.cairn("verify")["runs"]
    assert proof["sound"]
