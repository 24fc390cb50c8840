"""A runner that is taken for dead and is not: whatever it still does, the run no longer hears it.

Its network is cut while it works, so that its heartbeats do not arrive; after 30 seconds another runner has
its place.  Then it gets its network back, and goes on as if nothing had been.
"""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

from tests.cluster.harness.cluster import Object
from tests.cluster.installations import status
from tests.cluster.workflows import chain, told

SUPERSEDED = 75


def ended(pod: Object) -> Object:
    """How the process in a pod ended; empty while it lives."""
    found: Object = status(pod).get("containerStatuses", [{}])[0].get("state", {}).get("terminated") or {}
    return found


def test_a_runner_that_comes_back_finds_its_place_taken_and_ends(installed):
    """It is refused (exit code 75), its task counts once, and nothing of it is in the history."""
    installed.hold("b#1")
    # Whoever is silent is deleted too; it is given the time to come back before it is killed.
    installed.apply(chain("cut", "a", "b", "c", pod={"terminationGracePeriod": "5m"}))
    installed.begun("b#1")
    (zombie,) = [pod["metadata"]["name"] for pod in installed.runners("cut")]
    # It runs, as it has begun its task; its log can be had only when that was told.
    installed.namespace.wait(f"pod/{zombie}", "condition=Ready")

    with ThreadPoolExecutor(2) as pool:
        end = pool.submit(
            installed.namespace.until, f"pod/{zombie}", lambda pod: bool(ended(pod)), seconds=150
        )
        log = pool.submit(installed.namespace.kubectl, "logs", zombie, "--follow", timeout_seconds=150)
        installed.namespace.cut_network(zombie)
        installed.begun("b#1", times=2, seconds=90)
        installed.release()
        found = status(installed.phase("cut", "Succeeded"))
        assert not end.done()
        installed.namespace.restore_network(zombie)

        last = ended(end.result())
    assert last["exitCode"] == SUPERSEDED
    assert json.loads(last["message"])["reason"] == "Superseded"
    assert "Superseded" in log.result()
    assert (found["epoch"], found["restarts"]) == (2, 0)
    written = [(row["step"], row["epoch"]) for row in installed.checkpoints("cut")]
    assert written == [("c", 2), ("b", 2), ("a", 1), ("", 1)]
    assert installed.state("cut")["done"] == told("a", "b", "c")
    installed.cairn("verify", "cut")
