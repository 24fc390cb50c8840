"""From URLs to stores: every form, and every mistake with its text."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import EntryPoint
from typing import Any, cast

import pytest

from cairn_runtime.errors import StoreUnusable, StoreUrlInvalid
from cairn_runtime.store import opening
from cairn_runtime.store.opening import open_store, parse_store_url, safe_url, schemes, store_for


@pytest.mark.parametrize(
    ("url", "scheme", "path", "options"),
    [
        ("memory:", "memory", "", {}),
        ("memory:name", "memory", "name", {}),
        ("sqlite:///.cairn/cairn.db", "sqlite", "/.cairn/cairn.db", {}),
        ("sqlite:////var/lib/cairn.db?timeout=2s", "sqlite", "//var/lib/cairn.db", {"timeout": "2s"}),
        ("sqlite:///a%20b%3F.db", "sqlite", "/a b?.db", {}),
        ("file:///srv/cairn", "file", "/srv/cairn", {}),
        ("file:relative", "file", "relative", {}),
        ("SQLite:///x.db", "sqlite", "/x.db", {}),
        ("postgresql://h/db?schema=a&prefix=", "postgresql", "/db", {"schema": "a", "prefix": ""}),
    ],
)
def test_a_url_is_taken_apart(url, scheme, path, options):
    """Scheme, path and options, with escapes decoded in the path."""
    parsed = parse_store_url(url)

    assert (parsed.scheme, parsed.path, parsed.options) == (scheme, path, options)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("", "not a store's URL; write postgresql://user@host/database, redis://"),
        ("cairn.db", "not a store's URL"),
        ("/var/lib/cairn.db", "not a store's URL"),
        ("sqlite:///x.db#a", 'a "#" has no meaning here'),
        ("sqlite:///x.db?timeout=1s&timeout=2s", "an option stands in the URL twice"),
        ("sqlite:///x%00.db", "a path cannot hold a zero byte"),
        ("sqlite://[x/y", "not a URL: brackets"),
        ("redis://h/0?volatile", "an option is NAME=VALUE"),
        (
            "slqite:///x.db",
            'rediss, rediss+sentinel, sqlite; did you mean "sqlite"?',
        ),
        (
            "mongodb://x",
            "no store is installed for mongodb:; there is file, memory, postgres, postgresql, redis",
        ),
        ("postgresql://host/db?prefx=a", "?prefx=: unknown option; there is schema, prefix, pool"),
        (
            "rediss://host/0?tll=7d",
            "?tll=: unknown option; there is prefix, ttl, timeout, volatile, passfile, ca",
        ),
        ("sqlite://x.db", "three slashes begin a relative path, four an absolute one"),
        ("sqlite:x.db", "three slashes begin a relative path, four an absolute one"),
        ("sqlite:/var/lib/x.db", "three slashes begin a relative path, four an absolute one"),
        ("sqlite:///", "name a file"),
        ("sqlite:///:memory:", "a store in memory is memory:"),
        ("sqlite:///dir/", "this is a folder; name a file in it"),
        ("sqlite:///x.db?timeuot=1s", 'unknown option; there is timeout; did you mean "timeout"?'),
        ("sqlite:///x.db?timeout=soon", '"soon" is not a duration'),
        ("sqlite:///x.db?mode=ro&cache=shared", "?mode=: unknown option"),
        ("file://host/dir", "three slashes begin the path of a folder"),
        ("file:///", "name a folder"),
        ("file:", "name a folder"),
        ("file:///x?sync=off", "unknown option; there is timeout"),
        ("memory:?x=1", "unknown option; this store has none"),
        ("memory://host", "write memory: or memory:NAME"),
        ("memory:a/b", "write memory: or memory:NAME"),
    ],
)
def test_a_url_that_cannot_be_used_says_why(url, message):
    """The text names the fact and what to write instead; no option is passed over."""
    with pytest.raises(StoreUrlInvalid) as caught:
        store_for(url)

    assert message in str(caught.value)


def test_every_unknown_option_is_named():
    """All of them at once."""
    with pytest.raises(StoreUrlInvalid) as caught:
        store_for("sqlite:///x.db?mode=ro&cache=shared")

    assert [fault.path for fault in caught.value.faults] == [
        "sqlite:///x.db?mode=ro&cache=shared: ?mode=",
        "sqlite:///x.db?mode=ro&cache=shared: ?cache=",
    ]


@pytest.mark.parametrize(
    ("url", "safe"),
    [
        ("postgresql://user:secret@host:5432/db", "postgresql://user:***@host:5432/db"),
        ("postgresql://user:se/cr?et#@host/db", "postgresql://user:***@host/db"),
        ("postgresql://user:sec@ret@host/db", "postgresql://user:***@host/db"),
        ("redis://:secret@host", "redis://:***@host"),
        ("postgresql://user@host/db", "postgresql://user@host/db"),
        ("postgresql://host/db?password=secret&schema=a", "postgresql://host/db?password=***&schema=a"),
        ("mine://host?api_token=secret#x", "mine://host?api_token=***"),
        ("postgresql://host/db?p%61ssword=secret", "postgresql://host/db?p%61ssword=***"),
        (
            "postgresql://host/db?password=se&secret&schema=a",
            "postgresql://host/db?password=***&***&schema=a",
        ),
        ("postgresql://host/db?passfile=/etc/pg&user=me", "postgresql://host/db?passfile=/etc/pg&user=me"),
        ("postgresql:/user:secret@host/db", "postgresql:/user:***@host/db"),
        ("postgresql//user:secret@host/db", "postgresql//user:***@host/db"),
        ("postgresql:user:secret@host/db", "postgresql:***@host/db"),
        ("user:secret@host/db", "user:***@host/db"),
        ("redis:///:secret@host", "redis:///:***@host"),
        ("redis://:secret", "redis://:***"),
        ("redis://secret@host", "redis://***@host"),
        ("rediss://me@host?passfile=/a", "rediss://me@host?passfile=/a"),
        ("postgresql://user:secret/db", "postgresql://user:***"),
        ("postgresql://user:%73ecret@host", "postgresql://user:***@host"),
        ("redis://:pa[secret]x@host", "redis://:***@host"),
        ("redis://:secret\u2100@host", "redis://:***@host"),
        ("host=h user=u password=secret", "host=h user=u password=***"),
        ("host=h password = 'my secret' user=u", "host=h password = *** user=u"),
        ("redis://[::1]:6379/0", "redis://[::1]:6379/0"),
        ("redis://a:1,b:2/0", "redis://a:1,b:2/0"),
        ("sqlite:///a:b@c.db", "sqlite:///a:b@c.db"),
        ("sqlite:///plain.db", "sqlite:///plain.db"),
        ("nonsense", "nonsense"),
    ],
)
def test_a_password_is_never_shown(url, safe):
    """Neither in the safe form, nor in errors, nor in a repr."""
    assert safe_url(url) == safe
    try:
        shown = repr(parse_store_url(url))
        store_for(url)
    except StoreUrlInvalid as error:
        shown = str(error)
    assert "secret" not in shown
    assert "se/cr" not in shown


async def test_an_opened_store_is_open(tmp_path):
    """`open_store` gives what can be used at once."""
    store = await open_store(f"sqlite:///{tmp_path}/cairn.db")
    try:
        assert await store.runs() == []
    finally:
        await store.close()


@pytest.mark.parametrize("url", ["memory:", "sqlite:///{}/a.db", "file://{}/a"])
async def test_a_store_that_is_not_open_says_so(url, tmp_path):
    """Before it was opened, and after it was closed."""
    store = store_for(url.format(tmp_path))

    with pytest.raises(StoreUnusable, match="not open"):
        await store.runs()
    await store.open()
    await store.close()
    with pytest.raises(StoreUnusable, match="not open"):
        await store.runs()


async def test_three_slashes_are_relative_and_four_absolute(tmp_path, monkeypatch):
    """As SQLAlchemy has taught everybody."""
    monkeypatch.chdir(tmp_path)
    for url in ("sqlite:///.cairn/one.db", f"sqlite:///{tmp_path}/two.db", "file:three"):
        await (await open_store(url)).close()

    assert (tmp_path / ".cairn" / "one.db").is_file()
    assert (tmp_path / "two.db").is_file()
    assert (tmp_path / "three" / "cairn.json").is_file()


class MadeOutside:
    """A store from outside, as far as opening sees it."""

    def __init__(self, url):
        self.url = url


def entry(name: str, value: str) -> EntryPoint:
    return EntryPoint(name, value, opening.ENTRY_POINTS)


def installed(monkeypatch, *points: EntryPoint) -> None:
    monkeypatch.setattr(opening, "entry_points", lambda group: [p for p in points if p.group == group])


def test_a_store_from_outside_is_found_by_its_scheme(monkeypatch):
    """The entry point is called with the URL taken apart."""
    installed(monkeypatch, entry("mine", "types:SimpleNamespace"), entry("mine2", "x:y"))
    monkeypatch.setattr("types.SimpleNamespace", MadeOutside)

    url = cast("Any", store_for("mine://host/place?a=1")).url

    assert (url.host, url.path, url.options) == ("host", "/place", {"a": "1"})
    assert {"file", "memory", "mine", "mine2", "postgresql", "sqlite"} <= set(schemes())


@pytest.mark.parametrize(
    ("points", "message"),
    [
        pytest.param(
            [entry("mine", "no_such_module:Store")], "cannot be loaded: ModuleNotFoundError", id="no module"
        ),
        pytest.param(
            [entry("mine", "types:Nothing")], "cannot be loaded: AttributeError", id="no such name in it"
        ),
        pytest.param(
            [entry("mine", "a:B"), entry("mine", "c:D")], "several packages provide", id="two of them"
        ),
        pytest.param(
            [entry("yours", "a:B")], "there is file, memory, postgres, .*, sqlite, yours", id="another scheme"
        ),
    ],
)
def test_a_store_from_outside_that_cannot_be_used_says_why(monkeypatch, points, message):
    """What is wrong with the package is not a traceback."""
    installed(monkeypatch, *points)

    with pytest.raises(StoreUrlInvalid, match=message):
        store_for("mine://host")


def test_cairns_own_schemes_cannot_be_taken(monkeypatch):
    """A package that registers `sqlite` does not get the user's data."""
    installed(monkeypatch, entry("memory", "no_such_module:Store"))

    assert store_for("memory:").url == "memory:"


@pytest.mark.parametrize(
    ("url", "loaded", "left"),
    [
        ("memory:", "cairn_runtime.store.memory", ["sqlite3", "cairn_runtime.store.file"]),
        ("file:///nowhere", "cairn_runtime.store.file", ["sqlite3", "cairn_runtime.store.memory"]),
        ("sqlite:///x.db", "cairn_runtime.store.sqlite", ["cairn_runtime.store.file"]),
    ],
)
def test_only_the_module_of_the_scheme_is_loaded(url, loaded, left):
    """Nobody pays for a driver that is not used."""
    imports = "import sys; from cairn_runtime.store.opening import store_for"
    code = f"{imports}; store_for({url!r}); print(*sys.modules)"

    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    modules = done.stdout.split()

    assert loaded in modules
    assert not set(left) & set(modules)


def test_a_url_from_a_file_may_end_with_the_line():
    """Who writes a Secret from a file gets the line's end with it; it is no part of the database's name."""
    parsed = parse_store_url("postgresql://user@host/cairn\n")

    assert (parsed.path, parsed.full) == ("/cairn", "postgresql://user@host/cairn")
