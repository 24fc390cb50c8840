"""Documents of a cluster in, lines and names out: what `kubectl cairn` shows, and what it refuses to ask."""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from cairn_runtime.cli.app import CLUSTER_SECTIONS, SECTIONS, sections_of
from cairn_runtime.cli.cluster import checkups, naming
from cairn_runtime.cli.cluster.completing import completed
from cairn_runtime.cli.cluster.facts import mark_of, runner_of, seen_of
from cairn_runtime.cli.cluster.following import exit_code
from cairn_runtime.cli.findings import Level
from cairn_runtime.cli.kubectl import Kubectl, Target
from cairn_runtime.cli.views import objects
from cairn_runtime.cli.views.loglines import Wanted, is_wanted, readable
from cairn_runtime.errors import InvalidInput
from cairn_runtime.model.workflow import Spec

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
OLD, NEW = "1aeede3e-0000-5000-8000-00001aeede3e", "0b1eede3-0000-5000-8000-00000b1eede3"


def at(seconds: float) -> str:
    """A moment before now, on the wire."""
    return (NOW - timedelta(seconds=seconds)).isoformat()


def workflow(phase: str = "Running", *conditions: tuple[str, str, str, str], **status: Any) -> dict[str, Any]:
    """A Workflow's document."""
    told = [dict(zip(("type", "status", "reason", "message"), one, strict=True)) for one in conditions]
    meta = {"name": "digest", "namespace": "team", "generation": 2, "creationTimestamp": at(120)}
    fields = {"observedGeneration": 2, "phase": phase, "run": NEW, "progress": "1/3", "conditions": told}
    return {"metadata": meta, "spec": {}, "status": {**fields, **status}}


def checkpoint(run: str, seq: int, *, notes: dict[str, str] | None = None, **spec: Any) -> Any:
    """A Checkpoint, read."""
    name = f"digest-{run[-8:]}-{seq}"
    fields = {"workflow": "digest", "run": run, "seq": seq, "id": f"cp-{run[:2]}-{seq}", "size": "99 B"}
    meta = {"name": name, "annotations": notes or {}}
    return mark_of({"metadata": meta, "spec": {**fields, "createdAt": at(100 - seq), **spec}})


def pod(epoch: int, phase: str, state: dict[str, Any]) -> Any:
    """A runner's pod, read."""
    labels = {"cairn.dev/run": NEW, "cairn.dev/epoch": str(epoch)}
    meta = {"name": f"digest-0b1eede3-{epoch}", "labels": labels, "creationTimestamp": at(60)}
    return runner_of({"metadata": meta, "status": {"phase": phase, "containerStatuses": [{"state": state}]}})


def test_the_list_says_where_each_stands():
    """One line each, within 80 columns; the reason is the one to mend first."""
    trouble = ("Degraded", "True", "ImagePullBackOff", "no such image")
    found = [seen_of(workflow(step="draft", restarts=1)), seen_of(workflow("Pending", trouble)), seen_of({})]

    assert objects.workflow_lines(found, NOW, 80, everywhere=False) == [
        "NAME    PHASE    PROGRESS  STEP   RESTARTS     AGE  REASON",
        "digest  Running       1/3  draft         1      2m",
        "digest  Pending       1/3                0      2m  ImagePullBackOff",
        "        -                                0  20455d",
    ]
    assert objects.workflow_lines(found, NOW, 80, everywhere=True)[1].startswith("team       digest")


def test_one_workflow_is_told_with_what_to_type_next():
    """An approval names the commands that answer, and what they need."""
    wait = {"task": "sign#1", "kind": "approval", "name": "sign#1", "message": "Publish?"}
    seen = seen_of(
        workflow("Waiting", waits=[wait], head={"seq": 3, "id": "cp", "step": "draft", "time": at(9)})
    )
    lines = objects.workflow_detail(seen, NOW, " --context=kind")

    assert lines[0] == "digest  Waiting · 1/3"
    assert "  head       checkpoint 3 after draft, 9s ago, cp" in lines
    assert "sign waits for an approval: Publish?" in lines
    assert "  cairn approve digest --step sign" in lines
    failed = objects.workflow_detail(seen_of(workflow("Failed")), NOW, " --context=kind")
    assert failed[-1].endswith("kubectl cairn resume digest --context=kind")


