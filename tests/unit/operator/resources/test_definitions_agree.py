"""The definition and the models: what the models accept the API server lets through.

The other way round nothing is promised: what the server lets through and the models refuse becomes
`Accepted=False`, with all faults.
"""

from __future__ import annotations

import copy
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.unit.operator.resources.api_server import SCHEMAS, refusals, stored
from tests.unit.operator.resources.writes import MANIFESTS, UPDATES, merged, workflow

from cairn_operator.resources.views import checkpoint_object
from cairn_runtime.errors import ManifestInvalid
from cairn_runtime.model.reading import read_manifest
from cairn_runtime.model.validation import validate
from cairn_runtime.store.base import Checkpoint

ROOT = Path(__file__).parents[4]
MODEL = ROOT / "tests/unit/model"
FILES = sorted(
    [*(MODEL / "valid").iterdir(), *(MODEL / "invalid").glob("*.yaml"), *ROOT.glob("examples/*/*.yaml")]
)
EVERY_FIELD = yaml.safe_load((MODEL / "valid/every-field.yaml").read_text())


def read(path: Path):
    """A manifest as kubectl sends it; None where it would send nothing."""
    try:
        document = read_manifest(path.read_bytes(), source=path.name)
    except ManifestInvalid:
        return None
    return document if document.get("kind") == "Workflow" else None


MANIFEST_FILES = [path for path in FILES if read(path) is not None]


@pytest.mark.parametrize("path", MANIFEST_FILES, ids=lambda path: path.stem)
def test_what_the_models_accept_the_server_accepts(path):
    """Of every manifest in the project: an object that could run must not be refused."""
    document = read(path)
    assert document is not None

    refused = refusals(document)

    assert refused == [] or validate(document).workflow is None


def test_most_of_what_is_wrong_with_one_field_is_refused_at_once():
    """What the server can see it refuses; the list is what waits for the operator's condition."""
    let_through = {
        path.stem for path in MANIFEST_FILES if path.parent.name == "invalid" and not refusals(read(path))
    }

    assert let_through == LEFT_TO_THE_OPERATOR


LEFT_TO_THE_OPERATOR = {
    "33-misspelt-fields",  # dropped; kubectl refuses them by itself, unless it is told not to
    "44-duplicate-step-names",
    "45-unknown-steps",
    "46-repeated-names",
    "51-cycle-through-needs",
    "52-two-cycles",
    "53-unreachable-step",
    "54-loop-that-never-ends",
    "55-loop-that-never-ends-by-branches",
    "56-unknown-reducers",
    "58-reserved-input",
    "59-initial-values",
    "60-values-against-schemas",
    "61-schemas-that-are-none",
    "62-collect-into-numbers",
    "63-cel-syntax",
    "64-cel-types",
    "65-cel-unknown-names",
    "66-cel-name-with-dash",
    "67-cel-item-out-of-place",
    "69-cel-on-several-lines",
    "70-code-that-is-not-python",
    "71-function-that-is-not-there",
    "73-retry-numbers",
    "79-spec-too-large",
    "81-resume-changes-a-start",
    "82-thread-label",  # a definition sees nothing of metadata but the name
    "83-twins-that-always-go-on",
}
"""Manifests in `tests/unit/model/invalid` that the server lets through."""


# -- whatever stands in it ----------------------------------------------------------------------------------

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 2000),
    st.floats(allow_nan=False, allow_infinity=False, min_value=-10, max_value=1e6),
    st.text(max_size=12),
    st.sampled_from(
        ["a", "draft", "30s", "0s", "1h30m", "7d", "90", "steps:fetch", "error", "append", "Fixed"]
    ),
    st.sampled_from(
        [["draft"], ["draft", "check"], [], {}, {"name": "x"}, {"in": "state.urls"}, "EveryStep"]
    ),
)


def places(value):
    """Every place in a document that can be changed, as its holder and key."""
    if isinstance(value, dict | list):
        for key in value if isinstance(value, dict) else range(len(value)):
            yield value, key
            yield from places(value[key])


@st.composite
def documents(draw):
    """The manifest of every field, with up to four places replaced, taken away or renamed."""
    document = copy.deepcopy(EVERY_FIELD)
    for _ in range(draw(st.integers(1, 4))):
        holder, key = draw(st.sampled_from(list(places(document["spec"]))))
        if isinstance(holder, dict) and draw(st.booleans()):
            del holder[key]
        else:
            holder[key] = draw(SCALARS)
    return document


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(documents())
def test_whatever_the_models_accept_the_server_accepts(document):
    """Of manifests that nobody has thought of."""
    refused = refusals(document)

    assert refused == [] or validate(document).workflow is None


