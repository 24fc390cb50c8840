"""Writes to the API server, and what is refused of them: tried on the rules alone here, and on a real server.

A write changes the spec `SPEC` by a merge: null takes a field away.
"""

from __future__ import annotations

import copy
from typing import Any, NamedTuple

from cairn_operator import names

Spec = dict[str, Any]

STEPS = [{"name": "draft", "run": "true"}, {"name": "send", "run": "true", "needs": ["draft"]}]
OTHER_STEPS = [{"name": "draft", "run": "false"}, {"name": "send", "run": "true", "needs": ["draft"]}]
SPEC: Spec = {
    "steps": STEPS,
    "input": {"tone": "dry", "urls": ["a", "b"], "nothing": None},
    "state": {"channels": {"score": {"reducer": "max", "initial": 0, "schema": {"type": "number"}}}},
    "code": {"steps.py": "x = 1\n"},
}
BEGUN = {"run": "0b5d7d2e-5f0e-5a53-8f0a-0d9b4a5e6c11", "phase": "Running"}


class Manifest(NamedTuple):
    """A manifest whose fields do not fit together."""

    id: str
    changes: Spec
    at: str
    """Path of the field that is to blame."""
    says: str


class Update(NamedTuple):
    """A write over what is there; `refused` are the fields that are to blame, none: it is taken."""

    id: str
    before: Spec
    after: Spec
    refused: tuple[str, ...] = ()
    status: Spec = BEGUN

    @property
    def refusals(self) -> list[tuple[str, str]]:
        """What the server blames, and how its message ends."""
        made_of = [field for field in self.refused if field != "resume"]
        found = [("spec", f"; changed here: {' '.join(made_of)}")] if made_of else []
        return [*found, *([("spec.resume", "to a text not used before")] if "resume" in self.refused else [])]


def _step(**fields: Any) -> Spec:
    return {"steps": [*STEPS, {"name": "more", **fields}]}


_WAIT = {"foreach": {"in": "input.urls"}}
_BRANCH = {"run": "true", "needs": ["draft"]}

MANIFESTS = (
    Manifest("a step without work", _step(), "spec.steps[2]", "exactly one of python, run"),
    Manifest("a step of two kinds", _step(run="true", sleep="1s"), "spec.steps[2]", "exactly one of"),
    Manifest(
        "a sleep for each item", _step(sleep="1s", **_WAIT), "spec.steps[2].foreach", "a step that waits"
    ),
    Manifest(
        "an approval for each item", _step(approval={}, **_WAIT), "spec.steps[2].foreach", "a step that waits"
    ),
    Manifest(
        "a signal for each item", _step(signal={"name": "x"}, **_WAIT), "spec.steps[2].foreach", "that waits"
    ),
    Manifest(
        "goto in the shell", _step(run="true", goto=["draft"]), "spec.steps[2].goto", "only a python step"
    ),
    Manifest(
        "a step that needs itself",
        _step(run="true", needs=["more"]),
        "spec.steps[2].needs",
        "cannot need itself",
    ),
    Manifest(
        "two otherwise",
        _step(**_BRANCH, next=[{"to": "send", "otherwise": True}, {"to": "draft", "otherwise": True}]),
        "spec.steps[2].next",
        "a second otherwise",
    ),
    Manifest(
        "when and otherwise in one entry",
        _step(**_BRANCH, next=[{"to": "send", "when": "true", "otherwise": True}]),
        "spec.steps[2].next",
        "has when and otherwise",
    ),
    Manifest(
        "a channel named error",
        {"state": {"channels": {"error": {}}}},
        "spec.state.channels",
        "what a catch sees",
    ),
    Manifest("code from two places", {"codeFrom": {"configMap": "x"}}, "spec.codeFrom", "use one of them"),
    Manifest(
        "an interval with another policy",
        {"checkpoint": {"policy": "Barrier", "interval": "30s"}},
        "spec.checkpoint.interval",
        "with policy Interval only",
    ),
    Manifest(
        "an interval with the default policy",
        {"checkpoint": {"interval": "30s"}},
        "spec.checkpoint.interval",
        "with policy Interval only",
    ),
    Manifest(
        "a resume as a step that is not there",
        {"resume": {"nonce": "1", "asStep": "drafd"}},
        "spec.resume.asStep",
        "names a step that spec.steps does not have",
    ),
    Manifest(
        "a resume at a step that is not there",
        {"resume": {"nonce": "1", "steps": ["send", "drafd"]}},
        "spec.resume.steps",
        "names a step that spec.steps does not have",
    ),
    Manifest(
        "a resume that skips a step that is not there",
        {"resume": {"nonce": "1", "skip": ["drafd"]}},
        "spec.resume.skip",
        "names a step that spec.steps does not have",
    ),
    Manifest(
        "a resume that starts and skips a step",
        {"resume": {"nonce": "1", "steps": ["send"], "skip": ["draft", "send"]}},
        "spec.resume.skip",
        "start it or skip it",
    ),
    Manifest("a resume without a nonce", {"resume": {"checkpoint": "latest"}}, "spec.resume", ""),
    Manifest("no steps", {"steps": []}, "spec.steps", ""),
    Manifest("a duration without a unit", {"timeout": "90"}, "spec.timeout", ""),
    Manifest("a step name with a dot", {"steps": [{"name": "a.b", "run": "true"}]}, "spec.steps[0].name", ""),
)

ONE = {"resume": {"nonce": "1", "checkpoint": "latest"}}
PATCHED = {"resume": {"nonce": "1", "statePatch": {"tone": "warm", "nothing": None}}}
STORE = {"store": "other"}