def test_a_tree_shows_runs_forks_pods_and_checkpoints():
    """The current run first; a fork names the run and seq that it came from."""
    marks = [
        checkpoint(NEW, 1, notes={"cairn.dev/origin": "cp-1a-2"}, nextText="draft"),
        *(checkpoint(OLD, seq, step=f"s{seq}", visit=1) for seq in (9, 8, 7, 6, 5, 4)),
        checkpoint(OLD, 2, step="s2", visit=1, notes={"cairn.dev/pin": "true"}),
    ]
    pods = [
        pod(2, "Running", {"running": {}}),
        pod(1, "Failed", {"terminated": {"reason": "OOMKilled", "exitCode": 137}}),
    ]

    assert objects.tree_lines(seen_of(workflow(step="draft")), marks, pods, NOW, 80) == [
        "digest  Running · 1/3 · draft",
        "├─ run 0b1eede3 (current), forked from 1aeede3e/2",
        "│  ├─ pod digest-0b1eede3-2  Running  60s",
        "│  ├─ pod digest-0b1eede3-1  Failed (OOMKilled, exit code 137)  60s",
        "│  └─   1  (fork) → draft  99 B  99s",
        "└─ run 1aeede3e",
        "   ├─   9  s9#1 → (end)  99 B  91s",
        "   ├─   8  s8#1 → (end)  99 B  92s",
        "   ├─   7  s7#1 → (end)  99 B  93s",
        "   ├─   6  s6#1 → (end)  99 B  94s",
        "   ├─   5  s5#1 → (end)  99 B  95s",
        "   ├─   2  s2#1 → (end)  99 B  98s  pinned",
        "   └─      and 1 more",
    ]


ENDS = {
    "under way": (workflow(), None),
    "done": (workflow("Succeeded"), 0),
    "failed": (workflow("Failed"), 1),
    "cancelled": (workflow("Cancelled"), 1),
    "waits for a person": (workflow("Waiting", waits=[{"kind": "approval"}]), 3),
    "waits for a time": (workflow("Waiting", waits=[{"kind": "sleep", "until": at(-9)}]), None),
    "held": (workflow("Suspended"), 3),
    "the spec has faults": (
        workflow("Pending", ("Accepted", "False", "ManifestInvalid", "x"), ("Stalled", "True", "x", "")),
        2,
    ),
    "something may pass by itself": (workflow("Pending", ("Degraded", "True", "Unschedulable", "")), None),
    "nobody has looked": ({}, None),
}


@pytest.mark.parametrize(("document", "code"), ENDS.values(), ids=ENDS)
def test_how_a_workflow_ends_is_the_exit_code(document, code):
    """Only what goes on by itself is waited for."""
    assert exit_code(seen_of(document)) == code


def test_log_lines_are_readable_and_what_steps_print_stays():
    """Nothing in them moves a cursor."""
    line = (
        '{"time":"2026-01-02T03:04:05Z","level":"error","message":"A task failed.","task":"a#1","attempt":2}'
    )

    assert [part.split(" ", 1)[1] for part in readable(line)] == ["ERROR a#1 A task failed.  attempt=2"]
    assert readable("50 % \x1b[31m") == ["50 % \\u001b[31m"]
    assert readable("{half") == ["{half"]
    assert is_wanted(line, Wanted(step="a"))
    assert is_wanted(line, Wanted(task="a#1"))
    assert not is_wanted(line, Wanted(task="a#2"))
    assert not is_wanted("50 %", Wanted(step="a"))


@pytest.mark.parametrize("name", ["--all", "-A", "a,b", "a/b", "A", "", "a" * 46, "a.b", "a b"])
def test_a_name_that_would_be_something_else_is_refused(name):
    """An option of kubectl, several names, another kind."""
    with pytest.raises(InvalidInput):
        naming.workflow_name(name)
    with pytest.raises(InvalidInput):
        naming.target_named("", name or "-", "") if len(name) < 46 else naming.workflow_name(name)


def test_a_name_may_be_as_kubectl_writes_it():
    """With its kind before it."""
    assert (
        naming.workflow_name("cwf/digest") == naming.workflow_name("workflows.cairn.dev/digest") == "digest"
    )


