"""An operator of a test's own, in the test's namespace, with a store and a witness.

The manifests are those of `examples/cluster`, changed only where a test must: the image's name, the
namespace, and rights and watches for that one namespace, so that no test sees another one's operator.
"""

from __future__ import annotations

import json
import re
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import yaml
from tests.cluster.harness.cluster import PATIENCE_SECONDS, Cluster, Object
from tests.cluster.harness.commands import until
from tests.cluster.harness.places import CHECKOUT

IMAGE = "localhost/cairn:test"
SERVERS_IMAGE = "localhost/cairn-servers:test"
MANIFESTS = CHECKOUT / "examples" / "cluster"
SERVERS = Path(__file__).parent / "servers"
OPERATOR = "cairn-operator"
STORE_SECRET = "cairn-store-default"
START_SECONDS = 150
KILLED = 128 + signal.SIGKILL
"""Exit code of a process that SIGKILL has ended."""
ASK = """
import sys, urllib.request
url, body = sys.argv[1:]
print(urllib.request.urlopen(urllib.request.Request(url, body.encode() or None)).read().decode())
"""

COMMITTED = """
import asyncio, json, os
from cairn_runtime import open_store
from cairn_runtime.errors import KeyMissing
from cairn_runtime.store.codec import Codec

def task(step, visit, item):
    return f"{step}#{visit}" + ("" if item is None else f"[{item}]")

def ended(row):
    try:
        events = Codec().decode_checkpoint(row)["events"]
    except KeyMissing:  # then the header has to do, which names whoever ended last
        return {task(row.step, row.visit, row.item)}
    items = {task(*event[1:4]) for event in events if event[0] in ("item", "failed")}
    return items | {task(*event[1:3], None) for event in events if event[0] == "done"}

async def committed():
    store = await open_store(os.environ["CAIRN_STORE_URL"])
    found = {}
    for run in await store.runs(limit=1000):
        tasks, after = found.setdefault(run.run_id, {}), 0
        while page := await store.read(run.run_id, after=after):
            tasks.update((one, row.epoch) for row in page for one in ended(row))
            after = page[-1].seq
    await store.close()
    print(json.dumps(found))

asyncio.run(committed())
"""
"""Run -> task -> the epoch that committed its end, by one process: the command line starts slowly."""

WITNESS = """
apiVersion: v1
kind: Service
metadata: {name: witness}
spec:
  selector: {app: witness}
  # Where the machine is so busy that a probe comes late, steps must still be heard.
  publishNotReadyAddresses: true
  ports: [{port: 80, targetPort: 8080}]
---
apiVersion: v1
kind: Pod
metadata: {name: witness, labels: {app: witness}}
spec:
  terminationGracePeriodSeconds: 0
  automountServiceAccountToken: false
  securityContext: {runAsNonRoot: true, seccompProfile: {type: RuntimeDefault}}
  containers:
    - name: witness
      image: IMAGE
      imagePullPolicy: IfNotPresent
      command: [python, -u, /witness/witness.py]
      env: [{name: CAIRN_STORE_URL, valueFrom: {secretKeyRef: {name: cairn-store-default, key: url}}}]
      readinessProbe: {httpGet: {path: /begun, port: 8080}, periodSeconds: 1}
      securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}
      volumeMounts: [{name: program, mountPath: /witness}]
  volumes: [{name: program, configMap: {name: witness}}]
"""


