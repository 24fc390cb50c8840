from __future__ import annotations

import logging

import pytest

from cairn_runtime.engine.context import Park
from cairn_runtime.engine.execute.faults import (
    MAX_MESSAGE_BYTES,
    as_fault,
    bounded,
    log_failure,
    step_traceback,
)
from cairn_runtime.errors import StepFailed, Superseded, WriteRefused


class Silent(Exception):
    def __str__(self) -> str:
        raise RuntimeError


class NotText(Exception):
    def __str__(self) -> str:
        return 7  # type: ignore[return-value] # noqa: PLE0307 - that is the point


@pytest.mark.parametrize(
    ("error", "name", "message"),
    [
        pytest.param(ValueError("no"), "ValueError", "no", id="its text"),
        pytest.param(ValueError(), "ValueError", "ValueError", id="its class where it has no text"),
        pytest.param(KeyError("x"), "KeyError", "'x'", id="as Python shows it"),
        pytest.param(SystemExit(3), "SystemExit", "3", id="sys.exit"),
        pytest.param(KeyboardInterrupt(), "KeyboardInterrupt", "KeyboardInterrupt", id="an interrupt"),
        pytest.param(StopIteration(1), "StopIteration", "1", id="StopIteration"),
        pytest.param(Silent(), "Silent", "a Silent whose text cannot be shown", id="a __str__ that raises"),
        pytest.param(NotText(), "NotText", "a NotText whose text cannot be shown", id="a __str__ of no text"),
        pytest.param(ValueError("a\ud800\0b"), "ValueError", "a\\ud800\\x00b", id="what no store holds"),
    ],
)
def test_any_exception_becomes_a_failure_of_the_step(error: BaseException, name: str, message: str) -> None:
    """Its class name and its text are what retry, catch and the user see."""
    fault = as_fault(error)

    assert isinstance(fault, StepFailed)
    assert (fault.error, fault.message) == (name, message)


def test_the_names_of_all_base_classes_are_kept() -> None:
    """So that `errors: [OSError]` matches a ConnectionResetError."""
    fault = as_fault(ConnectionResetError("x"))

    assert isinstance(fault, StepFailed)
    assert fault.error_names == (
        "ConnectionResetError",
        "ConnectionError",
        "OSError",
        "Exception",
        "BaseException",
    )


@pytest.mark.parametrize("text", ["x" * 10_000_000, "é" * 10_000, "\ud800" * 4000])
def test_a_message_is_bounded_in_bytes(text: str) -> None:
    """4 KiB of UTF-8, cut between characters, with a mark."""
    message = bounded(text)

    assert MAX_MESSAGE_BYTES - 8 <= len(message.encode()) <= MAX_MESSAGE_BYTES
    assert message.endswith("…")


def test_a_text_of_just_the_bound_is_whole() -> None:
    """No mark where nothing is missing."""
    assert bounded("x" * MAX_MESSAGE_BYTES) == "x" * MAX_MESSAGE_BYTES


@pytest.mark.parametrize(
    "error", [Park(1.0), Superseded("run"), WriteRefused("no")], ids=lambda e: type(e).__name__
)
def test_cairns_own_words_pass_unchanged(error: Exception) -> None:
    """A Park is no failure; what the engine itself refused is not the step's exception."""
    assert as_fault(error) is error


def test_of_an_exception_group_the_first_failure_is_told() -> None:
    """With the group's own names, so that both can be matched."""
    inner = ExceptionGroup("inner", [ConnectionResetError("gone"), ValueError("x")])
    fault = as_fault(ExceptionGroup("outer", [inner, KeyError("y")]))

    assert isinstance(fault, StepFailed)
    assert (fault.error, fault.message) == (
        "ConnectionResetError",
        "gone (and 2 more in the exception group)",
    )
    assert {"ConnectionResetError", "OSError", "ExceptionGroup", "BaseExceptionGroup"} <= set(
        fault.error_names
    )


@pytest.mark.parametrize(
    ("leaves", "expected"),
    [
        pytest.param([Park(1.0, message="a"), Park(2.0)], Park, id="nothing but parks: the first"),
        pytest.param([Park(1.0), ValueError("x")], StepFailed, id="a failure wins over a park"),
        pytest.param([ValueError("x"), Superseded("run")], Superseded, id="the store's word wins over all"),
        pytest.param([ValueError("x"), WriteRefused("no")], WriteRefused, id="so does a refused write"),
    ],
)
def test_what_matters_most_in_an_exception_group_comes_out(leaves: list[Exception], expected: type) -> None:
    """A TaskGroup wraps whatever its tasks raised."""
    assert type(as_fault(ExceptionGroup("tasks", leaves))) is expected


def raise_in_step() -> None:
    secret = "the value of a channel"  # noqa: F841 - it must not be seen
    raise ValueError("no")


def test_the_traceback_shows_lines_but_no_values() -> None:
    """State values never reach the log."""
    with pytest.raises(ValueError, match="no") as caught:
        raise_in_step()

    text = step_traceback(caught.value)

    assert "in raise_in_step" in text
    assert "secret = " not in text
    assert text.endswith("ValueError: no")


def test_the_traceback_leaves_out_cairns_own_frames() -> None:
    """A user looks for his own line."""
    with pytest.raises(TypeError) as caught:
        bounded(None)

    text = step_traceback(caught.value)

    assert "execute/faults.py" not in text.replace("execute/test_faults.py", "")
    assert "test_faults.py" in text


@pytest.mark.parametrize("error", [ValueError("x" * 10_000_000), Silent(), RecursionError()])
def test_the_traceback_is_bounded_whatever_the_exception(error: Exception) -> None:
    """Text of megabytes and exceptions that cannot be shown are cut short."""
    assert len(step_traceback(error)) <= 16_384


def test_a_failure_is_logged_with_its_traceback_where_formatters_look(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Constant message, fixed keys; the traceback is the record's exc_text."""
    log_failure(
        StepFailed("no", error="ValueError"), "Traceback ...", {"run_id": "r", "task": "t#1", "attempt": 2}
    )

    (record,) = caplog.records
    fields = vars(record)
    assert (record.name, record.levelno, record.getMessage()) == (
        "cairn.step",
        logging.WARNING,
        "step raised",
    )
    assert (fields["task"], fields["attempt"], fields["error"]) == ("t#1", 2, "ValueError")
    assert logging.Formatter().format(record) == "step raised\nTraceback ..."
