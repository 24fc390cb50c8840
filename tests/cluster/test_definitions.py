"""The definitions on a real API server: every rule, what kubectl prints, and that no size is too large.

The unit tests ask the same writes of the same rules; what only a server knows is what a rule may cost, how it
compares what it cannot look into, and what it drops.
No operator is needed: what it would write into a status is written here.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.cluster.harness.cluster import Cluster
from tests.cluster.harness.commands import CommandFailed
from tests.unit.operator.resources.writes import BEGUN, MANIFESTS, SPEC, UPDATES, workflow

from cairn_operator import names

ROOT = Path(__file__).parents[2]
KINDS = (names.WORKFLOW_PLURAL, names.CHECKPOINT_PLURAL)
VALID = sorted([*ROOT.glob("examples/*/workflow.yaml"), *ROOT.glob("tests/unit/model/valid/*")])


@pytest.fixture(scope="module")
def defined(cluster: Cluster) -> Iterator[Cluster]:
    """A fresh namespace of a cluster that knows the kinds."""
    cluster.kubectl("apply", f"--filename={ROOT / 'crds'}")
    for plural in KINDS:
        cluster.wait(f"crd/{plural}.{names.GROUP}", "condition=Established")
    with cluster.new_namespace() as inside:
        yield inside


def create(cluster: Cluster, document: dict[str, Any]) -> dict[str, Any]:
    """Create an object; answer it as it is stored."""
    found: dict[str, Any] = json.loads(
        cluster.kubectl("create", "--filename=-", "--output=json", stdin=json.dumps(document))
    )
    return found


def patch(cluster: Cluster, what: str, changes: dict[str, Any], *arguments: str) -> None:
    """Change an object as a person does with kubectl."""
    cluster.kubectl("patch", what, "--type=merge", f"--patch={json.dumps(changes)}", *arguments)


def refusal(cluster: Cluster, what: str, changes: dict[str, Any]) -> str:
    """What is said to a person whose change is refused; empty: it is taken."""
    try:
        patch(cluster, what, changes)
    except CommandFailed as error:
        return error.said
    return ""


def test_the_definitions_can_be_applied_again(defined):
    """`kubectl apply` keeps the last one in an annotation, and finds nothing to change."""
    said = defined.kubectl("apply", f"--filename={ROOT / 'crds'}")

    assert said.count("unchanged") == len(KINDS)


@pytest.mark.parametrize("path", VALID, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_a_valid_manifest_is_taken_as_it_is(defined, path):
    """What the models accept the server lets through, without dropping a field."""
    text = path.read_text().replace("namespace: news", f"namespace: {defined.namespace}")

    said = defined.kubectl("create", "--filename=-", "--dry-run=server", "--validate=strict", stdin=text)

    assert "created" in said


@pytest.mark.parametrize("case", MANIFESTS, ids=lambda case: case.id)
def test_fields_that_do_not_fit_together_are_refused(defined, case):
    """At once, with the field and what to do."""
    with pytest.raises(CommandFailed) as refused:
        create(defined, workflow(case.changes, name="never"))

    assert case.at in refused.value.said
    assert case.says in refused.value.said


@pytest.mark.parametrize(("number", "case"), list(enumerate(UPDATES)), ids=[case.id for case in UPDATES])
def test_an_update_is_refused_for_these_fields(defined, number, case):
    """A run keeps what it was made of; what is only about how it is run may change at any time."""
    what = f"{names.WORKFLOW_PLURAL}/update-{number}"
    create(defined, workflow(case.before, name=f"update-{number}"))
    if case.status:
        patch(defined, what, {"status": case.status}, "--subresource=status")

    said = refusal(defined, what, {"spec": case.after})

    for field, ending in case.refusals:
        assert f"{field}: Forbidden: " in said
        assert ending in said
    assert said.count("Forbidden: ") == len(case.refusals)


def test_a_status_is_written_whatever_the_spec_is(defined):
    """The rule about the spec is not asked then, and the spec cannot come in by that door."""
    create(defined, workflow({}, name="door"))
    patch(defined, "workflows/door", {"status": BEGUN}, "--subresource=status")

    patch(
        defined,
        "workflows/door",
        {"status": {"progress": "1/2"}, "spec": {"steps": [{"name": "other", "run": "true"}]}},
        "--subresource=status",
    )

    found = defined.get("workflows/door")
    assert found["status"]["progress"] == "1/2"
    assert found["spec"]["steps"] == SPEC["steps"]


def test_nor_does_a_spec_come_in_with_a_status(defined):
    """A write that brings both is a write of the spec: its status is not looked at."""
    create(defined, workflow({}, name="both"))
    patch(defined, "workflows/both", {"status": BEGUN}, "--subresource=status")

    said = refusal(defined, "workflows/both", {"spec": {"store": "other"}, "status": {"progress": "9/9"}})

    assert "changed here: store" in said


def test_a_null_is_dropped_where_a_field_is_left_out_and_kept_where_it_is_a_value(defined):
    """Input and patches are the user's own JSON."""
    document = workflow({"resume": {"nonce": "1", "statePatch": {}}}, name="nulls")
    document["spec"]["resume"]["statePatch"]["tone"] = None
    document["spec"]["timeout"] = None

    found = create(defined, document)["spec"]

    assert found["input"]["nothing"] is None
    assert found["resume"]["statePatch"] == {"tone": None}
    assert "timeout" not in found


