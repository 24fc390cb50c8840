"""A show tells of a run and can never disturb it."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.cli.builders import workflow
from tests.unit.cli.test_rows import RUN

from cairn_runtime.cli.outputs import Format, Output
from cairn_runtime.cli.prints import Printed
from cairn_runtime.cli.shows import LiveShow, PlainShow, QuietShow, SafeShow
from cairn_runtime.runner.announcements import Notice

CALLS: list[tuple[str, tuple[Any, ...]]] = [
    ("begin", (RUN,)),
    ("heard", (Notice("started", "draft#1", 1),)),
    ("saw", (RUN, [])),
    ("printed", (Printed("hello", "draft#1"),)),
    ("say", ("a word",)),
    ("tick", ()),
    ("end", ()),
]


class Broken(QuietShow):
    """A show whose one method fails."""

    def __init__(self, method: str) -> None:
        def fail(*_: object) -> None:
            raise OSError(5, "Input/output error")

        setattr(self, method, fail)


@pytest.mark.parametrize("method", [name for name, _ in CALLS])
def test_a_show_that_fails_is_left_out(method, capsys):
    """A terminal that is gone takes the table with it, and nothing else; steps are still heard."""
    show = SafeShow(Broken(method))
    for name, args in CALLS:
        getattr(show, name)(*args)
    show.printed(Printed("still here"))

    assert isinstance(show.error, OSError)
    told = capsys.readouterr().err.splitlines()
    assert "the display failed and is left out: OSError: [Errno 5] Input/output error" in told
    assert "still here" in told


def test_a_quiet_show_writes_nothing_to_standard_output(capsys):
    """Programs read one document there."""
    for name, args in CALLS:
        getattr(QuietShow(), name)(*args)

    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == ["draft#1 | hello", "a word"]


def test_a_plain_show_tells_in_lines(capsys):
    """The run, and what is said about it; what steps print stays apart."""
    show = PlainShow(Output(Format.TABLE))
    for name, args in CALLS:
        getattr(show, name)(*args)

    out, err = capsys.readouterr()
    assert out.splitlines() == ["digest, run 0ab381f0", "a word"]
    assert err.splitlines() == ["draft#1 | hello"]


def test_a_live_show_draws_where_it_is_put(capsys):
    """The header, the steps, and above them what was printed."""
    show = LiveShow(workflow())
    for name, args in CALLS:
        getattr(show, name)(*args)

    out = capsys.readouterr().out
    assert "draft#1 │ hello" in out
    assert "a word" in out
    assert "digest  0ab381f0  Running" in out
    assert all(step in out for step in ("fetch", "draft", "check", "sign", "send"))
