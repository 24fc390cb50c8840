"""What Helm makes of the chart, asked for by the values that are set; what can be wanted is in `SWITCHES`."""

from __future__ import annotations

import subprocess
from functools import cache

import yaml
from tests.cluster.harness.places import CHECKOUT

CHART = CHECKOUT / "charts/cairn"
PRESETS = sorted(CHART.glob("presets/*.yaml"))
STORE = ("stores[0].name=default", "stores[0].secret=cairn-store-default")
BUNDLED = ("postgres.enabled=true",)
MONITORED = ("metrics.rules.enabled=true", "metrics.dashboard.enabled=true")
POLICY = (
    "admissionPolicy.enabled=true",
    "admissionPolicy.allowedServiceAccounts={default,builder}",
    "admissionPolicy.imagePrefixes={registry.example/team/,registry.example/one}",
)
SWITCHES = {
    "a store of one's own": STORE,
    "a Postgres": BUNDLED,
    "a Postgres without a volume": (*BUNDLED, "postgres.persistence.enabled=false"),
    "a Postgres that leaves nothing": (*BUNDLED, "postgres.persistence.keep=false"),
    "a Postgres on a claim that is there": (*BUNDLED, "postgres.persistence.existingClaim=mine"),
    "a Postgres for other namespaces": (*BUNDLED, "postgres.namespaces={team-a,team-b}"),
    "some namespaces": (*STORE, "watchNamespaces={team-a,team-b}"),
    "no rights": (*STORE, "rbac.create=false", "serviceAccount.create=false", "serviceAccount.name=mine"),
    "no definitions, no roles, no test": (
        *STORE,
        "crds.install=false",
        "userRoles.create=false",
        "test.enabled=false",
    ),
    "definitions that go": (*STORE, "crds.keep=false"),
    "an admission policy": (*STORE, *POLICY),
    "an admission policy in some namespaces": (*STORE, *POLICY, "watchNamespaces={team-a}"),
    "network policies": (
        *BUNDLED,
        "networkPolicy.enabled=true",
        "networkPolicy.apiServer.cidrs={10.0.0.1/32}",
    ),
    "network policies and a store": (
        *STORE,
        "networkPolicy.enabled=true",
        "networkPolicy.stores[0].ports[0].port=5432",
        "networkPolicy.runner.egress[0].ports[0].port=443",
        "networkPolicy.metricsFrom[0].namespaceSelector.matchLabels.name=monitoring",
    ),
    "a ServiceMonitor, alerts, a dashboard": (*STORE, *MONITORED, "metrics.serviceMonitor.enabled=true"),
    "a PodMonitor": (
        *STORE,
        "metrics.podMonitor.enabled=true",
        "metrics.podMonitor.labels.release=prometheus",
    ),
    "a dump each night": (*STORE, "backup.enabled=true"),
    "two operators": (
        *STORE,
        "replicas=2",
        "podDisruptionBudget.enabled=true",
        "topologySpreadConstraints[0].maxSkew=1",
        "topologySpreadConstraints[0].topologyKey=kubernetes.io/hostname",
        "topologySpreadConstraints[0].whenUnsatisfiable=ScheduleAnyway",
    ),
    "everything about the pod": (
        *STORE,
        "priorityClassName=high",
        "nodeSelector.disk=ssd",
        "tolerations[0].key=a",
        "tolerations[0].operator=Exists",
        "affinity.nodeAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].weight=1",
        "podLabels.team=a",
        "podAnnotations.note=b",
        "commonLabels.owner=c",
        "extraEnv[0].name=PGPASSFILE",
        "extraEnv[0].value=/pg/pass",
        "extraVolumes[0].name=pg",
        "extraVolumes[0].secret.secretName=pg",
        "extraVolumeMounts[0].name=pg",
        "extraVolumeMounts[0].mountPath=/pg",
        "imagePullSecrets[0].name=pull",
        f"image.digest=sha256:{'0' * 64}",
        "runner.image=registry.example/runner:1",
        "runner.pullPolicy=Always",
        "encryption.secret=keys",
        "installation=here",
        "runAsUser=0",
    ),
    "URLs for other namespaces": (
        *STORE,
        "stores[0].namespaces[0].name=team-a",
        "stores[0].namespaces[0].url=postgresql://a@db/cairn",
    ),
}
"""What is set, by what somebody wants; every one of them must render, and pass the API server's own check."""

CLUSTERED = {
    "ClusterRole",
    "ClusterRoleBinding",
    "CustomResourceDefinition",
    "ValidatingAdmissionPolicy",
    "ValidatingAdmissionPolicyBinding",
}


def asked(helm, *arguments):
    """Ask Helm; answer how it ended, with all that it said."""
    return subprocess.run([helm, *arguments], capture_output=True, text=True, check=False, timeout=100)


def given(sets):
    """Values as arguments."""
    return [argument for one in sets for argument in ("--set", one)]


@cache
def rendered(helm, *sets, values=(), release="cairn", namespace="cairn-system"):
    """The objects that Helm makes of the chart; many look at the same ones, and nobody changes them."""
    files = [f"--values={path}" for path in values]
    arguments = (release, CHART, f"--namespace={namespace}", "--kube-version=1.34.0", *files, *given(sets))
    done = asked(helm, "template", *arguments)
    assert done.returncode == 0, done.stderr
    return [document for document in yaml.safe_load_all(done.stdout) if document]


def refused(helm, *sets):
    """What Helm says to values that it does not take."""
    done = asked(helm, "template", "cairn", CHART, "--kube-version=1.34.0", *given(sets))
    assert done.returncode != 0, "they were taken"
    return done.stderr


def of_kind(objects, *kinds):
    """Those objects."""
    return [one for one in objects if one["kind"] in kinds]


def one_of(objects, kind):
    """The one object of a kind."""
    (found,) = of_kind(objects, kind)
    return found


def operator_pod(objects):
    """The spec of the operator's pod."""
    return one_of(objects, "Deployment")["spec"]["template"]["spec"]


def pods(objects):
    """The specs of all pods that the chart makes."""
    made = [one["spec"]["template"]["spec"] for one in of_kind(objects, "Deployment", "StatefulSet")]
    jobs = [one["spec"]["jobTemplate"]["spec"]["template"]["spec"] for one in of_kind(objects, "CronJob")]
    return made + jobs + [one["spec"] for one in of_kind(objects, "Pod")]
