"""Names that were typed: refused where they cannot be names, before anything is asked of a cluster.

A name that begins with a dash would be an option of kubectl, one with a comma or a slash another question.
Pure, but for `checkpoint_named`, which looks into the list of Checkpoints where it must.
"""

from __future__ import annotations

import re
from typing import Any

from cairn_runtime.cli.inputs import refuse
from cairn_runtime.cli.kubectl import CHECKPOINTS, Kubectl, Target
from cairn_runtime.errors import CheckpointNotFound

_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", re.ASCII)
_OBJECT = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?", re.ASCII)
_NUMBERED = re.compile(r"((?P<who>[a-z0-9][-a-z0-9]*)/)?(?P<seq>[1-9][0-9]{0,9})", re.ASCII)
_RUN = re.compile(r"[0-9a-f][-0-9a-f]{7,35}", re.ASCII)
MAX_WORKFLOW = 45
LABEL = "cairn.dev/workflow"


def workflow_name(text: str, where: str = "WORKFLOW") -> str:
    """A Workflow's name; `cwf/digest` is taken as kubectl writes it.

    Raises:
        InvalidInput: it cannot be one.
    """
    name = re.sub(r"^(cwf|workflows?|workflows?\.cairn\.dev)/", "", text)
    if not _LABEL.fullmatch(name) or len(name) > MAX_WORKFLOW:
        refuse(
            where,
            f'"{text}" is no Workflow\'s name: lower-case letters, digits and "-", at most {MAX_WORKFLOW}',
        )
    return name


def target_named(context: str, namespace: str, kubeconfig: str) -> Target:
    """The cluster that is meant.

    Raises:
        InvalidInput: the namespace cannot be one.
    """
    if namespace and not _LABEL.fullmatch(namespace):
        refuse("--namespace", f'"{namespace}" is no namespace\'s name: lower-case letters, digits and "-"')
    return Target(context, namespace, kubeconfig)


def run_part(text: str) -> str:
    """A run's id, or a part of it.

    Raises:
        InvalidInput: it cannot be one.
    """
    if not _RUN.fullmatch(text):
        refuse("--run", f'"{text}" is no run\'s id, nor its last 8 characters')
    return text


def checkpoint_named(kubectl: Kubectl, workflow: str, text: str, where: str) -> str:
    """What `spec.resume.checkpoint` takes for a checkpoint as it was typed: an id, an object's name, a word.

    `7`, `digest/7` and `0b1eede3/7` are looked up among the Checkpoint objects; all else is passed on, since
    the store knows checkpoints that have no object any more.

    Raises:
        InvalidInput: it cannot be one.
        CheckpointNotFound: no object has this number.
    """
    match = _NUMBERED.fullmatch(text)
    if match is None:
        if text not in ("head", "latest", "start") and not _OBJECT.fullmatch(text):
            refuse(where, f'"{text}" is no checkpoint: an id, an object\'s name, a seq, head or start')
        return text
    found: list[Any] = kubectl.items(CHECKPOINTS, f"--selector={LABEL}={workflow}")
    run = match["who"] if match["who"] not in (None, workflow) else _current_run(kubectl, workflow)
    named = [
        str(one["metadata"]["name"])
        for one in found
        if str(one["spec"].get("run", "")).endswith(run) and one["spec"].get("seq") == int(match["seq"])
    ]
    if not named:
        listing = f"kubectl cairn checkpoints {workflow}{kubectl.target.words}"
        message = f'{where}: no Checkpoint object "{text}" of {workflow}; list them with: {listing}'
        raise CheckpointNotFound(text, message)
    return named[0]


def _current_run(kubectl: Kubectl, workflow: str) -> str:
    status: Any = kubectl.get("workflows.cairn.dev", workflow).get("status") or {}
    return str(status.get("run") or "-")
