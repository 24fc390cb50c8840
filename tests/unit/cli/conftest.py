"""A store with histories in it, and a way to call `cairn` inside this process."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
from tests.unit.cli.builders import waiting_run

from cairn_runtime.cli.__main__ import main
from cairn_runtime.store.base import Run, Store
from cairn_runtime.store.opening import open_store


class Said(NamedTuple):
    """What a call of `cairn` left behind."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """Standard output as the one JSON document that it is."""
        return json.loads(self.out)


@pytest.fixture
def cairn(capsys, monkeypatch, tmp_path) -> Callable[..., Said]:
    """Call `cairn` with arguments, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")

    def call(*args: str) -> Said:
        code = main(args)
        out, err = capsys.readouterr()
        return Said(code, out, err)

    return call


@pytest.fixture
def url(tmp_path) -> str:
    """A store that is not there yet."""
    return f"sqlite:///{tmp_path}/cairn.db"


@pytest.fixture
def write(url) -> Callable[..., Any]:
    """Write something to the store: call it with an async function of the store."""

    def call(work: Callable[[Store], Any]) -> Any:
        async def go() -> Any:
            store = await open_store(url)
            try:
                return await work(store)
            finally:
                await store.close()

        return asyncio.run(go())

    return call


@pytest.fixture
def waiting(write) -> Run:
    """A run of `digest` with seven checkpoints that waits for an approval."""
    run: Run = write(waiting_run)
    return run
