"""From a URL to a store: Postgres, Redis, `sqlite:///path`, `file:///dir`, `memory:`, or one from outside.

A store's module is loaded only when its scheme is used, so that nobody pays for a driver that is not needed.
Stores from outside register a callable `(StoreUrl) -> Store` in the entry point group `cairn.stores`, under
their scheme.

Nothing is passed over: an option that the store does not know, a host where none belongs, a scheme that is
not installed are faults.
A password never appears in an error, in `safe` or in a repr.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from importlib import import_module
from importlib.metadata import entry_points
from typing import TypeAlias
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from cairn_runtime.errors import Fault, StoreUrlInvalid
from cairn_runtime.model.durations import parse_duration
from cairn_runtime.store.base import Store

ENTRY_POINTS = "cairn.stores"

_BUILT_IN = {
    "file": ("cairn_runtime.store.file", "FileStore"),
    "memory": ("cairn_runtime.store.memory", "MemoryStore"),
    "postgres": ("cairn_runtime.store.postgres", "PostgresStore"),
    "postgresql": ("cairn_runtime.store.postgres", "PostgresStore"),
    "redis": ("cairn_runtime.store.redis", "RedisStore"),
    "redis+sentinel": ("cairn_runtime.store.redis", "RedisStore"),
    "rediss": ("cairn_runtime.store.redis", "RedisStore"),
    "rediss+sentinel": ("cairn_runtime.store.redis", "RedisStore"),
    "sqlite": ("cairn_runtime.store.sqlite", "SQLiteStore"),
}
_EXTRAS = {"cairn_runtime.store.postgres": "postgres", "cairn_runtime.store.redis": "redis"}
"""Modules whose driver is an extra of the distribution."""
_FORMS = (
    "postgresql://user@host/database, redis://host:6379/0, sqlite:///relative/path.db, "
    "sqlite:////absolute/path.db, file:///absolute/folder or memory:"
)
_SCHEME = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]*):")
# From the first colon to the last @, so that a password with a stray / or ? in it is covered as well, and so
# is a URL that lacks its slashes or its scheme. In a path colons and @ are what they are.
_PASSWORD = re.compile(
    r"\A(?!(?:sqlite|file):///)((?>(?:[a-z][a-z0-9+.-]*:/+)?)[^:@]*:).*@", re.DOTALL | re.IGNORECASE
)
# A user and a password, and the rest was forgotten; what can be a port is one.
_WITHOUT_HOST = re.compile(
    r"\A([a-z][a-z0-9+.-]*://[^:/?#@\[]*:)(?!\d{0,5}(?:[/?#,]|\Z))[^@]*\Z", re.IGNORECASE
)
# One word before the host of a Redis is a password, most often: a user alone cannot log in.
_ONE_WORD = re.compile(r"\A(redis[a-z+]*:/+)[^:/?#@]+@(?!.*[?&]passfile=)", re.IGNORECASE)
_SECRET = re.compile(r"pass(?!file)|pwd|secret|token|key", re.IGNORECASE)
# As libpq takes it too: host=... password='...'
_PAIR = re.compile(rf"(?<![^\s])(\w*(?:{_SECRET.pattern})\w*\s*=\s*)('[^']*'|\S*)", re.IGNORECASE)

Factory: TypeAlias = Callable[["StoreUrl"], Store]


@dataclass(frozen=True, slots=True)
class StoreUrl:
    """A store's address, taken apart."""

    scheme: str
    path: str
    """What stands between scheme or host and the options, %-escapes decoded, leading slashes as written."""
    host: str = field(repr=False)
    """User, password, host and port as written; empty for local stores."""
    options: Mapping[str, str] = field(repr=False)
    """What stands behind the `?`; a password may be among it."""
    safe: str
    """The address without any password, for people."""
    full: str = field(repr=False)
    """The address as given."""

    def check_options(self, *known: str) -> None:
        """Refuse options that the store does not know.

        Raises:
            StoreUrlInvalid: naming each of them.
        """
        faults = [
            Fault(f"{self.safe}: ?{name}=", _unknown(name, known))
            for name in self.options
            if name not in known
        ]
        if faults:
            raise StoreUrlInvalid(faults)


async def open_store(url: str) -> Store:
    """Make the store for a URL and open it.

    Raises:
        StoreUrlInvalid: the URL cannot be used.
        StoreUnavailable, StoreUnusable, StoreTooNew: see `Store.open`.
    """
    store = store_for(url)
    await store.open()
    return store


def store_for(url: str) -> Store:
    """Make the store for a URL without opening it.

    Raises:
        StoreUrlInvalid: the URL cannot be used.
    """
    parsed = parse_store_url(url)
    return _factory(parsed)(parsed)


