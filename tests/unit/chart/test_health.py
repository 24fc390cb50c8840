"""How Argo CD sees a Workflow: its own script, run by the Lua that it is written in."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from lupa.lua51 import LuaRuntime

from cairn_operator.telemetry.metrics import PHASES

CHART = Path(__file__).parents[3] / "charts/cairn"
SCRIPT = (CHART / "files/argocd-health.lua").read_text()


def health(*, generation=1, **status):
    """What the script answers for a Workflow with this status."""
    lua = LuaRuntime(register_eval=False)
    lua.globals()["obj"] = lua.table_from(
        {"metadata": {"generation": generation}, "status": status}, recursive=True
    )
    answer = lua.execute(SCRIPT)
    return answer["status"], answer["message"]


def condition(kind, value, message):
    """A condition of a status."""
    return {"type": kind, "status": value, "message": message}


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ({}, ("Progressing", "no operator has looked at it yet")),
        ({"phase": "Pending"}, ("Progressing", "Pending ")),
        ({"phase": "Running", "progress": "3/7"}, ("Progressing", "Running 3/7")),
        ({"phase": "Waiting"}, ("Suspended", "Waiting")),
        ({"phase": "Suspended"}, ("Suspended", "Suspended")),
        ({"phase": "Succeeded"}, ("Healthy", "Succeeded")),
        ({"phase": "Cancelled"}, ("Degraded", "Cancelled")),
        ({"phase": "Failed"}, ("Degraded", "Failed")),
        (
            {"phase": "Failed", "conditions": [condition("Failed", "True", "step a failed")]},
            ("Degraded", "step a failed"),
        ),
        (
            {"conditions": [condition("Accepted", "False", "spec.steps: is missing")]},
            ("Degraded", "spec.steps: is missing"),
        ),
        (
            {"phase": "Running", "conditions": [condition("Degraded", "True", "no such image")]},
            ("Degraded", "no such image"),
        ),
        (
            {"phase": "Running", "conditions": [condition("Degraded", "False", "")]},
            ("Progressing", "Running "),
        ),
        (
            {"phase": "Succeeded", "conditions": [condition("Degraded", "True", "store is slow")]},
            ("Healthy", "Succeeded"),
        ),
    ],
)
def test_argo_sees_what_a_status_says(status, expected):
    """Going on is Progressing, waiting for a person Suspended, and what is wrong is told in its words."""
    assert health(**status) == expected


def test_a_change_that_nobody_has_looked_at_is_under_way():
    """After a change the old status says nothing about the new spec, however good it was."""
    assert health(generation=2, observedGeneration=1, phase="Succeeded")[0] == "Progressing"
    assert health(generation=2, observedGeneration=2, phase="Succeeded")[0] == "Healthy"


@pytest.mark.parametrize("phase", PHASES)
def test_every_phase_has_a_health(phase):
    """Whatever word stands in a status, Argo CD gets one of the words that it knows."""
    assert health(phase=phase)[0] in {"Healthy", "Progressing", "Suspended", "Degraded"}


def test_the_script_says_where_it_goes():
    """The key of the ConfigMap is the one that Argo CD looks up for this kind, and the page has it too."""
    definition = yaml.safe_load((CHART.parents[1] / "crds/workflows.yaml").read_text())["spec"]
    key = f"resource.customizations.health.{definition['group']}_{definition['names']['kind']}"

    assert key in SCRIPT
    assert key in (CHART / "README.md").read_text()
