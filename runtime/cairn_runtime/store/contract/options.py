"""What a package may tell the suite about its store, besides `store_factory`; each is a fixture to override.

Without them the tests that need them are skipped, with the fixture's name as the reason.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeAlias

import pytest

from cairn_runtime.store.base import Checkpoint

Damage: TypeAlias = Callable[[Checkpoint], None]
Crash: TypeAlias = Callable[[], Awaitable[None]]


@pytest.fixture
def store_url() -> str | None:
    """The URL of the place that `store_factory` opens: other processes are given it, and killed."""
    return None


@pytest.fixture
def store_damage() -> Damage | None:
    """Flips a bit in the stored payload of a checkpoint, behind the store's back; all stores are closed."""
    return None


@pytest.fixture
def store_crash() -> Crash | None:
    """Ends what holds the place, a server or a machine, without a warning, and brings it up again."""
    return None
