"""The line below an error that says what mends it."""

from __future__ import annotations

import pytest

from cairn_runtime.cli.kubectl import error_of
from cairn_runtime.cli.mends import mend_of
from cairn_runtime.errors import StoreUnusable


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


@pytest.mark.parametrize(
    "words",
    [
        ".cairn: Permission denied; the store needs a place that this user may write to",
        ".cairn/cairn.db: this user may not read and write it",
    ],
)
def test_a_file_that_may_not_be_written_needs_no_server(words):
    """Whoever runs in a folder that is read-only was sent to the pages of Postgres and Redis."""
    assert mend_of(StoreUnusable(words)) == (
        "let this user write there, or name another place: --store sqlite:////absolute/path.db"
    )