def parse_store_url(url: str) -> StoreUrl:
    """Take a store's URL apart.

    Raises:
        StoreUrlInvalid: not a URL, or an option stands in it twice.
    """
    # A URL from a file or a Secret often ends with the line.
    url = url.strip()
    safe = safe_url(url)
    match = _SCHEME.match(url)
    if match is None:
        raise StoreUrlInvalid([Fault(safe, f"not a store's URL; write {_FORMS}")])
    try:
        parts = urlsplit(url)
    except ValueError:
        # Its words quote what stands there, which may be half a password.
        text = "brackets and signs like them have no place there; in a password write them as %-escapes"
        raise StoreUrlInvalid([Fault(safe, f"not a URL: {text}; write {_FORMS}")]) from None
    if parts.fragment:
        raise StoreUrlInvalid([Fault(safe, 'a "#" has no meaning here; write it as %23')])
    path = unquote(parts.path)
    if "\0" in path:
        raise StoreUrlInvalid([Fault(safe, "a path cannot hold a zero byte")])
    return StoreUrl(parts.scheme.lower(), path, parts.netloc, _options(parts, safe), safe, url)


def safe_url(url: str) -> str:
    """Return the URL without any password, whatever it looks like otherwise."""
    for pattern, instead in (
        (_PAIR, r"\1***"),
        (_PASSWORD, r"\1***@"),
        (_WITHOUT_HOST, r"\1***"),
        (_ONE_WORD, r"\1***@"),
    ):
        url = pattern.sub(instead, url)
    address, mark, query = url.partition("?")
    return address + mark + "&".join(_safe_option(option) for option in query.split("&"))


def _safe_option(option: str) -> str:
    """An option without its value, where that is secret; what is no option may be the rest of a password."""
    name, equals, _ = option.partition("=")
    if equals:
        return f"{name}=***" if _SECRET.search(unquote(name)) else option
    return "***" if option else ""


def timeout_option(url: StoreUrl, *, default: str = "5s") -> float:
    """Read `?timeout=`: seconds to wait for other writers, or for a server.

    Raises:
        StoreUrlInvalid: not a duration.
    """
    try:
        return parse_duration(url.options.get("timeout", default))
    except ValueError as error:
        raise StoreUrlInvalid([Fault(f"{url.safe}: ?timeout=", str(error))]) from None


def schemes() -> list[str]:
    """List the schemes that are installed."""
    return sorted({*_BUILT_IN, *(point.name for point in entry_points(group=ENTRY_POINTS))})


def _options(parts: SplitResult, safe: str) -> dict[str, str]:
    pairs = parse_qsl(parts.query, keep_blank_values=True)
    options = dict(pairs)
    if any(option and "=" not in option for option in parts.query.split("&")):
        raise StoreUrlInvalid([Fault(safe, "an option is NAME=VALUE; elsewhere write ? as %3F and & as %26")])
    if len(options) != len(pairs):
        raise StoreUrlInvalid([Fault(safe, "an option stands in the URL twice")])
    return options


def _factory(url: StoreUrl) -> Factory:
    """Find who makes stores for this scheme; built-in ones cannot be replaced from outside."""
    if url.scheme in _BUILT_IN:
        return _built_in(url)
    points = [point for point in entry_points(group=ENTRY_POINTS) if point.name == url.scheme]
    if not points:
        problem = _unknown(url.scheme, schemes(), f"no store is installed for {url.scheme}:")
        raise StoreUrlInvalid([Fault(url.safe, problem)])
    if len(points) > 1:
        owners = ", ".join(sorted(point.value for point in points))
        raise StoreUrlInvalid([Fault(url.safe, f'several packages provide "{url.scheme}": {owners}')])
    try:
        factory: Factory = points[0].load()
    except Exception as error:  # a package from outside may raise anything while it loads
        text = f"its store {points[0].value} cannot be loaded: {type(error).__name__}: {error}"
        raise StoreUrlInvalid([Fault(url.safe, text)]) from error
    return factory


def _built_in(url: StoreUrl) -> Factory:
    """Load one of Cairn's own stores; say which extra brings a driver that is missing."""
    module, name = _BUILT_IN[url.scheme]
    try:
        factory: Factory = getattr(import_module(module), name)
    except ModuleNotFoundError as error:
        if module not in _EXTRAS:
            raise
        extra = f"cairn-workflows[{_EXTRAS[module]}]"
        text = f"its driver is not installed ({error}); install it with: pip install '{extra}'"
        raise StoreUrlInvalid([Fault(url.safe, text)]) from error
    return factory


def _unknown(name: str, known: tuple[str, ...] | list[str], problem: str = "unknown option") -> str:
    """Say what there is instead, and what may have been meant."""
    close = get_close_matches(name, known, n=1)
    meant = f'; did you mean "{close[0]}"?' if close else ""
    there = f"there is {', '.join(known)}" if known else "this store has none"
    return f"{problem}; {there}{meant}"
