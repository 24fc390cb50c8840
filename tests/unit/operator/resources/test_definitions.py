"""The definitions as they lie in `crds/`: what kubectl explains, prints and applies, and what is bounded."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.unit.operator.resources.api_server import DEFINITIONS, SCHEMAS

from cairn_operator import names
from cairn_operator.resources.definitions import definitions, schema_at
from cairn_operator.resources.rules import CHECKPOINT_RULES, RUN_FIELDS, WORKFLOW_RULES

ROOT = Path(__file__).parents[4]
CRDS = sorted((ROOT / "crds").glob("*.yaml"))


@pytest.fixture(scope="module")
def generate():
    spec = importlib.util.spec_from_file_location("generate_crds", ROOT / "docs/generate_crds.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def nodes(schema: dict[str, Any], path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every schema in a schema, with its path."""
    yield path, schema
    for name, inner in schema.get("properties", {}).items():
        yield from nodes(inner, f"{path}.{name}")
    if "items" in schema:
        yield from nodes(schema["items"], f"{path}[]")
    if isinstance(schema.get("additionalProperties"), dict):
        yield from nodes(schema["additionalProperties"], f"{path}{{}}")


NODES = {path: node for kind, schema in SCHEMAS.items() for path, node in nodes(schema, kind)}
METADATA = {"Workflow.metadata", "Workflow.metadata.name", "Checkpoint.metadata"}
"""The API server describes these itself, and refuses a description of ours."""


def test_the_files_are_what_the_code_says(generate):
    """Whoever changes a model, a rule or a column runs `make docs`."""
    assert generate.main(["--check"]) == 0


def test_drift_is_found_and_writing_mends_it(generate, tmp_path, capsys):
    """The check fails for a file that is missing or changed by hand, and shows where."""
    assert generate.main(["--check"], tmp_path) == 1

    generate.main([], tmp_path)
    assert generate.main(["--check"], tmp_path) == 0

    page = tmp_path / "crds/checkpoints.yaml"
    page.write_text(page.read_text().replace("maxLength: 45", "maxLength: 46", 1))
    assert generate.main(["--check"], tmp_path) == 1
    assert "maxLength: 46" in capsys.readouterr().err


def test_the_page_has_a_row_for_each_field_and_each_rule(generate):
    """What kubectl explains and what a server refuses can be read without a cluster."""
    page = generate.files()["docs/reference/kubernetes.md"]

    for path in NODES:
        if path.startswith(("Workflow.status.", "Checkpoint.spec.")) and not path.endswith("[]"):
            assert f"| `{path.split('.', 2)[2]}` | " in page
    assert page.count("\n| Workflow `") == len(WORKFLOW_RULES)
    assert page.count("\n| Checkpoint `") == len(CHECKPOINT_RULES)


def test_there_is_a_file_for_each_definition_and_no_other():
    """A file that no code writes would be applied for ever."""
    assert {path.name for path in CRDS} == {f"{plural}.yaml" for plural in definitions()}


@pytest.mark.parametrize("path", CRDS, ids=lambda path: path.stem)
def test_a_definition_can_be_applied_by_kubectl(path):
    """`kubectl apply` keeps the whole object in an annotation, and all of these may have 256 KiB together."""
    document = yaml.safe_load(path.read_text())

    assert len(json.dumps(document)) < 100_000
    assert document["metadata"]["name"] == f"{document['spec']['names']['plural']}.{names.GROUP}"


# -- what kubectl says --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path", sorted({path for path in NODES if not path.endswith(("[]", "{}"))} - METADATA)
)
def test_every_field_is_explained(path):
    """`kubectl explain` reads as a manual."""
    description = NODES[path].get("description", "")

    assert len(description) >= 10
    assert description.endswith(".")
    assert "  " not in description


def test_a_default_is_told_and_not_set():
    """What is stored is what people wrote; a default may change with a release."""
    assert not [path for path, node in NODES.items() if "default" in node]
    assert NODES["Workflow.spec.checkpoint.policy"]["description"].endswith("Default: EveryStep.")
    assert NODES["Workflow.spec.checkpoint.history.maxAge"]["description"].endswith("Default: 7d.")
    assert NODES["Workflow.spec.state.strict"]["description"].endswith("Default: true.")


def columns(kind: str, priority: int) -> list[str]:
    """Headings of the columns, as kubectl prints them."""
    version = DEFINITIONS[kind]["spec"]["versions"][0]
    return [
        column["name"].upper()
        for column in version["additionalPrinterColumns"]
        if column.get("priority", 0) == priority
    ]