@pytest.mark.parametrize("text", ["--all", "a b", "x;y", "-1"])
def test_a_checkpoint_that_would_be_something_else_is_refused(text):
    """Before anything is asked."""
    with pytest.raises(InvalidInput, match="is no checkpoint"):
        naming.checkpoint_named(Kubectl(Target()), "digest", text, "--from")


MEANT = {
    "resume x": (SECTIONS, CLUSTER_SECTIONS),
    "resume x -n team": (CLUSTER_SECTIONS, CLUSTER_SECTIONS),
    "resume x --context=kind": (CLUSTER_SECTIONS, CLUSTER_SECTIONS),
    "resume x --store memory:": (SECTIONS, SECTIONS),
    "checkpoints x -n 3": (SECTIONS, CLUSTER_SECTIONS),
    "tree x": (CLUSTER_SECTIONS, CLUSTER_SECTIONS),
    "state x": (SECTIONS, SECTIONS),
    "": (SECTIONS, CLUSTER_SECTIONS),
}


@pytest.mark.parametrize(("typed", "meant"), MEANT.items(), ids=MEANT)
def test_which_verbs_are_meant(monkeypatch, typed, meant):
    """What was typed decides, else the name of the program."""
    monkeypatch.setattr("sys.argv", ["/usr/bin/cairn"])
    assert sections_of(typed.split()) is meant[0]
    monkeypatch.setattr("sys.argv", ["/usr/bin/kubectl-cairn"])
    assert sections_of(typed.split()) is meant[1]


def test_a_verb_of_a_store_needs_an_address_under_the_name_of_the_cluster(cairn, monkeypatch):
    """A file in this folder would be an answer about nothing."""
    monkeypatch.setattr("sys.argv", ["/usr/bin/kubectl-cairn"])
    monkeypatch.delenv("CAIRN_STORE_URL", raising=False)
    said = cairn("approve", "digest")

    assert said.code == 2
    assert "--store" in said.err


# -- completion ----------------------------------------------


COMPLETED = {
    "tr": ["tree\tShow a Workflow's runs and where they were forked, with...", ":4"],
    "get digest --all": ["--all-namespaces\tLook into every namespace.", ":4"],
    "get -o j": ["json", ":4"],
    "submit ": [":0"],
    "get --kubeconfig ": [":0"],
    "fork digest --from h": ["head", ":4"],
    "tree ": ["digest", "dinner", ":4"],
    "tree -n team din": ["dinner", ":4"],
    "tree digest ": [":4"],
}


