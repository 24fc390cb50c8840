"""What the page on trouble tells people to type on a cluster, and what they then read."""

from __future__ import annotations

import os
import re
import subprocess

import pytest
from tests.cluster import installations
from tests.cluster.harness.cluster import Cluster
from tests.cluster.harness.places import CHECKOUT
from tests.cluster.installations import Installation
from tests.cluster.test_stores import postgres_pod
from tests.cluster.workflows import chain

PAGE = CHECKOUT / "docs" / "howto" / "troubleshoot.md"
LINE_SECONDS = 60


@pytest.fixture
def store_url(namespace: Cluster, images: None) -> str:
    """A Postgres of this test's own, which it may cut off."""
    return installations.start_postgres(namespace)


def typed(installed: Installation, begins: str) -> tuple[int, str]:
    """Type the one line of the page that begins so, in the namespace of the test.

    Answers its exit code, and what it printed.
    """
    (line,) = re.findall(rf"^{begins}.*$", PAGE.read_text(), re.MULTILINE)
    kubectl = installed.namespace.provider.kubectl
    environ = {**installed.namespace.environ(), "PATH": f"{kubectl.parent}{os.pathsep}{os.environ['PATH']}"}
    line = line.replace("--namespace cairn-system", f"--namespace {installed.namespace.namespace}")
    said = subprocess.run(
        ["/bin/sh", "-c", line],
        env=environ,
        timeout=LINE_SECONDS,
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    return said.returncode, said.stdout


def test_the_doctor_that_is_asked_in_the_operators_pod_tells_of_an_outage(installed):
    """Before and after nothing is at fault; meanwhile it says that there is no answer, and why."""
    installed.apply(chain("well", "a"))
    installed.phase("well", "Succeeded")
    before = typed(installed, "kubectl exec ")
    postgres = postgres_pod(installed)

    installed.namespace.cut_network(postgres)
    during = typed(installed, "kubectl exec ")
    installed.namespace.restore_network(postgres)
    after = typed(installed, "kubectl exec ")

    assert (before[0], during[0], after[0]) == (0, 1, 0), (before, during, after)
    assert "a round trip takes" in before[1]
    assert "1 run" in before[1]
    assert "FAULT" in during[1]
    assert "no answer: a firewall, a wrong host, or a server at its limit" in during[1]
