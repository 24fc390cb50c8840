"""The stores of an installation: one that does not open keeps nobody from using the others."""

from __future__ import annotations

import asyncio
import logging

import pytest

from cairn_operator.reconcile import stores as rooms
from cairn_operator.reconcile.stores import Stores, look_again_seconds
from cairn_runtime.errors import StoreUnavailable, StoreUnusable


class Opened:
    """A store that was opened, and may be closed."""

    def __init__(self, url):
        self.url = url
        self.closed = False

    async def heads(self, run_ids):
        return dict.fromkeys(run_ids, self.url)

    async def close(self):
        self.closed = True


class Door:
    """Opens URLs; a test says what becomes of each."""

    def __init__(self):
        self.answers = {}
        self.asked = []

    async def __call__(self, url):
        self.asked.append(url)
        answer = self.answers.get(url, Opened(url))
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, asyncio.Event):
            await answer.wait()
            return Opened(url)
        return answer


@pytest.fixture
def door():
    return Door()


@pytest.fixture
def folder(tmp_path):
    def write(**urls):
        for name, url in urls.items():
            (tmp_path / name).mkdir(exist_ok=True)
            (tmp_path / name / "url").write_text(f"{url}\n")
        return tmp_path

    return write


async def test_every_folder_with_a_url_is_a_store(folder, door):
    """The name is the folder's, the URL is the file's without the line's end."""
    stores = Stores(folder(default="memory:a", team="memory:b"), opener=door)
    await stores.look()

    assert {name: stores[name].url for name in stores} == {"default": "memory:a", "team": "memory:b"}
    assert stores.is_open("default")


@pytest.mark.parametrize(
    ("text", "allowed"),
    [
        (None, {"one", "two"}),
        ("one\n", {"one"}),
        ("two\n  one", {"one", "two"}),
        ("onetwo", set()),
        ("", set()),
        (b"one \xff", set()),
    ],
    ids=["not said", "a line", "both", "another name", "nobody", "not to be read"],
)
async def test_a_store_may_be_for_some_namespaces_only(folder, door, text, allowed):
    """Nobody said so: for all. What is said and cannot be read lets nobody in."""
    place = folder(team="memory:b", default="memory:a") / "team" / "namespaces"
    if text is not None:
        place.write_bytes(text if isinstance(text, bytes) else text.encode())
    stores = Stores(place.parents[1], opener=door)
    await stores.look()

    assert {name for name in ("one", "two") if stores.allows("team", name)} == allowed
    assert stores.allows("default", "one")


async def test_who_may_name_a_store_is_read_again(folder, door):
    """A namespace that is added or taken away starts no operator anew."""
    place = folder(team="memory:b") / "team" / "namespaces"
    stores = Stores(place.parents[1], opener=door)
    for text, allowed in (("one", False), ("one two", True), ("one", False)):
        place.write_text(text)
        await stores.look()
        assert stores.allows("team", "two") == allowed


async def test_one_that_is_down_does_not_stop_the_others(folder, door):
    """Its place is taken by one that answers every call with the reason."""
    door.answers["memory:b"] = StoreUnavailable("no answer")
    stores = Stores(folder(default="memory:a", team="memory:b"), opener=door)
    await stores.look()

    assert [*(await stores["default"].heads(["r"]))] == ["r"]
    assert not stores.is_open("team")
    with pytest.raises(StoreUnavailable, match="no answer"):
        await stores["team"].heads([])


async def test_it_is_tried_again(folder, door):
    """What was down may come up; nobody restarts the operator for it."""
    door.answers["memory:b"] = StoreUnusable("no rights")
    stores = Stores(folder(team="memory:b"), opener=door)
    await stores.look()
    del door.answers["memory:b"]
    await stores.look()

    assert stores.is_open("team")


