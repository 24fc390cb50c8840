"""The law of the cluster tests: a real Kubernetes, waited for by conditions, never by sleep.

`make test-cluster` sees that a cluster is there.  A test asks for `namespace` (or `restricted_namespace`) and
gets a `Cluster` that speaks for a fresh one.  What there is to know of a test that fails is kept in
`build/cluster-failures/<test>`.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator

import pytest
from tests.cluster.harness.choosing import present
from tests.cluster.harness.cluster import Cluster
from tests.cluster.harness.failures import folder_for
from tests.cluster.harness.places import places

PATIENCE_SECONDS = 300
RESTARTS = "restarts_cluster"


def pytest_configure(config: pytest.Config) -> None:
    """Make the mark known."""
    config.addinivalue_line(
        "markers", f"{RESTARTS}: ends the cluster and starts it again; runs after all others"
    )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give each test the time that a cluster may need, and let those that end it come last."""
    for item in items:
        if "tests/cluster/" in item.nodeid and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(PATIENCE_SECONDS))
    items.sort(key=lambda item: item.get_closest_marker(RESTARTS) is not None)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Keep what there is to know of a test that failed, while its namespace is still there."""
    report = yield
    if report.failed:
        clusters = [found for found in getattr(item, "funcargs", {}).values() if isinstance(found, Cluster)]
        if clusters:
            folder = folder_for(item.nodeid)
            for found in clusters:
                found.collect(folder / found.namespace)
            report.sections.append(("cluster", f"objects, Kubernetes Events and logs are in {folder}"))
    return report


@pytest.fixture(scope="session")
def cluster() -> Cluster:
    """The cluster that is there, seen from the namespace `default`."""
    return Cluster(present(places()))


@pytest.fixture
def namespace(cluster: Cluster) -> Iterator[Cluster]:
    """A fresh namespace."""
    with cluster.new_namespace() as inside:
        yield inside


@pytest.fixture
def restricted_namespace(cluster: Cluster) -> Iterator[Cluster]:
    """A fresh namespace where pods must follow the strictest of the security standards."""
    with cluster.new_namespace(restricted=True) as inside:
        yield inside
