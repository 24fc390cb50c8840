"""Many Workflows at once, some of them hostile, and some that wait for people.

What one object says or does stays with it: the others go on, and the operator neither ends nor grows nor
floods the API server. A run that waits holds no pod.
"""

from __future__ import annotations

import json
import time
from itertools import pairwise
from typing import Any

from tests.cluster.harness.commands import say, until
from tests.cluster.installations import Installation, condition_of, status
from tests.cluster.workflows import SMALL, chain, step, told, workflow

MANY, STEPS_EACH = 50, 15
WRITES_PER_STEP = 2
OPERATOR_MEBIBYTES = 150
COUNT = {"steps.py": "def count(state):\n    return {'n': 1}\n"}


def counting(name: str) -> dict[str, Any]:
    """A Workflow of steps that take no time and tell nobody."""
    steps: list[dict[str, Any]] = [{"name": f"s{n}", "python": "steps:count"} for n in range(STEPS_EACH)]
    for before, after in pairwise(steps):
        after["needs"] = [before["name"]]
    state = {"channels": {"n": {"reducer": "add", "initial": 0}}}
    return workflow(name, *steps, code=COUNT, state=state, pod=SMALL)


def test_fifty_workflows_at_once(installed):
    """All end as they should; what the operator writes and holds stays within its bounds."""
    documents = [counting(f"many-{n}") for n in range(MANY)]
    begin = time.monotonic()

    installed.apply(json.dumps({"apiVersion": "v1", "kind": "List", "items": documents}))
    installed.namespace.kubectl(
        "wait", "cwf", "--all", "--for=condition=Succeeded", "--timeout=240s", timeout_seconds=250
    )
    took = time.monotonic() - begin
    until(lambda: all_shown(installed), "every newest checkpoint is shown", every=0.5)

    written, mebibytes = installed.api_writes(), installed.memory()
    say(f"{MANY} Workflows of {STEPS_EACH} steps took {took:.0f} s; writes {written}; MiB {mebibytes}")
    assert [row["phase"] for row in installed.cairn("runs")] == ["Succeeded"] * MANY
    of_runs = sum(number for what, number in written.items() if "Lease" not in what)
    assert MANY < of_runs <= WRITES_PER_STEP * MANY * STEPS_EACH
    assert mebibytes["VmHWM"] <= OPERATOR_MEBIBYTES


def all_shown(installed: Installation) -> bool:
    """Whether the head of each run has its Checkpoint object."""
    heads = {status(one)["head"]["id"] for one in installed.namespace.get("cwf")["items"]}
    return heads <= {one["spec"]["id"] for one in installed.namespace.get("ckpt")["items"]}


# -- hostile ones -------------------------------------------------------------------------------------------

BROKEN_NOTES = {
    "kopf.zalando.org/last-handled-configuration": "{",
    "kopf.dev/last-handled-configuration": "\x7f",
    "kopf.zalando.org/progress": "[]",
    "cairn.dev/pin": "maybe",
    "cairn.dev/run": "../..",
}
HUGE = 123456789012345678901234567890
DEEP: Any = json.loads("[" * 500 + "]" * 500)
DEEPEST = "[" * 9000 + "]" * 9000
"""Nobody here can read that but the API server."""
NAMES = [f"a{n:x}" for n in range(400)]
DEAR = [{"name": name, "run": ":", "needs": [f"zz{n}{k}" for k in range(50)]} for n, name in enumerate(NAMES)]
"""Names that do not exist, whose nearest ones would be sought for a minute."""
FANNED: dict[str, Any] = {
    f"d{n}": {"anyOf": [{"$ref": f"#/$defs/d{n + 1}"}, {"$ref": f"#/$defs/d{n + 1}"}]} for n in range(40)
}
DONE = {"reducer": "extend", "initial": []}
ENDLESS = {"$ref": "#/$defs/d0", "$defs": {**FANNED, "d40": {"type": "integer"}}}
"""A schema of a kilobyte by which nobody ever ends to judge."""


def hostile(name: str, *, retries: int = 0, **spec: Any) -> dict[str, Any]:
    """A Workflow that is well but for what is given."""
    return chain(name, f"{name}-a", retry={"limit": retries}, **spec)


