"""What a schema may cost: its parts with references written out, times the parts of the value."""

from __future__ import annotations

import math

import pytest

from cairn_runtime.model.schema_costs import Allowance, parts, unfolded


def fanned(levels):
    """A schema of a few lines whose references double at each level."""
    links = {f"d{n}": {"anyOf": [{"$ref": f"#/$defs/d{n + 1}"}] * 2} for n in range(levels)}
    return {"$ref": "#/$defs/d0", "$defs": {**links, f"d{levels}": {"type": "integer"}}}


@pytest.mark.parametrize(
    ("schema", "price"),
    [
        pytest.param(True, 1, id="a word"),
        pytest.param({"type": "string"}, 2, id="an object and what stands in it"),
        pytest.param({"enum": ["a", "b", "c"]}, 5, id="data are compared one by one"),
        pytest.param({"pattern": "a"}, 2002, id="a pattern is dear"),
        pytest.param({"patternProperties": {"a": True, "b": True}}, 4003, id="one for properties too"),
        pytest.param({"properties": {"pattern": True}}, 2, id="a property may be called pattern"),
        pytest.param({"properties": {"enum": {"$ref": "#"}}}, math.inf, id="or enum, and is no data then"),
        pytest.param({"items": {"$ref": "#"}}, math.inf, id="what speaks of itself"),
        pytest.param({"$ref": "#somewhere"}, math.inf, id="what nobody finds"),
        pytest.param({"unevaluatedProperties": False}, math.inf, id="what looks at everything again"),
        pytest.param({"$ref": "#/$defs/a~1b~0", "$defs": {"a/b~": {"not": True}}}, 5, id="odd names"),
    ],
)
def test_a_schema_unfolds_into_its_parts(schema, price):
    """References count as often as they are followed."""
    assert unfolded(schema) == price


def test_references_that_fan_out_are_counted_without_following_each():
    """Judging by such a schema took minutes at 20 levels; its price is known at once."""
    assert unfolded(fanned(20)) > 2**20
    assert unfolded(fanned(45)) > 2**45
    assert unfolded(fanned(400)) == math.inf


def test_a_value_has_as_many_parts_as_values_in_it():
    """An object or list counts, and all in it."""
    assert parts({"a": [1, {"b": None}]}) == 5


def test_what_is_spent_is_gone():
    """Five hundred schemas that are cheap by themselves are dear together."""
    allowance = Allowance(10.0)

    assert allowance.covers({"type": "string"}, [1, 2])
    assert not allowance.covers({"type": "string"}, [1, 2])
    assert allowance.covers({"type": "string"})
