"""A store that goes away for a while is waited for: no runner is replaced, nothing counts, nothing is lost.

Each test has a store of its own in its namespace, and does to it what a machine does: ends its process, or
loses every packet of it.
"""

from __future__ import annotations

import json
import time

import pytest
from tests.cluster import installations
from tests.cluster.harness.cluster import Cluster
from tests.cluster.harness.watching import objects
from tests.cluster.installations import SERVERS_IMAGE, Installation, secret, status
from tests.cluster.workflows import SMALL, chain, step, told, workflow

OUTAGE_SECONDS = 60.0
RELEASED_AFTER_SECONDS = 25.0
"""When in an outage half of the runs have something to save; they wait for the rest of it."""

REDIS = f"""
apiVersion: v1
kind: Service
metadata: {{name: redis}}
spec: {{selector: {{app: redis}}, ports: [{{port: 6379}}]}}
---
apiVersion: v1
kind: Pod
metadata: {{name: redis, labels: {{app: redis}}}}
spec:
  terminationGracePeriodSeconds: 0
  automountServiceAccountToken: false
  containers:
    - name: redis
      image: {SERVERS_IMAGE}
      imagePullPolicy: IfNotPresent
      command: [redis-server, --protected-mode, "no"]
      args: [--dir, /data, --appendonly, "yes", --appendfsync, always]
      readinessProbe: {{exec: {{command: [redis-cli, ping]}}, periodSeconds: 1}}
      volumeMounts: [{{name: data, mountPath: /data}}]
  volumes: [{{name: data, emptyDir: {{}}}}]
"""


def start_redis(namespace: Cluster) -> str:
    """Start a Redis that keeps what it has acknowledged; answer its URL."""
    namespace.apply(REDIS)
    namespace.wait("pod/redis", "condition=Ready")
    return f"redis://redis.{namespace.namespace}/0"


@pytest.fixture
def store_url(request: pytest.FixtureRequest, namespace: Cluster, images: None) -> str:
    """A store of this test's own, which it may end."""
    url: str = request.param(namespace)
    return url


on_postgres = pytest.mark.parametrize(
    "store_url", [pytest.param(installations.start_postgres, id="Postgres")], indirect=True
)
on_redis = pytest.mark.parametrize("store_url", [pytest.param(start_redis, id="Redis")], indirect=True)


def postgres_pod(installed: Installation) -> str:
    """The name of the pod of the test's own Postgres."""
    selector = "--selector=app.kubernetes.io/name=postgres"
    return installed.namespace.kubectl("get", "pods", selector, "--output=name").strip().removeprefix("pod/")


def restarted(installed: Installation, pod: str) -> None:
    """Wait until a store's container was started again and answers."""
    installed.namespace.until(
        f"pod/{pod}",
        lambda found: any(one["restartCount"] and one["ready"] for one in status(found)["containerStatuses"]),
    )


def ends(installed: Installation, *names: str) -> dict[str, tuple[int, int]]:
    """Wait until these have succeeded; answer the epoch and the restarts of each."""
    found = {name: status(installed.phase(name, "Succeeded", seconds=90)) for name in names}
    return {name: (one["epoch"], one["restarts"]) for name, one in found.items()}


RUNNERS = "--selector=app.kubernetes.io/name=cairn-runner"


def pods_now(installed: Installation) -> set[str]:
    """Uids of all runners' pods that are there."""
    listed = json.loads(installed.namespace.kubectl("get", "pods", RUNNERS, "--output=json"))
    return {found["metadata"]["uid"] for found in listed["items"]}


def pods_seen(installed: Installation, *, seconds: float) -> set[str]:
    """Uids of all runners' pods that were there at any moment of these seconds."""
    argv = installed.namespace.kubectl_argv("get", "pods", RUNNERS, "--output=json", "--watch")
    watched = objects(argv, installed.namespace.environ(), seconds=seconds)
    return {found["metadata"]["uid"] for found in watched}


@on_postgres
def test_a_postgres_that_is_restarted_is_waited_for(installed):
    """A step that ends while it is down, one that runs meanwhile, one that is only asked for: all go on."""
    installed.hold("b#1", "y#1")
    installed.apply(chain("saving", "a", "b", "c"))
    installed.apply(chain("working", "x", "y", "z"))
    installed.begun("b#1")
    installed.begun("y#1")
    postgres = postgres_pod(installed)

    installed.namespace.kill(postgres)
    installed.release("b#1")
    installed.apply(chain("asked", "new"))
    restarted(installed, postgres)
    installed.release()

    assert ends(installed, "saving", "working", "asked") == dict.fromkeys(
        ("saving", "working", "asked"), (1, 0)
    )
    assert installed.state("saving")["done"] == told("a", "b", "c")
    assert installed.state("working")["done"] == told("x", "y", "z")
    assert len(installed.begun("b#1")) == 1
    installed.cairn("verify")


