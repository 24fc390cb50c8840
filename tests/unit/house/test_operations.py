"""What the pages on operation promise: every alert, word, right, preset and number that there is."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest
import yaml
from tests.unit.house.test_commands import anchors, described

from cairn_runtime.cli.cluster.checkups import MENDS

ROOT = Path(__file__).parents[3]
OPERATE = ROOT / "docs/howto/operate.md"
TROUBLESHOOT = ROOT / "docs/howto/troubleshoot.md"
THREATS = ROOT / "docs/concepts/threat-model.md"
CHART = ROOT / "charts/cairn"
ALERTS = [
    rule["alert"]
    for group in yaml.safe_load((CHART / "files/rules.yaml").read_text())["groups"]
    for rule in group["rules"]
    if "alert" in rule
]
PRESETS = sorted((CHART / "presets").glob("*.yaml"))
NOT_FOR_PEOPLE = {
    # of an object, or of a pod that starts as it should
    *("BearerToken", "ConfigMap", "CustomResourceDefinition", "FallbackToLogsOnError", "FieldValueForbidden"),
    *("IfNotPresent", "RuntimeDefault", "PodScheduled", "PodInitializing", "ContainerCreating"),
    # of a condition that says that all is well
    *("InProgress", "NotStalled", "RunnerActive", "SuspendedBySpec"),
    # inside the operator: another word is shown for them
    *("AlreadyExists", "NoStore", "ContainerCannotRun", "StartError"),
    # of a node that took a pod away: all are told under DisruptionTarget
    *("NodeAffinity", "NodeLost", "NodeShutdown", "OutOfcpu", "OutOfmemory", "OutOfpods"),
    "UnexpectedAdmissionError",
}
"""Words in the operator's code that ask nothing of a person."""


def section(page: Path, heading: str) -> str:
    """What stands under a heading."""
    found = re.search(rf"^#+ {heading}\n(.*?)(?=^#|\Z)", page.read_text(), re.MULTILINE | re.DOTALL)
    return found[1] if found else ""


@pytest.mark.parametrize("alert", ALERTS)
def test_every_alert_has_its_paragraph(alert):
    """What it means, how to look, what to do; under the anchor to which the alert itself leads."""
    text = section(TROUBLESHOOT, alert)

    assert alert.lower() in anchors(TROUBLESHOOT)
    assert re.search(r"^\S.*\.$", text, re.MULTILINE)
    assert re.search(r"^Look", text, re.MULTILINE)
    assert re.search(r"^(Do: |Look and do: )", text, re.MULTILINE)


def test_no_paragraph_is_about_an_alert_that_is_gone():
    """Whoever removes or renames an alert is told here."""
    told = re.findall(r"^### (Cairn\w+)$", TROUBLESHOOT.read_text(), re.MULTILINE)

    assert sorted(told) == sorted(ALERTS)


@cache
def words() -> set[str]:
    """Reasons in the operator's code: whole strings of two words or more that are written as one."""
    sources = (ROOT / "operator/cairn_operator").rglob("*.py")
    return {
        node.value
        for source in sources
        for node in ast.walk(ast.parse(source.read_text()))
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and re.fullmatch(r"[A-Z][a-z]+(?:[A-Z][A-Za-z]+)+|OOMKilled", node.value)
    }


def test_every_word_that_needs_a_person_is_explained():
    """A reason that a status shows is found in the page, with what to do."""
    page = section(TROUBLESHOOT, "A Workflow does not go on")

    assert len(words()) > 30
    assert sorted(word for word in words() - NOT_FOR_PEOPLE if f"`{word}`" not in page) == []
    assert sorted(NOT_FOR_PEOPLE - words()) == []


@pytest.mark.parametrize("reason", sorted(MENDS))
def test_the_page_knows_what_the_doctor_of_a_cluster_mends(reason):
    """Both say what to do; the page has room to say why."""
    assert f"`{reason}`" in section(TROUBLESHOOT, "A Workflow does not go on")


