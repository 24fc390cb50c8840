"""Cairn's local stores, damaged on the disk and with real processes that are killed."""

from __future__ import annotations

from base64 import b64encode
from pathlib import Path

import pytest

from cairn_runtime.store.base import Checkpoint
from cairn_runtime.store.contract.suite import TestDamage, TestLasting, store_crash  # noqa: F401
from cairn_runtime.store.opening import store_for


@pytest.fixture(params=["sqlite", "file"])
def store_url(request, tmp_path: Path) -> str:
    """The place that the processes share; races are about order, not about patience."""
    place = {"sqlite": f"sqlite:///{tmp_path}/store.db", "file": f"file://{tmp_path}/store"}[request.param]
    return f"{place}?timeout=60s"


@pytest.fixture
def store_factory(store_url: str):
    """Open it as often as the test asks."""
    return lambda: store_for(store_url)


@pytest.fixture
def store_damage(tmp_path: Path):
    """Flip a bit in the middle of a payload, in whichever file it stands."""

    def damage(row: Checkpoint) -> None:
        for file in tmp_path.rglob("*"):
            data = bytearray(file.read_bytes()) if file.is_file() else bytearray()
            for text in (row.payload or b"", b64encode(row.payload or b"")):
                at = data.find(text)
                if at >= 0:
                    data[at + len(text) // 2] ^= 1
                    file.write_bytes(data)
                    return
        raise AssertionError("the payload stands nowhere")

    return damage
