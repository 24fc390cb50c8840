"""Log lines: the keys that every line has, and what no line has."""

from __future__ import annotations

import json
import logging

import pytest

from cairn_runtime.runner.logs import JSONLines, TextLines, secrets_of

FIXED = {"run_id": "r-1", "epoch": 7}


def record(message="task failed", *, info=None, **extra):
    made = logging.getLogger("cairn.loop").makeRecord(
        "cairn.loop", logging.WARNING, "loop.py", 1, message, (), info, extra=extra
    )
    made.created = 1_767_355_200.25
    return made


def test_a_json_line_holds_run_epoch_and_what_belongs_to_the_message():
    """The message is constant; run, epoch, task and attempt stand beside it as keys."""
    line = json.loads(JSONLines(FIXED).format(record(task="draft#2", attempt=3)))

    assert line == {
        "time": "2026-01-02T12:00:00.250000Z",
        "level": "warning",
        "logger": "cairn.loop",
        "message": "task failed",
        "run_id": "r-1",
        "epoch": 7,
        "task": "draft#2",
        "attempt": 3,
    }


def test_a_text_line_leaves_out_what_every_line_has():
    """On a terminal the run is known; task and attempt come first."""
    line = TextLines(FIXED).format(record(seconds=2, attempt=1, task="draft#2"))

    assert line.endswith(" warning  task failed  task=draft#2  attempt=1  seconds=2")


def test_a_traceback_is_part_of_its_line():
    """One event is one JSON object, whatever it holds."""
    try:
        raise KeyError("x")  # noqa: TRY301 - there has to be something to log
    except KeyError as error:
        info = (type(error), error, error.__traceback__)

    line = JSONLines({}).format(record(info=info))

    assert "\n" not in line
    assert json.loads(line)["traceback"].endswith("KeyError: 'x'")


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(object(), id="an object"),
        pytest.param("\ud800", id="half a surrogate pair"),
        pytest.param({1: {2}}, id="keys that are no text"),
        pytest.param(2**80, id="an integer beyond 64 bits"),
    ],
)
def test_whatever_a_step_logs_becomes_one_line(value):
    """A step's own keys may hold anything; a line is written all the same."""
    line = JSONLines({}).format(record(thing=value))

    assert "thing" in json.loads(line)


@pytest.mark.parametrize("form", [JSONLines, TextLines])
def test_a_password_is_struck_out_wherever_it_turns_up(form):
    """A driver's message or a traceback may quote the URL, also with its characters escaped."""
    secrets = secrets_of("postgresql://u:hunter%22two@db/x")

    line = form(FIXED, secrets).format(record("connect to u:hunter%22two failed", said='as hunter"two'))

    assert "hunter" not in line
    assert "***" in line


def test_a_short_password_does_not_make_lines_unreadable():
    """Striking out every `a` would tell the password and nothing else."""
    line = TextLines({}, secrets_of("redis://:a@db")).format(record())

    assert "task failed" in line


@pytest.mark.parametrize(
    ("url", "secrets"),
    [
        ("sqlite:///x.db", []),
        ("postgresql://u@db", []),
        ("postgresql://u:plain@db", ["plain"]),
        ("postgresql://u:p%40ss@db", ["p%40ss", "p@ss"]),
        ("postgresql://[broken:secret@db", ["postgresql://[broken:secret@db"]),
    ],
)
def test_the_secret_of_a_url_is_its_password(url, secrets):
    """As it is written and as it is meant; a URL that cannot be read is secret as a whole."""
    assert sorted(secrets_of(url)) == secrets
