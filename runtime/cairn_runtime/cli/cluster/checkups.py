"""What is wrong with Cairn on a cluster, as far as this user may see, and what mends it.

Each check looks at one thing and answers findings; what may not be looked at is a warning that names the
right. Of a Secret only its name is asked for. Nothing is changed: a review of rights is a question that the
API answers to a `create`.

    kinds ──> rights ──> operator and its Lease ──> Secrets of stores ──> Workflows
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any

from cairn_runtime.cli.cluster.facts import Seen, moment_of, seen_of
from cairn_runtime.cli.findings import Finding, Level, exit_code, finding_lines, findings_document
from cairn_runtime.cli.kubectl import WORKFLOWS, Kubectl, documents
from cairn_runtime.cli.outputs import Output
from cairn_runtime.cli.views.units import age, counted
from cairn_runtime.errors import CairnError, NotAllowed
from cairn_runtime.model.values import JSONObject, JSONValue
from cairn_runtime.model.workflow import Spec

OPERATORS = "--selector=app.kubernetes.io/name in (cairn-operator,cairn)"
RIGHTS = (
    ("get", "cairn.dev", "workflows", ""),
    ("list", "cairn.dev", "workflows", ""),
    ("watch", "cairn.dev", "workflows", ""),
    ("create", "cairn.dev", "workflows", ""),
    ("patch", "cairn.dev", "workflows", ""),
    ("list", "cairn.dev", "checkpoints", ""),
    ("patch", "cairn.dev", "checkpoints", ""),
    ("list", "", "pods", ""),
    ("get", "", "pods", "log"),
)
"""What the verbs of `kubectl cairn` need."""
MENDS = {
    "ImagePullBackOff": "mend spec.image, in the same change with a new resume nonce; a private registry"
    " needs spec.pod.imagePullSecrets",
    "ErrImagePull": "mend spec.image, in the same change with a new resume nonce",
    "InvalidImageName": "mend spec.image, in the same change with a new resume nonce",
    "CreateContainerConfigError": "a Secret or ConfigMap that the pod names is not in this namespace",
    "StoreUnavailable": "the store does not answer the operator: see the store, and its NetworkPolicy; runs"
    " go on by themselves",
    "StoreUnknown": "the operator has no store of this name: mend spec.store, or add the store at install",
    "StoreForbidden": "name a store that is for this namespace, or let the installation allow it",
    "RunMissing": "the store lost this run, or is another one: give the operator the right one back, or"
    " import a dump; to begin from nothing: kubectl cairn resume {name} --from start",
    "StoreSuspect": "many runners are silent at once: see the store; none is replaced meanwhile",
    "CheckpointNotFound": "mend spec.resume.checkpoint; list what there is: kubectl cairn checkpoints {name}",
    "OriginForeign": "a fork's origin must be of the same namespace and installation; name another one",
    "ManifestInvalid": "mend the named fields and apply it again",
    "NameTaken": "a pod of somebody else has the runner's name; delete that, or wait for the next name",
    "Unschedulable": "no node has room: less in spec.pod.resources, or more nodes",
    "StoreLoginRefused": "mend user and password in the Secret cairn-store-NAME; runs go on by themselves",
    "StoreUnusable": "the store refuses for good: mend what the message names; cairn doctor looks closer",
    "RunnerMissing": "install cairn-workflows in spec.image, and name it in the same change with a new resume"
    " nonce",
    "RunnerTooOld": "bring spec.image to the operator's release, in the same change with a new resume nonce",
    "RunnerUnusable": "mend what the message names: the pod's settings, or spec.image; then:"
    " kubectl cairn resume {name}",
}
_PENDING_SECONDS = 60.0
_LEASE_SECONDS = 120.0
_NO_INSTALL = "install Cairn: kubectl apply -f crds -f examples/cluster"


def doctor(output: Output, kubectl: Kubectl, *, everywhere: bool) -> int:
    """Look at everything, and say what was found."""
    found = examined(kubectl, output.now, everywhere=everywhere)
    if output.for_people:
        output.text(finding_lines(found))
    else:
        output.document(findings_document(found))
    return exit_code(found)


def examined(kubectl: Kubectl, now: datetime, *, everywhere: bool) -> list[Finding]:
    """All findings; without an answer from the cluster only that one."""
    try:
        kubectl.read("version")
    except CairnError as error:
        return [Finding(Level.FAULT, error.message, "see: kubectl config get-contexts; kubectl cluster-info")]
    found = _checked("the kinds", lambda: kinds_found(kubectl.items("crds")))
    if any(one.level is Level.FAULT for one in found):
        return found
    found += _checked("this user's rights", lambda: rights_found(_reviewed(kubectl)))
    found += _checked("the operator", lambda: _operator(kubectl, now, everywhere=everywhere))
    scope = ("--all-namespaces",) if everywhere else ()
    try:
        workflows = [seen_of(one) for one in kubectl.items(WORKFLOWS, *scope)]
    except CairnError as error:
        return [*found, Finding(Level.FAULT, error.message)]
    found += _checked("Secrets", lambda: _secrets(kubectl, workflows))
    return [*found, *workflows_found(workflows, now)]


def _checked(what: str, look: Callable[[], list[Finding]]) -> list[Finding]:
    """The findings of a check; that it may not look fails nothing."""
    try:
        return look()
    except NotAllowed as error:
        return [Finding(Level.WARNING, f"{what} could not be looked at", error.message)]
    except CairnError as error:
        return [Finding(Level.FAULT, f"{what} could not be looked at: {error.message}")]


# -- kinds ----------------------------------------------


def kinds_found(definitions: Iterable[JSONObject]) -> list[Finding]:
    """Whether the cluster knows both kinds, in the version of this program."""
    known: dict[str, Any] = {}
    for one in definitions:
        meta: Any = one.get("metadata") or {}
        known[meta.get("name")] = one.get("spec") or {}
    missing = [name for name in (WORKFLOWS, "checkpoints.cairn.dev") if name not in known]
    if missing:
        return [Finding(Level.FAULT, f"the cluster does not know {' and '.join(missing)}", _NO_INSTALL)]
    served = [one for one in known[WORKFLOWS].get("versions") or () if one.get("name") == "v1alpha1"]
    if not served or not served[0].get("served"):
        return [Finding(Level.FAULT, "Workflows are not served as cairn.dev/v1alpha1", _NO_INSTALL)]
    schema: Any = (served[0].get("schema") or {}).get("openAPIV3Schema") or {}
    fields = ((schema.get("properties") or {}).get("spec") or {}).get("properties") or {}
    own = {field.alias or name for name, field in Spec.model_fields.items()}
    if lacking := sorted(own - set(fields)):
        what = (
            f"the definition of Workflows is older than this program: it lacks spec.{', spec.'.join(lacking)}"
        )
        return [Finding(Level.WARNING, what, "apply the definitions of this release: kubectl apply -f crds")]
    return [Finding(Level.OK, "the cluster knows Workflows and Checkpoints, as this program does")]


# -- rights ----------------------------------------------


def _reviewed(kubectl: Kubectl) -> list[JSONObject]:
    """Ask for every right in one command."""
    where: JSONObject = {"namespace": kubectl.target.namespace or _namespace(kubectl)}
    items: list[JSONValue] = [
        {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {
                "resourceAttributes": {
                    **where,
                    "verb": verb,
                    "group": group,
                    "resource": resource,
                    "subresource": part,
                }
            },
        }
        for verb, group, resource, part in RIGHTS
    ]
    listed = {"apiVersion": "v1", "kind": "List", "items": items}
    said = kubectl.say("create", "--filename=-", "--output=json", given=json.dumps(listed))
    # kubectl prints what it creates one after another, and not as a list.
    return list(documents(said.splitlines(keepends=True)))


def _namespace(kubectl: Kubectl) -> str:
    said = kubectl.say("config", "view", "--minify", "--output=jsonpath={..namespace}")
    return said.strip() or "default"


def rights_found(reviews: Iterable[JSONObject]) -> list[Finding]:
    """Which rights this user lacks here."""
    lacking = []
    for one in reviews:
        spec: Any = one.get("spec") or {}
        status: Any = one.get("status") or {}
        asked = spec.get("resourceAttributes") or {}
        if not status.get("allowed"):
            part = f"/{asked['subresource']}" if asked.get("subresource") else ""
            lacking.append(f"{asked.get('verb')} {asked.get('resource')}{part}")
    if lacking:
        what = f"you may not {', '.join(lacking)} in this namespace"
        return [Finding(Level.WARNING, what, "ask for a role with these rights, where you need the verbs")]
    return [Finding(Level.OK, "you have every right that the verbs need, in this namespace")]


# -- the operator ----------------------------------------------


def _operator(kubectl: Kubectl, now: datetime, *, everywhere: bool) -> list[Finding]:
    deployments = kubectl.items("deployments", OPERATORS, "--all-namespaces")
    if not everywhere:
        here = kubectl.target.namespace or _namespace(kubectl)
        deployments = [one for one in deployments if watches(one, here)]
    found = operators_found(deployments)
    for one in deployments:
        name, namespace = lease_of(one)
        lease = kubectl.read("get", "leases", name, f"--namespace={namespace}", "--ignore-not-found")
        found.append(lease_found(lease, f"{namespace}/{name}", now))
    return found


def operators_found(deployments: Iterable[JSONObject]) -> list[Finding]:
    """Whether each operator has a pod that is ready."""
    found = []
    for one in deployments:
        meta: Any = one.get("metadata") or {}
        status: Any = one.get("status") or {}
        what, where = f"{meta.get('namespace')}/{meta.get('name')}", f"--namespace {meta.get('namespace')}"
        if status.get("readyReplicas"):
            found.append(Finding(Level.OK, f"the operator {what} is ready"))
            continue
        mend = f"see: kubectl logs deployment/{meta.get('name')} {where}; kubectl describe pods {where}"
        found.append(Finding(Level.FAULT, f"the operator {what} has no pod that is ready", mend))
    if found:
        return found
    what = "no operator runs here that you can see: Workflows stay as they are"
    return [Finding(Level.FAULT, what, f"{_NO_INSTALL}; or scale its Deployment up")]


def watches(deployment: JSONObject, namespace: str) -> bool:
    """Whether an operator looks at a namespace, by its settings."""
    named = _environment(deployment).get("CAIRN_NAMESPACES", "")
    return not named or namespace in [one.strip() for one in named.split(",")]


def lease_of(deployment: JSONObject) -> tuple[str, str]:
    """Name and namespace of the Lease that an operator holds, by its settings."""
    meta: Any = deployment.get("metadata") or {}
    environ = _environment(deployment)
    own = str(meta.get("namespace") or "default")
    return environ.get("CAIRN_LEASE", "cairn-operator"), environ.get("CAIRN_LEASE_NAMESPACE", own)


def _environment(deployment: JSONObject) -> dict[str, str]:
    """The settings that stand in a Deployment as plain texts."""
    spec: Any = deployment.get("spec") or {}
    containers = ((spec.get("template") or {}).get("spec") or {}).get("containers") or [{}]
    told = containers[0].get("env") or ()
    return {str(one.get("name")): str(one["value"]) for one in told if one.get("value")}


def lease_found(lease: JSONObject, what: str, now: datetime) -> Finding:
    """Whether somebody is on duty."""
    spec: Any = lease.get("spec") or {}
    renewed = moment_of(spec.get("renewTime"))
    if not spec.get("holderIdentity"):
        return Finding(Level.WARNING, f"nobody holds the Lease {what}", "wait for the operator to start")
    if (now - renewed).total_seconds() > _LEASE_SECONDS:
        what = f"the Lease {what} was renewed {age(renewed, now)} ago: no operator is on duty"
        return Finding(Level.FAULT, what, "see the operator's log; or this machine's clock")
    return Finding(Level.OK, f"{spec.get('holderIdentity')} is on duty, by the Lease {what}")


# -- stores ----------------------------------------------


def _secrets(kubectl: Kubectl, workflows: Iterable[Seen]) -> list[Finding]:
    """Whether each store's address is where a runner looks for it; only the Secret's name is asked for."""
    here = kubectl.target.namespace or _namespace(kubectl)
    wanted = {(one.namespace, one.store) for one in workflows if not one.finished} or {(here, "default")}
    found = []
    for namespace, store in sorted(wanted):
        words = ("get", "secret", f"cairn-store-{store}", f"--namespace={namespace}")
        there = kubectl.say(*words, "--ignore-not-found", "--output=name").strip()
        found.append(secret_found(namespace, store, there=bool(there)))
    return found


def secret_found(namespace: str, store: str, *, there: bool) -> Finding:
    """Whether a namespace has the address of a store."""
    what = f"Secret cairn-store-{store} in namespace {namespace}"
    if there:
        return Finding(Level.OK, f"{what} is there")
    mend = (
        f"write the store's URL into a file, then: kubectl create secret generic cairn-store-{store}"
        f" --namespace {namespace} --from-file=url=FILE"
    )
    return Finding(Level.FAULT, f"{what} is not there: no runner can start", mend)


# -- Workflows ----------------------------------------------


def workflows_found(workflows: Iterable[Seen], now: datetime) -> list[Finding]:
    """Which Workflows do not go on as asked, and why."""
    found, well = [], 0
    for one in workflows:
        name = f"{one.namespace}/{one.name}"
        if not one.phase and (now - one.created_at).total_seconds() > _PENDING_SECONDS:
            what = f"{name}: no operator has looked at it for {age(one.created_at, now)}"
            found.append(Finding(Level.FAULT, what, "its namespace is not watched: see CAIRN_NAMESPACES"))
        elif (trouble := one.trouble) is not None:
            mend = MENDS.get(trouble.reason, f"see: kubectl cairn get {one.name} --namespace {one.namespace}")
            what = f"{name}: {trouble.reason}: {trouble.message}"
            found.append(Finding(Level.FAULT, what, mend.format(name=one.name)))
        elif one.phase == "Failed":
            reason, message = one.why
            mend = f"mend it, then: kubectl cairn resume {one.name} --namespace {one.namespace}"
            mend = MENDS.get(reason, mend).format(name=one.name)
            found.append(Finding(Level.WARNING, f"{name}: Failed, {reason}: {message}", mend))
        else:
            well += 1
    return [*found, Finding(Level.OK, f"{counted(well, 'Workflow')} in order")]
