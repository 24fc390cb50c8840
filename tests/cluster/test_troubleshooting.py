"""What the page on trouble tells people to type on a cluster, and what they then read."""

from __future__ import annotations

import os
import re

import pytest
from tests.cluster.harness.commands import CommandFailed, output
from tests.cluster.harness.places import CHECKOUT
from tests.cluster.installations import Installation
from tests.cluster.test_stores import on_postgres, postgres_pod
from tests.cluster.workflows import chain

PAGE = CHECKOUT / "docs" / "howto" / "troubleshoot.md"
LINE_SECONDS = 60


def typed(installed: Installation, begins: str) -> str:
    """Type the one line of the page that begins so, in the namespace of the test; answer what it printed."""
    (line,) = re.findall(rf"^{begins}.*$", PAGE.read_text(), re.MULTILINE)
    kubectl = installed.namespace.provider.kubectl
    environ = {**installed.namespace.environ(), "PATH": f"{kubectl.parent}{os.pathsep}{os.environ['PATH']}"}
    line = line.replace("--namespace cairn-system", f"--namespace {installed.namespace.namespace}")
    return output("/bin/sh", "-c", line, environ=environ, timeout_seconds=LINE_SECONDS)


@on_postgres
def test_the_doctor_that_is_asked_in_the_operators_pod_tells_of_an_outage(installed):
    """Before and after nothing is at fault; meanwhile it says that there is no answer, and why."""
    installed.apply(chain("well", "a"))
    installed.phase("well", "Succeeded")
    before = typed(installed, "kubectl exec ")
    postgres = postgres_pod(installed)

    installed.namespace.cut_network(postgres)
    with pytest.raises(CommandFailed, match="FAULT") as during:
        typed(installed, "kubectl exec ")
    installed.namespace.restore_network(postgres)
    after = typed(installed, "kubectl exec ")

    assert "a round trip takes" in before
    assert "1 run" in before
    assert "FAULT" not in before + after
    assert "no answer: a firewall, a wrong host, or a server at its limit" in str(during.value)