CROWD = 15
LARGE = {
    "apiVersion": "cairn.dev/v1alpha1",
    "kind": "Workflow",
    "spec": {"steps": [{"name": "a", "run": ":"}], "input": {"x": [{}] * 430_000}},
}
"""All that the database of a cluster takes."""


INVALID = {
    "host-path": {"pod": {"volumes": [{"name": "h", "hostPath": {"path": "/"}}]}},
    "token": {"pod": {"volumes": [{"name": "t", "projected": {"sources": [{"serviceAccountToken": {}}]}}]}},
    "env-types": {"pod": {"env": [{"name": "N", "value": 5}, {"name": "", "value": "x"}, {"junk": []}]}},
    "env-ours": {"pod": {"env": [{"name": "CAIRN_CLAIM", "value": "mine"}]}},
    "input-key": {"input": {"no channel's näme 😀": 1}},
    "patch-key": {"resume": {"nonce": "1", "checkpoint": "start", "statePatch": {"näme": 1}}},
    "expression": {"steps": [step("e", when="state.(")]},
    "no-python": {"code": {"steps.py": "def work(:\n"}},
    "depth": {"input": {"done": [DEEP]}},
}
"""What the definition lets through and the operator does not."""

REFUSED = {
    "env-name": {"pod": {"env": [{"name": "A=B", "value": "x"}]}},
    "affinity": {"pod": {"affinity": {"nodeAffinity": 7}}},
    "toleration": {"pod": {"tolerations": [{"operator": "Sideways"}]}},
    "volume-type": {"pod": {"volumes": [{"name": "v", "configMap": "not an object"}]}},
    "limits": {"pod": {"resources": {"limits": {"memory": "lots"}}}},
    "image": {"image": "Not an image!"},
}
"""What only the API server, or the node, can refuse: in its own words, and the Workflow can be mended."""

WORK = "\ndef work(state):\n    return {}\n"
FAILING = {
    "no-function": {"code": {"steps.py": "work = 7\n"}},
    "exits": {"code": {"steps.py": f"import os\nos._exit(78)\n{WORK}"}},
    "speaks": {"code": {"steps.py": f'print("{{\\"run\\": 7}}")\nraise SystemExit("\\x00é")\n{WORK}'}},
}
"""What the runner finds out."""

HARMLESS = {
    "numbers": {"input": {"done": [HUGE, -HUGE, 1e300, 2**63 - 1, "x" * 20_000]}},
    "schema": {
        "input": {"done": []},
        "state": {"channels": {"done": DONE, "x": {"schema": ENDLESS, "initial": "text"}}},
    },
    "texts": {"input": {"done": ["\x00", "\u202e\u0000😀", "'; DROP TABLE runs; --", {"__proto__": None}]}},
}
"""What is odd, but somebody's own data."""


def test_hostile_workflows_harm_only_themselves(installed):
    """Each says what is wrong with it, or ends; the one beside them, applied last, ends as it should."""
    groups = (INVALID, REFUSED, FAILING, HARMLESS)
    deepest = json.dumps(hostile("deepest", input={"done": 0})).replace('"done": 0', f'"done": {DEEPEST}')
    installed.namespace.kubectl("create", "--filename=-", stdin=deepest)
    installed.apply(hostile("dear", steps=DEAR))
    for name, spec in ((name, spec) for group in groups for name, spec in group.items()):
        document = hostile(name, **{"pod": SMALL, **spec})
        document["metadata"]["annotations"] = BROKEN_NOTES
        installed.apply(document)
    installed.apply(chain("calm", "a", "b", pod=SMALL))

    installed.phase("calm", "Succeeded", seconds=120)
    assert installed.state("calm")["done"] == told("a", "b")
    said = installed.condition("dear", "Stalled", "ManifestInvalid")["message"]
    assert said.startswith("spec: takes too long to be judged here"), said
    for name in INVALID:
        said = installed.condition(name, "Stalled", "ManifestInvalid")["message"]
        assert said.startswith("spec."), said
    for name in REFUSED:
        assert degraded(installed, name)["message"], name
    for name in FAILING:
        installed.phase(name, "Failed", seconds=120)
    for name in HARMLESS:
        installed.phase(name, "Succeeded", seconds=120)
        given = installed.workflow(name)["spec"]["input"]["done"]
        assert installed.state(name)["done"] == [*given, f"{name}-a#1"]
    installed.resume("calm", "latest", "1", statePatch={"done": "no list"}, steps=["b"])
    failed = condition_of(installed.phase("calm", "Failed"), "Failed")
    said = "b#2 failed: WriteRefused: done: expected a list, not text"
    assert (failed["reason"], failed["message"]) == ("WriteRefused", said)
    assert unforeseen(installed) == []


