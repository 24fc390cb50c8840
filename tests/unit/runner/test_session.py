"""What of a Workflow its runner takes from the run's row, and what as it is now."""

from __future__ import annotations

from tests.unit.runner.rows import manifest, row

from cairn_runtime.runner.session import workflow_of

ROW = row(manifest=manifest(timeout="1h", retry={"limit": 9}, input={"tone": "dry"}))


def test_without_a_word_all_is_as_the_run_was_made():
    """On a laptop nobody changes a run under way."""
    spec = workflow_of(ROW).spec

    assert (spec.timeout, spec.retry.limit) == (3600.0, 9)


def test_what_may_change_under_way_is_as_it_is_now():
    """What was taken out of the spec is as by default, and not as it was."""
    spec = workflow_of(ROW, {"timeout": "5m", "checkpoint": {"policy": "Barrier"}}).spec

    assert (spec.timeout, spec.checkpoint.policy) == (300.0, "Barrier")
    assert spec.retry.limit is None


def test_what_a_run_is_made_of_never_changes():
    """Whatever the pod is told: its steps are those of its checkpoints."""
    spec = workflow_of(ROW, {"steps": [{"name": "other", "run": "true"}], "input": {}}).spec

    assert [step.name for step in spec.steps] == ["only"]
    assert spec.input == {"tone": "dry"}
