"""`cairn resume` on a cluster: what is handed to kubectl, and what the operator's answer becomes."""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest

from cairn_runtime.cli import clusters
from cairn_runtime.cli.clusters import Served, resume_of, verdict, waited
from cairn_runtime.cli.kubectl import Target, documents, error_of
from cairn_runtime.cli.wishes import ForkWishes
from cairn_runtime.errors import (
    CairnError,
    CairnMissing,
    CheckpointNotFound,
    ClusterError,
    ClusterUnavailable,
    InvalidInput,
    ManifestInvalid,
    NotAllowed,
    NotFound,
    ResumeRefused,
)

RUN = "322adab0-0000-5000-8000-00000b1eede3"
EVENTS = ["--watch", "--output-watch-events", "--output=json"]
KUBECTL = """\
#!{python}
import json, pathlib, sys
here = pathlib.Path(__file__).parent
given = sys.stdin.read() if "patch" in sys.argv else ""
with (here / "asked").open("a") as asked:
    asked.write(json.dumps([sys.argv[1:], given]) + "\\n")
said = json.loads((here / "says").read_text())
if "patch" in sys.argv:
    sys.stderr.write(said["refusal"])
    print(json.dumps({{"metadata": {{"generation": 2}}}}))
    sys.exit(1 if said["refusal"] else 0)
for document in said["documents"]:
    print(json.dumps({{"type": "MODIFIED", "object": document}}))
"""


class Program:
    """A kubectl that notes what it was asked and says what it was told to."""

    def __init__(self, folder):
        self._folder = folder
        self.says()
        program = folder / "kubectl"
        program.write_text(KUBECTL.format(python=sys.executable))
        program.chmod(0o755)

    def says(self, *documents: Any, refusal: str = "") -> None:
        (self._folder / "says").write_text(json.dumps({"documents": documents, "refusal": refusal}))

    @property
    def asked(self) -> list[tuple[list[str], Any]]:
        """Arguments and standard input of each call."""
        lines = (self._folder / "asked").read_text().splitlines()
        return [(arguments, json.loads(given or "null")) for arguments, given in map(json.loads, lines)]