def degraded(installed: Installation, name: str) -> dict[str, Any]:
    """Wait until something keeps a Workflow from going on; answer the condition."""
    found = installed.namespace.until(
        f"workflows.cairn.dev/{name}", lambda seen: bool(condition_of(seen, "Degraded")), seconds=120
    )
    return condition_of(found, "Degraded")


def unforeseen(installed: Installation) -> list[str]:
    """What the operator logged of exceptions that nobody foresaw, and how often it was started again."""
    (pod,) = installed.operators()
    found = [line for line in installed.namespace.logs(pod).splitlines() if "Traceback" in line]
    (container,) = status(installed.namespace.get(f"pod/{pod}"))["containerStatuses"]
    return found + ["restarted"] * container["restartCount"]


# -- people -------------------------------------------------------------------------------------------------


def test_a_run_that_waits_holds_no_pod_until_it_is_answered(installed):
    """Two approvals of one run are answered by the command line, one yes and one no; each once."""
    sign = {"approval": {"message": "Publish? 😀"}, "needs": ["a"]}
    installed.apply(
        workflow(
            "signed",
            step("a"),
            {"name": "sign", **sign},
            {"name": "check", **sign},
            step("b", "sign", "check"),
        )
    )

    waiting = installed.namespace.until(
        "workflows.cairn.dev/signed",
        lambda seen: (status(seen).get("phase"), status(seen).get("pod")) == ("Waiting", ""),
    )
    assert sorted(wait["name"] for wait in status(waiting)["waits"]) == ["check#1", "sign#1"]
    (pod,) = installed.runners("signed")
    installed.namespace.wait(f"pod/{pod['metadata']['name']}", "jsonpath={.status.phase}=Succeeded")

    installed.cairn("approve", "signed", "--step", "sign")
    installed.namespace.until(
        "workflows.cairn.dev/signed",
        lambda seen: (
            status(seen)["phase"] == "Waiting"
            and [one["name"] for one in status(seen)["waits"]] == ["check#1"]
        ),
    )
    installed.cairn("reject", "signed", "--step", "check")

    found = status(installed.phase("signed", "Succeeded"))
    state = installed.state("signed")
    assert (state["sign"]["approved"], state["check"]["approved"]) == (True, False)
    assert (found["epoch"], state["done"]) == (3, told("a", "b"))


def test_a_crowd_of_workflows_as_large_as_they_may_be_ends_no_operator(installed):
    """Each becomes thirty megabytes once it is read: of none more than its metadata is watched, or kept."""
    large = json.dumps({"metadata": {"name": "NAME"}, **LARGE}, separators=(",", ":"))
    for n in range(CROWD):
        installed.namespace.kubectl("create", "--filename=-", stdin=large.replace("NAME", f"large-{n}", 1))
    installed.apply(chain("calm", "a"))
    installed.phase("calm", "Succeeded", seconds=120)

    installed.kill_operator()
    installed.apply(chain("after", "a"))
    installed.phase("after", "Succeeded", seconds=120)

    for n in range(CROWD):
        said = installed.condition(f"large-{n}", "Stalled", "ManifestInvalid")["message"]
        assert said.startswith("spec: larger than 256 KiB ("), said
    (operator,) = installed.operators()
    (container,) = status(installed.namespace.get(f"pod/{operator}"))["containerStatuses"]
    assert container["restartCount"] == 1, "by the kill alone"
