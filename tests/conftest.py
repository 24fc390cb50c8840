"""What every test stands on: a bare environment and hypothesis without a clock.

Tests are told apart by directory, not by marks: `unit` (no network, no sleep), `contract` (one suite over
every store), `crash` (real processes, really killed).
"""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, settings

# A deadline would be a timed assert: a slow machine is no fault of the code.
# In CI the same examples are drawn each time, so that a red build is about the change; at home new ones.
settings.register_profile(
    "cairn",
    deadline=None,
    derandomize="CI" in os.environ,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("cairn")


def pytest_configure(config: pytest.Config) -> None:
    """Forget the developer's own Cairn settings, above all where his real runs are stored.

    `CAIRN_TEST_*` stays: by it a suite is given servers to run against.
    """
    for name in [n for n in os.environ if n.startswith("CAIRN_") and not n.startswith("CAIRN_TEST_")]:
        del os.environ[name]
