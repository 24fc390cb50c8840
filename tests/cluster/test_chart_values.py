"""Whatever the values say, the API server takes what the chart makes of it.

The presets, and each switch turned the other way; the server checks names, fields, labels and the expressions
of a policy. The kinds of the Prometheus operator are left out: the cluster has no definition of them, and one
of our own would only check itself. What NetworkPolicies let through is not tried: the network of the tests'
cluster knows none.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.cluster.charts import CHART, RELEASE
from tests.cluster.harness import tools
from tests.cluster.harness.cluster import Cluster, Object
from tests.cluster.harness.commands import output
from tests.cluster.harness.places import places

HERE = "NAMESPACE"
"""Stands for the namespace of the test."""
STORE = {"stores": [{"name": "default", "secret": "cairn-store-default"}]}
POSTGRES = {"postgres": {"enabled": True}}
WAY = {"to": [{"ipBlock": {"cidr": "10.0.0.0/8"}}], "ports": [{"port": 5432, "protocol": "TCP"}]}
DIGEST = "sha256:" + 64 * "a"

COMBINATIONS: dict[str, dict[str, Any]] = {
    "a store": STORE,
    "a Postgres": POSTGRES,
    "some namespaces": {**STORE, "watchNamespaces": [HERE]},
    "a Secret for each namespace": {
        "stores": [
            {"name": "own", "secret": "own", "namespaces": [{"name": HERE, "url": "redis://redis:6379/0"}]}
        ],
        "test": {"store": "own"},
    },
    "a Postgres without a disk": {"postgres": {"enabled": True, "persistence": {"enabled": False}}},
    "a Postgres that goes whole": {"postgres": {"enabled": True, "persistence": {"keep": False}}},
    "policies of the network": {
        **STORE,
        "watchNamespaces": [HERE],
        "networkPolicy": {
            "enabled": True,
            "stores": [WAY],
            "operatorEgress": [WAY],
            "runner": {"egress": [WAY]},
            "apiServer": {"cidrs": ["10.96.0.1/32"]},
        },
    },
    "policies of the network for a Postgres": {**POSTGRES, "networkPolicy": {"enabled": True}},
    "a dump each night": {**STORE, "backup": {"enabled": True}},
    "a policy for Workflows": {
        **STORE,
        "admissionPolicy": {
            "enabled": True,
            "allowedServiceAccounts": ["default", "builder"],
            "imagePrefixes": ["registry.example/team/", "registry.example/one"],
        },
    },
    "what others have made": {
        **STORE,
        "rbac": {"create": False},
        "userRoles": {"create": False},
        "serviceAccount": {"create": False, "name": "own"},
        "crds": {"install": False},
        "test": {"enabled": False},
    },
    "everything of a pod": {
        **STORE,
        "replicas": 2,
        "podDisruptionBudget": {"enabled": True},
        "image": {"repository": "registry.example/cairn", "digest": DIGEST},
        "imagePullSecrets": [{"name": "pull"}],
        "runner": {"image": "registry.example/steps:1", "pullPolicy": "Always"},
        "encryption": {"secret": "keys"},
        "priorityClassName": "system-cluster-critical",
        "nodeSelector": {"kubernetes.io/os": "linux"},
        "tolerations": [{"key": "dedicated", "operator": "Exists"}],
        "topologySpreadConstraints": [
            {"maxSkew": 1, "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "ScheduleAnyway"}
        ],
        "podLabels": {"team": "a"},
        "podAnnotations": {"note": "b"},
        "commonLabels": {"owner": "c"},
        "extraEnv": [{"name": "PGSSLROOTCERT", "value": "/certificates/ca.crt"}],
        "extraVolumes": [{"name": "certificates", "secret": {"secretName": "certificates"}}],
        "extraVolumeMounts": [{"name": "certificates", "mountPath": "/certificates", "readOnly": True}],
        "metrics": {"dashboard": {"enabled": True}},
    },
}
PRESETS = sorted(path.stem for path in (CHART / "presets").glob("*.yaml"))
VALUES: dict[str, Any] = {preset: (CHART / "presets" / f"{preset}.yaml").read_text() for preset in PRESETS}
VALUES |= {name: json.dumps(values) for name, values in COMBINATIONS.items()}


def rendered(helm: Path, namespace: str, values: str) -> list[Object]:
    """What the chart makes of values."""
    argv = ("template", RELEASE, str(CHART), f"--namespace={namespace}", "--values=-")
    said = output(str(helm), *argv, stdin=values.replace(HERE, namespace))
    return [document for document in yaml.safe_load_all(said) if document]


@pytest.fixture(scope="module")
def room(cluster: Cluster) -> Iterator[Cluster]:
    """One namespace for all of them: nothing is made in it but service accounts."""
    with cluster.new_namespace() as namespace:
        yield namespace


@pytest.mark.parametrize("values", [pytest.param(text, id=name) for name, text in VALUES.items()])
def test_the_api_server_takes_what_the_chart_makes(room, values):
    """The whole of it, in the namespaces that it names."""
    documents = rendered(tools.built(places(), "helm4"), room.namespace, values)
    for account in (one for one in documents if one["kind"] == "ServiceAccount"):
        room.apply(json.dumps(account))  # without it its pod is not even tried

    said = output(
        str(room.provider.kubectl),
        "apply",
        "--dry-run=server",
        "--filename=-",
        stdin=yaml.safe_dump_all(one for one in documents if not of_prometheus(one)),
        environ=room.environ(),
    )

    assert "(server dry run)" in said


def of_prometheus(document: Object) -> bool:
    """Whether a definition of the Prometheus operator is needed for it."""
    return bool(document["apiVersion"].startswith("monitoring.coreos.com/"))