def rules() -> dict[str, set[str]]:
    """The operator's rights as the chart gives them: verbs by resource."""
    text = (CHART / "templates/rbac.yaml").read_text()
    found: dict[str, set[str]] = {}
    for resources, verbs in re.findall(r"resources: \[([^\]]+)\](?:\n.*?)??[,\s]*verbs: \[([^\]]+)\]", text):
        for resource in resources.split(", "):
            found.setdefault(resource, set()).update(verbs.split(", "))
    for resources, verbs in re.findall(
        r"resources: \[([^\]]+)\]\n\s+resourceNames: .*\n\s+verbs: \[([^\]]+)\]", text
    ):
        found.setdefault(resources, set()).update(verbs.split(", "))
    return found


def test_the_threat_model_lists_the_operators_rights():
    """All of them, and none that it has not."""
    table = re.search(r"<!-- rights: begin -->(.*?)<!-- rights: end -->", THREATS.read_text(), re.DOTALL)
    assert table is not None
    told = {
        resource: set(verbs.split(", "))
        for resource, verbs in re.findall(r"^\| `([\w/]+)` \| ([\w, ]+) \|", table[1], re.MULTILINE)
    }

    assert told == rules()


@pytest.mark.parametrize("preset", PRESETS, ids=lambda path: path.stem)
def test_every_preset_is_in_the_playbook(preset):
    """And says nothing that the chart does not take."""
    said = yaml.safe_load(preset.read_text())

    assert f"({Path('../../charts/cairn/presets') / preset.name})" in OPERATE.read_text()
    assert [key for key in said if key not in described()] == []


@pytest.mark.parametrize("page", [OPERATE, TROUBLESHOOT, THREATS], ids=lambda path: path.stem)
def test_every_value_that_a_page_speaks_of_is_one(page):
    """A path such as `metrics.rules.enabled` is a value of the chart, or a field of a Workflow."""
    tops = {path.split(".")[0].rstrip("[]") for path in described()}
    paths = re.findall(r"`([a-z][a-zA-Z]+\.[a-zA-Z.]+)`", page.read_text())

    assert [path for path in paths if path.split(".")[0] in tops and path not in described()] == []


@pytest.mark.parametrize(
    ("row", "column", "shown"),
    [
        ("chain of 200, SQLite, sync", 2, "0.77 ms"),
        ("chain of 200, file, sync", 2, "0.65 ms"),
        ("chain of 200, Postgres, sync", 2, "0.65 ms"),
        ("chain of 200, Redis, sync", 2, "0.31 ms"),
        ("chain of 200, memory, sync", 2, "0.10 ms"),
        ("1000 writes of 4 KiB, Postgres: p50", 2, "0.77"),
        ("1000 writes of 4 KiB, Redis: p50", 2, "0.47"),
        ("100 writes of 1024 KiB, Postgres: p50", 2, "8.2"),
        ("100 writes of 1024 KiB, Redis: p50", 2, "7.1"),
        ("64 runs of 30 steps at once, Postgres", 2, "3,400 steps/s"),
        ("64 runs of 30 steps at once, Redis", 2, "4,500 steps/s"),
    ],
)
def test_the_choice_of_a_store_shows_what_was_measured(row, column, shown):
    """Rounded, and of the same run as the whole table: numbers that are copied by hand get old."""
    table = (ROOT / "docs/concepts/speed.md").read_text()
    (line,) = [line for line in table.splitlines() if line.startswith(f"| {row} |")]
    measured = float(line.strip("| ").split(" | ")[column].split()[0])
    number = shown.split()[0].replace(",", "")
    step = 100 if "," in shown else 10.0 ** -len(number.partition(".")[2])

    assert f" {shown}" in (ROOT / "docs/howto/choose-a-store.md").read_text()
    assert abs(measured - float(number)) <= step / 2 * 1.001
