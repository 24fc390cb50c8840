"""Encrypted runs on a cluster: runners get the keys from a Secret, and nobody shows them."""

from __future__ import annotations

import json

import pytest
from tests.cluster.harness.cluster import Cluster
from tests.cluster.installations import Installation
from tests.cluster.workflows import chain, told
from tests.unit.store.rings import key_text, lines

PASSWORD = "canary-password-5150"
KEYS = lines("one", plain="refuse")
WORDS = "cat /proc/[0-9]*/cmdline | tr '\\0' '\\n'"
SHOWN = ("workflows", "checkpoints", "pods", "events", "deployments", "leases", "configmaps", "services")


@pytest.fixture
def store_url(postgres: str, namespace: Cluster) -> str:
    """A schema of this test's own, and a password in the URL, which this server does not ask for."""
    url = postgres.replace("cairn@", f"cairn:{PASSWORD}@")
    return f"{url}?schema={namespace.namespace.replace('-', '_')}"


def keys_secret(text: str) -> str:
    """The Secret with the key file."""
    meta = {"name": "cairn-keys"}
    return json.dumps({"apiVersion": "v1", "kind": "Secret", "metadata": meta, "stringData": {"keys": text}})


def with_keys(installed: Installation, *arguments: str) -> str:
    """What the command line answers who has the keys, from a file that stands in no argument list."""
    installed.namespace.apply(
        json.dumps(
            {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {"name": "keeper"},
                "spec": {
                    "restartPolicy": "Never",
                    "terminationGracePeriodSeconds": 0,
                    "containers": [
                        {
                            "name": "keeper",
                            "image": "localhost/cairn:test",
                            "imagePullPolicy": "IfNotPresent",
                            "command": ["sleep", "600"],
                            "env": [
                                {"name": "CAIRN_KEYS_FILE", "value": "/keys/keys"},
                                {
                                    "name": "CAIRN_STORE_URL",
                                    "valueFrom": {
                                        "secretKeyRef": {"name": "cairn-store-default", "key": "url"}
                                    },
                                },
                            ],
                            "volumeMounts": [{"name": "keys", "mountPath": "/keys"}],
                        }
                    ],
                    "volumes": [{"name": "keys", "secret": {"secretName": "cairn-keys"}}],
                },
            }
        )
    )
    installed.namespace.wait("pod/keeper", "condition=Ready")
    return installed.namespace.exec("keeper", "cairn", *arguments, "--output=json")


def all_that_is_shown(installed: Installation) -> str:
    """Every object that a user may read but Secrets, and every log."""
    cluster = installed.namespace
    objects = [cluster.kubectl("get", kind, "--output=yaml") for kind in SHOWN]
    pods = cluster.kubectl("get", "pods", "--output=name").split()
    logs = [cluster.logs(pod.removeprefix("pod/")) for pod in pods]
    described = [cluster.kubectl("describe", "pods"), cluster.kubectl("describe", "workflows")]
    return "\n".join([*objects, *logs, *described])


def test_runs_are_encrypted_and_nobody_shows_a_secret(installed):
    """Who has the keys reads the state, who has not reads headers; key and password are in nothing shown."""
    installed.namespace.apply(keys_secret(KEYS))
    installed.start(CAIRN_KEYS_SECRET="cairn-keys", CAIRN_LOG_LEVEL="DEBUG")

    installed.apply(chain("locked", "a", "b"))
    installed.phase("locked", "Succeeded")

    assert json.loads(with_keys(installed, "state", "locked"))["done"] == told("a", "b")
    [proof] = json.loads(with_keys(installed, "verify"))["runs"]
    assert (proof["sound"], proof["unread"]) == (True, 0)
    [headers] = installed.cairn("verify")["runs"]
    assert (headers["sound"], headers["unread"]) == (True, headers["checkpoints"])
    shown = all_that_is_shown(installed)
    assert "locked" in shown
    assert "cairn-keys" in shown
    assert key_text("one") not in shown
    assert PASSWORD not in shown


def test_no_process_and_no_number_shows_a_secret(installed):
    """The words of every process in the operator's and the runner's pod, and the page of numbers."""
    installed.namespace.apply(keys_secret(KEYS))
    installed.start(CAIRN_KEYS_SECRET="cairn-keys")
    installed.hold("a#1")
    installed.apply(chain("locked", "a"))
    installed.begun("a#1")

    pods = {"operator": installed.operators()[0], "runner": installed.newest_runner("locked")}
    words = {who: installed.namespace.exec(pod, "sh", "-c", WORDS) for who, pod in pods.items()}
    numbers = "\n".join(installed.numbers())
    installed.release()
    installed.phase("locked", "Succeeded")

    assert "cairn_operator" in words["operator"]
    assert "cairn_runtime" in words["runner"]
    assert "cairn_store_up" in numbers
    for text in (*words.values(), numbers):
        assert PASSWORD not in text
        assert key_text("one") not in text


def test_a_namespace_without_the_secret_runs_nothing(installed):
    """The pod waits for its volume, nothing is written unencrypted, and with the Secret it goes on."""
    installed.start(CAIRN_KEYS_SECRET="cairn-keys")
    installed.apply(chain("waiting", "a"))
    installed.namespace.until("workflow/waiting", lambda found: bool(found.get("status", {}).get("pod")))
    pod = f"pod/{installed.runner('waiting')}"
    assert installed.namespace.get(pod)["status"]["phase"] == "Pending"

    installed.namespace.apply(keys_secret(KEYS))

    installed.phase("waiting", "Succeeded", seconds=150)
    assert json.loads(with_keys(installed, "state", "waiting"))["done"] == told("a")
