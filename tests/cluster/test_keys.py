"""Encrypted runs on a cluster: runners get the keys from a Secret, and nobody shows them."""

from __future__ import annotations

import json

import pytest
from tests.cluster.harness.cluster import Cluster
from tests.cluster.harness.commands import until
from tests.cluster.installations import Installation, status
from tests.cluster.workflows import chain, step, told, workflow
from tests.unit.store.rings import key_text, lines

PASSWORD = "canary-password-5150"
SECRET = "cairn-keys"
KEYS = lines("one", plain="refuse")
WORDS = "cat /proc/[0-9]*/cmdline | tr '\\0' '\\n'"
KUBELET_SECONDS = 120
"""A kubelet looks after a pod's Secrets once in about a minute, or when the pod is changed."""
SHOWN = ("workflows", "checkpoints", "pods", "events", "deployments", "leases", "configmaps", "services")


@pytest.fixture
def store_url(postgres: str, namespace: Cluster) -> str:
    """A schema of this test's own, and a password in the URL, which this server does not ask for."""
    url = postgres.replace("cairn@", f"cairn:{PASSWORD}@")
    return f"{url}?schema={namespace.namespace.replace('-', '_')}"


def keys_secret(text: str, name: str = SECRET) -> str:
    """A Secret with a key file."""
    meta = {"name": name}
    return json.dumps({"apiVersion": "v1", "kind": "Secret", "metadata": meta, "stringData": {"keys": text}})


def with_keys(installed: Installation, *arguments: str) -> str:
    """What the command line answers who has the keys, from a file that stands in no argument list."""
    return installed.namespace.exec(keeper_of(installed, SECRET), "cairn", *arguments, "--output=json")


def keeper_of(installed: Installation, secret: str) -> str:
    """A pod in which the command line has the keys of a Secret."""
    keeper = f"with-{secret}"
    installed.namespace.apply(
        json.dumps(
            {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {"name": keeper},
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
                    "volumes": [{"name": "keys", "secret": {"secretName": secret}}],
                },
            }
        )
    )
    installed.namespace.wait(f"pod/{keeper}", "condition=Ready")
    return keeper


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


def replace_keys(installed: Installation, *names: str) -> None:
    """Change the Secret, and wait until the kubelet has brought it to the runner that is under way."""
    pod = installed.newest_runner("turning")
    installed.namespace.apply(keys_secret(lines(*names, plain="refuse")))
    # The kubelet looks at a pod that was changed at once.
    installed.namespace.kubectl("annotate", f"pod/{pod}", f"keys={'-'.join(names)}", "--overwrite")
    shown = ("sh", "-c", 'sed "s/:.*//" "$CAIRN_KEYS_FILE"')
    until(
        lambda: installed.namespace.exec(pod, *shown).split() == [*names, "plain"],
        f"the runner's file holds the keys {names}",
        seconds=KUBELET_SECONDS,
        every=1.0,
    )


def unread(installed: Installation, secret: str) -> list[int]:
    """Which checkpoints the keys of a Secret do not read."""
    said = installed.namespace.exec(keeper_of(installed, secret), "sh", "-c", "cairn verify -o json || true")
    [proof] = json.loads(said)["runs"]
    assert {found["reason"] for found in proof["findings"]} <= {"PayloadUnusable"}
    return [found["first"] for found in proof["findings"]]


def test_encryption_is_switched_on_under_a_runner_that_is_at_work(installed):
    """The next pod writes with the key, a rekey encrypts what was plain, and then plain may be refused."""
    installed.hold("b#1")
    installed.apply(workflow("turning", step("a", python="steps:finish"), step("b", "a")))
    installed.begun("a#1")

    installed.namespace.apply(keys_secret(lines("one")))
    installed.start(CAIRN_KEYS_SECRET=SECRET)
    installed.namespace.kubectl("delete", "pods", "--selector=app.kubernetes.io/name=cairn-runner")
    (after,) = installed.begun("b#1")
    assert after["epoch"] == 2
    done = json.loads(with_keys(installed, "store", "rekey"))
    assert (done["payloads"], done["unreadable"]) == (2, 0), "the begin and `a`"
    replace_keys(installed, "one")
    installed.release()

    installed.phase("turning", "Succeeded")
    assert unread(installed, SECRET) == []
    assert json.loads(with_keys(installed, "state", "turning"))["done"] == told("a", "b")


def test_keys_are_rotated_under_a_runner_that_is_at_work(installed):
    """The kubelet brings a new first key, which the same process takes; after a rekey the old one goes."""
    installed.namespace.apply(keys_secret(KEYS))
    installed.namespace.apply(keys_secret(lines("two", plain="refuse"), "new-alone"))
    installed.start(CAIRN_KEYS_SECRET=SECRET)
    installed.hold("b#1", "c#1")
    installed.apply(chain("turning", "a", "b", "c"))
    installed.begun("b#1")

    replace_keys(installed, "two", "one")
    installed.release("b#1")
    (before,) = installed.begun("c#1")
    assert before["epoch"] == 1, "its runner was not started again"
    assert unread(installed, "new-alone") == [1, 2], "the begin and `a` by the old key, `b` by the new one"
    assert json.loads(with_keys(installed, "state", "turning"))["done"] == told("a", "b")

    done = json.loads(with_keys(installed, "store", "rekey"))
    assert (done["payloads"], done["already"], done["unreadable"]) == (2, 1, 0)
    replace_keys(installed, "two")
    installed.namespace.kill(installed.newest_runner("turning"))
    installed.begun("c#1", times=2)
    installed.release()

    assert status(installed.phase("turning", "Succeeded"))["epoch"] == 2
    assert unread(installed, "new-alone") == []
    said = installed.namespace.exec(
        keeper_of(installed, "new-alone"), "cairn", "state", "turning", "-o", "json"
    )
    assert json.loads(said)["done"] == told("a", "b", "c")
    assert key_text("two") not in all_that_is_shown(installed)
