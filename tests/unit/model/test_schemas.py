"""JSON Schemas: what they refuse, what is no schema, and that nothing is fetched."""

from __future__ import annotations

import pytest

from cairn_runtime.errors import ManifestInvalid
from cairn_runtime.model.schemas import compile_schema


def problems(schema, value):
    """What a schema finds wrong with a value."""
    return [str(fault) for fault in compile_schema(schema, "spec.x.schema").check(value)]


def test_a_value_that_fits_has_no_faults():
    """The common case says nothing."""
    assert problems({"type": "array", "items": {"type": "number"}}, [1, 2.5]) == []


def test_faults_lead_into_the_value_and_do_not_repeat_it():
    """Values of the state must not get into logs by way of an error."""
    schema = {
        "properties": {"pages": {"items": {"type": "string"}}, "tone": {"enum": ["dry"]}},
        "required": ["title"],
    }

    found = problems(schema, {"pages": ["a", 4711], "tone": "secret"})

    assert found == [
        '"title" is a required property',
        'pages[1]: the value is not of type "string"',
        'tone: the value is not one of "dry"',
    ]


def test_at_most_ten_faults_are_named():
    """A long list of wrong items is not made clearer by naming each."""
    assert len(problems({"items": {"type": "string"}}, list(range(1000)))) == 10


def test_true_allows_everything_and_false_nothing():
    """Both are schemas."""
    assert problems(True, 1) == []
    assert problems(False, 1) == ["False schema does not allow the value"]


def test_a_reference_may_stay_inside():
    """Definitions are shared, and a schema may speak of itself."""
    schema = {"$defs": {"page": {"type": "string"}}, "items": {"$ref": "#/$defs/page"}}

    assert problems(schema, [1]) == ['[0]: the value is not of type "string"']
    assert problems({"items": {"$ref": "#"}, "type": "array"}, [[1]]) == [
        '[0][0]: the value is not of type "array"'
    ]


def test_an_older_draft_can_be_named():
    """`$schema` is followed, offline."""
    schema = {"$schema": "http://json-schema.org/draft-07/schema#", "items": [{"type": "string"}]}

    assert problems(schema, [1]) == ['[0]: the value is not of type "string"']


def test_a_pattern_cannot_hold_up_a_run():
    """Backtracking ends with a fault."""
    assert problems({"pattern": r"^(?=a)(a|aa)+\1$"}, "a" * 40 + "!") == [
        "Error executing regex: Max limit for backtracking count exceeded"
    ]


@pytest.mark.parametrize(
    ("schema", "fault"),
    [
        pytest.param(3, "spec.x.schema: a JSON Schema is an object such as {type: string}", id="a number"),
        pytest.param(
            {"type": "numbr"},
            "spec.x.schema.type: not a JSON type; use one of array, boolean, integer, null, number,"
            " object, string,"
            " or a list of them",
            id="a misspelt type",
        ),
        pytest.param(
            {"properties": {"type": 3}},
            'spec.x.schema.properties.type: 3 is not of types "boolean", "object"',
            id="a property called type",
        ),
        pytest.param(
            {"pattern": "("}, "spec.x.schema.pattern: not a regular expression", id="a broken pattern"
        ),
        pytest.param(
            {"items": {"$ref": "https://example.com/a.json"}},
            'spec.x.schema.items["$ref"]: "https://example.com/a.json" leads out of the schema;'
            ' only "#/..." is followed',
            id="a reference to the network",
        ),
        pytest.param(
            {"allOf": [{"$dynamicRef": "other.json"}]},
            'spec.x.schema.allOf[0]["$dynamicRef"]: "other.json" leads out of the schema; only "#/..." is'
            " followed",
            id="a reference to a file",
        ),
        pytest.param(
            {"$ref": "#/$defs/none"},
            "spec.x.schema: Pointer '/$defs/none' does not exist",
            id="a dangling reference",
        ),
        pytest.param(
            {"$schema": "https://example.com/mine"},
            "spec.x.schema: Unknown meta-schema: 'https://example.com/mine'. Custom meta-schemas must be"
            " registered"
            " in the registry before use",
            id="a draft of one's own",
        ),
    ],
)
def test_what_is_no_schema_is_refused_with_its_path(schema, fault):
    """The manifest names it, so the manifest can mend it."""
    with pytest.raises(ManifestInvalid) as refused:
        compile_schema(schema, "spec.x.schema")

    assert [str(found) for found in refused.value.faults] == [fault]


def test_a_reference_in_data_is_data():
    """What stands in enum, const, default or a property's name is no reference."""
    schema = {"properties": {"$ref": {"enum": [{"$ref": "https://example.com"}]}}}

    assert problems(schema, {"$ref": {"$ref": "https://example.com"}}) == []