@dataclass(frozen=True, slots=True)
class Installation:
    """One operator with what belongs to it."""

    namespace: Cluster
    environ: dict[str, str] = field(default_factory=dict)
    """Settings of the operator beside those of the example."""

    # -- the operator ----------------------------------------------

    def start(self, **environ: str) -> None:
        """Apply the operator's manifests, with further settings, and wait until it is on duty."""
        self.namespace.apply(
            yaml.safe_dump_all(operator_manifests(self.namespace.namespace, self.environ | environ))
        )
        self._only(1)

    def scale(self, replicas: int) -> None:
        """Have so many operators; with none, wait until the last one is gone."""
        self.namespace.kubectl("scale", f"deployment/{OPERATOR}", f"--replicas={replicas}")
        if replicas:
            self._only(replicas)
        else:
            self.namespace.kubectl(
                "wait",
                "pod",
                f"--selector=app.kubernetes.io/name={OPERATOR}",
                "--for=delete",
                f"--timeout={PATIENCE_SECONDS:g}s",
                timeout_seconds=PATIENCE_SECONDS + 10,
            )

    def _only(self, replicas: int) -> None:
        """Wait for the operators that were asked for, and until no other one acts by its own settings."""
        rolled_out(self.namespace, OPERATOR)
        until(lambda: len(self.operators()) == replicas, "the operators before are gone", every=0.2)

    def operators(self) -> list[str]:
        """Names of the operator's pods."""
        listed = self.namespace.kubectl(
            "get", "pods", f"--selector=app.kubernetes.io/name={OPERATOR}", "--output=name"
        )
        return [line.removeprefix("pod/") for line in listed.split()]

    def start_once(self, name: str, **environ: str) -> None:
        """Start one more operator: a pod that nobody starts again, with a Lease of its own."""
        manifest = operator_pod(self.namespace.namespace, name, self.environ | environ)
        self.namespace.apply(json.dumps(manifest))

    def died(self, name: str) -> None:
        """Wait until an operator that was started once has died, as by SIGKILL."""
        found = self.namespace.until(
            f"pod/{name}", lambda pod: status(pod).get("phase") in ("Failed", "Succeeded")
        )
        (container,) = status(found)["containerStatuses"]
        code = container["state"]["terminated"]["exitCode"]
        assert code == KILLED, f"operator {name} ended with exit code {code}, not by its fault point"

    def kill_operator(self) -> None:
        """End the operator's process as a crash would; its container is started again by the cluster."""
        for pod in self.operators():
            self.namespace.kill(pod, signal.SIGKILL)

    def api_writes(self) -> dict[str, int]:
        """What the operator has written to the API server since it started, by `verb kind`."""
        found = [
            (re.fullmatch(r'cairn_api_writes_total\{kind="(\w+)",verb="(\w+)"\}', name), number)
            for name, number in self.numbers().items()
        ]
        return {f"{match[2]} {match[1]}": int(number) for match, number in found if match}

    def numbers(self) -> dict[str, float]:
        """What the operator tells Prometheus now, by name and labels."""
        (pod,) = self.operators()
        lines = self._fetched(pod, "/metrics").splitlines()
        told = [line for line in lines if line and not line.startswith("#")]
        return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in told)}

    def numbers_when(
        self, holds: Callable[[dict[str, float]], bool], *, seconds: float = PATIENCE_SECONDS
    ) -> dict[str, float]:
        """Ask for the numbers again and again until they are as expected; answer the last ones."""
        until = time.monotonic() + seconds
        found = self.numbers()
        while not holds(found) and time.monotonic() < until:
            found = self.numbers()
        return found

    def memory(self) -> dict[str, float]:
        """Mebibytes that the operator's process has (`VmRSS`), and had at most (`VmHWM`)."""
        (pod,) = self.operators()
        said = self.namespace.exec(pod, "cat", "/proc/1/status")
        found = re.findall(r"^(VmRSS|VmHWM):\s+(\d+) kB", said, re.MULTILINE)
        return {name: int(count) / 1024 for name, count in found}

    # -- Workflows ----------------------------------------------

    def apply(self, document: Object | str) -> None:
        """Apply a Workflow."""
        self.namespace.apply(document if isinstance(document, str) else json.dumps(document))

    def patch(self, name: str, spec: Object) -> None:
        """Change a Workflow's spec as a person does."""
        self.namespace.kubectl(
            "patch", f"cwf/{name}", "--type=merge", f"--patch={json.dumps({'spec': spec})}"
        )

    def resume(self, name: str, checkpoint: str, nonce: str, **more: Any) -> None:
        """Ask for a fork by patch."""
        self.patch(name, {"resume": {"checkpoint": checkpoint, "nonce": nonce, **more}})

    def phase(self, name: str, phase: str, *, seconds: float = PATIENCE_SECONDS) -> Object:
        """Wait until a Workflow is in a phase; answer it."""
        return self.namespace.until(
            f"workflows.cairn.dev/{name}", lambda found: status(found).get("phase") == phase, seconds=seconds
        )

    def condition(self, name: str, kind: str, reason: str, *, seconds: float = PATIENCE_SECONDS) -> Object:
        """Wait until a condition is true for a reason; answer the condition."""
        found = self.namespace.until(
            f"workflows.cairn.dev/{name}",
            lambda seen: condition_of(seen, kind).get("reason") == reason,
            seconds=seconds,
        )
        return condition_of(found, kind)

    def workflow(self, name: str) -> Object:
        """A Workflow as it is now."""
        return self.namespace.get(f"cwf/{name}")

    def runners(self, name: str) -> list[Object]:
        """The pods of a Workflow that are there, by epoch."""
        found = self.namespace.kubectl(
            "get", "pods", f"--selector=cairn.dev/workflow={name}", "--output=json"
        )
        return sorted(
            json.loads(found)["items"], key=lambda pod: int(pod["metadata"]["labels"]["cairn.dev/epoch"])
        )

    def newest_runner(self, name: str) -> str:
        """The name of a Workflow's newest pod, whatever its status says by now."""
        pod: str = self.runners(name)[-1]["metadata"]["name"]
        return pod

    def runner(self, name: str) -> str:
        """The name of the pod that a Workflow's status names."""
        pod: str = status(self.workflow(name))["pod"]
        return pod

    # -- the store ----------------------------------------------

    def cairn(self, *arguments: str) -> Any:
        """What the command line answers from the store of this namespace."""
        said = self.namespace.exec("witness", "cairn", *arguments, "--output=json")
        return json.loads(said)

    def state(self, what: str) -> Any:
        """The state of a Workflow's newest run, or of a run."""
        return self.cairn("state", what)

    def checkpoints(self, what: str) -> list[Any]:
        """Headers of a run's checkpoints, newest first."""
        found: list[Any] = self.cairn("checkpoints", what)
        return found

    # -- the witness ----------------------------------------------

    def hold(self, *tasks: str) -> None:
        """Let these tasks begin but not go on."""
        self._ask("/hold", {"tasks": tasks})

    def release(self, *tasks: str) -> None:
        """Let tasks go on; without a name all."""
        self._ask("/release", {"tasks": tasks})

    def begun(self, task: str, *, times: int = 1, seconds: float = PATIENCE_SECONDS) -> list[Any]:
        """Wait until a task has begun so many times; answer all its beginnings.

        Raises:
            TimeoutError: it has not.
        """
        query = urlencode({"task": task, "count": times, "seconds": seconds})
        found: list[Any] = self._ask(f"/begun?{query}")
        of_task = [one for one in found if one["task"] == task]
        if len(of_task) < times:
            raise TimeoutError(f"{task} began {len(of_task)} times, not {times}, within {seconds:g} s")
        return of_task

    def beginnings(self, *, at_least: int = 0, seconds: float = PATIENCE_SECONDS) -> list[Any]:
        """All beginnings of all tasks; when there are so many, or the time is over."""
        query = urlencode({"count": at_least, "seconds": seconds})
        found: list[Any] = self._ask(f"/begun?{query}")
        return found

    def repeated(self) -> list[str]:
        """Tasks that began again in an epoch after the one in which they were committed."""
        committed = json.loads(self.namespace.exec("witness", "python", "-c", COMMITTED))
        found = []
        for one in self.beginnings():
            epoch = committed.get(one["run"], {}).get(one["task"])
            if epoch is not None and one["epoch"] > epoch:
                where = f"committed in epoch {epoch}, began in {one['epoch']}"
                found.append(f"{one['task']} of {one['run']}: {where}")
        return found

    def _ask(self, path: str, said: Any = None) -> Any:
        return json.loads(self._fetched("witness", path, "" if said is None else json.dumps(said)))

    def _fetched(self, pod: str, path: str, body: str = "") -> str:
        """What a pod's own server on port 8080 answers."""
        url = f"http://127.0.0.1:8080{path}"
        argv = ("exec", pod, "--", "python", "-c", ASK, url, body)
        return self.namespace.kubectl(*argv, timeout_seconds=300)


