"""Every example, applied to a cluster as it is, ends as it says."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.cluster.harness.places import CHECKOUT

EXAMPLES = CHECKOUT / "examples"
NAMES = sorted(path.parent.name for path in EXAMPLES.glob("*/workflow.yaml"))


def require(installed, name: str, wanted: dict[str, Any]) -> None:
    """Wait for the phase that was expected, and compare the state with what was expected."""
    installed.phase(name, wanted["phase"])
    state = installed.state(name)
    assert {channel: state[channel] for channel in wanted["state"]} == wanted["state"]


@pytest.mark.parametrize("name", NAMES)
def test_an_example_ends_on_a_cluster_as_it_says(installed, name):
    """One command applies it with its code; what `expected.json` says is what comes out."""
    wanted = json.loads((EXAMPLES / name / "expected.json").read_text())

    installed.namespace.kubectl("apply", f"--kustomize={EXAMPLES / name}")

    require(installed, name, wanted)
    if "answer" in wanted:
        verb = "approve" if wanted["answer"]["approved"] else "reject"
        step, value = wanted["answer"]["step"], json.dumps(wanted["answer"]["value"])
        installed.cairn(verb, name, "--step", step, "--value", value)
        require(installed, name, wanted["then"])
    installed.cairn("verify", name)
