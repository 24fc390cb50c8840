"""The suite has teeth: a store that breaks a rule falls, by the test that states the rule."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test
from tests.contract import broken_stores
from tests.contract.broken_stores import BROKEN, SEEN_BY_THE_MACHINE, Broken
from tests.contract.suite_runner import cases, fallen

from cairn_runtime.store.contract import calls, model
from cairn_runtime.store.contract.machine import StoreMachine
from cairn_runtime.store.memory import MemoryStore
from cairn_runtime.store.opening import parse_store_url


async def test_a_sound_store_passes_every_test():
    """Otherwise what follows would prove nothing."""
    assert await fallen(MemoryStore) == set()
    assert len(list(cases())) > 250


@pytest.mark.parametrize(("broken", "test"), BROKEN, ids=lambda value: getattr(value, "__name__", value))
async def test_a_broken_store_falls_by_the_test_of_its_rule(broken, test):
    """Not by chance somewhere else: the failure must name what is wrong."""
    assert await fallen(broken, only=test) == {test}


@pytest.mark.parametrize("broken", SEEN_BY_THE_MACHINE, ids=lambda broken: broken.__name__)
def test_random_calls_find_a_broken_store(broken):
    """The state machine finds by itself what the tests of the single rules find."""
    url = parse_store_url(f"memory:{uuid4()}")
    machine = type("Machine", (StoreMachine,), {"factory": staticmethod(lambda: broken(url))})
    drawn = settings(
        max_examples=60,
        stateful_step_count=35,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],  # found is found: nobody reads the smallest example here
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
    )

    with pytest.raises(Exception, match=r"(?s).*"):
        run_state_machine_as_test(machine, settings=drawn)


def test_every_broken_store_is_in_the_table():
    """One that is left out would break nothing."""
    made = {
        found
        for found in vars(broken_stores).values()
        if inspect.isclass(found) and issubclass(found, Broken) and not found.__subclasses__()
    }

    assert made == {broken for broken, _ in BROKEN}


@pytest.mark.parametrize("module", [model, calls], ids=lambda module: module.__name__)
def test_the_model_decides_by_itself(module):
    """It borrows no rule from the stores: a mistake in what they share is not made twice."""
    tree = ast.parse(Path(str(module.__file__)).read_text())
    borrowed = {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}

    assert {name for name in borrowed if name.startswith("cairn_runtime")} <= {
        "cairn_runtime.errors",
        "cairn_runtime.model.values",
        "cairn_runtime.store.base",
        "cairn_runtime.store.contract.model",
    }