def status(found: Object) -> Object:
    """The status of an object; empty where nobody has written it."""
    return found.get("status") or {}


def condition_of(found: Object, kind: str) -> Object:
    """A condition that is true; empty where it is not."""
    return next(
        (
            one
            for one in status(found).get("conditions", [])
            if one["type"] == kind and one["status"] == "True"
        ),
        {},
    )


def manifests(name: str) -> list[Object]:
    """The objects of a file of `examples/cluster`, with the images of the tests."""
    return list(yaml.safe_load_all(with_images((MANIFESTS / name).read_text())))


def with_images(text: str) -> str:
    """The text of a manifest of `examples/cluster`, with the images of the tests."""
    return text.replace("cairn:dev", IMAGE).replace("postgres:17", SERVERS_IMAGE)


def operator_manifests(namespace: str, environ: dict[str, str]) -> list[Object]:
    """The operator's objects for one namespace: its cluster-wide rights become rights there."""
    found = []
    for document in manifests("operator.yaml"):
        if document["kind"] == "Namespace":
            continue
        document["metadata"]["namespace"] = namespace
        if document["kind"] in ("ClusterRole", "ClusterRoleBinding"):
            document["kind"] = document["kind"].removeprefix("Cluster")
        if "roleRef" in document:
            document["roleRef"]["kind"] = "Role"
            document["subjects"][0]["namespace"] = namespace
        if document["kind"] == "Deployment":
            (container,) = document["spec"]["template"]["spec"]["containers"]
            own = {"CAIRN_NAMESPACES": namespace, "CAIRN_INSTALLATION": namespace, **environ}
            kept = [one for one in container["env"] if one["name"] not in own]
            container["env"] = kept + [{"name": name, "value": value} for name, value in own.items()]
        found.append(document)
    return found


