"""The custom resource definitions: what kinds there are, what they hold, what kubectl prints of them.

`crds/` is written from here and checked against it; a definition is applied as it stands there.
No defaults are set: what the API server stores is what people wrote, so that a default may change with a
release, and a manifest reads back as it was.
Lists of the spec are atomic: as maps, one write of the status of a large Workflow took a second and left a
fifth of a megabyte of bookkeeping.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from cairn_operator import names
from cairn_operator.resources.checkpoints import CheckpointSpec
from cairn_operator.resources.rules import CHECKPOINT_RULES, WORKFLOW_RULES, Rule
from cairn_operator.resources.schemas import PRESERVED, Schema, structural_schema
from cairn_operator.resources.statuses import WorkflowStatus
from cairn_runtime.model.checks.settings import MAX_SPEC_BYTES, MAX_STEPS
from cairn_runtime.model.workflow import Metadata, Spec, Workflow

Definition = dict[str, Any]

MAX_STEPS_LISTED = MAX_STEPS
"""Bound of the list of steps; what rules over it may cost follows from it."""


class Column(NamedTuple):
    """A column of `kubectl get`; those that are not for everybody show with `-o wide`."""

    name: str
    path: str
    description: str
    type: str = "string"
    wide: bool = False

    def written(self) -> dict[str, Any]:
        """Write it as the definition holds it."""
        wide = {"priority": 1} if self.wide else {}
        return {
            "name": self.name,
            "type": self.type,
            "jsonPath": self.path,
            "description": self.description,
            **wide,
        }


WORKFLOW_COLUMNS = (
    Column("Phase", ".status.phase", "The run in one word."),
    Column("Step", ".status.step", "The steps that are running, ready or parked."),
    Column("Progress", ".status.progress", "Steps that are done, of all."),
    Column(
        "Checkpoint", ".status.head.id", "Id of the newest checkpoint: what spec.resume.checkpoint takes."
    ),
    Column("Restarts", ".status.restarts", "How often a crashed runner was started again.", "integer"),
    Column("Age", ".metadata.creationTimestamp", "When the Workflow was created.", "date"),
    Column("Seq", ".status.head.seq", "Number of the newest checkpoint.", "integer", wide=True),
    Column("Run", ".status.run", "Id of the current run.", wide=True),
    Column("Epoch", ".status.epoch", "Epoch of the current run attempt.", "integer", wide=True),
    Column("Pod", ".status.pod", "The runner's pod.", wide=True),
    Column("Store", ".spec.store", "The store; empty: default.", wide=True),
    Column("Reason", ".status.lastError.reason", "What went wrong last.", wide=True),
)
CHECKPOINT_COLUMNS = (
    Column("Workflow", ".spec.workflow", "The Workflow."),
    Column("Run", ".spec.runText", "The last 8 characters of the run's id."),
    Column("Seq", ".spec.seq", "Number within the run.", "integer"),
    Column("Step", ".spec.step", "The step that it was written after."),
    Column("Next", ".spec.nextText", "What the run would do next from here."),
    Column("Size", ".spec.size", "Stored size."),
    Column("ID", ".spec.id", "Its id: what spec.resume.checkpoint of a Workflow takes."),
    Column("Age", ".spec.createdAt", "When it was written.", "date"),
    Column("Kind", ".spec.kind", "Whether it is a delta or a snapshot.", wide=True),
    Column("Epoch", ".spec.epoch", "Epoch of the run attempt that wrote it.", "integer", wide=True),
    Column("Hash", ".spec.hash", "Its hash in the chain of the run.", wide=True),
)

_SPEC_CHANGES: dict[str, Schema] = {
    # The models leave these two to the bound on the whole spec.
    "steps": {"maxItems": MAX_STEPS_LISTED},
    "code{}": {"maxLength": MAX_SPEC_BYTES},
    # As a map of any JSON it would be hidden from rules; as an object with unknown fields it can be compared.
    "input": {"additionalProperties": None, **PRESERVED},
}


def workflow_definition() -> Definition:
    """Make the definition of Workflow."""
    schema = _kind_schema(
        description="A graph of steps and how to run it. Every finished step is a checkpoint, from which the"
        " run goes on after a crash, or a new run is forked by `spec.resume`.",
        name=_name_schema(),
        spec=structural_schema(Spec, _SPEC_CHANGES),
        status=structural_schema(WorkflowStatus),
    )
    return _definition(
        (names.WORKFLOW_KIND, names.WORKFLOW_PLURAL, names.WORKFLOW_SHORT),
        _with_rules(schema, WORKFLOW_RULES),
        columns=WORKFLOW_COLUMNS,
        selectable=(".spec.store", ".status.phase"),
        status=True,
    )


def checkpoint_definition() -> Definition:
    """Make the definition of Checkpoint."""
    schema = _kind_schema(
        description="A view of one checkpoint of a run, for looking at a run's way and for going back to it."
        " It holds no values of the state; deleting it harms no run.",
        name=None,
        spec=structural_schema(CheckpointSpec),
        status=None,
    )
    return _definition(
        (names.CHECKPOINT_KIND, names.CHECKPOINT_PLURAL, names.CHECKPOINT_SHORT),
        _with_rules(schema, CHECKPOINT_RULES),
        columns=CHECKPOINT_COLUMNS,
        selectable=(".spec.workflow", ".spec.run"),
        status=False,
    )


def definitions() -> dict[str, Definition]:
    """Make all definitions, by the plural that a file in `crds/` is named after."""
    return {
        names.WORKFLOW_PLURAL: workflow_definition(),
        names.CHECKPOINT_PLURAL: checkpoint_definition(),
    }


def _name_schema() -> Schema:
    """Bound the object's name: pods and labels are named after it. No description may stand there."""
    name = structural_schema(Metadata)["properties"]["name"]
    return {key: value for key, value in name.items() if key in ("type", "maxLength", "pattern")}


