"""Rows and lines for people: what a run is up to, what it waits for, and what fits eighty columns."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from tests.unit.cli.builders import NOW, document

from cairn_runtime.cli.hints import Hints
from cairn_runtime.cli.patches import changes
from cairn_runtime.cli.views import rows, summaries
from cairn_runtime.cli.views.texts import cells
from cairn_runtime.cli.views.units import moment
from cairn_runtime.engine.frontier import RunState
from cairn_runtime.model.values import JSONValue
from cairn_runtime.runner.watching import Finish
from cairn_runtime.store.base import Checkpoint, Origin, Run, Wait

RUN = Run(
    run_id="5dd14e41-e228-596a-a987-5f870ab381f0",
    workflow="default/digest/uid",
    thread="",
    manifest=document(),
    graph_hash="",
    key_base="",
    folder=None,
    origin=None,
    trace_id="",
    spec_version=1,
    epoch=1,
    claim_id="c",
    head_seq=7,
    head_id="01a20039-6843-7c03-8029-a624f52d6426",
    head_hash="h",
    phase="Running",
    reason="",
    message="",
    waits=(),
    wake_at=None,
    checkpoints=7,
    bytes=1000,
    signals_pending=0,
    created_at=NOW,
    updated_at=NOW,
    heartbeat_at=NOW,
    runner="0.1.0",
)
HINTS = Hints("digest", "cairn run 'my digest.yaml'", "my digest.yaml")
SIGN = Wait("sign#1", "approval", "sign#1", "Publish?")


def later(seconds: float) -> timedelta:
    """So much later."""
    return timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("changed", "seconds", "text"),
    [
        ({}, 5, "Running"),
        ({}, 140, "Running (no runner for 2m)"),
        ({"reason": "Drained"}, 5, "Running (drained 5s ago)"),
        ({"heartbeat_at": None}, 500, "Running"),
        (
            {"phase": "Waiting", "waits": (SIGN, Wait("paid#1", "signal", "paid"))},
            500,
            "Waiting (sign, paid)",
        ),
        ({"phase": "Waiting", "waits": (Wait("ask#1[3]", "approval", "ask#1[3]"),)}, 5, "Waiting (ask#1[3])"),
        ({"phase": "Failed", "reason": "StepFailed"}, 5, "Failed (StepFailed)"),
        ({"phase": "Succeeded"}, 500, "Succeeded"),
    ],
    ids=[
        "a runner that shows itself",
        "a runner that has not shown itself",
        "a runner that was drained",
        "a run that nobody claimed",
        "waits are named by their steps",
        "a wait of an item is named by its task",
        "a failure has its reason",
        "the end needs no runner",
    ],
)
def test_the_phase_says_what_a_person_would_ask(changed, seconds, text):
    """A run that is Running with nobody to run it must not look healthy."""
    assert rows.phase_text(replace(RUN, **changed), NOW + later(seconds)) == text


def test_tables_fit_eighty_columns():
    """Long names give way; ids and numbers stay whole."""
    long = replace(
        RUN,
        workflow=f"team/{'w' * 45}/uid",
        phase="Waiting",
        waits=tuple(Wait(f"{'s' * 40}{n}#1", "approval", f"x#{n}") for n in range(3)),
        origin=Origin(RUN.run_id, 123456, "c"),
    )
    checkpoint = Checkpoint(
        RUN.run_id, 123456, RUN.head_id, "p", "h", 1, "w", "delta", "s" * 45, 12, 9999,
        ("n" * 45, "m" * 45, "o"), {}, NOW, 1, "g", "d", 2_000_000, None,
    )  # fmt: skip

    for table in (
        rows.run_lines([long], NOW, 80),
        rows.checkpoint_lines([checkpoint], NOW, 80),
        rows.checkpoint_lines([checkpoint], NOW, 80, names={RUN.run_id: "w" * 45}),
    ):
        assert all(cells(line) <= 80 for line in table)
    assert "123456" in rows.checkpoint_lines([checkpoint], NOW, 80)[1]


@pytest.mark.parametrize(
    ("wait", "told"),
    [
        (
            SIGN,
            [
                "sign waits for an approval: Publish?",
                "  cairn approve digest --step sign",
                "  cairn reject digest --step sign",
            ],
        ),
        (
            Wait("sign#1", "approval", "sign#1", schema={"type": "object"}),
            [
                "sign waits for an approval",
                "  cairn approve digest --step sign",
                "  cairn reject digest --step sign",
                '  with a value: --value JSON, fitting {"type": "object"}',
            ],
        ),
        (
            Wait("ask#1[3]", "approval", "ask#1[3]"),
            [
                "ask#1[3] waits for an approval",
                "  cairn approve digest --step 'ask#1[3]'",
                "  cairn reject digest --step 'ask#1[3]'",
            ],
        ),
        (
            Wait("pay#1", "signal", "paid"),
            ["pay waits for the signal paid", "  cairn signal digest paid"],
        ),
        (
            Wait("pay#1", "signal", "paid", schema={"type": "number"}),
            [
                "pay waits for the signal paid",
                "  cairn signal digest paid JSON",
                '  where JSON is a value, fitting {"type": "number"}',
            ],
        ),
        (Wait("nap#1", "sleep", until=NOW), [f"nap waits until {moment(NOW, NOW)}"]),
        (
            Wait("poll#1", "park", "news", "no news yet"),
            ["poll waits for the signal news: no news yet", "  cairn signal digest news"],
        ),
    ],
)
def test_a_wait_is_told_with_the_commands_that_answer_it(wait, told):
    """They can be pasted into a shell as they stand, unless a value must be thought of."""
    assert rows.wait_lines([wait], "digest", NOW) == told


def test_a_difference_is_told_in_signs():
    """What came, what went, what changed."""
    old: JSONValue = {"a": 1, "b": 2, "d": {"e": [1]}}
    new: JSONValue = {"a": 1, "b": 3, "c": "x", "d": {"e": [1, 2]}}

    assert rows.change_lines(changes(old, new), 80) == ["~ /b      2 → 3", '+ /c      "x"', "+ /d/e/-  2"]


@pytest.mark.parametrize(
    ("event", "text"),
    [
        (["token", "a"], "token   a"),
        (["ready", "a", 2, 1], "ready   a#2"),
        (["enter", "a", 1, 1, [1, 2, 3], []], "enter   a#1 with 3 items"),
        (["skip", "a", 1, 1, ["b"]], "skip    a#1 → b"),
        (["done", "a", 1, []], "done    a#1 → (end)"),
        (["item", "a", 1, 4, {"x": 1}], 'item    a#1[4] {"x": 1}'),
        (["tried", "a", 1, None, "OSError", "reset"], "tried   a#1 OSError: reset"),
        (["failed", "a", 1, None, {"error": "E", "message": "m"}, []], "failed  a#1 E: m"),
        (
            ["failed", "", 0, None, {"error": "RunTimeout", "message": "m"}, []],
            "failed  the run RunTimeout: m",
        ),
        (["parked", "a", 1, None, {"kind": "sleep"}], "parked  a#1 sleep"),
        (["woke", "a", 1, None, None], "woke    a#1 null"),
        (["of a newer release", 1, "x"], "of a newer release  1 x"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_every_event_reads_as_a_line(event, text):
    """And one of a newer release shows as it is."""
    assert rows.event_lines([event], 80) == [text]


def finish(code: int = 0, **changed: object) -> Finish:
    """How a run ended."""
    run = replace(RUN, **changed)
    return Finish(run, code, run.reason, run.message)


@pytest.mark.parametrize(
    ("ended", "first", "following"),
    [
        (
            finish(phase="Succeeded"),
            "digest succeeded · run 0ab381f0 · 7 checkpoints · 3.0s",
            "look back with",
        ),
        (
            replace(finish(phase="Succeeded"), restarts=2),
            "digest succeeded · run 0ab381f0 · 7 checkpoints · 3.0s · 2 restarts",
            "cairn checkpoints digest",
        ),
        (
            finish(1, phase="Failed", reason="CrashLoop", message="it crashed"),
            "digest failed (CrashLoop) · run 0ab381f0 · 7 checkpoints · 3.0s",
            "cairn resume digest --from head --file 'my digest.yaml'",
        ),
        (
            finish(3, phase="Waiting", waits=(SIGN,)),
            "digest waits · run 0ab381f0",
            "cairn approve digest --step sign",
        ),
        (finish(130), "digest stopped, and can go on", "go on with: cairn run 'my digest.yaml'"),
        (finish(69), "digest stopped", "go on with: cairn run 'my digest.yaml'"),
        (finish(75), "digest stopped", "follow it with: cairn watch digest"),
    ],
    ids=["done", "with restarts", "failed", "waiting", "interrupted", "no store", "superseded"],
)
def test_the_end_says_how_it_ended_and_what_to_type_next(ended, first, following):
    """One line of facts, and the next sensible command, quoted for a shell."""
    told = summaries.summary(ended, RunState(), seconds=3.0, width=80)

    assert told[0].startswith(first)
    assert following in "\n".join(summaries.next_commands(ended, HINTS, NOW))


def test_a_run_that_was_cancelled_elsewhere_has_no_other_runner():
    """`cairn cancel` in another terminal: there is nobody to follow, and the row says why it ended."""
    asked = finish(75, phase="Cancelled", reason="Cancelled", message="cancelled on request")
    ended = replace(asked, reason="Superseded", message="this writer stops")

    told = summaries.summary(ended, RunState(), seconds=1, width=80)
    assert told[1] == "  cancelled on request"
    assert summaries.next_commands(ended, HINTS, NOW) == ["look back with: cairn checkpoints digest"]


def test_the_end_shows_the_state_in_short():
    """Channels without a value are left out, many are counted."""
    state = RunState(channels={"none": None, **{f"c{n:02}": n for n in range(20)}})

    told = summaries.summary(finish(phase="Succeeded"), state, seconds=1, width=80)
    assert told[-1] == "  and 8 more channels"
    assert not any("none" in line for line in told)


@pytest.mark.parametrize(
    ("changed", "seconds", "text"),
    [
        ({}, 2, "at checkpoint 7 (it had a runner 2s ago; if that still lives, it stops)"),
        ({}, 100, "at checkpoint 7"),
        ({"phase": "Waiting"}, 2, "at checkpoint 7"),
        ({"head_seq": 0, "heartbeat_at": None}, 2, "which has no checkpoint yet"),
    ],
)
def test_going_on_is_told(changed, seconds, text):
    """Whoever takes a run over reads from whom."""
    told = summaries.going_on_text(replace(RUN, **changed), NOW + later(seconds))

    assert told == f"going on with run 0ab381f0, {text}"