def operator_pod(namespace: str, name: str, environ: dict[str, str]) -> Object:
    """An operator without a Deployment; its labels are its own, or the Deployment would take it."""
    documents = operator_manifests(namespace, {"CAIRN_LEASE": name, **environ})
    (deployment,) = (found for found in documents if found["kind"] == "Deployment")
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "labels": {"app": name}},
        "spec": {**deployment["spec"]["template"]["spec"], "restartPolicy": "Never"},
    }


def secret(url: str) -> Object:
    """The Secret that names the store of a namespace."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": STORE_SECRET},
        "stringData": {"url": url},
    }


def witness_manifests() -> str:
    """The pod that steps tell, and in which the command line is at hand."""
    program = {"witness.py": (SERVERS / "witness.py").read_text()}
    config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "witness"}, "data": program}
    return WITNESS.replace("IMAGE", IMAGE) + "---\n" + yaml.safe_dump(config)


def rolled_out(namespace: Cluster, deployment: str) -> None:
    """Wait until a Deployment is as it was asked for; on a busy machine a pod takes a minute to be ready."""
    arguments = ("rollout", "status", f"deployment/{deployment}", f"--timeout={START_SECONDS}s")
    namespace.kubectl(*arguments, timeout_seconds=START_SECONDS + 10)


def build_images(cluster: Cluster) -> None:
    """Give the nodes the image of this checkout, and that of the servers."""
    cluster.build_image(SERVERS_IMAGE, SERVERS / "Dockerfile", context=SERVERS)
    cluster.build_image(IMAGE, CHECKOUT / "Dockerfile")


KINDS = ("crd/workflows.cairn.dev", "crd/checkpoints.cairn.dev")


def define(cluster: Cluster) -> None:
    """Let the cluster know the kinds, as they are in this checkout."""
    cluster.kubectl("apply", f"--filename={CHECKOUT / 'crds'}")
    for kind in KINDS:
        cluster.wait(kind, "condition=Established")


def install(namespace: Cluster, store_url: str) -> Installation:
    """Put store, witness and operator into a namespace."""
    installation = Installation(namespace)
    namespace.apply(json.dumps(secret(store_url)))
    namespace.apply(witness_manifests())
    installation.start()
    namespace.wait("pod/witness", "condition=Ready", seconds=START_SECONDS)
    return installation


def start_postgres(namespace: Cluster, *, data: Object | None = None) -> str:
    """Start the Postgres of the examples in a namespace, its disk an `emptyDir` like this; answer its URL."""
    found = [document for document in manifests("postgres.yaml") if document["kind"] != "Namespace"]
    for document in found:
        document["metadata"]["namespace"] = namespace.namespace
        if document["kind"] == "Deployment":
            document["spec"]["template"]["spec"]["volumes"] = [{"name": "data", "emptyDir": data or {}}]
    namespace.apply(yaml.safe_dump_all(found))
    rolled_out(namespace, "postgres")
    return f"postgresql://cairn@postgres.{namespace.namespace}/cairn"
