"""Stores that may hold up their caller's event loop, where that loop has nothing else to do.

A program whose loop is there for one run alone says when no task runs (`alone`): waiting for a commit by way
of the loop, or of another thread, then only costs what it takes to fall asleep and to be woken.
Nobody else's loop is ever held up.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, runtime_checkable


@runtime_checkable
class HoldsUp(Protocol):
    """A store that asks before it holds up the loop."""

    alone: Callable[[], bool]
    """Whether nothing else needs the caller's event loop now."""


def never() -> bool:
    """Answer for whoever has not said that the loop is theirs."""
    return False