UPDATES = (
    # -- what a run is made of
    Update("steps under a run that has begun", {}, {"steps": OTHER_STEPS}, ("steps",)),
    Update("one step more", {}, {"steps": [*STEPS, {"name": "more", "run": "true"}]}, ("steps",)),
    Update("a default written out", {}, {"steps": [{**STEPS[0], "join": "all"}, STEPS[1]]}, ("steps",)),
    Update("a channel's first value", {}, {"state": {"channels": {"score": {"initial": 1}}}}, ("state",)),
    Update(
        "deep in a channel's schema",
        {},
        {"state": {"channels": {"score": {"schema": {"type": "integer"}}}}},
        ("state",),
    ),
    Update("the channels taken away", {}, {"state": None}, ("state",)),
    Update("code", {}, {"code": {"steps.py": "x = 2\n"}}, ("code",)),
    Update("a second module", {}, {"code": {"more.py": ""}}, ("code",)),
    Update(
        "code from a ConfigMap instead",
        {},
        {"code": None, "codeFrom": {"configMap": "code"}},
        ("code", "codeFrom"),
    ),
    Update(
        "another ConfigMap",
        {"code": None, "codeFrom": {"configMap": "a"}},
        {"codeFrom": {"configMap": "b"}},
        ("codeFrom",),
    ),
    Update("an image where there was none", {}, {"image": "registry.example/x:1"}, ("image",)),
    Update("another image", {"image": "registry.example/x:1"}, {"image": "registry.example/x:2"}, ("image",)),
    Update("input", {}, {"input": {"tone": "warm"}}, ("input",)),
    Update("deep in the input", {}, {"input": {"urls": ["a", "c"]}}, ("input",)),
    Update("one more input", {}, {"input": {"more": 1}}, ("input",)),
    Update("a null in the input that becomes a value", {}, {"input": {"nothing": 1}}, ("input",)),
    Update("the input taken away", {}, {"input": None}, ("input",)),
    Update("another store", {}, STORE, ("store",)),
    Update("two at once", {}, {"steps": OTHER_STEPS, **STORE}, ("steps", "store")),
    Update("nothing at all", {}, {}),
    # -- together with a nonce
    Update("everything, with the first nonce", {}, {"steps": OTHER_STEPS, **STORE, "input": None, **ONE}),
    Update("steps, with a new nonce", ONE, {"steps": OTHER_STEPS, "resume": {"nonce": "2"}}),
    Update("steps, with the same nonce", ONE, {"steps": OTHER_STEPS, **ONE}, ("steps",)),
    Update("steps, and the resume taken away", ONE, {"steps": OTHER_STEPS, "resume": None}, ("steps",)),
    Update(
        "steps, and the resume changed without its nonce",
        ONE,
        {"steps": OTHER_STEPS, "resume": {"checkpoint": "start"}},
        ("steps", "resume"),
    ),
    # -- resume
    Update("a first resume", {}, ONE),
    Update("a new nonce alone", ONE, {"resume": {"nonce": "2"}}),
    Update("a new nonce with all that belongs to it", PATCHED, {"resume": {"nonce": "2", "steps": ["send"]}}),
    Update("a resume taken away", PATCHED, {"resume": None}),
    Update("the same resume again", PATCHED, PATCHED),
    Update("another checkpoint, the same nonce", ONE, {"resume": {"checkpoint": "start"}}, ("resume",)),
    Update(
        "another patch, the same nonce", PATCHED, {"resume": {"statePatch": {"tone": "dry"}}}, ("resume",)
    ),
    Update(
        "another channel in the patch, the same nonce",
        {"resume": {"nonce": "1", "statePatch": {"tone": "warm"}}},
        {"resume": {"statePatch": {"tone": None, "urls": "warm"}}},
        ("resume",),
    ),
    Update("steps to start at, the same nonce", ONE, {"resume": {"steps": ["send"]}}, ("resume",)),
    # -- before there is a run
    Update("steps, not looked at yet", {}, {"steps": OTHER_STEPS}, status={}),
    Update("steps, refused by the operator", {}, {"steps": OTHER_STEPS}, status={"phase": "Pending"}),
    Update("the resume, not looked at yet", ONE, {"resume": {"checkpoint": "start"}}, status={}),
    # -- always free
    Update("suspended", {}, {"suspend": True}),
    Update("other tries", {}, {"retry": {"limit": 9}}),
    Update("other restarts", {}, {"restart": {"limit": 9}}),
    Update("a timeout", {}, {"timeout": "1h"}),
    Update("the pod", {}, {"pod": {"env": [{"name": "A", "value": "b"}], "pendingTimeout": "1h"}}),
    Update("how long checkpoints stay", {}, {"checkpoint": {"history": {"keepLast": 3}}}),
    Update("the deletion policy", {}, {"deletionPolicy": "Delete"}),
    Update("a time to live", {}, {"ttlAfterFinished": "1h"}),
)


def workflow(changes: Spec, *, name: str = "digest", status: Spec | None = None) -> dict[str, Any]:
    """Make a Workflow with `SPEC`, changed."""
    return {
        "apiVersion": names.API_VERSION,
        "kind": names.WORKFLOW_KIND,
        "metadata": {"name": name},
        "spec": merged(SPEC, changes),
        **({"status": status} if status else {}),
    }


def merged(value: Any, changes: Any) -> Any:
    """Merge a patch into a value as `kubectl patch --type merge` does (RFC 7386)."""
    if not isinstance(changes, dict):
        return copy.deepcopy(changes)
    out = copy.deepcopy(value) if isinstance(value, dict) else {}
    for key, change in changes.items():
        if change is None:
            out.pop(key, None)
        else:
            out[key] = merged(out.get(key), change)
    return out
