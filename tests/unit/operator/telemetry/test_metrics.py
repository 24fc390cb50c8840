"""The operator's numbers, as Prometheus reads them."""

from __future__ import annotations

import pytest
from tests.unit.operator.reconcile.builders import document, ended, manifest, run, started, word
from tests.unit.operator.reconcile.builders import obj as workflow_object

from cairn_operator.reconcile.act import Refusal
from cairn_operator.reconcile.checking import Room
from cairn_operator.reconcile.state import CreateRun, Plan, StartRunner, World
from cairn_operator.reconcile.workqueue import Key
from cairn_operator.telemetry.metrics import Gauges, Metrics
from cairn_runtime.model.ids import utc_now
from cairn_runtime.store.base import NewRun

KEY = Key("team", "digest")


def metrics(**changes):
    found = {
        "queue_depth": lambda: 3,
        "watch_ages": lambda: {"Pod": 2.5},
        "watch_restarts": lambda: 1,
        "active": lambda: True,
        "open_stores": lambda: {"default": True, "team": False},
        "lost_stores": set,
        "rooms": lambda: {"default": Room(0.002, 800, 200)},
        "api_writes": lambda: {("Pod", "create"): 7, ("Workflow", "status"): 9},
        **changes,
    }
    return Metrics(Gauges(**found))


def lines(found):
    """Every number by its name and labels."""
    told = [line for line in found.text().decode().splitlines() if not line.startswith("#")]
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in told)}


def world(*, resume=None, **changes):
    spec = {"resume": resume} if resume else {}
    fields = {"now": utc_now(), "workflow": workflow_object(**spec), "manifest": manifest(**spec), **changes}
    return World(**fields)


def new_run():
    return CreateRun(NewRun(run().run_id, "team/digest/u", document(), "g", "k"))


def test_what_is_looked_up_when_asked():
    """Depths and ages are those of the moment of the question."""
    found = lines(metrics())

    assert found["cairn_queue_depth"] == 3
    assert found["cairn_active"] == 1
    assert found["cairn_watch_restarts"] == 1
    assert found['cairn_watch_age_seconds{kind="Pod"}'] == 2.5
    assert found['cairn_store_open{store="team"}'] == 0
    assert found['cairn_api_writes_total{kind="Pod",verb="create"}'] == 7
    assert found['cairn_api_writes_total{kind="Workflow",verb="status"}'] == 9


@pytest.mark.parametrize(
    ("open_stores", "lost_stores", "up"),
    [
        pytest.param({"default": True}, set(), 1, id="open, and it answers"),
        pytest.param({"default": True}, {"default"}, 0, id="open once, and it answers no more"),
        pytest.param({"default": False}, set(), 0, id="never opened"),
    ],
)
def test_a_store_is_up_while_it_answers(open_stores, lost_stores, up):
    """Opened long ago is not enough."""
    found = lines(metrics(open_stores=lambda: open_stores, lost_stores=lambda: lost_stores))

    assert found['cairn_store_up{store="default"}'] == up


def test_what_a_store_does_not_know_is_left_out():
    """Room that nobody knows is not no room: an alert must not read it so."""
    found = lines(metrics(rooms=lambda: {"default": Room(0.002, 800, None)}))

    assert found['cairn_store_used_bytes{store="default"}'] == 800
    assert found['cairn_store_latency_seconds{store="default"}'] == 0.002
    assert not [name for name in found if name.startswith("cairn_store_free_bytes")]


def test_passes_add_what_rows_say():
    """A row is summed with the pass that read it, and a store without answer says nothing."""
    found = metrics()
    found.count_pass(KEY, world(), Plan(), Refusal(), 0.01)
    found.count_pass(KEY, world(run=started(checkpoints=2)), Plan(), Refusal(), 0.01)
    down = world(store_error=("StoreUnavailable", "no answer"))
    found.count_pass(KEY, down, Plan(), Refusal(), 0.01)
    found.count_pass(KEY, world(run=started(checkpoints=3)), Plan(), Refusal(), 0.01)

    assert lines(found)['cairn_checkpoints_written_total{store="default"}'] == 3


