"""The runner's pod: built from the Workflow as Kubernetes has it and from the claim, never from store rows.

It passes Pod Security Standard `restricted`: no root, no privileges, a read-only root with a writable
`/tmp`, and no token of the API server. What a user may set is the allow-list `spec.pod`, already validated;
names that are Cairn's own (labels, variables, the volume of `/tmp`) win over theirs.
The store's URL comes from a Secret of the Workflow's namespace, so that it stands in no manifest.
Source: the Pod Security Standards page of the Kubernetes documentation.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field

from cairn_operator.names import (
    API_VERSION,
    EPOCH_LABEL,
    GENERATION_ANNOTATION,
    KEYS_SECRET_KEY,
    RUN_LABEL,
    STORE_SECRET_KEY,
    STORE_SECRET_PREFIX,
    WORKFLOW_KIND,
    WORKFLOW_LABEL,
)
from cairn_runtime.model.ids import short_id
from cairn_runtime.model.running import CHANGEABLE
from cairn_runtime.model.values import JSONObject, JSONValue
from cairn_runtime.model.workflow import Pod, Workflow

CONTAINER = "runner"
COMMAND: list[JSONValue] = ["python", "-m", "cairn_runtime.runner"]
_TMP = "cairn-tmp"
_KEYS = "cairn-keys"
_KEYS_FOLDER = "/etc/cairn/keys"
_LEAVE_SECONDS = 5
"""What is left of the pod's grace period for the last commit and the last word, after the tasks' own."""
_DEFAULT_RESOURCES: JSONObject = {
    "requests": {"cpu": "100m", "memory": "128Mi"},
    "limits": {"memory": "512Mi"},
}


@dataclass(frozen=True, slots=True)
class PodDefaults:
    """What an installation sets on every runner's pod."""

    image: str
    """Used where the Workflow names none."""
    pull_policy: str = ""
    """Empty: as Kubernetes decides by the tag."""
    resources: JSONObject = field(default_factory=lambda: dict(_DEFAULT_RESOURCES))
    """Used where the Workflow sets none."""
    keys_secret: str = ""
    """Secret of the Workflow's namespace that holds a key file; empty: nothing is encrypted."""


@dataclass(frozen=True, slots=True)
class Assignment:
    """Which claim a pod is made for."""

    namespace: str
    workflow: str
    workflow_uid: str
    run_id: str
    epoch: int
    claim_id: str
    generation: int
    """Of the Workflow as the pod is built from it."""

    @property
    def pod_name(self) -> str:
        """`<workflow>-<run short>-<epoch>`: unique by the run, and told by the eye."""
        return f"{self.workflow}-{short_id(self.run_id)}-{self.epoch}"


def runner_pod(manifest: Workflow, assignment: Assignment, defaults: PodDefaults) -> JSONObject:
    """Build the manifest of a runner's pod."""
    pod = manifest.spec.pod
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": assignment.pod_name,
            "namespace": assignment.namespace,
            "labels": {**pod.labels, **labels(assignment)},
            "annotations": {**pod.annotations, GENERATION_ANNOTATION: str(assignment.generation)},
            "ownerReferences": [owner(assignment.workflow, assignment.workflow_uid)],
        },
        "spec": _given(
            {
                "restartPolicy": "Never",
                "automountServiceAccountToken": False,
                "enableServiceLinks": False,
                "terminationGracePeriodSeconds": round(pod.termination_grace_period),
                "securityContext": _pod_security(pod),
                "containers": [_container(manifest, assignment, defaults)],
                "volumes": [{"name": _TMP, "emptyDir": {}}, *_keys_volume(defaults), *pod.volumes],
                "serviceAccountName": pod.service_account_name,
                "imagePullSecrets": list(pod.image_pull_secrets),
                "priorityClassName": pod.priority_class_name,
                "nodeSelector": dict(pod.node_selector),
                "tolerations": list(pod.tolerations),
                "affinity": pod.affinity,
            }
        ),
    }


def labels(assignment: Assignment) -> JSONObject:
    """The labels by which a pass finds its pods, and people theirs."""
    return {
        "app.kubernetes.io/name": "cairn-runner",
        "app.kubernetes.io/managed-by": "cairn",
        WORKFLOW_LABEL: assignment.workflow,
        RUN_LABEL: assignment.run_id,
        EPOCH_LABEL: str(assignment.epoch),
    }


