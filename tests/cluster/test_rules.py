"""The alerts, played against series: each fires in its story, and stays quiet in one that is close to it.

`promtool` evaluates the file that the chart ships, minute by minute. Nothing here needs the cluster; these
tests are here because the tool is built with those of the cluster.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.cluster.harness import tools
from tests.cluster.harness.commands import ClusterError, output
from tests.cluster.harness.places import places

RULES = Path(__file__).parents[2] / "charts/cairn/files/rules.yaml"
ALERTS = [
    rule["alert"]
    for group in yaml.safe_load(RULES.read_text())["groups"]
    for rule in group["rules"]
    if "alert" in rule
]
Series = dict[str, str]
"""Values minute by minute, in promtool's short form: `0+5x30` rises by 5 each minute for half an hour."""


@dataclass(frozen=True)
class Story:
    """Series, and whether an alert is up after so many minutes."""

    alert: str
    what: str
    series: Series
    minutes: int = 30
    labels: dict[str, str] | None = field(default=None)
    """Of the alert that fires, but for its severity; None: it stays quiet."""


DEFAULT = {"store": "default"}
CRON = {"cronjob": "cairn-backup", "namespace": "n"}
ACTIVE = {'cairn_active{pod="a"}': "1x60"}
FAILURES = 'cairn_checkpoint_failures_total{pod="a",store="default"}'
SAVES = 'cairn_checkpoint_write_seconds_count{pod="a",store="default"}'
RESTORES = 'cairn_restore_seconds_count{pod="a",store="default"}'
PASSES = 'cairn_pass_seconds_count{pod="a"}'
REPEATED = 'cairn_pass_failures_total{pod="a",reason="ApiUnavailable"}'
CRASHES = 'cairn_runner_crashes_total{pod="a",store="default"}'
RUNNING = 'cairn_runs{phase="Running",pod="a"}'
FENCED = 'cairn_fenced_writes_total{by="runner",pod="a"}'
DEPTH = 'cairn_queue_depth{pod="a"}'
UP = 'cairn_store_up{pod="a",store="default"}'


def dumps(*, due: str, made: str = "", cronjob: str = "cairn-backup") -> Series:
    """When a CronJob was due last, and when it succeeded last; empty: never."""
    name, labels = "kube_cronjob_status_last", f'{{cronjob="{cronjob}",namespace="n",pod="a"}}'
    series = {f"{name}_schedule_time{labels}": due, f"{name}_successful_time{labels}": made}
    return {one: values for one, values in series.items() if values}


def under(name: str, **counts: str) -> Series:
    """The buckets of a histogram; a bound is written `s30_0` for 30.0."""
    bounds = {key[1:].replace("_", ".").replace("inf", "+Inf"): value for key, value in counts.items()}
    return {f'{name}_bucket{{le="{le}",pod="a",store="default"}}': value for le, value in bounds.items()}


def age(kind: str) -> str:
    """The age of a watch."""
    return f'cairn_watch_age_seconds{{kind="{kind}",pod="a"}}'


def filled(used: int) -> Series:
    """A store with room for 100."""
    labels = '{pod="a",store="default"}'
    return {
        f"cairn_store_used_bytes{labels}": f"{used}x60",
        f"cairn_store_free_bytes{labels}": f"{100 - used}x60",
    }


