"""The models: every field is described and bounded, and what is written is read the same everywhere."""

from __future__ import annotations

import pytest
from pydantic import ValidationError
from tests.unit.model.schema_walk import fields, parts

from cairn_runtime.channels.reducers import BUILT_IN
from cairn_runtime.model.outline import KINDS
from cairn_runtime.model.workflow import API_VERSION, REDUCERS, Spec, Step, Workflow

FIELDS = list(fields())
ONE_STEP = {
    "apiVersion": API_VERSION,
    "kind": "Workflow",
    "metadata": {"name": "one"},
    "spec": {"steps": [{"name": "a", "run": "true", "timeout": "90s"}]},
}


@pytest.mark.parametrize(("path", "field"), FIELDS, ids=[path for path, _ in FIELDS])
def test_every_field_says_what_it_means(path, field):
    """The descriptions become the reference and the text of `kubectl explain`."""
    description = field.get("description", "")

    assert len(description) >= 10
    assert description[0].isupper() or description[0] == "`"
    assert description.endswith(".")


NULL_FIELDS = [
    path
    for path, field in FIELDS
    if field.get("default", 0) is None
    and path != "status"
    and path.removeprefix("spec.steps[].") not in KINDS  # of these exactly one is not null
]


@pytest.mark.parametrize("path", NULL_FIELDS)
def test_a_field_that_is_null_by_default_says_what_that_does(path):
    """Null is what most people have there."""
    assert "Null: " in dict(FIELDS)[path]["description"]


def test_every_text_list_and_map_has_a_bound():
    """The API server asks for one on every string, and a manifest is no place for bulk."""
    unbounded = {path + suffix for path, field in FIELDS for suffix, part in parts(field) if _unbounded(part)}

    assert unbounded == {
        "spec.code{}",  # the spec as a whole has a bound
        "spec.steps",  # 500, by validation: benchmarks may have more
    }


def test_names_are_camel_case_in_the_manifest_and_snake_case_in_python():
    """One model serves both, and dumps what it was read from."""
    workflow = Workflow.model_validate(ONE_STEP)

    assert workflow.spec.steps[0].max_visits == 1000
    assert workflow.model_dump(mode="json", by_alias=True, exclude_defaults=True) == {
        "apiVersion": API_VERSION,
        "kind": "Workflow",
        "metadata": {"name": "one"},
        "spec": {"steps": [{"name": "a", "run": "true", "timeout": "1m30s"}]},
    }


def test_defaults_are_not_shared():
    """A list that one step has by default is not the list of another."""
    first, second = (Step.model_validate({"name": name, "run": "true"}) for name in "ab")

    first.needs.append("x")

    assert second.needs == []
    assert Spec.model_validate({"steps": [{"name": "a", "run": "true"}]}).checkpoint.history.keep_last == 10


def test_a_workflow_cannot_be_changed():
    """What was accepted is what runs."""
    workflow = Workflow.model_validate(ONE_STEP)

    with pytest.raises(ValidationError, match="frozen"):
        workflow.spec.suspend = True  # type: ignore[misc]


def test_the_reducers_of_the_manifest_are_those_of_the_channels():
    """A name that validation accepts is one that a channel can have."""
    assert set(REDUCERS) == set(BUILT_IN)


def _unbounded(part):
    match part.get("type"):
        case "string":
            return not {"maxLength", "const", "enum"} & set(part)
        case "array":
            return "maxItems" not in part
        case "object":
            # Free JSON, such as a pod's affinity, has the bound of the spec.
            return part.get("additionalProperties") not in (None, True, False) and "maxProperties" not in part
    return False
