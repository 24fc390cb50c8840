"""What comes next after an attempt ended."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from tests.unit.runner.rows import NOON, approval, row, sleep

from cairn_runtime.model.workflow import Restart
from cairn_runtime.runner.moves import End, Exit, Facts, Fail, Sleep, Start, Tally, is_due, next_move
from cairn_runtime.store.base import Signal

RESTART = Restart(limit=2, base_delay=1.0, max_delay=3.0)
SOON = NOON + timedelta(minutes=1)
RUNNING = row(head_seq=3)
WAITING = row(phase="Waiting", waits=(approval(),))
SLEEPING = row(phase="Waiting", waits=(sleep(SOON),), wake_at=SOON)
KILLED = Exit(-9, spoke=False)


def facts(run, **changes):
    return replace(Facts(run, NOON), **changes)


@pytest.mark.parametrize(
    ("seen", "move"),
    [
        pytest.param(
            facts(row(phase="Pending", epoch=0)),
            Start(0.0, Tally()),
            id="a run that nobody has begun is started at once",
        ),
        pytest.param(facts(RUNNING), Start(0.0, Tally()), id="a run that was left running goes on at once"),
        pytest.param(facts(row(phase="Succeeded"), exit=Exit(0)), End(0), id="a run that succeeded is over"),
        pytest.param(
            facts(row(phase="Failed", reason="StepFailed", message="no"), exit=Exit(1)),
            End(1, "StepFailed", "no"),
            id="a run that failed is over, for its own reason",
        ),
        pytest.param(
            facts(row(phase="Failed", reason="CheckpointCorrupted"), exit=Exit(78)),
            End(78, "CheckpointCorrupted"),
            id="a run that its runner found unusable ends with the exit code for that",
        ),
        pytest.param(
            facts(row(phase="Succeeded"), exit=KILLED),
            End(0),
            id="success is read from the row, whatever became of the process",
        ),
        pytest.param(
            facts(RUNNING, exit=Exit(75, "Superseded", "another")),
            End(75, "Superseded", "another"),
            id="a superseded runner is not started again",
        ),
        pytest.param(
            facts(row(phase="Cancelled"), exit=Exit(75, "Superseded", "another")),
            End(75, "Superseded", "another"),
            id="being superseded is told even where the run has finished since",
        ),
        pytest.param(
            facts(RUNNING, exit=Exit(78, "KeyMissing", "key k")),
            End(78, "KeyMissing", "key k"),
            id="bad configuration is not tried again",
        ),
        pytest.param(
            facts(RUNNING, exit=Exit(0, "Drained"), interrupted=True),
            End(130, "Interrupted", "stopped on request; the run can go on"),
            id="a run that was stopped on request can go on later",
        ),
        pytest.param(
            facts(RUNNING, exit=KILLED, interrupted=True),
            End(130, "Interrupted", "stopped on request; the run can go on"),
            id="a runner that was killed by the second request is no crash",
        ),
        pytest.param(
            facts(row(phase="Succeeded"), exit=Exit(0), interrupted=True),
            End(0),
            id="a run that ended before it could be stopped is done",
        ),
        pytest.param(
            facts(RUNNING, exit=Exit(0, "Drained")),
            Start(1.0, Tally()),
            id="a drain that nobody here asked for counts as no failure",
        ),
        pytest.param(
            facts(RUNNING, exit=KILLED, tally=Tally(head_seq=3)),
            Start(1.0, Tally(crashes=1, head_seq=3)),
            id="a first crash is followed by a start after the base delay",
        ),
        pytest.param(
            facts(RUNNING, exit=Exit(0, spoke=False), tally=Tally(head_seq=3)),
            Start(1.0, Tally(crashes=1, head_seq=3)),
            id="exit code 0 without a last word is a crash",
        ),
        pytest.param(
            facts(RUNNING, exit=KILLED, tally=Tally(crashes=1, head_seq=3)),
            Start(2.0, Tally(crashes=2, head_seq=3)),
            id="the delay doubles",
        ),
        pytest.param(
            facts(RUNNING, exit=KILLED, tally=Tally(crashes=2, head_seq=1)),
            Start(1.0, Tally(crashes=1, head_seq=3)),
            id="a new checkpoint since the crash before begins a new count",
        ),
        pytest.param(
            facts(RUNNING, exit=KILLED, tally=Tally(crashes=2, head_seq=3)),
            Fail(
                "CrashLoop",
                "the runner crashed 3 times in a row with no new checkpoint; "
                "the last one was killed by signal 9",
            ),
            id="more crashes than the limit end the run",
        ),
        pytest.param(
            facts(RUNNING, exit=Exit(70, "KeyError", "'x'"), tally=Tally(crashes=2, head_seq=3)),
            Fail(
                "CrashLoop",
                "the runner crashed 3 times in a row with no new checkpoint; "
                "the last one ended with exit code 70 ('x')",
            ),
            id="the last word of the last crash is told",
        ),
        pytest.param(
            facts(RUNNING, exit=KILLED, on_purpose=True, tally=Tally(crashes=2, head_seq=3)),
            Start(0.0, Tally(crashes=2, head_seq=3)),
            id="a kill that was asked for is no crash and has no delay",
        ),
        pytest.param(
            facts(RUNNING, exit=Exit(69, "StoreUnavailable", "locked"), tally=Tally(crashes=2, head_seq=3)),
            Start(1.0, Tally(crashes=2, unanswered=1, head_seq=3)),
            id="a store that does not answer is no crash",
        ),
        pytest.param(
            facts(
                RUNNING, exit=Exit(69, "StoreUnavailable", "locked"), tally=Tally(unanswered=2, head_seq=3)
            ),
            End(69, "StoreUnavailable", "locked"),
            id="a store that never answers is reported, and the run is not failed",
        ),
        pytest.param(
            facts(WAITING, exit=Exit(0)), End(3), id="a run that waits for a person is left to them"
        ),
        pytest.param(
            facts(WAITING, exit=Exit(0), due=True),
            Start(0.0, Tally()),
            id="an answer that came starts it again",
        ),
        pytest.param(
            facts(replace(WAITING, waits=(approval(deadline=SOON),), wake_at=SOON), exit=Exit(0)),
            End(3),
            id="nobody sits and waits for a deadline",
        ),
        pytest.param(facts(SLEEPING, exit=Exit(0)), Sleep(SOON), id="a sleep is waited for"),
        pytest.param(
            facts(row(phase="Waiting", waits=(approval(), sleep(SOON)), wake_at=SOON), exit=Exit(0)),
            Sleep(SOON),
            id="a run that can go on by itself is waited for, though it waits for a person too",
        ),
        pytest.param(facts(SLEEPING, exit=Exit(0), due=True), Start(0.0, Tally()), id="a sleep that is over"),
        pytest.param(facts(WAITING), End(3), id="a run that waits for a person is not even started"),
    ],
)
def test_the_next_move_follows_from_the_row_and_the_exit(seen, move):
    """Table: what was seen, and the one move that follows."""
    assert next_move(seen, RESTART) == move


def test_the_delay_never_exceeds_its_maximum():
    """However long the row of crashes, the pause stays within `maxDelay`."""
    restart = Restart(limit=1000, base_delay=1.0, max_delay=300.0)

    moves = [next_move(facts(RUNNING, exit=KILLED, tally=Tally(n, 0, 3)), restart) for n in (0, 5, 9, 999)]

    assert [move.after_seconds for move in moves if isinstance(move, Start)] == [1.0, 32.0, 300.0, 300.0]


def test_a_limit_of_zero_never_starts_again():
    """`restart.limit: 0` means that the first crash is the last."""
    move = next_move(facts(RUNNING, exit=KILLED), Restart(limit=0))

    assert move == Fail(
        "CrashLoop", "the runner crashed 1 time with no new checkpoint; the last one was killed by signal 9"
    )


def signal(name, value, *, wait=""):
    return Signal("r", 1, name, value, "client", wait, NOON)


YES = signal("sign#1", {"approved": True}, wait="sign#1")


@pytest.mark.parametrize(
    ("run", "signals", "due"),
    [
        pytest.param(WAITING, [], False, id="an approval without an answer is not due"),
        pytest.param(WAITING, [YES], True, id="an answered approval is due"),
        pytest.param(
            WAITING, [signal("other", 1)], False, id="a signal that nobody waits for changes nothing"
        ),
        pytest.param(
            WAITING, [replace(YES, value="maybe")], True, id="an answer that does not fit must be looked at"
        ),
        pytest.param(SLEEPING, [], False, id="a sleep that is not over is not due"),
        pytest.param(
            replace(SLEEPING, wake_at=NOON, waits=(sleep(NOON),)), [], True, id="a sleep that is over"
        ),
        pytest.param(
            replace(WAITING, wake_at=NOON - timedelta(seconds=1)),
            [],
            True,
            id="the run's own timeout is over",
        ),
        pytest.param(
            replace(WAITING, waits=(approval("sign#1"), approval("sign#2"))),
            [replace(YES, name="sign#2", wait="sign#2")],
            True,
            id="any of several waits is enough",
        ),
    ],
)
def test_a_parked_run_is_due_when_a_wait_is_over(run, signals, due):
    """Table: the row's waits, the unconsumed signals, and whether a runner has anything to do."""
    assert is_due(run, signals, NOON) is due
