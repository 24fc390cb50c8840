"""What of a Workflow is carried through a pass."""

from __future__ import annotations

import copy

import pytest

from cairn_operator.reconcile.lean import lean
from cairn_runtime.model.checks.settings import MAX_SPEC_BYTES

META = {"name": "w", "namespace": "team", "uid": "u-1", "managedFields": [{"manager": "kubectl"}]}
FITS = "x" * (MAX_SPEC_BYTES - len('{"input":"","store":"s","suspend":true}'))


def document(**spec):
    """A Workflow."""
    return {"metadata": META, "spec": {**spec, "store": "s", "suspend": True}, "status": {"phase": "Running"}}


def deep(levels):
    """A list in a list in a list."""
    value: object = "x" * MAX_SPEC_BYTES
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize("found", [document(), document(input=FITS), document(input="x" * 9), {}])
def test_what_fits_stays_as_it_is(found):
    """To the byte of the bound."""
    before = copy.deepcopy(found)

    assert lean(found) == (before, None)


@pytest.mark.parametrize("value", [FITS + "x", [[0]] * 100_000, deep(300), {"a": {"b": FITS}}])
def test_a_spec_that_is_too_large_is_let_go_of_and_said_so(value):
    """Its words and numbers stay: the store is named, and it may be suspended; so do metadata and status."""
    found, fault = lean(document(input=[value]))

    assert found == document()
    assert str(fault).startswith("spec: larger than 256 KiB (")


def test_managed_fields_that_take_more_than_a_spec_are_left_out():
    """Any program may apply as many fields as it likes, under as many names."""
    odd = {**document(), "metadata": {**META, "managedFields": [{"fieldsV1": {"f:spec": FITS * 2}}]}}

    found, fault = lean(odd)

    assert fault is None
    assert found == {**document(), "metadata": {k: v for k, v in META.items() if k != "managedFields"}}