def test_a_misspelt_field_is_refused_by_kubectl(defined):
    """The server would drop it, so kubectl asks it to be strict."""
    document = workflow({"suspendd": True}, name="never")

    with pytest.raises(CommandFailed, match=r'unknown field "spec\.suspendd"'):
        create(defined, document)


@pytest.mark.parametrize("name", ["with.dots", "x" * 46], ids=["dots", "too long"])
def test_a_name_that_no_pod_can_be_named_after_is_refused(defined, name):
    """Pods and labels are named after the Workflow."""
    with pytest.raises(CommandFailed, match=r"metadata\.name"):
        create(defined, workflow({}, name=name))


# -- sizes --------------------------------------------------------------------------------------------------

NAMES = [f"step-number-{n:03d}-of-five-hundred-steps-here" for n in range(500)]
CHAIN = [
    {"name": name, "run": "true #" + "x" * 300, "needs": NAMES[max(0, n - 1) : n]}
    for n, name in enumerate(NAMES)
]
PLAIN = [{"name": name, "run": "true"} for name in NAMES]
BRANCHES = [
    {
        "name": f"s{n}",
        "run": "true",
        "next": [{"to": f"s{m}", "when": "state.x > 3"} for m in range(n, n + 8)],
    }
    for n in range(500)
]
LARGE = {
    "500 steps": {"steps": CHAIN},
    "4,000 branches": {"steps": BRANCHES},
    "much code": {"code": {"steps.py": "x = 1\n" * 36_000}},
    "much input": {"input": {"rows": [{"a": n, "b": "text"} for n in range(8000)]}},
    "a resume at 500 steps": {"steps": PLAIN, "resume": {"nonce": "1", "steps": NAMES}},
    "a resume that starts and skips 250": {
        "steps": PLAIN,
        "resume": {"nonce": "1", "steps": NAMES[:250], "skip": NAMES[250:]},
    },
}


@pytest.mark.parametrize(("number", "changes"), list(enumerate(LARGE.values())), ids=list(LARGE))
def test_the_largest_workflows_cost_no_rule_too_much(defined, number, changes):
    """A rule that is too dear for an object refuses every write of it, that of its status too."""
    name = f"large-{number}"
    spec = {**SPEC, **changes}
    assert 30_000 < len(json.dumps(spec)) <= 256 * 1024
    create(defined, {**workflow({}, name=name), "spec": spec})

    patch(defined, f"workflows/{name}", {"status": BEGUN}, "--subresource=status")
    patch(defined, f"workflows/{name}", {"spec": {"suspend": True}})
    said = refusal(defined, f"workflows/{name}", {"spec": {"store": "other"}})

    assert "changed here: store" in said


# -- what kubectl shows -------------------------------------------------------------------------------------

