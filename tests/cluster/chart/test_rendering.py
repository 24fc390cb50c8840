"""What Helm makes of the chart, without a cluster: what is in it, and what is not."""

from __future__ import annotations

import json

import pytest
import yaml
from tests.cluster.chart.rendered import (
    BUNDLED,
    CHART,
    CLUSTERED,
    MONITORED,
    POLICY,
    PRESETS,
    STORE,
    SWITCHES,
    asked,
    given,
    of_kind,
    one_of,
    operator_pod,
    pods,
    rendered,
)
from tests.cluster.harness.places import CHECKOUT
from tests.cluster.installations import manifests
from tests.cluster.rights import rights_in


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


def test_another_strategy_takes_nothing_of_the_default(helm):
    """The values are laid over each other, and Kubernetes refuses the rest of the one before."""
    objects = rendered(helm, *STORE, "strategy.type=Recreate")

    assert one_of(objects, "Deployment")["spec"]["strategy"] == {"type": "Recreate"}


def test_a_release_may_have_a_dot_in_its_name(helm):
    """Helm takes one, a Service does not; everything that names another still does."""
    objects = rendered(helm, *BUNDLED, release="my.release")
    named = {one["metadata"]["name"] for one in of_kind(objects, "Service")}

    assert named == {"my-release-cairn-operator", "my-release-cairn-postgres"}
    urls = [one["stringData"]["url"] for one in of_kind(objects, "Secret") if "url" in one["stringData"]]
    assert urls
    assert all("@my-release-cairn-postgres." in url for url in urls)


def test_a_subchart_takes_what_helm_shares(helm):
    """Helm hands `global` to every chart below another one: that key alone is no fault."""
    assert operator_pod(rendered(helm, *STORE, "global.anything.at.all=1"))
