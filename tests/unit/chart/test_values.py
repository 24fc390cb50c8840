"""What the chart says twice, and what it says of itself: no Helm is needed to see that it is true."""

from __future__ import annotations

import json
import re
from dataclasses import fields
from pathlib import Path

import pytest
import yaml
from docs import generate_chart

import cairn_runtime
from cairn_operator.settings import read_settings

ROOT = Path(__file__).parents[3]
CHART = ROOT / "charts/cairn"
SOURCE = yaml.safe_load((CHART / "schema/values.yaml").read_text())
SCHEMA = json.loads((CHART / "values.schema.json").read_text())
VALUES = yaml.safe_load((CHART / "values.yaml").read_text())
METADATA = yaml.safe_load((CHART / "Chart.yaml").read_text())


def nodes(node, path=""):
    """Every value of a schema with its path, and what the items of lists hold."""
    for name, child in node.get("properties", {}).items():
        yield f"{path}{name}", child
        yield from nodes(child, f"{path}{name}.")
        if "items" in child:
            yield f"{path}{name}[]", child["items"]
            yield from nodes(child["items"], f"{path}{name}[].")


def paths(values, path=""):
    """Paths of what stands in a file of values, down to where it is described."""
    for name, value in values.items():
        yield f"{path}{name}"
        if isinstance(value, dict) and "properties" in dict(nodes(SOURCE)).get(f"{path}{name}", {}):
            yield from paths(value, f"{path}{name}.")


def test_what_is_written_is_what_its_source_says():
    """Schema, values, page and definitions of the chart are those that the generator makes."""
    differ = [name for name, text in generate_chart.files().items() if (ROOT / name).read_text() != text]

    assert differ == []


def test_every_value_is_described():
    """The schema says of each value, and of each field of an item, what it means."""
    silent = [path for path, node in nodes(SCHEMA) if not node.get("description", "").endswith(".")]

    assert silent == []


def test_every_value_is_on_the_page():
    """Whoever reads the page finds all values of the schema, and each value of values.yaml."""
    page = (CHART / "README.md").read_text()
    named = {path for path, _ in nodes(SCHEMA) if not path.endswith("[]")} | set(paths(VALUES))

    assert sorted(path for path in named if f"| `{path}` |" not in page) == []


def test_values_and_schema_have_the_same_names():
    """No value is in one of them alone."""
    described = {path for path, _ in nodes(SCHEMA) if "[]" not in path}

    assert set(paths(VALUES)) == described
    assert generate_chart.defaults(SOURCE) == VALUES


def test_unknown_keys_are_refused_everywhere():
    """Each object refuses what it does not name, is a map of texts, or is Kubernetes' own."""
    known = dict(nodes(SOURCE))
    lax = [
        path
        for path, node in [("", SCHEMA), *nodes(SCHEMA)]
        if node.get("type") == "object"
        and node.get("additionalProperties") not in (False, {"type": "string"})
        and generate_chart.KUBERNETES not in known[path]
    ]

    assert lax == []


def test_what_is_passed_on_says_whose_it_is():
    """A value that only Kubernetes checks names the kind that it is."""
    page = (CHART / "README.md").read_text()

    for path, node in nodes(SOURCE):
        kind = node.get(generate_chart.KUBERNETES, "none")
        if kind != "none":
            assert f"Kubernetes' own {kind}." in page, path


@pytest.mark.parametrize("preset", sorted(CHART.glob("presets/*.yaml")), ids=lambda path: path.name)
def test_a_preset_names_values_that_there_are(preset):
    """Whatever a preset sets is described, and the page says what the preset is for."""
    described = {path for path, _ in nodes(SCHEMA)}

    assert set(paths(yaml.safe_load(preset.read_text()))) <= described
    assert f"`presets/{preset.name}`" in (CHART / "README.md").read_text()


def test_the_chart_has_the_version_of_the_package():
    """Chart, operator and package are released together, under one number."""
    assert METADATA["version"] == METADATA["appVersion"] == cairn_runtime.__version__
    assert f"image: cairn:{cairn_runtime.__version__}\n" in METADATA["annotations"]["artifacthub.io/images"]


