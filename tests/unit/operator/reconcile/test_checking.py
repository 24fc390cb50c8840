"""How full the stores are: asked of each, and what nobody knows is not made up."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from cairn_operator.reconcile import checking
from cairn_operator.reconcile.checking import Checks, Room, room
from cairn_operator.reconcile.stores import Stores
from cairn_runtime.errors import StoreUnavailable, StoreUnusable
from cairn_runtime.store.base import Health
from cairn_runtime.store.opening import open_store

GIB = 1024**3


def health(used=None, free=None):
    return Health("some", "here", 0.002, 1, used_bytes=used, free_bytes=free)


@pytest.mark.parametrize(
    ("said", "capacity", "free"),
    [
        pytest.param(health(10, 90), None, 90, id="the store knows"),
        pytest.param(health(10), 100, 90, id="somebody said how much it may hold"),
        pytest.param(health(10, 500), 100, 90, id="it may hold less than its disk has room for"),
        pytest.param(health(10, 5), 100, 5, id="its disk has less room than it may hold"),
        pytest.param(health(150), 100, 0, id="it holds more than it may"),
        pytest.param(health(10), None, None, id="nobody knows"),
        pytest.param(health(None), 100, None, id="what it holds is not known"),
    ],
)
def test_the_room_is_the_least_that_is_known(said, capacity, free):
    """And unknown is not none."""
    assert room(said, capacity).free_bytes == free


class Asked:
    """A store that says how it is, or what it is told to."""

    def __init__(self, answer):
        self.answer = answer

    async def check(self):
        if isinstance(self.answer, Exception):
            raise self.answer
        if self.answer is None:
            await asyncio.Event().wait()
        return self.answer


def checks(lost=lambda _name, _error: None, **stores):
    asked: Any = {name: Asked(answer) for name, answer in stores.items()}
    return Checks(asked, lambda _name: None, lost)


async def test_each_store_is_asked_by_itself(monkeypatch):
    """One that hangs, and one that cannot be used, keep nobody from asking the others."""
    monkeypatch.setattr(checking, "ANSWER_SECONDS", 0.01)
    lost = []
    found = checks(
        lambda name, error: lost.append((name, error.reason)),
        good=health(10, 90),
        hangs=None,
        unusable=StoreUnusable("no rights"),
    )
    found.rooms["hangs"] = Room(0.1, 1, 1)

    await asyncio.gather(*(found.check(name) for name in found.stores))

    assert found.rooms == {"good": Room(0.002, 10, 90)}
    assert lost == [("hangs", "StoreUnavailable")]


async def known(found, name):
    """Wait until a store has said how it is."""
    async with asyncio.timeout(10):
        while name not in found.rooms:  # noqa: ASYNC110 - it is a dict, and nobody rings
            await asyncio.sleep(0)


async def test_stores_are_asked_until_the_end(monkeypatch):
    """A store that comes back is told of at the next round."""
    monkeypatch.setattr(checking, "SOON_SECONDS", 0.001)
    monkeypatch.setattr(checking, "CHECK_SECONDS", 0.002)
    found = checks(default=StoreUnavailable("down"))
    going = asyncio.create_task(found.keep_checking())
    await asyncio.sleep(0)
    found.stores["default"].answer = health(1, 2)

    await known(found, "default")

    going.cancel()
    await asyncio.gather(going, return_exceptions=True)


async def test_a_capacity_stands_beside_the_url(tmp_path, caplog):
    """Read anew each time, since it may be raised; one that cannot be read is told, and is none."""
    (tmp_path / "default").mkdir()
    (tmp_path / "default" / "url").write_text("memory:")
    stores = Stores(tmp_path, opener=open_store)
    before = stores.capacity("default")
    (tmp_path / "default" / "capacity").write_text("50Gi\n")
    given = stores.capacity("default")
    (tmp_path / "default" / "capacity").write_text("a lot")

    assert (before, given, stores.capacity("default")) == (None, 50 * GIB, None)
    assert "capacity could not be read" in caplog.messages


async def test_a_store_that_did_not_answer_is_asked_again_soon(monkeypatch):
    """An operator that starts beside its store knows its room as soon as there is one; others wait."""
    monkeypatch.setattr(checking, "SOON_SECONDS", 0.001)
    found = checks(good=health(10, 90), late=StoreUnavailable("it starts"))
    going = asyncio.create_task(found.keep_checking())
    await known(found, "good")
    good, late = (found.stores[name] for name in ("good", "late"))
    good.answer, late.answer = health(11, 89), health(20, 80)

    await known(found, "late")
    going.cancel()
    await asyncio.gather(going, return_exceptions=True)

    assert found.rooms["late"].used_bytes == 20
    assert found.rooms["good"].used_bytes == 10  # not asked again: its minute is not over
