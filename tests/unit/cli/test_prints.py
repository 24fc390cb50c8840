"""Of what a runner writes people are told what they would ask for, and nothing of it is lost on the way."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest

from cairn_runtime.cli.prints import Printed, Reader, Tail, record_of


def line(message: str, *, level: str = "info", logger: str = "cairn.step", **keys: Any) -> str:
    """A line of a runner's log."""
    return json.dumps(
        {"time": "2026-01-02T03:04:05Z", "level": level, "logger": logger, "message": message, **keys}
    ).replace('{"time": ', '{"time":', 1)


TRACE = "Traceback (most recent call last):\n  File steps.py, line 3\nOSError: connection reset"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (line("hello", task="draft#1"), [Printed("hello", "draft#1")]),
        ("printed past the log", [Printed("printed past the log")]),
        ('{"time":"noon"}', [Printed('{"time":"noon"}')]),
        ('{"time":', [Printed('{"time":')]),
        ("\x1b[31mred", [Printed("\\u001b[31mred")]),
        (line("runner started", logger="cairn.runner"), []),
        (line("runner ended", level="error", logger="cairn.runner"), []),
        (
            line("store did not answer", level="warning", logger="cairn.control", error="make room"),
            [Printed("store did not answer: make room", level="warning")],
        ),
        (
            line("save was slow", level="warning", logger="cairn.control", seconds=0.3),
            [Printed("save was slow  seconds=0.3", level="warning")],
        ),
    ],
    ids=[
        "a step's line is told with its task",
        "what a step writes past the log is told",
        "JSON that is no log line is a step's",
        "half of a line is a step's",
        "an escape sequence is shown, not obeyed",
        "what the runner says of itself is not told",
        "nor is its last line",
        "a warning is told, and why",
        "with what belongs to it",
    ],
)
def test_only_what_people_ask_for_is_told(text, told):
    """Steps speak; of our own log only what went wrong is news."""
    assert Reader().read(text) == told


def test_an_attempt_that_failed_is_one_line():
    """Sixty items that are tried again must not print sixty tracebacks."""
    reader = Reader()

    raised = reader.read(line("step raised", level="warning", task="fetch#1[3]", traceback=TRACE))
    again = reader.read(
        line("attempt failed", level="warning", logger="cairn.loop", task="fetch#1[3]", error="OSError")
    )
    assert raised == []
    assert again == [Printed("OSError: connection reset; trying again", "fetch#1[3]", "warning")]


def test_a_task_that_failed_for_good_shows_its_last_traceback():
    """The one traceback that matters is the last one of the task that ended the run."""
    reader = Reader()
    reader.read(line("step raised", level="warning", task="draft#1", traceback=TRACE))

    told = reader.read(
        line("task failed", level="error", logger="cairn.loop", task="draft#1", error="OSError")
    )
    assert [printed.text for printed in told] == [*TRACE.splitlines(), "failed: OSError: connection reset"]


def test_an_error_of_several_lines_is_told_by_its_first():
    """A ValidationError ends with the address of a web page, which was all that was told of it."""
    trace = "Traceback (most recent call last):\npydantic.ValidationError: 1 fault\nid\n  see https://x"
    reader = Reader()
    reader.read(line("step raised", level="warning", task="a#1", traceback=trace))

    told = reader.read(
        line("attempt failed", level="warning", logger="cairn.loop", task="a#1", error="ValidationError")
    )
    assert told == [Printed("pydantic.ValidationError: 1 fault; trying again", "a#1", "warning")]


def test_a_log_line_behind_an_unfinished_one_is_still_ours():
    """A step that asks, or draws a bar, ends no line; what was logged next was shown as JSON."""
    record = line("step raised", level="warning", task="a#1", traceback=TRACE)

    nested = line("saved", task="a#1", at={}).replace("{}", '{"time":1}')

    assert Reader().read(f"name? {record}") == [Printed("name?")]
    assert Reader().read(nested) == [Printed("saved", "a#1")]
    assert Reader().read('{"time": 1} {"time": 2}') == [Printed('{"time": 1} {"time": 2}')]


def test_a_failure_without_a_traceback_is_told_by_its_name():
    """A command has none."""
    told = Reader().read(
        line("task failed", level="error", logger="cairn.loop", task="a#1", error="CommandFailed")
    )

    assert told == [Printed("failed: CommandFailed", "a#1", "error")]


def test_tracebacks_of_tasks_that_succeed_later_are_forgotten():
    """A foreach of ten thousand items that fail once each keeps a bounded memory."""
    reader = Reader()
    for n in range(1000):
        reader.read(line("step raised", level="warning", task=f"fetch#1[{n}]", traceback=TRACE))

    assert len(reader._traces) <= 256


def test_debug_tells_everything():
    """With --debug the runner's whole log is there."""
    assert Reader(debug=True).read(line("runner started", logger="cairn.runner", level="info")) != []
    assert (
        Reader(debug=True)
        .read(line("step raised", level="warning", traceback=TRACE))[-1]
        .text.startswith("OSError")
    )


def test_a_tail_gives_each_line_once_and_whole(tmp_path):
    """A line that is written in pieces is told when it is complete; the last one also without its newline."""
    path = tmp_path / "log"
    tail = Tail(path, Reader())
    assert tail.read() == []
    with path.open("ab", buffering=0) as log:
        log.write(b"first\nsec")
        assert [printed.text for printed in tail.read()] == ["first"]
        log.write("ond\nkä".encode()[:-1])
        assert [printed.text for printed in tail.read()] == ["second"]
        log.write("ä!".encode()[1:])

    assert [printed.text for printed in tail.read_all()] == ["kä!"]
    assert tail.read_all() == []


def test_a_record_of_this_process_reads_like_a_runners():
    """Steps that run in this process are told of in the same way."""
    record = logging.LogRecord("cairn.loop", logging.WARNING, "", 0, "attempt failed", (), None)
    record.task, record.error = "a#1", "OSError"

    assert Reader().take(record_of(record)) == [Printed("OSError; trying again", "a#1", "warning")]
