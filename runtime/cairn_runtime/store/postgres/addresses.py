"""A Postgres URL: what is libpq's, what is ours, and what is refused.

Everything libpq can do is said by the URL: several hosts, TLS, a password file, a service.
Ours are `schema`, `prefix` (where the tables are), `pool` (how many connections at most), `pooler` and
`timeout`.
Nothing is passed over; no error shows a password.
Pure: no I/O.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from difflib import get_close_matches

import psycopg
from psycopg.conninfo import conninfo_to_dict
from psycopg.pq import Conninfo

from cairn_runtime.errors import Fault, StoreUrlInvalid
from cairn_runtime.store.opening import StoreUrl, timeout_option
from cairn_runtime.store.postgres.statements import Naming

OURS = ("schema", "prefix", "pool", "pooler", "timeout")
DEFAULT_SCHEMA = "cairn"
DEFAULT_POOL = 8
LARGEST_POOL = 200

_IDENTIFIER = re.compile(r"^[A-Za-z_][A-Za-z0-9_-]*\Z")
_LONGEST_SCHEMA = 63
_LONGEST_PREFIX = 32
_PRIMARY = ("read-write", "primary")


@dataclass(frozen=True, slots=True)
class Address:
    """Where a store is and how it is reached."""

    safe: str
    """The URL without any password: what people are shown."""
    options: dict[str, str] = field(repr=False)
    """What libpq is told; may hold a password."""
    naming: Naming
    pool: int
    """Connections at most."""
    pooled: bool
    """Whether a pooler stands between that gives every transaction another connection: no state is kept."""
    timeout_seconds: float
    """How long a server may say nothing."""


def address_of(url: StoreUrl) -> Address:
    """Take a URL apart.

    Raises:
        StoreUrlInvalid: naming each option that cannot be used.
    """
    _refuse_stray(url)
    faults = [*_unknown(url), *_wrong_names(url)]
    pool = _number(url, "pool", DEFAULT_POOL, faults)
    pooler = url.options.get("pooler", "")
    if pooler not in ("", "none", "session", "transaction"):
        faults.append(Fault(f"{url.safe}: ?pooler=", f'"{pooler}" is not one of none, session, transaction'))
    wanted = url.options.get("target_session_attrs", _PRIMARY[0])
    if wanted not in _PRIMARY:
        text = f'"{wanted}" may lead to a standby; a store needs the primary: {" or ".join(_PRIMARY)}'
        faults.append(Fault(f"{url.safe}: ?target_session_attrs=", text))
    if faults:
        raise StoreUrlInvalid(faults)
    timeout_seconds = timeout_option(url, default="10s")
    naming = Naming(url.options.get("schema", DEFAULT_SCHEMA), url.options.get("prefix", ""))
    options = _defaults(timeout_seconds) | _libpq(url)
    # Ours are the statements, so ours is the encoding.
    options["client_encoding"] = "UTF8"
    return Address(url.safe, options, naming, pool, pooler == "transaction", timeout_seconds)


def _defaults(timeout_seconds: float) -> dict[str, str]:
    """So that a dead network is noticed in about the time that was asked for, also by the kernel."""
    seconds = max(1, round(timeout_seconds))
    return {
        "application_name": "cairn",
        "target_session_attrs": _PRIMARY[0],
        # libpq takes at least two seconds.
        "connect_timeout": str(max(2, seconds)),
        "keepalives_idle": str(seconds),
        "keepalives_interval": str(max(1, seconds // 3)),
        "keepalives_count": "3",
        "tcp_user_timeout": str(seconds * 1000),
    }


def _refuse_stray(url: StoreUrl) -> None:
    """Refuse a URL whose password may have been taken apart: pieces of it would be shown as something else.

    Raises:
        StoreUrlInvalid: there is an @ other than the one before the host.
    """
    _, _, rest = url.full.partition("://")
    if re.search(r"[@/?].*@", rest, re.DOTALL):
        text = "write @ as %40 but before the host, and in user and password / as %2F and ? as %3F"
        raise StoreUrlInvalid([Fault(url.safe, text)])


def _libpq(url: StoreUrl) -> dict[str, str]:
    """What stands in the URL for libpq, read by libpq itself.

    Its words about a URL that it cannot read quote parts of it, perhaps of a password: they are kept back.
    """
    address, _, query = url.full.partition("?")
    _, _, rest = address.partition(":")
    kept = [part for part in query.split("&") if part and part.partition("=")[0] not in OURS]
    try:
        read = conninfo_to_dict(f"postgresql:{rest}" + (f"?{'&'.join(kept)}" if kept else ""))
    except psycopg.Error:
        text = (
            "libpq cannot read this; write postgresql://user@host:port/database, with %-escapes for whatever "
            "else than letters and digits stands in user, password and options"
        )
        raise StoreUrlInvalid([Fault(url.safe, text)]) from None
    return {name: str(value) for name, value in read.items() if value is not None}


def _unknown(url: StoreUrl) -> list[Fault]:
    theirs = [option.keyword.decode() for option in Conninfo.get_defaults()]
    faults = []
    for name in url.options:
        if name in OURS or name in theirs:
            continue
        close = get_close_matches(name, [*OURS, *theirs], n=1)
        meant = f'; did you mean "{close[0]}"?' if close else ""
        text = f"unknown option; there is {', '.join(OURS)}, and what libpq knows{meant}"
        faults.append(Fault(f"{url.safe}: ?{name}=", text))
    return faults


def _wrong_names(url: StoreUrl) -> list[Fault]:
    """Names become part of statements, so only harmless ones are taken; and they are quoted all the same."""
    faults = []
    for option, longest in (("schema", _LONGEST_SCHEMA), ("prefix", _LONGEST_PREFIX)):
        name = url.options.get(option)
        if name is None or (option == "prefix" and not name):
            continue
        path = f"{url.safe}: ?{option}="
        if not _IDENTIFIER.match(name) or len(name) > longest:
            text = f"letters, digits, _ and -, not beginning with a digit or -, at most {longest}"
            faults.append(Fault(path, text))
        elif option == "schema" and name.startswith("pg_"):
            faults.append(Fault(path, "names beginning with pg_ belong to Postgres"))
    return faults


def _number(url: StoreUrl, option: str, default: int, faults: list[Fault]) -> int:
    text = url.options.get(option)
    if text is None:
        return default
    if text.isascii() and text.isdigit() and 1 <= int(text) <= LARGEST_POOL:
        return int(text)
    faults.append(Fault(f"{url.safe}: ?{option}=", f"a number from 1 to {LARGEST_POOL}"))
    return default