CHECKPOINT = {
    "apiVersion": names.API_VERSION,
    "kind": names.CHECKPOINT_KIND,
    "metadata": {"name": "digest-4a5e6c11-7"},
    "spec": {
        "workflow": "digest",
        "run": BEGUN["run"],
        "runText": "4a5e6c11",
        "seq": 7,
        "id": "0198c1a2-7b1e-7c3d-9e4f-1a2b3c4d5e6f",
        "step": "draft",
        "visit": 1,
        "next": ["check", "sign"],
        "nextText": "check, sign",
        "bytes": 1234,
        "size": "1.2 KiB",
        "hash": "a" * 64,
        "createdAt": "2026-01-02T03:04:05.000006Z",
        "kind": "delta",
    },
}
STATUS = {
    **BEGUN,
    "observedGeneration": 1,
    "conditions": [
        {
            "type": "Running",
            "status": "True",
            "reason": "RunnerRunning",
            "message": "",
            "lastTransitionTime": "2026-01-02T03:04:05Z",
        }
    ],
    "progress": "7/12",
    "step": "draft, count",
    "currentSteps": ["draft", "count"],
    "head": {"seq": 7, "id": CHECKPOINT["spec"]["id"], "step": "draft", "time": "2026-01-02T03:04:05Z"},
    "waits": [{"task": "sign#1", "kind": "approval", "name": "sign#1", "deadline": "2026-01-02T03:04:05Z"}],
    "restarts": 2,
    "lastResume": {"nonce": "1"},
    "lastError": {"reason": "OOMKilled"},
}


def test_a_checkpoint_never_changes_but_can_be_pinned(defined):
    """It shows what was; the pin is an annotation."""
    other = {**CHECKPOINT["spec"], "workflow": "fixed"}
    create(defined, {**CHECKPOINT, "metadata": {"name": "fixed"}, "spec": other})

    said = refusal(defined, "checkpoints/fixed", {"spec": {"next": ["send"]}})
    defined.kubectl("annotate", "ckpt/fixed", f"{names.PIN_ANNOTATION}=true")

    assert "a Checkpoint is never changed" in said


def test_a_status_is_applied_by_its_owner_and_shown_in_columns(defined):
    """The status as design has it is within the bounds, and one line says where the run is."""
    create(defined, workflow({"store": "fast"}, name="digest"))
    status = {
        "apiVersion": names.API_VERSION,
        "kind": "Workflow",
        "metadata": {"name": "digest"},
        "status": STATUS,
    }

    apply = ("apply", "--server-side", "--subresource=status", "--field-manager=test", "--filename=-")
    defined.kubectl(*apply, stdin=json.dumps(status))

    defined.wait("cwf/digest", "condition=Running")
    heading, line = defined.kubectl("get", "cwf", "digest").splitlines()
    assert heading.split() == ["NAME", "PHASE", "STEP", "PROGRESS", "CHECKPOINT", "RESTARTS", "AGE"]
    assert line.split()[:7] == ["digest", "Running", "draft,", "count", "7/12", STATUS["head"]["id"], "2"]
    wide = defined.kubectl("get", "cwf", "digest", "--output=wide").splitlines()[1].split()
    assert {STATUS["run"], "fast", "OOMKilled"} <= set(wide)


def test_a_checkpoint_is_shown_in_columns_and_found_by_its_workflow(defined):
    """One line says where the run stood, what came next, and the id to go back to."""
    create(defined, CHECKPOINT)

    selector = f"--field-selector=spec.workflow=digest,spec.run={BEGUN['run']}"
    heading, line = defined.kubectl("get", "ckpt", selector).splitlines()
    others = defined.kubectl("get", "ckpt", "--field-selector=spec.workflow=other", "--output=name")

    assert heading.split() == ["NAME", "WORKFLOW", "RUN", "SEQ", "STEP", "NEXT", "SIZE", "ID", "AGE"]
    assert line.split()[:7] == ["digest-4a5e6c11-7", "digest", "4a5e6c11", "7", "draft", "check,", "sign"]
    assert CHECKPOINT["spec"]["id"] in line
    assert others == ""


def test_workflows_are_found_by_phase_and_store(defined):
    """Without reading all of them."""
    create(defined, workflow({"store": "slow"}, name="found"))
    patch(defined, "cwf/found", {"status": {"phase": "Failed"}}, "--subresource=status")

    selector = "--field-selector=status.phase=Failed,spec.store=slow"

    assert defined.kubectl("get", "cwf", selector, "--output=name").split() == ["workflow.cairn.dev/found"]


@pytest.mark.parametrize(
    ("field", "text"),
    [
        ("workflow.spec.steps.needs", "Steps that lead here"),
        ("cwf.spec.pod.pendingTimeout", "waiting for a node"),
        ("cwf.spec.checkpoint.policy", "Default: EveryStep."),
        ("cwf.status.head", "The newest checkpoint"),
        ("ckpt.spec.hash", "SHA-256"),
    ],
)
def test_a_field_is_explained(defined, field, text):
    """`kubectl explain` is the manual that is always there."""
    assert text in " ".join(defined.kubectl("explain", field).split())
