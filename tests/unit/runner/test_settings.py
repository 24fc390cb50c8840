"""What a runner process is told from outside."""

from __future__ import annotations

from pathlib import Path

import pytest

from cairn_runtime.errors import SettingsInvalid
from cairn_runtime.runner.settings import Settings, hide_secrets, read_settings

NEEDED = {
    "CAIRN_RUN_ID": "r-1",
    "CAIRN_EPOCH": "7",
    "CAIRN_CLAIM": "claim-1",
    "CAIRN_STORE_URL": "postgresql://u:hunter22@db/x",
}


def read(**environ):
    return read_settings({**NEEDED, **environ}, writable=lambda _: False)


def test_four_variables_are_enough():
    """Everything but run, epoch, claim and store has a default."""
    assert read() == Settings("r-1", 7, "claim-1", "postgresql://u:hunter22@db/x")


def test_every_variable_is_read():
    """Each optional variable reaches its field."""
    settings = read(
        CAIRN_PATIENCE="1m30s",
        CAIRN_LINGER="500ms",
        CAIRN_GRACE="2s",
        CAIRN_HEARTBEAT_SECONDS="0.5",
        CAIRN_LOG_FORMAT="text",
        CAIRN_LOG_LEVEL="debug",
        CAIRN_TERMINATION_MESSAGE="/tmp/word",  # noqa: S108 - a name, nothing is written
        CAIRN_SUPERVISOR_FD="5",
        CAIRN_HOLD_AT="draft#2",
        CAIRN_SPEC='{"timeout": "5m"}',
    )

    assert (settings.patience_seconds, settings.linger_seconds, settings.grace_seconds) == (90.0, 0.5, 2.0)
    assert (settings.heartbeat_seconds, settings.log_format, settings.log_level) == (0.5, "text", "DEBUG")
    assert settings.termination_message == Path("/tmp/word")  # noqa: S108 - as above
    assert (settings.supervisor_fd, settings.hold_at) == (5, "draft#2")
    assert settings.spec == {"timeout": "5m"}


def test_all_missing_variables_are_named_at_once():
    """Whoever starts a runner by hand learns everything that is missing, not the first of it."""
    with pytest.raises(SettingsInvalid) as caught:
        read_settings({"CAIRN_EPOCH": ""})

    assert [fault.path for fault in caught.value.faults] == list(NEEDED)
    assert str(caught.value.faults[0]) == (
        "CAIRN_RUN_ID: is not set; whoever claims a run starts its runner with it"
    )
    assert caught.value.exit_code == 78


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        ("CAIRN_EPOCH", "0", '"0" is not an epoch; it is a whole number from 1'),
        ("CAIRN_EPOCH", "-1", '"-1" is not an epoch; it is a whole number from 1'),
        ("CAIRN_EPOCH", "²", '"²" is not an epoch; it is a whole number from 1'),
        ("CAIRN_EPOCH", "9" * 30, f'"{"9" * 30}" is not an epoch; it is a whole number from 1'),
        ("CAIRN_PATIENCE", "5", '"5" is not a duration; write 100ms, 30s, 5m, 1h30m or 7d'),
        ("CAIRN_HEARTBEAT_SECONDS", "0", '"0" is not a number of seconds above 0'),
        ("CAIRN_HEARTBEAT_SECONDS", "nan", '"nan" is not a number of seconds above 0'),
        ("CAIRN_HEARTBEAT_SECONDS", "5s", '"5s" is not a number of seconds above 0'),
        ("CAIRN_LOG_FORMAT", "xml", '"xml" is not a format; write json or text'),
        ("CAIRN_LOG_LEVEL", "loud", '"loud" is not a level; write DEBUG, INFO, WARNING, ERROR or CRITICAL'),
        ("CAIRN_SUPERVISOR_FD", "x", '"x" is not a file descriptor'),
        ("CAIRN_SPEC", "[]", "is not a JSON object"),
        ("CAIRN_SPEC", "{", "is not a JSON object"),
    ],
)
def test_a_wrong_variable_is_named_with_what_would_be_right(name, text, problem):
    """A value that cannot be used is never replaced by a default in silence."""
    with pytest.raises(SettingsInvalid) as caught:
        read(**{name: text})

    assert [str(fault) for fault in caught.value.faults] == [f"{name}: {problem}"]


def test_an_empty_variable_counts_as_absent():
    """A pod's template may set a variable to nothing."""
    assert read(CAIRN_GRACE="", CAIRN_LOG_LEVEL="", CAIRN_SUPERVISOR_FD="") == read()


def test_the_last_word_goes_where_kubernetes_looks_for_it():
    """Without a variable it is /dev/termination-log, if that is there."""
    settings = read_settings(NEEDED, writable=lambda path: path == "/dev/termination-log")

    assert settings.termination_message == Path("/dev/termination-log")


def test_secrets_are_in_no_repr():
    """Settings may be logged by mistake; password and claim must not be in them."""
    assert "hunter22" not in repr(read())
    assert "claim-1" not in repr(read())


def test_steps_inherit_no_secrets():
    """What only the runner may know is gone from the environment that programs inherit; the rest stays."""
    environ = {**NEEDED, "CAIRN_SUPERVISOR_FD": "5", "CAIRN_HOLD_AT": "a", "PATH": "/bin"}

    hide_secrets(environ)

    assert environ == {"CAIRN_RUN_ID": "r-1", "CAIRN_EPOCH": "7", "PATH": "/bin"}