@pytest.mark.parametrize("text", ["0s", "1ms", "1.5h", "1h30m", "3650d", "90s1h", "0.001ms"])
def test_a_duration_is_a_duration_for_both(text):
    """The pattern of the definition is the reader's own."""
    document = workflow({"restart": {"baseDelay": text, "maxDelay": "3650d"}})

    assert refusals(document) == []
    assert validate(document).faults == ()


@pytest.mark.parametrize(
    "text", ["", "90", "1w", "-1s", "1 s", "1s\n", "1,5s", "s", "1S", "٣s", 90, "1" * 40 + "s"]
)
def test_what_is_no_duration_is_none_for_both(text):
    """The server refuses it before anybody waits for a condition."""
    document = workflow({"timeout": text})

    assert refusals(document) != []
    assert validate(document).faults != ()


# -- the rules ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", MANIFESTS, ids=lambda case: case.id)
def test_fields_that_do_not_fit_together_are_refused_by_both(case):
    """What a rule refuses the models refuse too, at the same place."""
    document = workflow(case.changes)

    refused = refusals(document)
    faults = [str(fault) for fault in validate(document).faults]

    assert any(case.at in text and case.says in text for text in refused), refused
    assert any(text.startswith(case.at.rpartition("[")[0] or case.at) for text in faults), faults


def test_the_manifest_that_the_writes_start_from_is_right():
    """A table of refusals says nothing if all is refused."""
    document = workflow({})

    assert refusals(document) == []
    assert validate(document).faults == ()


@pytest.mark.parametrize("case", UPDATES, ids=lambda case: case.id)
def test_an_update_is_refused_for_these_fields(case):
    """A run keeps what it was made of; what is only about how it is run may change at any time."""
    before = workflow(case.before, status=case.status)
    after = {**before, "spec": merged(before["spec"], case.after)}

    refused = refusals(after, before)

    assert len(refused) == len(case.refusals)
    for text, (field, ending) in zip(refused, case.refusals, strict=True):
        assert text.startswith(f"{field}: ")
        assert text.endswith(ending)


def test_a_checkpoint_never_changes():
    """It shows what was; history is append-only."""
    spec = {"workflow": "digest", "run": "r", "seq": 1, "id": "c", "createdAt": "2026-01-02T03:04:05Z"}
    document = {
        "apiVersion": "cairn.dev/v1alpha1",
        "kind": "Checkpoint",
        "metadata": {"name": "c"},
        "spec": spec,
    }

    assert refusals(document, document) == []
    assert "never changed" in refusals({**document, "spec": {**spec, "next": ["a"]}}, document)[0]


@pytest.mark.parametrize(("step", "item"), [("draft", None), ("", None), ("fetch", 9999)])
def test_a_checkpoint_as_the_operator_makes_it_is_taken(step, item):
    """The builder stays within the bounds of the definition, and every field of it is known there."""
    row = Checkpoint(
        run_id="0b5d7d2e-5f0e-5a53-8f0a-0d9b4a5e6c11", seq=7, id="0198c1a2-7b1e-7c3d-9e4f-1a2b3c4d5e6f",
        parent_hash="0" * 64, hash="a" * 64, epoch=2, write_id="w", kind="delta", step=step, visit=1,
        item=item, next=tuple("n" * 45 if n == 0 else f"s{n}" for n in range(500)), metadata={},
        created_at=datetime(2026, 1, 2, tzinfo=UTC), format_version=1, graph_hash="g", digest="d", size=2**31,
        payload=None,
    )  # fmt: skip

    document = checkpoint_object(row, "news", "w" * 45, "uid", pinned=True)

    assert refusals(document) == []
    assert stored(document["spec"], SCHEMAS["Checkpoint"]["properties"]["spec"]) == document["spec"]


def test_the_specs_of_the_updates_are_right_by_themselves():
    """Only what changes is to blame."""
    for case in UPDATES:
        before = workflow(case.before)
        after = {**before, "spec": merged(before["spec"], case.after)}

        assert (validate(before).faults, validate(after).faults) == ((), ()), case.id
