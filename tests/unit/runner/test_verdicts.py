"""What an error means for the process and for the run."""

from __future__ import annotations

import pytest

from cairn_runtime import errors
from cairn_runtime.runner.verdicts import verdict


@pytest.mark.parametrize(
    ("error", "started", "exit_code", "fails_run"),
    [
        pytest.param(errors.Superseded("r"), False, 75, False, id="superseded before it began"),
        pytest.param(errors.Superseded("r"), True, 75, False, id="superseded while it ran"),
        pytest.param(errors.RunNotFound("r"), False, 78, False, id="a wrong id, or the wrong store"),
        pytest.param(errors.RunNotFound("r"), True, 75, False, id="somebody deleted the run"),
        pytest.param(errors.StoreUnavailable(), False, 69, False, id="the store does not answer at first"),
        pytest.param(errors.StoreUnavailable(), True, 69, False, id="the store does not answer any more"),
        pytest.param(
            errors.StoreLoginRefused(), False, 69, False, id="a password was changed before the start"
        ),
        pytest.param(errors.StoreLoginRefused(), True, 69, False, id="a password was changed under way"),
        pytest.param(errors.StoreUnusable(), False, 78, False, id="the store refuses for good"),
        pytest.param(errors.StoreTooNew(), False, 78, False, id="a newer release wrote the store"),
        pytest.param(errors.StoreUrlInvalid("x"), False, 78, False, id="the store's address is wrong"),
        pytest.param(errors.FormatUnknown(), False, 78, False, id="a newer release wrote the run"),
        pytest.param(errors.KeyMissing(), False, 78, False, id="a key is not at hand"),
        pytest.param(errors.CheckpointCorrupted(), False, 78, True, id="no valid checkpoint"),
        pytest.param(errors.CheckpointNotFound("c"), False, 78, True, id="a fork's origin is gone"),
        pytest.param(errors.ManifestInvalid("x"), False, 78, True, id="a fork does not fit its Workflow"),
        pytest.param(errors.WriteRefused("x"), False, 78, True, id="an input does not fit"),
        pytest.param(errors.StepUnusable("x"), False, 78, True, id="a reducer cannot be loaded"),
        pytest.param(errors.CheckpointTooLarge("x"), True, 1, True, id="a step wrote more than fits"),
        pytest.param(errors.HistoryConflict("x"), True, 1, True, id="another history under this id"),
        pytest.param(errors.KeyMissing("x"), True, 1, False, id="what should not happen fails no run"),
    ],
)
def test_an_error_ends_the_process_and_maybe_the_run(error, started, exit_code, fails_run):
    """Table: only what lies in the run itself is written into its row as its failure."""
    assert verdict(error, started=started) == (exit_code, fails_run)