STORIES = [
    Story("CairnNoOperator", "nobody is scraped", {}, labels={}),
    Story("CairnNoOperator", "all of them wait for the Lease", {'cairn_active{pod="a"}': "0x60"}, labels={}),
    Story("CairnNoOperator", "one waits and one is active", {'cairn_active{pod="b"}': "0x60", **ACTIVE}),
    Story("CairnNoOperator", "one takes over in a minute", {'cairn_active{pod="a"}': "1x10 0x0 1x60"}, 12),
    Story("CairnTwoOperators", "two are active", {'cairn_active{pod="b"}': "1x60", **ACTIVE}, labels={}),
    Story("CairnTwoOperators", "one is active", {'cairn_active{pod="b"}': "0x60", **ACTIVE}),
    Story("CairnWatchStale", "no list bears it out", {age("Workflow"): "0+60x60", **ACTIVE}, 15,
          labels={"kind": "Workflow", "pod": "a"}),
    Story("CairnWatchStale", "lists bear it out",
          {age("Workflow"): "0+60x5 0+60x5 0+60x5", **ACTIVE}, 15),
    Story("CairnWatchStale", "nothing happened to pods", {age("Pod"): "0+60x60", **ACTIVE}),
    Story("CairnWatchStale", "it is active no more",
          {age("Workflow"): "0+60x60", 'cairn_active{pod="a"}': "0x60"}),
    Story("CairnQueueStuck", "far too many are due", {DEPTH: "150x60", PASSES: "0+60x60"},
          labels={"pod": "a"}),
    Story("CairnQueueStuck", "few are due and no pass is made", {DEPTH: "3x60", PASSES: "60x60"},
          labels={"pod": "a"}),
    Story("CairnQueueStuck", "there is always one that is due", {DEPTH: "3x60", PASSES: "0+60x60"}),
    Story("CairnQueueStuck", "nothing is due", {DEPTH: "0x60", PASSES: "60x60"}),
    Story("CairnPassesFailing", "every second one", {REPEATED: "0+60x60", PASSES: "0+60x60"}, labels={}),
    Story("CairnPassesFailing", "one in a hundred", {REPEATED: "0+6x60", PASSES: "0+600x60"}),
    Story("CairnPassesFailing", "one that is alone", {REPEATED: "0+1x60", PASSES: "0x60"}),
    Story("CairnCheckpointsFailing", "6 %", {FAILURES: "0+6x60", SAVES: "0+94x60"}, labels=DEFAULT),
    Story("CairnCheckpointsFailing", "none comes through", {FAILURES: "0+6x60", SAVES: "94x60"},
          labels=DEFAULT),
    Story("CairnCheckpointsFailing", "4 %", {FAILURES: "0+4x60", SAVES: "0+96x60"}),
    Story("CairnCheckpointsFailing", "nothing is saved at all", {FAILURES: "7x60", SAVES: "94x60"}),
    Story("CairnCheckpointsSlow", "one in fifty takes two seconds",
          under("cairn_checkpoint_write_seconds", s1_0="0+98x60", s2_0="0+100x60", sinf="0+100x60"),
          labels=DEFAULT),
    Story("CairnCheckpointsSlow", "one in two hundred takes two seconds",
          under("cairn_checkpoint_write_seconds", s1_0="0+199x60", s2_0="0+200x60", sinf="0+200x60")),
    Story("CairnRestoreSlow", "one took longer than 30 s",
          {RESTORES: "4x20 5x40", **under("cairn_restore_seconds", s30_0="4x60")}, labels=DEFAULT),
    Story("CairnRestoreSlow", "all took less",
          {RESTORES: "4x20 9x40", **under("cairn_restore_seconds", s30_0="4x20 9x40")}),
    Story("CairnRestoreSlow", "it was half an hour ago",
          {RESTORES: "4x20 5x80", **under("cairn_restore_seconds", s30_0="4x100")}, 50),
    Story("CairnRunnersCrashing", "one a minute, of ten", {CRASHES: "0+1x60", RUNNING: "10x60"}, labels={}),
    Story("CairnRunnersCrashing", "one a minute, of hundreds", {CRASHES: "0+1x60", RUNNING: "500x60"}),
    Story("CairnRunnersCrashing", "a node took three along", {CRASHES: "0x20 3x40", RUNNING: "5x60"}),
    Story("CairnFencedWrites", "one a minute", {FENCED: "0+1x60"}, 40, labels={"by": "runner"}),
    Story("CairnFencedWrites", "three once", {FENCED: "0x20 3x40"}, 40),
    Story("CairnStoreDown", "for three minutes", {UP: "1x10 0x5"}, 14, labels=DEFAULT),
    Story("CairnStoreDown", "for a minute", {UP: "1x10 0x0 1x20"}, 12),
    Story("CairnStoreDown", "another one", {UP: "1x60", 'cairn_store_up{pod="a",store="team"}': "0x60"},
          labels={"store": "team"}),
    Story("CairnStoreFilling", "81 %", filled(81), labels=DEFAULT),
    Story("CairnStoreFilling", "80 %", filled(80)),
    Story("CairnStoreFilling", "91 % has an alert of its own", filled(91)),
    Story("CairnStoreFull", "91 %", filled(91), labels=DEFAULT),
    Story("CairnStoreFull", "90 %", filled(90)),
    Story("CairnStoreFull", "nobody knows how much room there is",
          {'cairn_store_used_bytes{pod="a",store="default"}': "95x60"}),
    Story("CairnBackupMissing", "the last one failed", dumps(due="900x180", made="600x180"), 150,
          labels=CRON),
    Story("CairnBackupMissing", "none ever succeeded", dumps(due="900x180"), 150, labels=CRON),
    Story("CairnBackupMissing", "it succeeded later", dumps(due="900x180", made="600x100 960x80"), 150),
    Story("CairnBackupMissing", "it is not two hours ago", dumps(due="900x180", made="600x180"), 119),
    Story("CairnBackupMissing", "it is somebody else's", dumps(due="900x180", cronjob="mail-backup"), 150),
]  # fmt: skip