async def test_an_open_one_is_not_opened_again(folder, door):
    """A round costs an open store nothing."""
    stores = Stores(folder(default="memory:a"), opener=door)
    await stores.look()
    await stores.look()

    assert door.asked == ["memory:a"]


async def test_a_changed_url_takes_the_place_of_the_old_one(folder, door):
    """A new password comes by the mounted file; the old connections are closed a round later."""
    old = door.answers["memory:a"] = Opened("memory:a")
    stores = Stores(folder(default="memory:a"), opener=door)
    await stores.look()
    folder(default="memory:b")
    await stores.look()

    assert stores["default"].url == "memory:b"
    assert not old.closed
    await stores.look()
    assert old.closed


async def test_a_changed_url_that_does_not_open_leaves_the_old_one_in_place(folder, door):
    """A typing error in a new URL stops nobody."""
    door.answers["memory:b"] = StoreUnavailable("no answer")
    stores = Stores(folder(default="memory:a"), opener=door)
    await stores.look()
    folder(default="memory:b")
    await stores.look()

    assert stores["default"].url == "memory:a"


async def test_an_unforeseen_exception_is_a_store_that_is_down(folder, door):
    """A store from outside may raise anything while it opens."""
    door.answers["memory:a"] = RuntimeError("what?")
    stores = Stores(folder(default="memory:a"), opener=door)
    await stores.look()

    with pytest.raises(StoreUnavailable, match="RuntimeError"):
        await stores["default"].heads([])


async def test_the_first_passes_do_not_wait_for_ever(folder, door, monkeypatch):
    """A store that hangs while it opens counts as down until it has opened."""
    monkeypatch.setattr(rooms, "FIRST_SECONDS", 0.01)
    door.answers["memory:b"] = hanging = asyncio.Event()
    stores = Stores(folder(default="memory:a", team="memory:b"), opener=door)
    opening = asyncio.create_task(stores.keep_open())
    await stores.ready()

    assert stores.is_open("default")
    with pytest.raises(StoreUnavailable, match="has not answered yet"):
        await stores["team"].heads([])
    hanging.set()
    await asyncio.wait_for(stores._looked.wait(), 5)
    opening.cancel()

    assert stores.is_open("team")


async def test_every_url_is_hidden_before_it_is_used(folder, door):
    """What a driver says while it opens may hold the password."""
    hidden = []

    async def opener(url):
        assert url in hidden
        return await door(url)

    await Stores(folder(default="redis://:pw@h"), hide=hidden.append, opener=opener).look()

    assert hidden == ["redis://:pw@h"]


async def test_a_store_that_stays_down_is_told_once(folder, door, caplog):
    """A line every ten seconds would tell nothing new."""
    door.answers["memory:a"] = StoreUnavailable("no answer")
    stores = Stores(folder(default="memory:a"), opener=door)
    with caplog.at_level(logging.WARNING, "cairn.stores"):
        await stores.look()
        await stores.look()

    assert [record.message for record in caplog.records] == ["store could not be opened"]


async def test_closing_closes_them_all(folder, door):
    """A stopped operator leaves no connection behind."""
    opened = [door.answers.setdefault(url, Opened(url)) for url in ("memory:a", "memory:b")]
    stores = Stores(folder(a="memory:a", b="memory:b"), opener=door)
    await stores.look()
    await stores.close()

    assert all(store.closed for store in opened)


@pytest.mark.parametrize(
    ("failures", "seconds"),
    [
        pytest.param(0, 10.0, id="all are open"),
        pytest.param(1, 1.0, id="one did not open: it may just be starting"),
        pytest.param(3, 4.0, id="it still does not"),
        pytest.param(5, 10.0, id="it takes longer"),
        pytest.param(10**6, 10.0, id="for days"),
    ],
)
def test_a_store_that_did_not_open_is_tried_again_soon_and_then_less_often(failures, seconds):
    """Whoever installs a store and an operator together does not wait for a round of the slow clock."""
    assert look_again_seconds(failures) == seconds
