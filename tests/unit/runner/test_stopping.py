"""How a runner process hears the word to stop, and how it ends for certain."""

from __future__ import annotations

import signal
import threading

import pytest

from cairn_runtime.runner.stopping import Guard, Stopping


@pytest.fixture
def stopping():
    """A process that listens, and gets its own handlers back."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)}
    made = Stopping()
    made.listen()
    yield made
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_the_first_signal_asks(stopping, number):
    """Whoever is there is told, once."""
    heard: list[str] = []
    stopping.on_asked = lambda: heard.append("asked")

    signal.raise_signal(number)
    stopping.ask()

    assert stopping.asked
    assert heard == ["asked"]


def test_a_signal_before_anybody_listens_is_kept(stopping):
    """During the start nobody is there to be told: the flag stays."""
    signal.raise_signal(signal.SIGTERM)

    assert stopping.asked


def test_the_second_signal_insists(stopping, monkeypatch):
    """It says a last word and ends the process with 0: it was asked to."""
    said: list[object] = []
    monkeypatch.setattr("os._exit", said.append)
    stopping.on_insisted = lambda: said.append("last word")

    signal.raise_signal(signal.SIGTERM)
    signal.raise_signal(signal.SIGINT)

    assert said == ["last word", 0]


def guard():
    left: list[object] = []
    gone = threading.Event()

    def leave(code):
        left.append(code)
        gone.set()

    made = Guard(leave)
    made.start()
    return made, left, gone


def test_the_guard_ends_the_process_after_a_last_word():
    """Whatever the other threads do."""
    made, left, gone = guard()

    made.leave_within(0.0, 75, lambda: left.append("last word"))

    assert gone.wait(30)
    assert left == ["last word", 75]


def test_the_earliest_order_counts():
    """A drain of an hour does not keep a process that is done."""
    made, left, gone = guard()

    made.leave_within(3600.0, 1)
    made.leave_within(0.0, 0)
    made.leave_within(3600.0, 2)

    assert gone.wait(30)
    assert left == [0]
