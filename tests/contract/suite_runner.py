"""Runs the tests of the contract against a store, without pytest in between, so that hundreds take a second.

Every test of the suite is a coroutine of a class, with a store or two and maybe a table; all of that can be
read from the class.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Iterator
from itertools import product
from typing import Any
from uuid import uuid4

import pytest

from cairn_runtime.store.base import Store
from cairn_runtime.store.contract import suite
from cairn_runtime.store.opening import StoreUrl, parse_store_url

Make = Callable[[StoreUrl], Store]
_STORES = {"store", "other", "store_factory"}
_PATIENCE_SECONDS = 20.0
"""A store may break a rule by never answering."""


def cases() -> Iterator[tuple[type, str, dict[str, Any]]]:
    """Every test of the suite that needs no more than stores, with each row of its tables."""
    for name in suite.__all__:
        case = getattr(suite, name)
        if not isinstance(case, type):
            continue
        for method_name, method in inspect.getmembers(case, inspect.iscoroutinefunction):
            if not method_name.startswith("test_"):
                continue
            for row in product(*(list(_rows(mark)) for mark in _tables(method))):
                filled = {key: value for part in row for key, value in part.items()}
                if set(inspect.signature(method).parameters) - {"self"} <= _STORES | set(filled):
                    yield case, method_name, filled


async def fallen(make: Make, only: str = "") -> set[str]:
    """Run the suite, or one test of it with all rows of its table; the names of the tests that fell."""
    return {
        name for case, name, row in cases() if only in ("", name) and not await _passes(make, case, name, row)
    }


async def _passes(make: Make, case: type, name: str, row: dict[str, Any]) -> bool:
    url = parse_store_url(f"memory:{uuid4()}")

    def factory() -> Store:
        return make(url)

    store, other = factory(), factory()
    test = getattr(case(), name)
    wanted = inspect.signature(test).parameters
    given = {"store": store, "other": other, "store_factory": factory} | row
    try:
        async with asyncio.timeout(_PATIENCE_SECONDS):
            await store.open()
            await other.open()
            await test(**{name: given[name] for name in wanted})
    except (Exception, pytest.fail.Exception):  # noqa: BLE001 - a broken store may raise anything
        return False
    return True


def _tables(method: Callable[..., Any]) -> list[pytest.Mark]:
    return [mark for mark in getattr(method, "pytestmark", []) if mark.name == "parametrize"]


def _rows(mark: pytest.Mark) -> Iterator[dict[str, Any]]:
    names, values = mark.args
    columns = [names] if isinstance(names, str) else list(names)
    for value in values:
        cells = getattr(value, "values", None)
        if callable(cells) or cells is None:
            cells = (value,) if len(columns) == 1 else value
        yield dict(zip(columns, cells, strict=True))
