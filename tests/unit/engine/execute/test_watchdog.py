from __future__ import annotations

import threading

from cairn_runtime.engine.execute.watchdog import Watchdog


def test_the_earliest_of_many_is_bitten_first() -> None:
    """One that is added later may be due earlier."""
    seen: list[str] = []
    bitten = threading.Semaphore(0)
    dog = Watchdog(0.0, lambda label, _: (seen.append(label), bitten.release())[0])  # type: ignore[func-returns-value]
    dog.watch("later", 3600.0)

    for label in ("first", "second"):
        dog.watch(label, 0.01)
        assert bitten.acquire(timeout=60)

    assert seen == ["first", "second"]


def test_what_was_released_is_left_alone() -> None:
    """Only the one that is still watched is bitten."""
    seen: list[str] = []
    done = threading.Event()
    dog = Watchdog(0.0, lambda label, _: (seen.append(label), done.set())[0])  # type: ignore[func-returns-value]
    with dog._changed:  # else it may be looked at between the two
        dog.release(dog.watch("released", 0.01))
    dog.watch("watched", 0.02)

    assert done.wait(60)
    assert seen == ["watched"]


def test_after_the_whole_process_slept_everybody_gets_the_grace_again() -> None:
    """A laptop that was shut, a process that was stopped: its loop had no chance."""
    dog = Watchdog(5.0, lambda *_: None)
    dog._due = {1: (100.0, "draft#1", 0)}

    dog._forgive(0.5)
    on_time = dog._due[1][0]
    dog._forgive(30.0)

    assert on_time == 100.0
    assert dog._due[1] == (135.0, "draft#1", 0)
