"""What Helm makes of the chart, without a cluster: what is in it, what is not, what is refused and how."""

from __future__ import annotations

import json
import subprocess
from functools import cache
from pathlib import Path

import pytest
import yaml
from tests.cluster.harness import tools
from tests.cluster.harness.places import CHECKOUT, places
from tests.cluster.installations import manifests
from tests.cluster.rights import rights_in

from cairn_runtime.model.durations import parse_size

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


@pytest.fixture(scope="session")
def helm() -> Path:
    """Helm, of the newer major version; that the older one makes the same is a test of its own."""
    return tools.built(places(), "helm4")


@pytest.fixture(scope="session")
def older_helm() -> Path:
    """Helm, of the older major version."""
    return tools.built(places(), "helm3")


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


@pytest.mark.parametrize("preset", PRESETS, ids=lambda path: path.stem)
def test_a_preset_renders_and_passes_the_lint(helm, older_helm, preset):
    """Every preset is a whole file of values: an operator comes of it, and the strict lint finds nothing."""
    for program in (helm, older_helm):
        linted = asked(program, "lint", "--strict", CHART, f"--values={preset}")

        assert linted.returncode == 0, linted.stdout + linted.stderr
    assert operator_pod(rendered(helm, values=(preset,)))["containers"]


@pytest.mark.parametrize("sets", SWITCHES.values(), ids=SWITCHES)
def test_every_switch_renders_and_passes_the_lint(helm, sets):
    """Whatever can be wanted gives objects with names, each once, and the strict lint finds nothing."""
    linted = asked(helm, "lint", "--strict", CHART, *given(sets))
    objects = rendered(helm, *sets)

    names = [(one["kind"], one["metadata"].get("namespace"), one["metadata"]["name"]) for one in objects]
    assert linted.returncode == 0, linted.stdout + linted.stderr
    assert len(names) == len(set(names))


@pytest.mark.parametrize("sets", SWITCHES.values(), ids=SWITCHES)
def test_both_versions_of_helm_make_the_same(helm, older_helm, sets):
    """So what is seen of one of them in this file is true of the other."""
    fixed = (*sets, "postgres.password=given") if set(BUNDLED) <= set(sets) else sets

    assert rendered(helm, *fixed) == rendered(older_helm, *fixed)


@pytest.mark.parametrize("sets", SWITCHES.values(), ids=SWITCHES)
def test_no_right_is_more_than_it_must_be(helm, sets):
    """No star, no Secret, no process in a pod, no node, no namespace, whatever is set."""
    for role in of_kind(rendered(helm, *sets), "Role", "ClusterRole"):
        for rule in role["rules"]:
            said = [*rule["apiGroups"], *rule["resources"], *rule["verbs"]]
            assert "*" not in said, role["metadata"]["name"]
            assert not {"secrets", "pods/exec", "nodes", "namespaces"} & set(rule["resources"])
            assert not {"impersonate", "bind", "escalate", "deletecollection"} & set(rule["verbs"])


@pytest.mark.parametrize("sets", SWITCHES.values(), ids=SWITCHES)
def test_the_operators_rights_are_those_of_the_example(helm, sets):
    """Of which another test sees that each is needed; none where somebody else gives them."""
    roles = of_kind(rendered(helm, *sets), "Role", "ClusterRole")
    component = "app.kubernetes.io/name"

    operators = rights_in(one for one in roles if one["metadata"]["labels"][component] == "cairn-operator")
    known = rights_in(one for one in manifests("operator.yaml") if one["kind"] in ("Role", "ClusterRole"))
    assert operators in (known, set())


