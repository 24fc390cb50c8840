"""Log lines of the operator: what must be in them, and what must never be."""

from __future__ import annotations

import io
import json
import logging

import pytest

from cairn_operator.telemetry.logs import set_up_logs


@pytest.fixture(autouse=True)
def _loggers():
    """Leave the process's loggers as they were."""
    root = logging.getLogger()
    before = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = before
    logging.captureWarnings(capture=False)
    for name in ("cairn", "cairn_runtime"):
        logging.getLogger(name).setLevel(logging.NOTSET)


def test_a_line_is_a_json_object_with_its_keys():
    """Whoever collects logs needs no pattern to read them."""
    stream = io.StringIO()
    set_up_logs("json", "INFO", stream)

    logging.getLogger("cairn.act").info("acted", extra={"action": "StartRunner"})

    line = json.loads(stream.getvalue())
    assert {key: line[key] for key in ("level", "logger", "message", "action")} == {
        "level": "info",
        "logger": "cairn.act",
        "message": "acted",
        "action": "StartRunner",
    }


@pytest.mark.parametrize("log_format", ["json", "text"])
def test_a_password_is_struck_out_wherever_it_turns_up(log_format):
    """As it is written in the URL and as it is meant, in words, keys and tracebacks."""
    stream = io.StringIO()
    lines = set_up_logs(log_format, "INFO", stream)
    lines.hide("postgresql://u:p%40ss%22w@h/db")

    error = RuntimeError('refused: p@ss"w')
    logging.getLogger("cairn").error("went wrong p%40ss%22w", exc_info=error, extra={"why": 'p@ss"w'})

    text = stream.getvalue()
    assert text.count("***") >= 3
    assert "p%40ss" not in text
    assert "p@ss" not in text


def test_libraries_are_quiet():
    """Kopf tells each event, and nobody wants to read it."""
    stream = io.StringIO()
    set_up_logs("json", "DEBUG", stream)

    logging.getLogger("kopf.objects").info("handler succeeded")

    assert stream.getvalue() == ""


def test_what_cannot_be_written_is_written_all_the_same():
    """A line about a strange name is not lost for its strangeness."""
    stream = io.StringIO()
    set_up_logs("json", "INFO", stream)

    logging.getLogger("cairn").info("odd", extra={"name_of_it": "\ud800"})

    assert json.loads(stream.getvalue())["message"] == "'odd'"
