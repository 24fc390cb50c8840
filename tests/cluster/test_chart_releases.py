"""A release of the chart, from its installation to its end, with either Helm.

The release of most tests here is made once for each Helm, in a namespace that enforces the strictest of the
security standards; it watches all namespaces, as one does that is installed without thinking of it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from tests.cluster import installations
from tests.cluster.charts import PREVIOUS, RELEASE, VALUES, Helm
from tests.cluster.harness.cluster import Cluster, Object
from tests.cluster.harness.commands import CommandFailed, say
from tests.cluster.harness.places import CHECKOUT
from tests.cluster.installations import START_SECONDS, Installation, status, witness_manifests
from tests.cluster.workflows import chain, told

from cairn_runtime.model.durations import parse_size

ONE_HELM = pytest.mark.parametrize("helm", ["helm4"], indirect=True)
"""For what is the same whoever installed it: that both make the same objects is seen without a cluster."""
RESUMED_SECONDS = 90
"""From the first command to a killed Workflow seen resumed, the images being there."""


@pytest.fixture(scope="module")
def kinds(cluster: Cluster, defined: None) -> Iterator[None]:
    """The kinds, which a release may take with it when it goes: the next test finds them again."""
    yield
    installations.define(cluster)


@pytest.fixture(scope="module")
def release(helm: Path, cluster: Cluster, images: None, kinds: None) -> Iterator[tuple[Helm, float]]:
    """Cairn installed with one command in a restricted namespace, and when that command was typed."""
    installations.define(cluster)
    with cluster.new_namespace(restricted=True) as namespace:
        ours = Helm(helm, namespace)
        begun = time.monotonic()
        ours.install(
            postgres={**VALUES["postgres"], "capacity": "5Gi"},
            crds={"keep": False},
            admissionPolicy={
                "enabled": True,
                "allowedServiceAccounts": ["default"],
                "imagePrefixes": ["registry.example/team/"],
            },
        )
        yield ours, begun
        ours("uninstall", RELEASE, "--ignore-not-found")


def test_a_killed_workflow_is_seen_resumed_within_the_bar(release):
    """Two commands: install, and `helm test`, which kills a runner and sees its Workflow go on."""
    helm, begun = release

    helm("test", RELEASE)

    taken = time.monotonic() - begun
    say(f"installed and seen resumed within {taken:.1f} s")
    assert taken <= RESUMED_SECONDS


@ONE_HELM
def test_an_example_succeeds_where_cairn_was_installed_by_helm(release):
    """The next command of the notes; its runner gets no token of the cluster."""
    helm, _ = release
    installed = Installation(helm.namespace)

    helm.namespace.kubectl("apply", f"--kustomize={CHECKOUT / 'examples' / 'hello'}")

    installed.phase("hello", "Succeeded")
    (runner,) = installed.runners("hello")
    mounted = [one["name"] for one in runner["spec"]["volumes"] if "projected" in one]
    assert runner["spec"]["automountServiceAccountToken"] is False
    assert mounted == []


@ONE_HELM
@pytest.mark.parametrize(
    ("spec", "words"),
    [
        pytest.param(
            {"image": "elsewhere.example/miner:1"},
            "spec.image: elsewhere.example/miner:1 is not allowed; it may begin with: registry.example/team/",
            id="an image from elsewhere",
        ),
        pytest.param(
            {"pod": {"serviceAccountName": "builder"}},
            "spec.pod.serviceAccountName: builder is not allowed; allowed: default",
            id="another service account",
        ),
    ],
)
def test_the_policy_refuses_what_was_not_allowed(release, spec, words):
    """The API server itself says what and why, before anything is written."""
    helm, _ = release

    with pytest.raises(CommandFailed, match="ValidatingAdmissionPolicy") as refused:
        helm.namespace.apply(json.dumps(chain("foreign", "a", suspend=True, **spec)))

    assert words in str(refused.value)
    helm.namespace.apply(json.dumps(chain("own", "a", suspend=True, image="registry.example/team/steps:1")))
    helm.namespace.delete("workflows.cairn.dev/own")


@ONE_HELM
def test_people_have_the_rights_that_their_role_says(release):
    """Who may view reads; who may edit changes Workflows and pins; neither forges a status or checkpoint."""
    helm, _ = release
    wanted = {
        "view": {"get workflows", "list checkpoints"},
        "edit": {
            "get workflows",
            "list checkpoints",
            "create workflows",
            "patch workflows",
            "delete workflows",
            "patch checkpoints",
        },
    }
    asked = wanted["edit"] | {
        "patch workflows/status",
        "update workflows/status",
        "create checkpoints",
        "delete checkpoints",
    }
    for role in wanted:
        namespaced = (f"--serviceaccount={helm.namespace.namespace}:{role}", f"--clusterrole={role}")
        helm.namespace.kubectl("create", "rolebinding", role, *namespaced)

    found = {role: {right for right in asked if may(helm.namespace, role, right)} for role in wanted}

    assert found == wanted


def may(namespace: Cluster, account: str, right: str) -> bool:
    """Whether a service account may do this, by the API server's answer."""
    verb, _, resource = right.partition(" ")
    who = f"--as=system:serviceaccount:{namespace.namespace}:{account}"
    resource, _, part = resource.partition("/")
    subresource = (f"--subresource={part}",) if part else ()
    try:
        namespace.kubectl("auth", "can-i", verb, f"{resource}.cairn.dev", *subresource, who)
    except CommandFailed:
        return False
    return True