def test_off_duty_nothing_is_told_of_workflows():
    """Two operators would tell each run twice; what was counted stays, since a counter never falls."""
    found = metrics()
    found.count_pass(KEY, world(), Plan((), {"phase": "Pending"}), Refusal(), 0.01)
    found.count_pass(KEY, world(run=started(checkpoints=2)), Plan((), {"phase": "Running"}), Refusal(), 0.01)

    found.off_duty()
    found.count_pass(KEY, world(run=started(checkpoints=9)), Plan(), Refusal(), 0.01)

    assert lines(found)['cairn_runs{phase="Running"}'] == 0
    assert lines(found)['cairn_checkpoints_written_total{store="default"}'] == 2


@pytest.mark.parametrize(
    ("given", "plan", "refusal", "name", "counted"),
    [
        pytest.param({}, Plan(), Refusal(), "cairn_pass_seconds_count", 1, id="each pass"),
        pytest.param({}, Plan((new_run(),)), Refusal(), "cairn_resumes_total", 0, id="a first run"),
        pytest.param({"resume": {"checkpoint": "start", "nonce": "1"}}, Plan((new_run(),)), Refusal(),
                     "cairn_resumes_total", 1, id="a run that was asked for by a resume"),
        pytest.param({}, Plan((StartRunner("r", 0),)), Refusal(), "cairn_run_attempts_total", 0,
                     id="the first runner is no repetition"),
        pytest.param({}, Plan((StartRunner("r", 1),)), Refusal(), "cairn_run_attempts_total", 1,
                     id="a runner after another one"),
        pytest.param({}, Plan((StartRunner("r", 1),)), Refusal(fenced=True),
                     'cairn_fenced_writes_total{by="operator"}', 1,
                     id="somebody else claimed first"),
        pytest.param({"store_error": ("StoreUnavailable", "no answer")}, Plan(), Refusal(),
                     'cairn_store_errors_total{reason="StoreUnavailable",store="default"}', 1,
                     id="a store that did not answer"),
    ],
)  # fmt: skip
def test_what_a_pass_counts(given, plan, refusal, name, counted):
    """One pass raises the numbers of what it did, and no others."""
    found = metrics()
    found.count_pass(KEY, world(**given), plan, refusal, 0.01)

    assert lines(found).get(name, 0) == counted


def test_a_runner_that_was_fenced_is_counted_once():
    """However often its pod is looked at; a crash with the same exit code says no word and is none."""
    found = metrics()
    zombies = (ended(75, word("Superseded", "x"), uid="1"), ended(75, "", uid="2"), ended(0, word(), uid="3"))
    for pods in (zombies, zombies, (*zombies, ended(75, word(), uid="4")), ()):
        found.count_pass(KEY, world(pods=pods), Plan(), Refusal(), 0.01)

    assert lines(found)['cairn_fenced_writes_total{by="runner"}'] == 2
    found.count_end(KEY, "Gone")


def test_runs_are_counted_by_their_phase_of_now():
    """A Workflow is in one phase at a time, and in none when it is gone."""
    found = metrics()
    for phase in ("Pending", "Running"):
        found.count_pass(KEY, world(run=started()), Plan((), {"phase": phase}), Refusal(), 0.01)
    assert lines(found)['cairn_runs{phase="Running"}'] == 1
    assert lines(found)['cairn_runs{phase="Pending"}'] == 0

    found.count_end(KEY, "Gone")

    assert lines(found)['cairn_runs{phase="Running"}'] == 0
    assert 'cairn_pass_failures_total{reason="Gone"}' not in lines(found)


def test_a_repeated_pass_is_counted_by_its_reason():
    """Why passes fail is seen without reading a log."""
    found = metrics()
    found.count_end(KEY, "ApiUnavailable")

    assert lines(found)['cairn_pass_failures_total{reason="ApiUnavailable"}'] == 1


def test_a_store_that_there_is_not_makes_no_number_of_its_own():
    """Whoever writes Workflows could make as many as they like, until the operator's memory is full."""
    found = metrics()
    for name in ("default", "a", "b", "c"):
        seen = world(store=name, store_error=("StoreUnknown", "there is none"))
        found.count_pass(KEY, seen, Plan(), Refusal(), 0.01)

    told = {name: number for name, number in lines(found).items() if "store_errors" in name}
    assert told == {
        'cairn_store_errors_total{reason="StoreUnknown",store="default"}': 1,
        'cairn_store_errors_total{reason="StoreUnknown",store=""}': 3,
    }
