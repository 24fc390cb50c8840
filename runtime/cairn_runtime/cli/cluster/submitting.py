"""Submitting a Workflow: judged here as `cairn validate` does, then applied through standard input.

A file's code that lies beside it, and that neither an image, `code` nor `codeFrom` brings, goes along in
`spec.code`: the file that runs with `cairn run` runs on a cluster as it is. A folder with a kustomization is
built by `kubectl kustomize`, and all that comes out is applied.
"""

from __future__ import annotations

import json
import re
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cairn_runtime.cli.cluster.facts import seen_of, workflow_shape
from cairn_runtime.cli.cluster.following import watch
from cairn_runtime.cli.cluster.naming import workflow_name
from cairn_runtime.cli.inputs import read_object, refuse, set_values
from cairn_runtime.cli.kubectl import WORKFLOWS, Kubectl, Target
from cairn_runtime.cli.manifests import code_beside, folder_of, judge, read_file
from cairn_runtime.cli.outputs import Output
from cairn_runtime.errors import EXIT_DONE, Fault, ManifestInvalid
from cairn_runtime.model.reading import read_manifest
from cairn_runtime.model.values import JSONObject

KUSTOMIZATIONS = ("kustomization.yaml", "kustomization.yml", "Kustomization")
_BETWEEN = re.compile(r"^---\s*$", re.MULTILINE)
_LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"
_RANDOM = 5


@dataclass(frozen=True, slots=True)
class Submission:
    """What was typed."""

    file: str
    name: str = ""
    generate_name: str = ""
    input: str | None = None
    settings: tuple[str, ...] = ()
    watch: bool = False


@dataclass(frozen=True, slots=True)
class Ready:
    """What is to be applied."""

    documents: tuple[JSONObject, ...]
    name: str
    """The Workflow among them."""
    notes: tuple[str, ...] = ()


def submit(output: Output, kubectl: Kubectl, submission: Submission) -> int:
    """Apply a Workflow, and follow it where that is wanted.

    Raises:
        ManifestInvalid, InvalidInput: naming everything that is wrong; nothing was applied.
    """
    ready = made_ready(kubectl, submission)
    output.note(*ready.notes)
    listed = {"apiVersion": "v1", "kind": "List", "items": [*ready.documents]}
    kubectl.say("apply", "--filename=-", given=json.dumps(listed))
    found = next(one for one in ready.documents if one.get("kind") == "Workflow")
    meta: Any = found["metadata"]
    if not kubectl.target.namespace and meta.get("namespace"):
        target = Target(kubectl.target.context, str(meta["namespace"]), kubectl.target.kubeconfig)
        kubectl = Kubectl(target)
    applied = kubectl.get(WORKFLOWS, ready.name)
    seen = seen_of(applied)
    if not submission.watch:
        if output.for_people:
            output.text([_told(seen.name, seen.phase, finished=seen.finished and seen.current)])
            output.note(f"follow: kubectl cairn watch {seen.name}{kubectl.target.words}")
        else:
            output.document(workflow_shape(seen))
        return EXIT_DONE
    generation: Any = (applied.get("metadata") or {}).get("generation")  # type: ignore[union-attr]
    return watch(output, kubectl, ready.name, generation=int(generation or 0), lines=False)


def made_ready(kubectl: Kubectl, submission: Submission) -> Ready:
    """Read, change and judge what is to be applied.

    Raises:
        ManifestInvalid, InvalidInput: naming everything that is wrong.
    """
    if submission.name and submission.generate_name:
        refuse("--generate-name", "a name is given too; use one of them")
    given = read_object(submission.input, "--input") if submission.input is not None else {}
    path = Path(submission.file)
    folder = path if path.is_dir() else folder_of(submission.file)
    notes: list[str] = []
    if any((path / name).is_file() for name in KUSTOMIZATIONS):
        documents = _built(kubectl, path)
    else:
        _, document = read_file(submission.file)
        documents = [_with_code(document, folder, notes)]
    found = [n for n, one in enumerate(documents) if one.get("kind") == "Workflow"]
    if len(found) != 1 and len(documents) > 1:
        raise ManifestInvalid([Fault(submission.file, f"holds {len(found)} Workflows; submit takes one")])
    n = found[0] if found else 0
    documents[n] = _changed(documents[n], submission, given)
    workflow = judge(submission.file, documents[n], folder).require()
    return Ready(tuple(documents), workflow.metadata.name, tuple(notes))


def _built(kubectl: Kubectl, folder: Path) -> list[JSONObject]:
    """What a kustomization makes."""
    text = kubectl.say("kustomize", str(folder.absolute()))
    return [
        read_manifest(part, source=f"{folder}, part {n}")
        for n, part in enumerate(_BETWEEN.split(text), 1)
        if part.strip()
    ]


def _with_code(document: JSONObject, folder: Path, notes: list[str]) -> JSONObject:
    """The Workflow with the code beside it, where nothing else brings any."""
    spec = document.get("spec")
    if not isinstance(spec, dict) or any(spec.get(name) for name in ("image", "code", "codeFrom")):
        return document
    code = code_beside(document, folder)
    if not code:
        return document
    notes.append(f"with {', '.join(sorted(code))} from {folder}")
    return {**document, "spec": {**spec, "code": {**code}}}


def _changed(document: JSONObject, submission: Submission, given: JSONObject) -> JSONObject:
    """The Workflow under the name, and with the input, that was typed."""
    spec, meta = document.get("spec"), document.get("metadata")
    if isinstance(spec, dict) and (given or submission.settings):
        own = spec.get("input")
        laid = {**(own if isinstance(own, dict) else {}), **given}
        document = {**document, "spec": {**spec, "input": set_values(laid, submission.settings)}}
    if not (submission.name or submission.generate_name):
        return document
    name = workflow_name(submission.name, "--name") if submission.name else _made(submission.generate_name)
    return {**document, "metadata": {**(meta if isinstance(meta, dict) else {}), "name": name}}


def _made(beginning: str) -> str:
    name = beginning + "".join(secrets.choice(_LETTERS) for _ in range(_RANDOM))
    return workflow_name(name, "--generate-name")


def _told(name: str, phase: str, *, finished: bool) -> str:
    if finished:
        return (
            f"{name} is there already, and its run is {phase}; run it again with --generate-name {name}-,"
            f" or with: kubectl cairn resume {name} --from start"
        )
    return f"{name} submitted"