def owner(name: str, uid: str) -> JSONObject:
    """The reference by which an object goes with its Workflow; it never holds the Workflow's deletion up."""
    return {"apiVersion": API_VERSION, "kind": WORKFLOW_KIND, "name": name, "uid": uid, "controller": True}


def _container(manifest: Workflow, assignment: Assignment, defaults: PodDefaults) -> JSONObject:
    pod = manifest.spec.pod
    return _given(
        {
            "name": CONTAINER,
            "image": manifest.spec.image or defaults.image,
            "imagePullPolicy": defaults.pull_policy or None,
            "command": list(COMMAND),
            "env": [*pod.env, *_environment(manifest, assignment), *_keys_variable(defaults)],
            "envFrom": list(pod.env_from),
            "resources": defaults.resources if pod.resources is None else pod.resources,
            "volumeMounts": [
                {"name": _TMP, "mountPath": "/tmp"},  # noqa: S108 - a mount of its own
                *_keys_mount(defaults),
                *pod.volume_mounts,
            ],
            # Without a last word the end of the log stands in its place: it says what is missing.
            "terminationMessagePolicy": "FallbackToLogsOnError",
            "securityContext": {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            },
        }
    )


def _environment(manifest: Workflow, assignment: Assignment) -> list[JSONValue]:
    """Cairn's own variables; they stand last, where the last one wins."""
    grace = max(round(manifest.spec.pod.termination_grace_period) - _LEAVE_SECONDS, 0)
    secret: JSONObject = {"name": STORE_SECRET_PREFIX + manifest.spec.store, "key": STORE_SECRET_KEY}
    plain = {
        "CAIRN_RUN_ID": assignment.run_id,
        "CAIRN_EPOCH": str(assignment.epoch),
        "CAIRN_CLAIM": assignment.claim_id,
        "CAIRN_GRACE": f"{grace}s",
        "CAIRN_LOG_FORMAT": "json",
        "CAIRN_SPEC": _changeable(manifest),
        # The root is read-only, so compiled modules could not be written anyway.
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    out: list[JSONValue] = [{"name": name, "value": value} for name, value in plain.items()]
    return [*out, {"name": "CAIRN_STORE_URL", "valueFrom": {"secretKeyRef": secret}}]


def _keys_volume(defaults: PodDefaults) -> list[JSONValue]:
    """A file, which is exchanged under a pod that runs; where the Secret is missing the pod waits for it."""
    items: list[JSONValue] = [{"key": KEYS_SECRET_KEY, "path": KEYS_SECRET_KEY}]
    secret: JSONObject = {"secretName": defaults.keys_secret, "items": items}
    return [{"name": _KEYS, "secret": secret}] if defaults.keys_secret else []


def _keys_mount(defaults: PodDefaults) -> list[JSONValue]:
    # The whole folder: a file that is mounted by itself (subPath) is never exchanged.
    mount: JSONObject = {"name": _KEYS, "mountPath": _KEYS_FOLDER, "readOnly": True}
    return [mount] if defaults.keys_secret else []


def _keys_variable(defaults: PodDefaults) -> list[JSONValue]:
    variable: JSONObject = {"name": "CAIRN_KEYS_FILE", "value": f"{_KEYS_FOLDER}/{KEYS_SECRET_KEY}"}
    return [variable] if defaults.keys_secret else []


def _changeable(manifest: Workflow) -> str:
    """What may change under way, as it is now: the row has it as it was when the run was made.

    No `$` stands in it, which Kubernetes would take for the beginning of another variable's name.
    """
    found = manifest.spec.model_dump(mode="json", by_alias=True, include=set(CHANGEABLE), exclude_unset=True)
    return json.dumps(found, sort_keys=True).replace("$", "\\u0024")


def _pod_security(pod: Pod) -> JSONObject:
    return _given(
        {
            "runAsNonRoot": True,
            "runAsUser": pod.run_as_user,
            "fsGroup": pod.fs_group,
            "seccompProfile": {"type": "RuntimeDefault"},
        }
    )


def _given(fields: JSONObject) -> JSONObject:
    """Leave out what is null or empty: the API server's own defaults hold."""
    return {name: value for name, value in fields.items() if value not in (None, [], {})}
