"""Alerts and dashboard ask for numbers that there are, by labels that they have."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml
from tests.cluster.test_rules import GOOD_DAY, STORIES
from tests.unit.operator.reconcile.builders import ended, started, word
from tests.unit.operator.telemetry.test_metrics import KEY, world

from cairn_operator.reconcile.act import Refusal
from cairn_operator.reconcile.checking import Room
from cairn_operator.reconcile.state import Plan, StartRunner
from cairn_operator.telemetry.metrics import Gauges, Metrics

FILES = Path(__file__).parents[4] / "charts/cairn/files"
RULES = [
    rule for group in yaml.safe_load((FILES / "rules.yaml").read_text())["groups"] for rule in group["rules"]
]
DASHBOARD = json.loads((FILES / "dashboard.json").read_text())
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
ALERTS = [rule for rule in RULES if "alert" in rule]
RECORDED = {rule["record"]: rule["expr"] for rule in RULES if "record" in rule}
SUFFIXES = {"counter": ("_total",), "gauge": ("",), "histogram": ("_bucket", "_count", "_sum")}


def exported():
    """Every number that an operator tells, with the labels that it has."""
    found = Metrics(
        Gauges(
            queue_depth=lambda: 0,
            watch_ages=lambda: {"Pod": 0.0},
            watch_restarts=lambda: 0,
            active=lambda: True,
            open_stores=lambda: {"default": True},
            lost_stores=set,
            rooms=lambda: {"default": Room(0.1, 1, 1)},
            api_writes=lambda: {("Pod", "create"): 1},
        )
    )
    zombies = (ended(75, word("Superseded", "x"), uid="1"),)
    found.count_pass(KEY, world(run=started(), pods=zombies), Plan((StartRunner("r", 1),)), Refusal(), 0.1)
    found.count_pass(KEY, world(store_error=("Down", "no")), Plan(), Refusal(), 0.1)
    found.count_end(KEY, "Troubled")
    labels: dict[str, set[str]] = {}
    for family in found.registry.collect():
        for suffix in SUFFIXES[family.type]:
            labels[family.name + suffix] = set()
        for sample in family.samples:
            labels[sample.name] = set(sample.labels)
    return labels


FOREIGN = {
    f"kube_cronjob_status_last_{what}_time": {"namespace", "cronjob"} for what in ("schedule", "successful")
}
"""Numbers of kube-state-metrics, by the names that it calls stable."""
EXPORTED = exported() | FOREIGN
QUERIES = [
    *(pytest.param(rule["expr"], id=rule.get("alert") or rule["record"]) for rule in RULES),
    *(
        pytest.param(target["expr"], id=f"{panel['title']}-{target['refId']}")
        for panel in PANELS
        for target in panel["targets"]
    ),
]


@pytest.mark.parametrize("query", QUERIES)
def test_a_query_asks_for_what_there_is(query):
    """Each name is exported or recorded; a name that is misspelled would never alert, and never say so."""
    exact = set(re.findall(r"\b(?:cairn|kube)_[a-z_]+", query))
    recorded = set(re.findall(r"\bcairn:[a-z0-9_:]+", query))

    assert exact | recorded
    assert exact <= EXPORTED.keys()
    assert recorded <= RECORDED.keys()


@pytest.mark.parametrize("query", QUERIES)
def test_a_query_groups_by_labels_that_there_are(query):
    """Else all would fall into one group without a name."""
    inner = " ".join(RECORDED[name] for name in re.findall(r"\bcairn:[a-z0-9_:]+", query))
    names = re.findall(r"\b(?:cairn|kube)_[a-z_]+", f"{query} {inner}")
    grouped = {
        label.strip() for group in re.findall(r"\bby \(([^)]*)\)", query) for label in group.split(",")
    }
    matched = set(re.findall(r"[{,]\s*([a-z]+)\s*=", query))

    assert grouped | matched <= set().union(*(EXPORTED[name] for name in names))


@pytest.mark.parametrize("alert", ALERTS, ids=lambda rule: rule["alert"])
def test_an_alert_says_what_it_is_and_what_to_do(alert):
    """A summary, what it means, and the paragraph that helps, under the alert's own name."""
    notes = alert["annotations"]

    assert re.fullmatch(r"Cairn[A-Z][A-Za-z]+", alert["alert"])
    assert alert["labels"]["severity"] in ("warning", "critical")
    assert notes["runbook_url"].endswith(f"docs/howto/troubleshoot.md#{alert['alert'].lower()}")
    assert len(notes["summary"]) < 80
    assert notes["description"].endswith(".")


@pytest.mark.parametrize("series", sorted({*GOOD_DAY, *(name for story in STORIES for name in story.series)}))
def test_stories_are_told_with_numbers_that_there_are(series):
    """An alert that fires for a number of the story's own making would prove nothing."""
    name, _, labels = series.rstrip("}").partition("{")

    assert {label.partition("=")[0] for label in labels.split(",")} - {"pod"} == EXPORTED[name]


def test_panels_lie_side_by_side():
    """None over another, each with a number of its own."""
    places = [
        {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        for place in (panel["gridPos"] for panel in DASHBOARD["panels"])
    ]

    assert sum(map(len, places)) == len(set().union(*places))
    assert max(x for place in places for x, _ in place) < 24
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])


def test_a_dashboard_belongs_to_no_installation():
    """Its data source is chosen by whoever looks; every panel asks that one."""
    assert [one["name"] for one in DASHBOARD["templating"]["list"]] == ["datasource"]
    assert {panel["datasource"]["uid"] for panel in PANELS} == {"${datasource}"}