@pytest.mark.parametrize("sets", SWITCHES.values(), ids=SWITCHES)
def test_every_pod_passes_the_restricted_standard(helm, sets):
    """No root, no privileges, a read-only root, and resources, in all pods of the chart."""
    for pod in pods(rendered(helm, *sets)):
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in pod["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert {"requests", "limits"} <= set(container["resources"])


def test_only_the_operator_and_the_test_have_a_token(helm):
    """A Postgres has no token; whoever has one asked for it."""
    objects = rendered(helm, *BUNDLED)
    tokens = {pod["containers"][0]["name"]: pod["automountServiceAccountToken"] for pod in pods(objects)}

    assert tokens == {"operator": True, "postgres": False, "test": True}
    accounts = of_kind(objects, "ServiceAccount")
    assert [one["automountServiceAccountToken"] for one in accounts] == [False, False]


def test_with_watched_namespaces_nothing_belongs_to_the_cluster(helm):
    """Roles in these namespaces alone; what is left for an administrator can be switched off."""
    sets = (*STORE, "watchNamespaces={team-a,team-b}", "crds.install=false", "userRoles.create=false")
    objects = rendered(helm, *sets)

    roles = of_kind(objects, "Role")
    where = {one["metadata"]["namespace"] for one in roles if one["metadata"]["name"].endswith("-operator")}
    assert not of_kind(objects, *CLUSTERED)
    assert where == {"team-a", "team-b"}
    env = {one["name"]: one.get("value") for one in operator_pod(objects)["containers"][0]["env"]}
    assert env["CAIRN_NAMESPACES"] == "team-a,team-b"


def test_the_rights_in_a_namespace_are_those_in_the_cluster(helm):
    """What the operator may do is written once; only where it may do so differs."""
    everywhere = one_of(
        [one for one in rendered(helm, *STORE) if one["metadata"]["name"].endswith("cairn-operator")],
        "ClusterRole",
    )
    objects = rendered(helm, *STORE, "watchNamespaces={team-a}")
    (there,) = [one for one in of_kind(objects, "Role") if one["metadata"]["namespace"] == "team-a"
                and one["metadata"]["name"].endswith("-operator")]  # fmt: skip

    assert there["rules"] == everywhere["rules"]


def test_people_get_what_their_role_says(helm):
    """Whoever views reads; whoever edits writes Workflows and pins, but no status and no Checkpoint."""
    roles = {one["metadata"]["name"]: one for one in of_kind(rendered(helm, *STORE), "ClusterRole")}
    view, edit = roles["cairn-system.cairn-view"], roles["cairn-system.cairn-edit"]

    aggregated = "rbac.authorization.k8s.io/aggregate-to-"
    into = {label.removeprefix(aggregated) for label in view["metadata"]["labels"] if aggregated in label}
    assert into == {"view", "edit", "admin"}
    assert f"{aggregated}view" not in edit["metadata"]["labels"]
    assert {verb for rule in view["rules"] for verb in rule["verbs"]} == {"get", "list", "watch"}
    rights = {resource: set(rule["verbs"]) for rule in edit["rules"] for resource in rule["resources"]}
    assert rights == {
        "workflows": {"create", "update", "patch", "delete"},
        "checkpoints": {"update", "patch"},
    }


def test_definitions_stay_unless_they_are_to_go(helm):
    """Without definitions all Workflows are gone: an uninstallation leaves them, unless told otherwise."""
    keep = {"helm.sh/resource-policy": "keep"}
    kept = of_kind(rendered(helm, *STORE), "CustomResourceDefinition")
    going = of_kind(rendered(helm, *STORE, "crds.keep=false"), "CustomResourceDefinition")

    assert [one["metadata"].get("annotations") for one in kept] == [keep, keep]
    assert [one["metadata"].get("annotations") for one in going] == [None, None]
    assert not of_kind(rendered(helm, *STORE, "crds.install=false"), "CustomResourceDefinition")


def test_the_definitions_are_those_of_the_tree(helm):
    """Rendered they are what `crds/` holds, but for the word that keeps them."""
    crds = of_kind(rendered(helm, *STORE, "crds.keep=false"), "CustomResourceDefinition")

    for one in crds:
        plural = one["spec"]["names"]["plural"]
        assert one == yaml.safe_load((CHECKOUT / f"crds/{plural}.yaml").read_text())
    assert len(crds) == 2


def test_the_password_of_the_postgres_is_the_same_in_every_secret(helm):
    """One password is made, and what runners and the operator read has it; it opens any letter for a URL."""
    objects = rendered(helm, *BUNDLED, "postgres.namespaces={team-a}", "postgres.password=a b/c@d:e%")
    secrets = {(one["metadata"]["namespace"], one["metadata"]["name"]): one["stringData"]
               for one in of_kind(objects, "Secret")}  # fmt: skip

    url = "postgresql://cairn:a%20b%2Fc%40d%3Ae%25@cairn-postgres.cairn-system.svc/cairn"
    assert secrets == {
        ("cairn-system", "cairn-postgres"): {"password": "a b/c@d:e%"},
        ("cairn-system", "cairn-store-default"): {"url": url},
        ("team-a", "cairn-store-default"): {"url": url},
    }


def test_a_password_that_nobody_gave_is_made_once(helm):
    """It is long, and the same wherever it stands; two installations do not share it."""
    first, second = rendered(helm, *BUNDLED), rendered(helm, *BUNDLED, release="other")
    made = {}
    for n, objects in enumerate((first, second)):
        secrets = {one["metadata"]["name"]: one["stringData"] for one in of_kind(objects, "Secret")}
        made[n] = secrets[f"{('cairn', 'other-cairn')[n]}-postgres"]["password"]
        assert f":{made[n]}@" in secrets["cairn-store-default"]["url"]

    assert made[0] != made[1]
    assert len(made[0]) == 32


def test_data_and_their_password_stay_together(helm):
    """Both stay after an uninstallation or both go: neither is of use without the other."""
    for keep, policy in (("true", {"helm.sh/resource-policy": "keep"}), ("false", None)):
        objects = rendered(helm, *BUNDLED, f"postgres.persistence.keep={keep}")
        password = next(one for one in of_kind(objects, "Secret") if "password" in one["stringData"])
        claim = one_of(objects, "PersistentVolumeClaim")

        assert password["metadata"].get("annotations") == policy
        assert claim["metadata"].get("annotations") == policy


def test_an_image_by_digest_has_no_tag(helm):
    """A digest counts alone, for the operator, its runners and the test."""
    digest = f"sha256:{'0' * 64}"
    objects = rendered(helm, *STORE, f"image.digest={digest}", "image.tag=one")
    env = {one["name"]: one.get("value") for one in operator_pod(objects)["containers"][0]["env"]}

    images = {container["image"] for pod in pods(objects) for container in pod["containers"]}
    assert images == {f"cairn@{digest}"}
    assert env["CAIRN_IMAGE"] == f"cairn@{digest}"


def test_labels_of_the_values_never_change_what_is_selected(helm):
    """A label that the chart sets itself stays as it is, or no pod would be found."""
    name = "app\\.kubernetes\\.io/name"
    objects = rendered(helm, *STORE, f"podLabels.{name}=other", f"commonLabels.{name}=other", "podLabels.a=b")
    deployment = one_of(objects, "Deployment")

    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert deployment["spec"]["selector"]["matchLabels"].items() <= labels.items()
    assert labels["a"] == "b"


def test_runners_find_their_store_where_the_values_say_its_url(helm):
    """A URL for a namespace becomes the Secret that runners there read; the operator's is only mounted."""
    sets = SWITCHES["URLs for other namespaces"]
    objects = rendered(helm, *sets)

    (secret,) = of_kind(objects, "Secret")
    assert (secret["metadata"]["namespace"], secret["metadata"]["name"]) == ("team-a", "cairn-store-default")
    assert secret["stringData"] == {"url": "postgresql://a@db/cairn"}
    assert store_folders(objects) == {"default": [
        {"secret": {"name": "cairn-store-default", "items": [{"key": "url", "path": "url"}]}},
    ]}  # fmt: skip


def store_folders(objects):
    """What the operator finds of each store, by the store's name."""
    volumes = [one for one in operator_pod(objects)["volumes"] if one["name"].startswith("store-")]
    return {one["name"].removeprefix("store-"): one["projected"]["sources"] for one in volumes}


def capacities(objects):
    """How much each store may hold, as the operator reads it; each beside a URL that stays in its Secret."""
    said = {one["metadata"]["name"]: one["data"] for one in of_kind(objects, "ConfigMap")}
    found = {}
    for store, (_, *more) in store_folders(objects).items():
        for source in more:
            ((key, path),) = [tuple(item.values()) for item in source["configMap"]["items"]]
            assert path == "capacity"
            found[store] = said[source["configMap"]["name"]][key]
    return found


CAPACITY = "stores[0].capacity=20Gi"


@pytest.mark.parametrize(
    ("sets", "told"),
    [
        (STORE, {}),
        ((*STORE, CAPACITY), {"default": "20Gi"}),
        (
            (*STORE, CAPACITY, "stores[1].name=1e3", "stores[1].secret=b", "stores[1].capacity=2Ti"),
            {"default": "20Gi", "1e3": "2Ti"},
        ),
        (BUNDLED, {"default": "1024Mi"}),
        ((*BUNDLED, "postgres.persistence.size=500Mi"), {"default": "250Mi"}),
        ((*BUNDLED, "postgres.persistence.size=1Ti"), {"default": "1047552Mi"}),
        ((*BUNDLED, "postgres.capacity=5Gi"), {"default": "5Gi"}),
        ((*BUNDLED, "postgres.persistence.enabled=false"), {}),
        ((*BUNDLED, "postgres.persistence.existingClaim=mine"), {}),
        ((*BUNDLED, "postgres.persistence.existingClaim=mine", "postgres.capacity=5Gi"), {"default": "5Gi"}),
    ],
)
def test_the_operator_is_told_how_much_a_store_may_hold(helm, sets, told):
    """As the values say it; of a Postgres on a volume of the chart, what its own log leaves of that."""
    assert capacities(rendered(helm, *sets)) == told
    assert all(parse_size(size) > 0 for size in told.values())


BACKUP = "backup.enabled=true"


@pytest.mark.parametrize(
    ("sets", "found"),
    [
        (BUNDLED, {"name": "cairn-store-default", "key": "url"}),
        (("stores[0].name=default", "stores[0].secret=own"), {"name": "own", "key": "url"}),
        (("stores[0].name=default", "stores[0].secret=own", "stores[0].key=k"), {"name": "own", "key": "k"}),
        ((*BUNDLED, "backup.secret=other"), {"name": "other", "key": "url"}),
    ],
)
def test_the_store_that_is_dumped_is_the_default_one(helm, sets, found):
    """Where its URL is; another Secret is named by the values."""
    (container,) = dump_pod(rendered(helm, *sets, BACKUP))["containers"]

    assert container["env"][0] == {"name": "CAIRN_STORE_URL", "valueFrom": {"secretKeyRef": found}}


def dump_pod(objects):
    """The spec of the pods of the dumps."""
    return one_of(objects, "CronJob")["spec"]["jobTemplate"]["spec"]["template"]["spec"]


def test_a_dump_reaches_the_store_as_the_operator_does(helm):
    """With the certificates and variables that its URL names, on nodes that are allowed, as its user."""
    sets = SWITCHES["everything about the pod"]
    objects = rendered(helm, *sets, BACKUP, "runAsUser=1000")
    operator, dump = operator_pod(objects), dump_pod(objects)

    for what in ("nodeSelector", "tolerations", "imagePullSecrets"):
        assert dump[what] == operator[what]
    assert {"name": "PGPASSFILE", "value": "/pg/pass"} in dump["containers"][0]["env"]
    assert {"name": "pg", "mountPath": "/pg"} in dump["containers"][0]["volumeMounts"]
    assert {"name": "pg", "secret": {"secretName": "pg"}} in dump["volumes"]
    assert (dump["securityContext"]["runAsUser"], dump["securityContext"]["fsGroup"]) == (1000, 1000)


def test_the_cluster_chooses_the_user_of_a_dump_where_it_is_to(helm):
    """A group that is given would be refused on OpenShift."""
    security = dump_pod(rendered(helm, *STORE, BACKUP, "runAsUser=0"))["securityContext"]

    assert not {"runAsUser", "fsGroup"} & security.keys()


def test_alerts_and_dashboard_are_the_files_of_the_chart(helm):
    """What promtool checks and what Grafana reads is what is installed."""
    objects = rendered(helm, *STORE, *MONITORED)

    rules = yaml.safe_load((CHART / "files/rules.yaml").read_text())
    assert one_of(objects, "PrometheusRule")["spec"] == rules
    dashboard = next(one for one in of_kind(objects, "ConfigMap") if "cairn.json" in one["data"])
    assert json.loads(dashboard["data"]["cairn.json"]) == json.loads(
        (CHART / "files/dashboard.json").read_text()
    )


def test_two_releases_of_a_name_do_not_meet(helm):
    """What belongs to the whole cluster has the namespace in its name, and so has the installation."""
    names = []
    for namespace in ("one", "two"):
        objects = rendered(helm, *STORE, *POLICY, "crds.install=false", namespace=namespace)
        names.append({one["metadata"]["name"] for one in of_kind(objects, *CLUSTERED)})
        env = {one["name"]: one.get("value") for one in operator_pod(objects)["containers"][0]["env"]}
        assert env["CAIRN_INSTALLATION"] == f"{namespace}-cairn"

    assert not names[0] & names[1]


@pytest.mark.parametrize(
    ("sets", "message"),
    [
        ((), "stores: there is none; to try Cairn out set postgres.enabled=true"),
        ((*STORE, "replica=2"), "additional properties 'replica' not allowed"),
        ((*STORE, "operator.worker=2"), "additional properties 'worker' not allowed"),
        ((*STORE, "stores[0].url=x"), "additional properties 'url' not allowed"),
        ((*STORE, "replicas=many"), "at '/replicas': got string, want integer"),
        ((*STORE, "operator.workers=0"), "at '/operator/workers': minimum: got 0, want 1"),
        ((*STORE, "operator.listEvery=soon"), "at '/operator/listEvery': 'soon' does not match pattern"),
        ((*STORE, "operator.logLevel=LOUD"), "at '/operator/logLevel': value must be one of 'DEBUG'"),
        ((*STORE, "image.digest=abc"), "at '/image/digest': 'abc' does not match pattern"),
        (
            ("stores[0].name=Default", "stores[0].secret=s"),
            "at '/stores/0/name': 'Default' does not match pattern",
        ),
        (("stores[0].name=default",), "at '/stores/0': missing property 'secret'"),
        ((*STORE, "stores[0].capacity=20GB"), "at '/stores/0/capacity': '20GB' does not match pattern"),
        ((*STORE, "stores[0].capacity=20"), "at '/stores/0/capacity': got number, want string"),
        ((*BUNDLED, "postgres.capacity=1.5Gi"), "at '/postgres/capacity': '1.5Gi' does not match pattern"),
        (
            (*STORE, *BUNDLED),
            "stores[0].name: with postgres.enabled the store default is the Postgres of the chart",
        ),
        (
            (*STORE, "stores[1].name=default", "stores[1].secret=b"),
            'stores[1].name: there is a store "default" already',
        ),
        (
            (*STORE, "stores[0].namespaces[0].name=a"),
            "stores[0].namespaces[0]: it says neither url nor secret",
        ),
        (
            (*STORE, *(f"stores[0].namespaces[0].{one}=a" for one in ("name", "url", "secret"))),
            "stores[0].namespaces[0]: it says both url and secret",
        ),
        (
            (*STORE, "stores[0].namespaces[0].name=a", "stores[0].namespaces[0].secret=b"),
            'key "url" of Secret b in namespace default cannot be read: it is not there, or this is',
        ),
        (
            (
                *STORE,
                "stores[0].namespaces[0].name=a",
                "stores[0].namespaces[0].url=x",
                "watchNamespaces={b}",
            ),
            "stores[0].namespaces[0].name: a is not one of watchNamespaces",
        ),
        (
            (*BUNDLED, "postgres.namespaces={a}", "watchNamespaces={b}"),
            "postgres.namespaces[0]: a is not one of",
        ),
        ((*BUNDLED, "postgres.existingSecret=mine"), "postgres.existingSecret: key password of Secret mine"),
        (
            (*BUNDLED, "postgres.existingSecret=mine", "postgres.password=x"),
            "postgres: both password and existingSecret are given",
        ),
        (
            (*STORE, "podDisruptionBudget.enabled=true"),
            "podDisruptionBudget.enabled: with one replica no node",
        ),
        ((*STORE, "admissionPolicy.enabled=true"), "admissionPolicy.enabled: it bounds nothing"),
        (
            (*STORE, "admissionPolicy.imagePrefixes={python}"),
            "at '/admissionPolicy/imagePrefixes/0': 'python' does not match pattern",
        ),
        (
            (*STORE, "networkPolicy.enabled=true"),
            "networkPolicy.stores: is empty, so nobody could reach the stores",
        ),
        (
            (*STORE, "metrics.serviceMonitor.enabled=true", "metrics.podMonitor.enabled=true"),
            "metrics: serviceMonitor and podMonitor would both ask",
        ),
        (
            (*STORE, "serviceAccount.create=false"),
            "serviceAccount.name: is not given, and serviceAccount.create is",
        ),
        (
            ("stores[0].name=own", "stores[0].secret=s", "test.store=own", "backup.enabled=true"),
            "backup.secret: is not given, and there is no store default",
        ),
        ((*STORE, "test.store=other"), 'test.store: there is no store "other"; there is default'),
        ((*STORE, f"installation={'a' * 64}"), "at '/installation'"),
    ],
)
def test_wrong_values_are_told(helm, sets, message):
    """The message names the value, what is wrong with it, and where it can be, what to do."""
    assert message in refused(helm, *sets)


@pytest.mark.parametrize("sets", [(), (*STORE, "replica=2")], ids=["by the templates", "by the schema"])
def test_both_versions_of_helm_refuse_in_the_same_words(helm, older_helm, sets):
    """But for what stands before and behind them."""
    told = [refused(program, *sets).partition("cairn")[2].splitlines()[:2] for program in (helm, older_helm)]

    assert told[0] == told[1]


def test_a_subchart_takes_what_helm_shares(helm):
    """Helm hands `global` to every chart below another one: that key alone is no fault."""
    assert operator_pod(rendered(helm, *STORE, "global.anything.at.all=1"))
