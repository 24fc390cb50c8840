"""What is kept of a test that failed: objects, Kubernetes Events, logs, in a folder of its own.

Written while the namespace is still there.  Whatever cannot be had leaves its error in the file instead: a
broken cluster is exactly when the rest is needed.  Secrets are not written.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

from tests.cluster.harness.choosing import Provider
from tests.cluster.harness.commands import ClusterError
from tests.cluster.harness.places import CHECKOUT

FOLDER = CHECKOUT / "build" / "cluster-failures"
LEFT_OUT = {"secrets", "events", "events.events.k8s.io", "componentstatuses"}

Kubectl = Callable[..., str]


def folder_for(test: str) -> Path:
    """An empty folder for a test, by its name."""
    folder = FOLDER / re.sub(r"[^\w.-]+", "_", test.rpartition("tests/cluster/")[2])
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def collect(kubectl: Kubectl, provider: Provider, folder: Path) -> None:
    """Write objects, events, descriptions and logs of a namespace, and the logs of the cluster."""
    folder.mkdir(parents=True, exist_ok=True)

    def keep(name: str, take: Callable[[], str]) -> str:
        try:
            text = take()
        except (ClusterError, OSError) as error:
            (folder / f"{name}.error").write_text(str(error))
            return ""
        (folder / name).write_text(text)
        return text

    kinds = keep(
        "kinds.txt", lambda: kubectl("api-resources", "--namespaced", "--verbs=list", "--output=name")
    )
    wanted = ",".join(kind for kind in kinds.split() if kind not in LEFT_OUT)
    keep("objects.yaml", lambda: kubectl("get", wanted or "pods", "--output=yaml"))
    keep("objects.txt", lambda: kubectl("get", wanted or "pods", "--output=wide"))
    keep("events.txt", lambda: kubectl("get", "events", "--sort-by=.metadata.creationTimestamp"))
    keep("pods.txt", lambda: kubectl("describe", "pods"))
    keep("nodes.txt", lambda: kubectl("describe", "nodes"))
    for pod in json.loads(
        keep("pods.json", lambda: kubectl("get", "pods", "--output=json")) or '{"items": []}'
    )["items"]:
        name = pod["metadata"]["name"]
        everything = ("logs", name, "--all-containers", "--timestamps")
        keep(f"{name}.log", partial(kubectl, *everything))
        if any(status["restartCount"] for status in pod["status"].get("containerStatuses", [])):
            keep(f"{name}.previous.log", partial(kubectl, *everything, "--previous"))
    try:
        provider.logs(folder / "cluster")
    except (ClusterError, OSError) as error:
        (folder / "cluster.error").write_text(str(error))
