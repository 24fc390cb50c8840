from __future__ import annotations

import threading

from cairn_runtime.engine.execute.watchdog import Watchdog


def test_the_earliest_of_many_is_bitten_first() -> None:
    """One that is added later may be due earlier."""
    seen: list[str] = []
    done = threading.Event()

    def bite(label: str, _: str) -> None:
        seen.append(label)
        if len(seen) == 2:
            done.set()

    dog = Watchdog(0.0, bite)
    dog.watch("never", 3600.0)
    dog.watch("second", 0.05)
    dog.watch("first", 0.01)

    assert done.wait(60)
    assert seen == ["first", "second"]


def test_what_was_released_is_left_alone() -> None:
    """Only the one that is still watched is bitten."""
    seen: list[str] = []
    done = threading.Event()
    dog = Watchdog(0.0, lambda label, _: (seen.append(label), done.set())[0])  # type: ignore[func-returns-value]
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
