"""What importing costs: a step's module pays for nothing that it does not use."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

HEAVY = {"aiohttp", "kopf", "kubernetes", "opentelemetry", "psycopg", "psycopg_pool", "redis", "requests"}
"""Drivers and clients that come with an extra: no core module may need them."""


def loaded_by(statement: str) -> set[str]:
    """Top-level modules that a fresh interpreter holds after a statement, beyond those it starts with."""
    program = (
        "import json, sys; before = set(sys.modules)\n"
        f"{statement}\n"
        "print(json.dumps(sorted({name.split('.')[0] for name in set(sys.modules) - before})))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    return set(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.parametrize(
    "module",
    [
        "cairn_runtime",
        "cairn_runtime.cli.__main__",
        "cairn_runtime.runner.__main__",
        "cairn_runtime.runner.library",
        "cairn_runtime.runner.process",
        "cairn_runtime.store.opening",
        "cairn_operator.names",
    ],
)
def test_core_modules_load_no_driver_and_no_cluster_client(module):
    """An install without extras has to work, and a runner has to start lean."""
    assert not loaded_by(f"import {module}") & HEAVY


def test_the_front_door_is_nearly_free():
    """`import cairn_runtime` loads none of the dependencies: a step's module may import it at will."""
    assert loaded_by("import cairn_runtime") <= {"cairn_runtime", *sys.stdlib_module_names}


def test_every_public_name_is_behind_the_front_door():
    """Each name in `__all__` can be had, and `dir` shows it."""
    import cairn_runtime  # noqa: PLC0415 - the front door itself is under test

    assert all(getattr(cairn_runtime, name) is not None for name in cairn_runtime.__all__)
    assert set(cairn_runtime.__all__) <= set(dir(cairn_runtime))


def test_an_unknown_name_is_an_attribute_error():
    """A misspelt name is refused as Python itself would refuse it."""
    import cairn_runtime  # noqa: PLC0415 - the front door itself is under test

    with pytest.raises(AttributeError, match="module 'cairn_runtime' has no attribute 'rnu'"):
        cairn_runtime.rnu  # noqa: B018 - asking is the test