GOOD_DAY: Series = {
    **ACTIVE,
    'cairn_active{pod="b"}': "0x60",
    age("Workflow"): "0+60x5 0+60x5 0+60x5 0+60x5 0+60x5",
    DEPTH: "2x60",
    PASSES: "0+120x60",
    REPEATED: "0+1x60",
    FAILURES: "0+1x60",
    SAVES: "0+600x60",
    RESTORES: "0+3x60",
    CRASHES: "0x30 1x30",
    RUNNING: "40x60",
    FENCED: "0x30 1x30",
    UP: "1x60",
    **under("cairn_restore_seconds", s30_0="0+3x60", sinf="0+3x60"),
    **under("cairn_checkpoint_write_seconds", s1_0="0+600x60", sinf="0+600x60"),
    **filled(60),
    **dumps(due="900x60", made="960x60"),
}
"""An operator and its deputy, forty runs, now and then something small."""


def promtool(*arguments: str) -> str:
    """Ask promtool. Raises `ClusterError` with what it says."""
    return output(str(tools.built(places(), "promtool")), *arguments)


def play(folder: Path, story: Story, asked: str, expected: list[dict[str, Any]]) -> None:
    """Play a story, and compare which alerts fire at its end."""
    series = [{"series": name, "values": values} for name, values in story.series.items()]
    question = {"expr": asked, "eval_time": f"{story.minutes}m", "exp_samples": expected}
    told = {
        "rule_files": [str(RULES)],
        "evaluation_interval": "1m",
        "tests": [{"interval": "1m", "input_series": series, "promql_expr_test": [question]}],
    }
    file = folder / "story.yaml"
    file.write_text(yaml.safe_dump(told))
    promtool("test", "rules", str(file))


def severity(alert: str) -> str:
    """What the alert's own label says."""
    groups = yaml.safe_load(RULES.read_text())["groups"]
    (rule,) = [rule for group in groups for rule in group["rules"] if rule.get("alert") == alert]
    return str(rule["labels"]["severity"])


def firing(alert: str, labels: dict[str, str]) -> dict[str, Any]:
    """The series by which Prometheus says that an alert fires."""
    own = {"alertname": alert, "alertstate": "firing", "severity": severity(alert), **labels}
    inner = ",".join(f'{name}="{value}"' for name, value in own.items())
    return {"labels": f"ALERTS{{{inner}}}", "value": 1}


def test_promtool_finds_nothing_wrong():
    """Names, expressions and templates of the notes."""
    assert "SUCCESS" in promtool("check", "rules", str(RULES))


@pytest.mark.parametrize("story", STORIES, ids=lambda story: f"{story.alert}: {story.what}")
def test_an_alert_fires_in_its_story_only(tmp_path, story):
    """By its labels, so that one store is not told for another."""
    expected = [] if story.labels is None else [firing(story.alert, story.labels)]
    play(tmp_path, story, f'ALERTS{{alertname="{story.alert}",alertstate="firing"}}', expected)


@pytest.mark.parametrize("alert", ALERTS)
def test_each_alert_has_both_kinds_of_stories(alert):
    """One that was never made to fire is no alert, one that was never kept from it is noise."""
    assert {story.labels is None for story in STORIES if story.alert == alert} == {True, False}


@pytest.mark.parametrize("minutes", [15, 30, 45, 59])
def test_a_good_day_is_quiet(tmp_path, minutes):
    """Nobody is woken by a single crash, a node that came back, or a save that was tried again."""
    play(tmp_path, Story("", "a good day", GOOD_DAY, minutes), 'ALERTS{alertstate="firing"}', [])


def test_a_story_that_is_told_wrong_is_found(tmp_path):
    """The player has teeth: it does not pass whatever happens."""
    with pytest.raises(ClusterError, match="ALERTS"):
        play(tmp_path, Story("", "nobody is active", {}), 'ALERTS{alertstate="firing"}', [])
