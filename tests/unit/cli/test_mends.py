"""The line below an error that says what mends it."""

from __future__ import annotations

import pytest

from cairn_runtime.cli.kubectl import error_of
from cairn_runtime.cli.mends import mend_of


@pytest.mark.parametrize(
    ("words", "mend"),
    [
        ('Error from server (NotFound): workflows.cairn.dev "x" not found', "kubectl cairn get"),
        ("error: context was not found for specified context: x", "kubectl config get-contexts"),
        ("Unable to connect to the server: i/o timeout", "kubectl cluster-info"),
        ('Error from server (NotFound): secrets "x" not found', ""),
    ],
)
def test_what_kubectl_refused_leads_on(words, mend):
    """A name, a context and a cluster that are not there; nothing where nothing is known."""
    found = mend_of(error_of(words))

    assert mend in found
    assert bool(found) is bool(mend)
