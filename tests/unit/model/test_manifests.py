"""Whole manifests: what is refused in which words, what is accepted, and that nothing else happens."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.model.schema_walk import fields

from cairn_runtime.errors import Fault, ManifestInvalid
from cairn_runtime.model.reading import read_manifest
from cairn_runtime.model.validation import Report, parse_workflow, validate
from cairn_runtime.model.workflow import Workflow

HERE = Path(__file__).parent
INVALID = sorted((HERE / "invalid").glob("*.yaml"))
VALID = sorted((HERE / "valid").iterdir())
EVERY_FIELD = yaml.safe_load((HERE / "valid" / "every-field.yaml").read_text())


def judge(path: Path) -> Report:
    """Read and judge a file as the command line does."""
    try:
        return validate(read_manifest(path.read_bytes(), source=path.name))
    except ManifestInvalid as error:
        return Report(None, tuple(error.faults), ())


@pytest.mark.parametrize("path", INVALID, ids=lambda path: path.stem)
def test_an_invalid_manifest_is_refused_in_these_words(path):
    """Every fault is named, each with its path, word for word as in the text beside the manifest."""
    report = judge(path)

    assert "".join(f"{fault}\n" for fault in report.faults) == path.with_suffix(".txt").read_text()
    assert report.faults
    assert report.workflow is None


def test_there_are_at_least_sixty_invalid_manifests():
    """The words of a fault are part of the product, so each has a manifest that brings it out."""
    assert len(INVALID) >= 60


@pytest.mark.parametrize("path", VALID, ids=lambda path: path.stem)
def test_a_valid_manifest_has_no_faults_and_no_warnings(path):
    """What people should be able to write is accepted without a word."""
    report = judge(path)

    assert report.faults == ()
    assert report.warnings == ()
    assert isinstance(report.workflow, Workflow)


def test_every_field_of_the_manifest_is_in_the_example_of_every_field():
    """The example proves all fields, so a new field without an example fails here."""
    missing = {path for path, _ in fields()} - set(_paths(EVERY_FIELD, ""))

    assert missing == {"metadata.uid", "status", "spec.codeFrom", "spec.codeFrom.configMap"}


def test_null_counts_as_left_out():
    """A field that is null has its default; a null inside input is a value."""
    path = HERE / "valid" / "null-means-left-out.yaml"

    workflow = parse_workflow(read_manifest(path.read_text(), source=path.name))

    assert workflow.spec.steps[0].max_visits == 1000
    assert workflow.spec.state.channels["score"].reducer == "replace"
    assert workflow.spec.input == {"nothing": None}


def test_an_alias_is_its_value_and_the_mapping_wins_over_what_it_merges():
    """Anchors are a way of writing: what comes out is the same as if it had been written out."""
    path = HERE / "valid" / "anchors-and-merges.yaml"

    first, second = parse_workflow(read_manifest(path.read_text(), source=path.name)).spec.steps

    assert (first.retry and first.retry.limit, second.retry and second.retry.limit) == (9, 2)
    assert second.retry is not None
    assert second.retry.policy == "Fixed"


def test_parse_workflow_raises_all_faults_at_once():
    """Who needs a Workflow gets one, or everything that is wrong."""
    document = {**copy.deepcopy(EVERY_FIELD), "kind": "Workflow"}
    document["spec"]["steps"][0]["timeout"] = "soon"
    document["spec"]["steps"][1]["needs"] = ["fetsh"]

    with pytest.raises(ManifestInvalid) as refused:
        parse_workflow(document)

    assert [fault.path for fault in refused.value.faults] == [
        "spec.steps[0].timeout",
        "spec.steps[1].needs[0]",
    ]


@pytest.mark.parametrize(
    ("value", "fault"),
    [
        pytest.param({1, 2}, "spec.input.x: set is not JSON", id="a set"),
        pytest.param(
            2**70, "spec.input.x: an integer beyond 64 bits; write it as a string", id="a long integer"
        ),
        pytest.param(float("nan"), "spec.input.x: nan is not a JSON number", id="not a number"),
        pytest.param(
            "\ud800",
            "spec.input.x: character 0 of the text is half a surrogate pair",
            id="half a surrogate pair",
        ),
    ],
)
def test_a_document_made_in_python_must_be_json(value, fault):
    """A document need not come from a file, and then nobody has checked its values."""
    document = copy.deepcopy(EVERY_FIELD)
    document["spec"]["input"]["x"] = value

    report = validate(document)

    assert [str(fault) for fault in report.faults] == [fault]


def test_the_step_limit_can_be_lifted_for_benchmarks():
    """More than 500 steps are a fault of the manifest, not of the engine."""
    document = {
        "apiVersion": "cairn.dev/v1alpha1",
        "kind": "Workflow",
        "metadata": {"name": "long"},
        "spec": {"steps": [{"name": f"s{n}", "run": "true"} for n in range(501)]},
    }

    assert validate(document).workflow is None
    assert validate(document, limited=False).faults == ()


# -- no traceback, whatever comes ---------------------------------------------------------------------------

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.text(max_size=20),
    st.sampled_from(
        ["state.x", "a", "30s", "steps:fetch", "append", "item > 1", "$ref", "1e3", "error", "<<"]
    ),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(st.data())
def test_whatever_stands_in_a_manifest_is_accepted_or_refused_with_faults(data):
    """A manifest with any value anywhere ends in a report, never in an exception."""
    document = _mutated(copy.deepcopy(EVERY_FIELD), data)

    report = validate(document)

    assert (report.workflow is None) == bool(report.faults)
    assert all(isinstance(fault, Fault) and fault.message for fault in report.faults + report.warnings)


@given(st.data())
def test_whatever_is_done_to_the_text_of_a_manifest_it_is_read_or_refused(data):
    """Bytes cut, doubled and replaced at random end in an object or in faults."""
    text = (HERE / "valid" / "every-field.yaml").read_bytes()
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(text)))
        end = min(len(text), start + data.draw(st.integers(0, 12)))
        text = text[:start] + data.draw(st.binary(max_size=6) | st.sampled_from(PIECES)) + text[end:]

    refused = _read_and_judge(text)

    assert all(isinstance(fault, Fault) for fault in refused)


PIECES = [
    b"\t",
    b"&a ",
    b"*a",
    b"!!python/x ",
    b"{",
    b"]",
    b"---\n",
    b"? ",
    b": ",
    b"'",
    b"%TAG",
    b"\n\n  ",
    b"<<: ",
]


def _read_and_judge(text: bytes) -> list[Fault]:
    try:
        return list(validate(read_manifest(text, source="mutated.yaml")).faults)
    except ManifestInvalid as error:
        return error.faults


def _mutated(document: object, data: st.DataObject) -> object:
    for _ in range(data.draw(st.integers(1, 3))):
        holder, key = data.draw(st.sampled_from(list(_places(document))))
        action = data.draw(st.sampled_from(["replace", "remove", "rename"]))
        if action == "replace" or not isinstance(holder, dict):
            holder[key] = data.draw(VALUES)
        else:
            value = holder.pop(key)
            if action == "rename":
                holder[data.draw(st.text(max_size=8) | st.sampled_from(["", "naem", "run", "spec"]))] = value
    return document


def _places(value):
    """Every place in a document that can be changed, as its holder and key."""
    if isinstance(value, dict | list):
        keys = value if isinstance(value, dict) else range(len(value))
        for key in keys:
            yield value, key
            yield from _places(value[key])


def _paths(value, path):
    """The paths of all fields in a document, in the form of `schema_walk`."""
    if isinstance(value, list):
        for inner in value:
            yield from _paths(inner, f"{path}[]")
    elif isinstance(value, dict):
        for key, inner in value.items():
            below = f"{path}{{}}" if path in MAPS else f"{path}.{key}" if path else key
            yield below
            yield from _paths(inner, below)


MAPS = {"spec.state.channels"}
"""Maps whose values have fields; their keys are names that people choose."""


def test_only_these_durations_may_be_nothing():
    """Zero is a delay, but no timeout, no deadline and no age; the reference says so."""
    allowed = set()
    for holder, key in _places(EVERY_FIELD):
        if isinstance(holder, dict) and str(holder[key]) in DURATIONS:
            document = copy.deepcopy(EVERY_FIELD)
            inner, name = next(place for place in _places(document) if (place[0], place[1]) == (holder, key))
            inner[name] = "0s"
            if not any(fault.message == "must be longer than 0s" for fault in validate(document).faults):
                allowed.add(key)

    assert allowed == {"baseDelay", "terminationGracePeriod"}


DURATIONS = {"100ms", "1s", "30s", "5m", "7d", "24h", "48h", "1d", "1h30m"}