@pytest.fixture
def program(tmp_path, monkeypatch):
    """The only kubectl on the PATH."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    return Program(folder)


def seen(*conditions: tuple[str, str, str, str], observed: int = 2, **status: Any) -> dict[str, Any]:
    """A Workflow as the operator left it."""
    told = [dict(zip(("type", "status", "reason", "message"), one, strict=True)) for one in conditions]
    return {"status": {"observedGeneration": observed, "conditions": told, **status}}


SERVED = seen(lastResume={"nonce": "1", "checkpoint": "cp-2", "run": RUN})
UNKNOWN = seen(("Degraded", "True", "CheckpointNotFound", 'there is no checkpoint "x"'))


def test_the_field_is_replaced_whole_and_stands_in_no_argument(cairn, program):
    """A merge would keep the patch of the last time, and everybody on a machine can read arguments."""
    program.says(seen(observed=1), SERVED)
    said = cairn(
        *("resume", "digest", "--from", "cp-2", "--patch", '{"tone": null}', "--as-step", "draft"),
        *("--steps", "send,check", "--skip", "sign", "--nonce", "1", "-n", "team", "--context", "kind"),
    )

    ((patch, given), (watch, _)) = program.asked
    where = ["--context=kind", "--namespace=team"]
    assert patch == [
        *where,
        *(
            "patch",
            "workflows.cairn.dev",
            "digest",
            "--type=json",
            "--patch-file=/dev/stdin",
            "--output=json",
        ),
    ]
    assert watch == [*where, "get", "workflows.cairn.dev", "digest", *EVENTS]
    value = {"checkpoint": "cp-2", "nonce": "1", "statePatch": {"tone": None}, "asStep": "draft"}
    value |= {"steps": ["send", "check"], "skip": ["sign"]}
    assert given == [{"op": "add", "path": "/spec/resume", "value": value}]
    assert said.code == 0
    assert said.out == "digest goes on as run 0b1eede3, from cp-2\n"


def test_as_a_plugin_it_is_the_cluster_that_is_meant(cairn, program, monkeypatch):
    """`kubectl cairn` with no option at all; without a nonce it makes a new one each time."""
    monkeypatch.setattr("sys.argv", ["/usr/local/bin/kubectl-cairn"])
    monkeypatch.setattr(clusters, "new_id", lambda: "1")
    program.says(SERVED)
    said = cairn("resume", "digest", "--from", "head", "-o", "json")

    assert program.asked[0][1][0]["value"] == {"checkpoint": "latest", "nonce": "1"}
    assert said.document == {"workflow": "digest", "run": RUN, "checkpoint": "cp-2", "nonce": "1"}


def test_with_a_store_the_plugin_works_on_that(cairn, program, url, monkeypatch):
    """It is the same program."""
    monkeypatch.setattr("sys.argv", ["/usr/local/bin/kubectl-cairn"])
    said = cairn("resume", "digest", "--from", "head", "--store", url)

    assert said.code == 4
    assert "no runs yet" in said.err


def test_options_of_this_machine_are_refused_for_a_cluster(cairn, program):
    """They would be ignored there."""
    said = cairn("resume", "digest", "--from", "head", "-n", "team", "--file", "x.yaml", "--in-process")

    assert said.code == 2
    assert "--file: no such option" in said.err


def test_the_operators_reason_is_told(cairn, program):
    """In its own words, with the exit code of what happened."""
    program.says(UNKNOWN)
    said = cairn("resume", "digest", "--from", "x", "--nonce", "1", "-o", "json")

    assert said.code == 4
    assert said.document["error"]["reason"] == "CheckpointNotFound"
    assert said.document["error"]["message"] == 'there is no checkpoint "x"'


def test_an_operator_that_does_not_answer_is_not_waited_for_for_ever(cairn, program, monkeypatch):
    """The patch stays, and that is said."""
    monkeypatch.setattr(clusters, "WAIT_SECONDS", 0.2)
    said = cairn("resume", "digest", "--from", "x", "--nonce", "1")

    assert said.code == 69
    assert "the patch stays" in said.err


def test_what_was_seen_last_is_told_of_an_operator_that_did_not_answer():
    """It may be the reason."""
    trouble = seen(("Degraded", "True", "StoreUnavailable", "no answer"))

    with pytest.raises(ClusterUnavailable, match="StoreUnavailable: no answer"):
        waited(iter([{}, trouble]), "1", 2)


def test_without_kubectl_it_says_what_to_do(cairn, monkeypatch):
    """The manifest can always be written by hand."""
    monkeypatch.setenv("PATH", "")
    said = cairn("resume", "digest", "--from", "head", "-n", "team")

    assert said.code == 78
    assert "write spec.resume" in said.err


def test_what_the_server_refuses_is_told_and_nothing_is_waited_for(cairn, program):
    """A rule of the definition, for example."""
    program.says(refusal='The Workflow "digest" is invalid: spec.resume.asStep: Forbidden: names no step\n')
    said = cairn("resume", "digest", "--from", "head", "-n", "team", "--as-step", "x")

    assert said.code == 2
    assert "spec.resume.asStep: Forbidden" in said.err
    assert len(program.asked) == 1


VERDICTS = {
    "nothing seen yet": ({}, None),
    "not looked at since the patch": (seen(observed=1), None),
    "an older generation's trouble": (
        {**UNKNOWN, "status": {**UNKNOWN["status"], "observedGeneration": 1}},
        None,
    ),
    "another nonce was served last": (seen(lastResume={"nonce": "0", "run": "x"}), None),
    "the old run is still being ended": (seen(("Degraded", "False", "Healthy", "")), None),
    "a store that may answer later": (seen(("Degraded", "True", "StoreUnavailable", "x")), None),
    "served": (SERVED, Served(RUN, "cp-2")),
    "no such checkpoint": (UNKNOWN, CheckpointNotFound),
    "another namespace's": (seen(("Degraded", "True", "OriginForeign", "x")), ResumeRefused),
    "no such store": (seen(("Degraded", "True", "StoreUnknown", "x")), ResumeRefused),
    "faults in the spec": (seen(("Accepted", "False", "ManifestInvalid", "a: b\nc: d")), ManifestInvalid),
}


@pytest.mark.parametrize(("document", "expected"), VERDICTS.values(), ids=VERDICTS)
def test_what_the_status_says_about_a_nonce(document, expected):
    """Served, refused for good, or nothing yet; only a status that has seen the patch counts."""
    if isinstance(expected, type):
        with pytest.raises(expected):
            verdict(document, "1", 2)
    else:
        assert verdict(document, "1", 2) == expected


def test_what_is_left_out_is_not_written():
    """Null in a list or a text would be refused."""
    assert resume_of(ForkWishes("start"), "1") == {"checkpoint": "start", "nonce": "1"}


def test_a_patch_that_is_no_object_is_refused():
    """Before anything is asked of the cluster."""
    with pytest.raises(InvalidInput, match="--patch"):
        resume_of(ForkWishes("start", patch="[1]"), "1")


def test_a_target_is_as_it_was_typed():
    """What was left out is left to kubectl."""
    assert Target().arguments == ()
    assert Target("c", "n", "k").arguments == ("--kubeconfig=k", "--context=c", "--namespace=n")


def test_objects_are_read_one_after_another():
    """As kubectl writes them while it watches; the last one may be cut off."""
    text = (
        json.dumps({"a": {"b": 1}}, indent=4)
        + "\n"
        + json.dumps({"a": {}}, indent=4)
        + '\n{"c": 1}\n{\n    "a"'
    )

    assert [*documents(text.splitlines(keepends=True))] == [{"a": {"b": 1}}, {"a": {}}, {"c": 1}]


@pytest.mark.parametrize(
    ("words", "kind", "message"),
    [
        (
            'Error from server (NotFound): workflows.cairn.dev "x" not found',
            NotFound,
            'workflows.cairn.dev "x"',
        ),
        ("The connection to the server x:6443 was refused - did you", ClusterUnavailable, "The connection"),
        ("Unable to connect to the server: dial tcp: i/o timeout", ClusterUnavailable, "Unable to connect"),
        (
            'error: error validating "STDIN": error validating data: Get "http://h/v2": connection refused;'  # noqa: ISC004
            " if you choose to ignore these errors, turn validation off",
            ClusterUnavailable,
            'Get "http://h/v2": connection refused',
        ),
        (
            'E1129 10:52:28.911094    2602 memcache.go:265] "Unhandled Error" err="couldn\'t get"\n' * 3
            + "The connection to the server localhost:8080 was refused - did you specify the right host?",
            ClusterUnavailable,
            "The connection to the server localhost:8080 was refused",
        ),
        ("Error from server (Forbidden): no right", ClusterError, "(Forbidden): no right"),
        (
            'Error from server (Forbidden): User "ann" cannot list resource "workflows" in API group'  # noqa: ISC004
            ' "cairn.dev" in the namespace "team"',
            NotAllowed,
            'ann may not list workflows.cairn.dev in the namespace "team"',
        ),
        (
            'error: the server doesn\'t have a resource type "workflows"',
            CairnMissing,
            "This cluster does not",
        ),
        ('error: context "x" does not exist', ClusterError, 'context "x"'),
        ("", ClusterError, "kubectl failed"),
    ],
)
def test_kubectls_words_become_errors_of_ours(words, kind, message):
    """With an exit code that says what kind of thing happened."""
    found: CairnError = error_of(words)

    assert type(found) is kind
    assert found.message.startswith(message)