def _kind_schema(*, description: str, name: Schema | None, spec: Schema, status: Schema | None) -> Schema:
    source = Workflow.model_fields
    texts = {
        "apiVersion": {"type": "string", "description": source["api_version"].description},
        "kind": {"type": "string", "description": source["kind"].description},
    }
    metadata: Schema = {"type": "object", **({"properties": {"name": name}} if name else {})}
    below = {**texts, "metadata": metadata, "spec": spec, **({"status": status} if status else {})}
    return {"description": description, "type": "object", "required": ["spec"], "properties": below}


def _definition(
    words: tuple[str, str, str],
    schema: Schema,
    *,
    columns: Iterable[Column],
    selectable: Iterable[str],
    status: bool,
) -> Definition:
    kind, plural, short = words
    version: Definition = {
        "name": names.VERSION,
        "served": True,
        "storage": True,
        "additionalPrinterColumns": [column.written() for column in columns],
        "selectableFields": [{"jsonPath": path} for path in selectable],
        **({"subresources": {"status": {}}} if status else {}),
        "schema": {"openAPIV3Schema": schema},
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{names.GROUP}", "labels": {"app.kubernetes.io/part-of": "cairn"}},
        "spec": {
            "group": names.GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": kind,
                "listKind": f"{kind}List",
                "plural": plural,
                "singular": kind.lower(),
                "shortNames": [short],
                "categories": [names.CATEGORY],
            },
            "versions": [version],
        },
    }


def _with_rules(schema: Schema, rules: Iterable[Rule]) -> Schema:
    """Put each rule where its `self` is; the schema is this module's own and is changed in place."""
    for rule in rules:
        schema_at(schema, rule.at).setdefault("x-kubernetes-validations", []).append(rule.written())
    return schema


def schema_at(schema: Schema, path: str) -> Schema:
    """Find the schema at a path such as `spec.steps[].next[]`, or `spec.code{}` for a map's values."""
    for part in path.replace("[]", ".[]").replace("{}", ".{}").split("."):
        match part:
            case "":
                continue
            case "[]":
                schema = schema["items"]
            case "{}":
                schema = schema["additionalProperties"]
            case _:
                schema = schema["properties"][part]
    return schema