def test_the_annotations_name_what_is_in_the_chart():
    """Whoever finds the chart in a catalogue is told its kinds and its licence as they are."""
    named = yaml.safe_load(METADATA["annotations"]["artifacthub.io/crds"])
    crds = [yaml.safe_load(path.read_text()) for path in (ROOT / "crds").glob("*.yaml")]

    assert {one["name"]: one["kind"] for one in named} == {
        crd["metadata"]["name"]: crd["spec"]["names"]["kind"] for crd in crds
    }
    assert METADATA["annotations"]["artifacthub.io/license"] == "Apache-2.0"


@pytest.mark.parametrize("path", sorted((ROOT / "crds").glob("*.yaml")), ids=lambda path: path.name)
def test_the_definitions_of_the_chart_are_those_of_the_tree(path):
    """Without the switches of the chart around them they are the same text."""
    template = (CHART / "templates/crds" / path.name).read_text()
    annotation = "  annotations: {helm.sh/resource-policy: keep}\n"
    plain = re.sub(r"^ *\{\{-.*\}\}\n", "", template, flags=re.MULTILINE).replace(annotation, "")

    assert plain == path.read_text()


def test_a_definition_with_braces_is_no_template():
    """What Helm would read as its own is refused when the chart is made, not when it is installed."""
    with pytest.raises(generate_chart.ChartInvalid, match=r"crds/workflows\.yaml cannot be a template"):
        generate_chart.switched("metadata:\n  name: workflows.cairn.dev\n# {{ x }}\n", "workflows")


def test_a_value_without_a_default_is_refused():
    """A value that values.yaml could not show is found when the chart is made."""
    with pytest.raises(generate_chart.ChartInvalid, match="lost has no default"):
        list(generate_chart.values({"properties": {"lost": {"type": "string", "description": "Lost."}}}))


def test_a_change_of_the_source_that_was_not_written_is_found(tmp_path, capsys):
    """`--check` names each file that differs and the command that mends it, and writes nothing."""
    for name, text in generate_chart.files().items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    for folder in ("crds", "charts/cairn/schema"):
        (tmp_path / folder).mkdir(parents=True)
        for path in (ROOT / folder).iterdir():
            (tmp_path / folder / path.name).write_text(path.read_text())
    assert generate_chart.main(["--check"], tmp_path) == 0
    (tmp_path / "charts/cairn/values.yaml").write_text("replicas: 2\n")

    assert generate_chart.main(["--check"], tmp_path) == 1
    assert "charts/cairn/values.yaml; run: make docs" in capsys.readouterr().err
    assert (tmp_path / "charts/cairn/values.yaml").read_text() == "replicas: 2\n"


def test_the_operators_values_are_its_own_defaults():
    """What the chart tells the operator where nobody says otherwise is what it would have done anyway."""
    given = {"CAIRN_INSTALLATION": "one", "CAIRN_IMAGE": "cairn:1"}
    template = (CHART / "templates/deployment.yaml").read_text()
    named = re.findall(r"name: (CAIRN_\w+), value: \{\{ \.(\w+) ", template)
    told = {variable: str(VALUES["operator"][value]) for variable, value in named}
    alone = read_settings(given, host="h", own_namespace="n")
    charted = read_settings(given | told, host="h", own_namespace="n")

    assert {value for _, value in named} == set(VALUES["operator"])
    differ = [one.name for one in fields(alone) if getattr(alone, one.name) != getattr(charted, one.name)]
    assert differ == ["log_format"]  # in a pod it is json anyway


def test_the_program_of_the_test_hook_stands_alone():
    """It is run by the image's Python with nothing but a file: it imports the standard library only."""
    program = (CHART / "files/resume_test.py").read_text()
    imported = set(re.findall(r"^(?:import|from) (\w+)", program, re.MULTILINE))

    compile(program, "resume_test.py", "exec")
    assert not {name for name in imported if name.startswith(("cairn", "kubernetes"))}