@pytest.mark.parametrize(("typed", "found"), COMPLETED.items(), ids=COMPLETED)
def test_what_may_come_next(tmp_path, monkeypatch, typed, found):
    """Verbs, options, values; Workflows from the cluster, in the place that was typed."""
    program = tmp_path / "kubectl"
    program.write_text("#!/bin/sh\necho workflow.cairn.dev/digest\necho workflow.cairn.dev/dinner\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))

    assert completed(typed.split(" ")) == found


def test_a_shell_is_told_nothing_where_the_cluster_does_not_answer(monkeypatch):
    """An error would stand in the middle of what is typed."""
    monkeypatch.setenv("PATH", "")

    assert completed(["tree", ""]) == [":4"]


# -- the doctor ----------------------------------------------


def definitions(*fields: str) -> list[dict[str, Any]]:
    """The two definitions, with these fields in a Workflow's spec."""
    properties = {"spec": {"properties": {name: {} for name in fields}}}
    version = {"name": "v1alpha1", "served": True, "schema": {"openAPIV3Schema": {"properties": properties}}}
    names = ("workflows.cairn.dev", "checkpoints.cairn.dev")
    return [{"metadata": {"name": name}, "spec": {"versions": [version]}} for name in names]


OWN = [field.alias or name for name, field in Spec.model_fields.items()]


@pytest.mark.parametrize(
    ("found", "level", "told"),
    [
        (definitions(*OWN), Level.OK, "as this program does"),
        (definitions(*OWN[1:]), Level.WARNING, OWN[0]),
        (definitions()[:1], Level.FAULT, "does not know checkpoints.cairn.dev"),
        ([], Level.FAULT, "does not know workflows.cairn.dev and checkpoints.cairn.dev"),
    ],
)
def test_definitions_that_are_missing_or_older_are_found(found, level, told):
    """With the command that brings them."""
    (finding,) = checkups.kinds_found(found)

    assert (finding.level, told in finding.what) == (level, True)
    assert bool(finding.mend) == (level is not Level.OK)


def test_what_is_wrong_with_workflows_is_told_with_what_mends_it():
    """A Degraded one is a fault; one that failed is no fault of the installation."""
    trouble = ("Degraded", "True", "CheckpointNotFound", "no such")
    seen = [seen_of(workflow("Running", trouble)), seen_of(workflow("Failed")), seen_of(workflow())]
    unseen = workflow()
    del unseen["status"]
    found = checkups.workflows_found([*seen, seen_of(unseen)], NOW)

    assert [one.level for one in found] == [Level.FAULT, Level.WARNING, Level.FAULT, Level.OK]
    assert "kubectl cairn checkpoints digest" in found[0].mend
    assert "CAIRN_NAMESPACES" in found[2].mend


@pytest.mark.parametrize(
    ("lease", "level"),
    [
        ({"spec": {"holderIdentity": "a", "renewTime": at(5)}}, Level.OK),
        ({"spec": {"holderIdentity": "a", "renewTime": at(500)}}, Level.FAULT),
        ({"spec": {"holderIdentity": ""}}, Level.WARNING),
        ({}, Level.WARNING),
    ],
    ids=["renewed", "old", "given back", "none"],
)
def test_whether_an_operator_is_on_duty(lease, level):
    """By the Lease that it renews."""
    assert checkups.lease_found(lease, "cairn-system/cairn-operator", NOW).level is level


def test_rights_that_are_lacking_are_named():
    """As a rule of a role names them."""
    asked = {"verb": "get", "resource": "pods", "subresource": "log"}
    review: dict[str, Any] = {"spec": {"resourceAttributes": asked}, "status": {"allowed": False}}

    assert checkups.rights_found([review])[0].what == "you may not get pods/log in this namespace"
    assert checkups.rights_found([{**review, "status": {"allowed": True}}])[0].level is Level.OK


def operator(namespace: str, **environ: str) -> dict[str, Any]:
    """An operator's Deployment."""
    env = [{"name": name, "value": value} for name, value in environ.items()]
    pod = {"containers": [{"env": env}]}
    return {
        "metadata": {"name": "cairn-operator", "namespace": namespace},
        "spec": {"template": {"spec": pod}},
        "status": {"readyReplicas": 1},
    }


ANSWERS = {
    "version": {"serverVersion": {}},
    "get crds": {"items": definitions(*OWN)},
    "get deployments": {"items": [operator("home"), operator("other", CAIRN_NAMESPACES="a,b")]},
    "get leases": {"spec": {"holderIdentity": "me", "renewTime": at(3)}},
    "get workflows.cairn.dev": {"items": [workflow()]},
}
KUBECTL = """#!{python}
import json, sys
words = [word for word in sys.argv[1:] if not word.startswith("--")]
if words[0] == "create":
    for one in json.load(sys.stdin)["items"]:
        print(json.dumps({{**one, "status": {{"allowed": True}}}}, indent=4))
elif words[:2] == ["get", "secret"]:
    print("secret/" + words[2] if words[2] != "{missing}" else "")
else:
    print(json.dumps({answers}.get(" ".join(words[:2])) or {answers}.get(words[0]) or {{}}))
"""


@pytest.mark.parametrize(("missing", "code"), [("-", 0), ("cairn-store-default", 1)])
def test_the_doctor_looks_at_everything_in_turn(cairn, tmp_path, monkeypatch, missing, code):
    """An operator of other namespaces is not looked at; of a Secret only its name is asked for."""
    program = tmp_path / "kubectl"
    program.write_text(KUBECTL.format(python=sys.executable, answers=repr(ANSWERS), missing=missing))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("sys.argv", ["/usr/bin/kubectl-cairn"])
    monkeypatch.setattr(checkups, "_LEASE_SECONDS", float("inf"))
    said = cairn("doctor", "-n", "team")

    assert said.code == code, said
    assert "home/cairn-operator is ready" in said.out
    assert "other/" not in said.out
    assert ("kubectl create secret generic cairn-store-default" in said.out) == bool(code)
