"""What a kubelet is told, and why."""

from __future__ import annotations

import pytest

from cairn_operator.telemetry.probes import Signs, faults_of_health, faults_of_readiness


def signs(*, active=True, age=0.0, api_age=1.0):
    return Signs(
        lambda: active, lambda: {"Workflow": age, "Pod": 1e9}, lambda: api_age, 360.0, 900.0, "Workflow"
    )


@pytest.mark.parametrize(
    ("given", "healthy", "ready"),
    [
        pytest.param({}, True, True, id="all is well"),
        pytest.param({"age": 360.0}, True, True, id="a watch that is silent between two lists"),
        pytest.param({"age": 361.0}, True, False, id="a watch that did not bear out a list"),
        pytest.param({"age": 901.0}, False, False, id="a watch that no list has borne out for too long"),
        pytest.param({"age": 1e9, "active": False}, True, True, id="one that waits has no watch"),
        pytest.param({"api_age": None}, True, False, id="the API server was not reached yet"),
        pytest.param({"api_age": 61.0}, True, False, id="the API server is gone"),
    ],
)  # fmt: skip
def test_what_the_probes_say(given, healthy, ready):
    """Only what a new process would mend fails the health; what keeps from working fails the readiness."""
    assert (not faults_of_health(signs(**given)), not faults_of_readiness(signs(**given))) == (healthy, ready)


def test_a_failing_probe_says_why():
    """The kubelet shows it in the pod's Events."""
    assert faults_of_health(signs(age=1000.0)) == ["the watch of Workflows was not proved to live for 1000 s"]
    assert faults_of_readiness(signs(api_age=None)) == ["the API server has not answered yet"]