@ONE_HELM
def test_the_operator_tells_what_room_a_store_has_yet(release):
    """Of what the values say that it may hold; else no alert could warn before a Postgres is full."""
    helm, _ = release
    store = '{store="default"}'
    installed = Installation(helm.namespace)

    told = installed.numbers_when(lambda seen: f"cairn_store_free_bytes{store}" in seen)

    sizes = [told[f"cairn_store_{what}_bytes{store}"] for what in ("used", "free")]
    assert sum(sizes) == parse_size("5Gi")
    assert min(sizes) > 0


def test_without_keep_the_kinds_go_with_the_release(release, cluster):
    """`crds.keep=false` is for trying out: all Workflows go too."""
    helm, _ = release

    helm("uninstall", RELEASE)

    # Each is there until the last of its objects has gone.
    for kind in installations.KINDS:
        cluster.wait(kind, "delete")


def test_an_upgrade_touches_no_run_and_an_uninstall_leaves_the_workflows(
    helm, cluster, namespace, images, kinds
):
    """From the version before to this one with other values, under a Workflow that is held in a step."""
    # The kinds of the version before come with it: those of this one are not the release's to change.
    cluster.kubectl("delete", *installations.KINDS, "--ignore-not-found")
    ours, watched = Helm(helm, namespace), [namespace.namespace]
    installed = Installation(namespace)
    ours.install(chart=PREVIOUS, watchNamespaces=watched)
    namespace.apply(witness_manifests())
    namespace.wait("pod/witness", "condition=Ready", seconds=START_SECONDS)
    installed.hold("two#1")
    installed.apply(chain("held", "one", "two", "three"))
    installed.begun("two#1")
    installed.phase("held", "Running")
    # A step may begin before the kubelet has told of the container that it runs in.
    namespace.wait(f"pod/{installed.newest_runner('held')}", "condition=Ready")
    before, operators = standing(namespace), installed.operators()

    ours.upgrade(watchNamespaces=watched, operator={"workers": 5, "logLevel": "DEBUG"})

    for pod in operators:  # it lets its last pass end
        namespace.wait(f"pod/{pod}", "delete")
    assert standing(namespace) == before
    installed.release()
    assert status(installed.phase("held", "Succeeded"))["epoch"] == 1
    assert installed.state("held")["done"] == told("one", "two", "three")
    assert installed.repeated() == []
    ours("uninstall", RELEASE, "--wait")
    assert status(installed.workflow("held"))["phase"] == "Succeeded"


def standing(namespace: Cluster) -> dict[str, tuple[str, int]]:
    """Pods beside the operator's -> which ones they are, and how often they were started again."""
    return {
        pod["metadata"]["name"]: (
            pod["metadata"]["uid"],
            sum(one["restartCount"] for one in status(pod)["containerStatuses"]),
        )
        for pod in namespace.get("pods")["items"]
        if pod["metadata"]["labels"].get("app.kubernetes.io/name") != installations.OPERATOR
    }


def test_rights_in_one_namespace_are_enough_to_install(helm, cluster, namespace, images, kinds):
    """The kinds are there; who owns a namespace and nothing else installs, tests and uninstalls in it."""
    installations.define(cluster)
    own_namespace(namespace)
    owner = Helm(helm, namespace, account="owner")
    few = {
        "watchNamespaces": [namespace.namespace],
        "crds": {"install": False},
        "userRoles": {"create": False},
    }

    owner.install(**few)
    owner("test", RELEASE)

    log = namespace.kubectl("logs", f"deployment/{installations.OPERATOR}")
    kinds_of = {document["kind"] for document in rendered(owner)}
    assert "forbidden" not in log.lower()
    assert namespace.get(f"lease/{installations.OPERATOR}")["spec"]["holderIdentity"]
    assert not [kind for kind in kinds_of if kind.startswith("Cluster") or "Admission" in kind]
    owner("uninstall", RELEASE)


def own_namespace(namespace: Cluster) -> None:
    """Let the service account `owner` do everything in its namespace, and nothing outside."""
    namespace.kubectl("create", "role", "owner", "--verb=*", "--resource=*.*")
    account = f"--serviceaccount={namespace.namespace}:owner"
    namespace.kubectl("create", "rolebinding", "owner", "--role=owner", account)


def rendered(helm: Helm) -> list[Object]:
    """What the release consists of."""
    return [one for one in yaml.safe_load_all(helm("get", "manifest", RELEASE)) if one]