@on_redis
def test_redis_keeps_a_run_through_the_end_of_its_runner_and_of_redis(installed):
    """SIGKILL of the runner, then of Redis while a step ends; and a fork by patch from the middle."""
    installed.hold("b#1", "each#1[1]")
    each = step(
        "each", "b", python="steps:item", foreach={"in": "input.all", "parallelism": 1, "collect": "done"}
    )
    installed.apply(workflow("kept", step("a"), step("b", "a"), each, input={"all": ["x", "y"]}))
    installed.begun("b#1")

    installed.namespace.kill(installed.newest_runner("kept"))
    installed.begun("b#1", times=2)
    installed.release("b#1")
    installed.begun("each#1[1]")
    installed.namespace.kill("redis")
    installed.release()
    restarted(installed, "redis")

    assert ends(installed, "kept") == {"kept": (2, 1)}
    assert installed.state("kept")["done"] == ["a#1", "b#1", "x", "y"]
    after_a = next(row["id"] for row in installed.checkpoints("kept") if row["step"] == "a")
    installed.resume("kept", after_a, "again")
    installed.namespace.until(
        "workflows.cairn.dev/kept",
        lambda found: status(found).get("lastResume", {}).get("nonce") == "again",
    )
    assert ends(installed, "kept") == {"kept": (1, 0)}
    assert installed.state("kept")["done"] == ["a#1", "b#1", "x", "y"]
    assert len(installed.begun("a#1")) == 1
    installed.cairn("verify")


@on_postgres
def test_an_outage_of_the_store_replaces_no_healthy_runner(installed):
    """For 60 seconds the store answers nobody: 20 runners are silent, and all of them stay and go on."""
    saving, working = [f"saving-{n}" for n in range(10)], [f"working-{n}" for n in range(10)]
    installed.hold("b#1", "y#1")
    all_of_them = [chain(name, "a", "b", "c", pod=SMALL) for name in saving]
    all_of_them += [chain(name, "x", "y", "z", pod=SMALL) for name in working]
    installed.apply({"apiVersion": "v1", "kind": "List", "items": all_of_them})
    installed.begun("b#1", times=10, seconds=120)
    installed.begun("y#1", times=10, seconds=120)
    postgres = postgres_pod(installed)
    before = pods_now(installed)

    installed.namespace.cut_network(postgres)
    over = time.monotonic() + OUTAGE_SECONDS
    during = pods_seen(installed, seconds=RELEASED_AFTER_SECONDS)
    installed.release("b#1")
    installed.condition("working-0", "Degraded", "StoreUnavailable")
    during |= pods_seen(installed, seconds=over - time.monotonic())
    installed.namespace.restore_network(postgres)
    installed.release()

    found = ends(installed, *saving, *working)
    assert {restarts for _, restarts in found.values()} == {0}
    assert len(before) == 20
    assert before == during == pods_now(installed)
    assert installed.state("saving-0")["done"] == told("a", "b", "c")
    assert len(installed.begun("b#1")) == 10
    installed.cairn("verify")


@on_postgres
def test_no_run_is_begun_again_in_a_store_that_does_not_know_it(installed, store_url):
    """With another store what had ended stays so and what had not waits; with its own it goes on."""
    installed.apply(chain("ended", "x"))
    installed.phase("ended", "Succeeded")
    installed.hold("b#1")
    installed.apply(chain("halfway", "a", "b", "c"))
    installed.begun("b#1")
    installed.namespace.until("workflows.cairn.dev/halfway", lambda one: "head" in status(one))

    installed.scale(0)
    # Until now an operator could show a newer head.
    halfway = status(installed.workflow("halfway"))
    installed.namespace.kubectl("delete", "pod", installed.newest_runner("halfway"), "--grace-period=0")
    installed.namespace.apply(json.dumps(secret(f"{store_url}?schema=another")))
    installed.scale(1)
    said = installed.condition("halfway", "Stalled", "RunMissing", seconds=120)
    installed.apply(chain("new", "n"))
    installed.phase("new", "Succeeded", seconds=120)

    assert "begin anew" in said["message"]
    shown = status(installed.workflow("halfway"))
    assert (shown["run"], shown["head"]) == (halfway["run"], halfway["head"])
    assert status(installed.workflow("ended"))["phase"] == "Succeeded"
    assert (len(installed.begun("x#1")), len(installed.begun("b#1"))) == (1, 1)

    installed.scale(0)
    installed.namespace.apply(json.dumps(secret(store_url)))
    installed.scale(1)
    installed.begun("b#1", times=2, seconds=120)
    installed.release()
    installed.phase("halfway", "Succeeded")
    assert installed.state("halfway")["done"] == told("a", "b", "c")
    assert len(installed.begun("a#1")) == 1
