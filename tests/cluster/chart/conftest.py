"""The law of these tests: Helm alone, no cluster; what is rendered once is looked at by many."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.cluster.harness import tools
from tests.cluster.harness.places import places


@pytest.fixture(scope="session")
def helm() -> Path:
    """Helm, of the newer major version; that the older one makes the same is a test of its own."""
    return tools.built(places(), "helm4")


@pytest.fixture(scope="session")
def older_helm() -> Path:
    """Helm, of the older major version."""
    return tools.built(places(), "helm3")
