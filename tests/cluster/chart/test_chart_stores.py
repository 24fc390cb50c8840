"""Stores in what Helm makes of the chart: URLs and passwords, what they may hold, and their dumps."""

from __future__ import annotations

import pytest
from tests.cluster.chart.rendered import (
    BUNDLED,
    STORE,
    SWITCHES,
    of_kind,
    one_of,
    operator_pod,
    rendered,
)

from cairn_runtime.errors import (
    EXIT_CONFIG,
    EXIT_FAILED,
    EXIT_NOT_FOUND,
    EXIT_STORE_UNAVAILABLE,
    EXIT_USAGE,
)
from cairn_runtime.model.durations import parse_size


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


def told_of_stores(objects, fact):
    """What the operator reads of each store in a file of this name, beside a URL that stays in its Secret."""
    said = {one["metadata"]["name"]: one["data"] for one in of_kind(objects, "ConfigMap")}
    found = {}
    for store, (_, *more) in store_folders(objects).items():
        for source in more:
            ((key, path),) = [tuple(item.values()) for item in source["configMap"]["items"]]
            assert path in ("capacity", "namespaces")
            if path == fact:
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
    assert told_of_stores(rendered(helm, *sets), "capacity") == told
    assert all(parse_size(size) > 0 for size in told.values())


def test_the_operator_is_told_whose_workflows_may_name_a_store(helm):
    """Only of the store that says so; beside what it may hold."""
    team = ("stores[1].name=team", "stores[1].secret=b", "stores[1].allowedNamespaces={team-a,team-b}")
    objects = rendered(helm, *STORE, CAPACITY, *team, "stores[1].capacity=2Ti")

    assert told_of_stores(objects, "namespaces") == {"team": "team-a team-b"}
    assert told_of_stores(objects, "capacity") == {"default": "20Gi", "team": "2Ti"}


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


def test_a_dump_is_tried_again_only_where_that_may_help(helm):
    """A store that is away may come back; and no Job hangs for ever, since the next one waits for it."""
    job = one_of(rendered(helm, *STORE, BACKUP, "backup.timeoutSeconds=600"), "CronJob")["spec"][
        "jobTemplate"
    ]
    ((rule,),) = job["spec"]["podFailurePolicy"].values()

    hopeless = {EXIT_FAILED, EXIT_USAGE, EXIT_NOT_FOUND, EXIT_CONFIG}
    assert (rule["action"], rule["onExitCodes"]["operator"]) == ("FailJob", "In")
    assert set(rule["onExitCodes"]["values"]) == hopeless
    assert EXIT_STORE_UNAVAILABLE not in rule["onExitCodes"]["values"]
    assert job["spec"]["activeDeadlineSeconds"] == 600


def test_the_cluster_chooses_the_user_of_a_dump_where_it_is_to(helm):
    """A group that is given would be refused on OpenShift."""
    security = dump_pod(rendered(helm, *STORE, BACKUP, "runAsUser=0"))["securityContext"]

    assert not {"runAsUser", "fsGroup"} & security.keys()
