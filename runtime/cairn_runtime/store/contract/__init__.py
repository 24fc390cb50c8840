"""The contract suite: what every store passes, those of Cairn and those from outside.

A package with a store of its own tests it in one module (`docs/howto/write-a-store.md` goes through it):

    from cairn_runtime.store.contract.suite import *  # noqa: F403

    @pytest.fixture
    def store_factory(tmp_path):
        return lambda: MyStore(parse_store_url(f"mine://{tmp_path}"))

`store_factory` gives each test an empty place; every call of what it returns makes an unopened store at that
same place, so that a test can open it twice, as two processes would.
Other fixtures are options, see `options.py`.
One module per capability; the tests need the extra `contract`: pytest, pytest-asyncio and hypothesis.
"""

from __future__ import annotations

from pkgutil import iter_modules

import pytest

# Here, because it must come before the modules are loaded: their asserts explain themselves like any test's.
pytest.register_assert_rewrite(*(module.name for module in iter_modules(__path__, f"{__name__}.")))
