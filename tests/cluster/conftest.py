"""The law of the cluster tests: a real Kubernetes, waited for by conditions, never by sleep.

`make test-cluster` sees that a cluster is there.  A test asks for `namespace` (or `restricted_namespace`) and
gets a `Cluster` that speaks for a fresh one; one that asks for `installed` finds Cairn in it: an operator of
its own, a store, and a witness to which steps tell that they begin.
What there is to know of a test that fails is kept in `build/cluster-failures/<test>`.
After each test that had an operator, no committed task may have begun again.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
from tests.cluster import installations
from tests.cluster.harness import tools
from tests.cluster.harness.choosing import present
from tests.cluster.harness.cluster import Cluster
from tests.cluster.harness.failures import folder_for
from tests.cluster.harness.places import places
from tests.cluster.installations import Installation

PATIENCE_SECONDS = 600
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
        found = getattr(item, "funcargs", {}).values()
        clusters = [one.namespace if isinstance(one, Installation) else one for one in found]
        clusters = [one for one in clusters if isinstance(one, Cluster)]
        if clusters:
            folder = folder_for(item.nodeid)
            for cluster in clusters:
                cluster.collect(folder / cluster.namespace)
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


@pytest.fixture(scope="session", params=["helm3", "helm4"])
def helm(request: pytest.FixtureRequest) -> Path:
    """The program Helm; a test that asks for it is run with both."""
    return tools.built(places(), request.param)


@pytest.fixture(scope="session")
def promtool() -> Path:
    """The program that checks Prometheus' rules, and runs their tests."""
    return tools.built(places(), "promtool")


@pytest.fixture(scope="session")
def images(cluster: Cluster) -> None:
    """Cairn's image, of this checkout, and the servers' one are on the nodes."""
    installations.build_images(cluster)


@pytest.fixture(scope="session")
def defined(cluster: Cluster) -> None:
    """The cluster knows the kinds, as they are in this checkout."""
    installations.define(cluster)


@pytest.fixture(scope="session")
def postgres(cluster: Cluster, images: None) -> Iterator[str]:
    """The URL of a Postgres for all tests; each takes a schema of its own."""
    with cluster.new_namespace() as namespace:
        yield installations.start_postgres(namespace)


@pytest.fixture
def store_url(postgres: str, namespace: Cluster) -> str:
    """Where the runs of this test are kept; a module may name another store."""
    return f"{postgres}?schema={namespace.namespace.replace('-', '_')}"


@pytest.fixture
def installed(namespace: Cluster, images: None, defined: None, store_url: str) -> Iterator[Installation]:
    """Cairn in the namespace of this test: store, witness, operator."""
    installation = installations.install(namespace, store_url)
    yield installation
    installation.release()
    assert installation.repeated() == []
