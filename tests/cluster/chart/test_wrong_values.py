"""Values that are refused: which, and in which words."""

from __future__ import annotations

import pytest
from tests.cluster.chart.rendered import BUNDLED, STORE, refused


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
            (*STORE, "stores[0].allowedNamespaces={a}", "watchNamespaces={b}"),
            "stores[0].allowedNamespaces[0]: a is not one of watchNamespaces",
        ),
        (
            (
                *STORE,
                "stores[0].namespaces[0].name=a",
                "stores[0].namespaces[0].url=x",
                "stores[0].allowedNamespaces={b}",
            ),
            "stores[0].namespaces[0].name: a is not one of stores[0].allowedNamespaces",
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
        (
            (*STORE, "fullnameOverride=1st"),
            'fullnameOverride: the name "1st" begins with a digit, which that of a Service may not',
        ),
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