def test_the_columns_are_those_that_people_look_for():
    """One line for a Workflow and one for a Checkpoint say where it is and how to go back to it."""
    assert columns("Workflow", 0) == ["PHASE", "STEP", "PROGRESS", "CHECKPOINT", "RESTARTS", "AGE"]
    assert columns("Workflow", 1) == ["SEQ", "RUN", "EPOCH", "POD", "STORE", "REASON"]
    assert columns("Checkpoint", 0) == ["WORKFLOW", "RUN", "SEQ", "STEP", "NEXT", "SIZE", "ID", "AGE"]
    assert columns("Checkpoint", 1) == ["KIND", "EPOCH", "HASH"]


PATHS = [
    (kind, entry["jsonPath"])
    for kind, definition in DEFINITIONS.items()
    for part in ("additionalPrinterColumns", "selectableFields")
    for entry in definition["spec"]["versions"][0][part]
]


@pytest.mark.parametrize(("kind", "path"), PATHS)
def test_a_column_and_a_field_for_selecting_exist(kind, path):
    """A path that leads nowhere prints an empty column and says nothing."""
    assert path == ".metadata.creationTimestamp" or f"{kind}{path}" in NODES


def test_the_words_are_those_of_the_operator():
    """Kinds, short names and the category are what the code and the documentation say."""
    spec = DEFINITIONS["Workflow"]["spec"]

    assert spec["group"] == "cairn.dev"
    assert spec["names"]["shortNames"] == ["cwf"]
    assert DEFINITIONS["Checkpoint"]["spec"]["names"]["shortNames"] == ["ckpt"]
    assert {tuple(d["spec"]["names"]["categories"]) for d in DEFINITIONS.values()} == {("cairn",)}


# -- what is bounded ----------------------------------------------------------------------------------------


def unbounded(node: dict[str, Any]) -> bool:
    """Whether a schema allows a text, a list or a map of any size."""
    match node.get("type"):
        case "string":
            return not {"maxLength", "enum"} & set(node)
        case "array":
            return "maxItems" not in node
        case "object":
            return "additionalProperties" in node and "maxProperties" not in node
    return False


def test_every_text_list_and_map_has_a_bound():
    """What a rule may cost is estimated from them."""
    assert {path for path, node in NODES.items() if unbounded(node)} == {
        f"{kind}.{field}" for kind in SCHEMAS for field in ("apiVersion", "kind")
    }


def test_lists_are_atomic_but_for_the_conditions():
    """A list that is merged item by item costs bookkeeping for each item at each write."""
    kinds = {
        path: node["x-kubernetes-list-type"] for path, node in NODES.items() if node.get("type") == "array"
    }

    assert {path for path, kind in kinds.items() if kind != "atomic"} == {"Workflow.status.conditions"}
    assert NODES["Workflow.status.conditions"]["x-kubernetes-list-map-keys"] == ["type"]


def test_any_json_may_stand_in_these_places_only():
    """There the server looks at nothing, and the operator does."""
    free = {path for path, node in NODES.items() if node.get("x-kubernetes-preserve-unknown-fields")}

    assert free == {
        "Workflow.spec.input",
        "Workflow.spec.state.channels{}.initial",
        "Workflow.spec.state.channels{}.schema",
        "Workflow.spec.steps[].approval.schema",
        "Workflow.spec.steps[].signal.schema",
        "Workflow.spec.resume.statePatch{}",
        "Workflow.spec.pod.resources",
        "Workflow.spec.pod.affinity",
        *(
            f"Workflow.spec.pod.{field}[]"
            for field in ("tolerations", "env", "envFrom", "volumes", "volumeMounts", "imagePullSecrets")
        ),
    }


def test_a_null_in_a_patch_is_a_value():
    """The server drops every other null before it looks."""
    assert {path for path, node in NODES.items() if node.get("nullable")} == {
        "Workflow.spec.resume.statePatch{}"
    }


RULES = [("Workflow", rule) for rule in WORKFLOW_RULES] + [("Checkpoint", rule) for rule in CHECKPOINT_RULES]


@pytest.mark.parametrize(("kind", "rule"), RULES, ids=[f"{rule.at}{rule.field}" for _, rule in RULES])
def test_a_rule_stands_where_its_fields_are_and_says_what_to_do(kind, rule):
    """The message is what people see; it is one line, and blames a field that exists."""
    place = schema_at(SCHEMAS[kind], rule.at)

    assert rule.written() in place["x-kubernetes-validations"]
    assert "\n" not in rule.message
    assert len(rule.message) >= 40
    assert schema_at(place, rule.field)


def test_what_a_run_is_made_of_are_fields_of_the_spec():
    """A field that is renamed in the model does not slip out of the rule."""
    assert set(RUN_FIELDS) <= set(SCHEMAS["Workflow"]["properties"]["spec"]["properties"])
