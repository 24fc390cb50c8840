"""A Redis store's URL, taken apart and judged whole before anything is opened.

    redis://USER:PASSWORD@HOST:PORT/DB                    one server, or the nodes of a cluster, by commas
    redis://USER@HOST:PORT/DB?passfile=FILE               the password is what the file holds
    rediss://...?ca=&cert=&key=&verify=                   the same over TLS
    redis+sentinel://HOST:PORT,HOST:PORT/DB?master=NAME   the master that the Sentinels name

Passwords are in `Address` and nowhere else; its repr leaves them out.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, cast
from urllib.parse import unquote

from cairn_runtime.errors import Fault, StoreUrlInvalid
from cairn_runtime.model.durations import parse_duration
from cairn_runtime.store.opening import StoreUrl, timeout_option

Verify = Literal["full", "ca", "none"]
_OPTIONS = ("prefix", "ttl", "timeout", "volatile", "passfile")
_TLS = ("ca", "cert", "key", "verify")
_SENTINEL = ("master", "sentinel_user", "sentinel_password")
_VERIFY = ("full", "ca", "none")
_DATABASE = re.compile(r"/?(\d{0,5})\Z", re.ASCII)
_HOST = re.compile(r"(?P<host>\[[0-9A-Fa-f:.%]+\]|[^\[\]:@]+)(:(?P<port>\d{1,5}))?\Z", re.ASCII)
_DEFAULT_PREFIX = "cairn"


@dataclass(frozen=True, slots=True)
class Tls:
    """How a connection over TLS is made and what is checked."""

    ca: str | None = None
    """File with the certificates that sign the server's; None: those of the system."""
    cert: str | None = None
    key: str | None = None
    verify: Verify = "full"
    """`full`: chain and host name; `ca`: the chain only; `none`: nothing."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where the servers are and how to speak with them."""

    hosts: tuple[tuple[str, int], ...]
    database: int
    prefix: str
    """Begins every key of the store; ends in a colon, or is empty."""
    ttl_seconds: float
    """How long the keys of a finished run stay; 0: for ever."""
    timeout_seconds: float
    volatile: bool
    """The user takes a server that may forget."""
    tls: Tls | None
    master: str
    """Name of the master at the Sentinels; empty: the hosts are the servers."""
    safe: str
    """The URL without any password."""
    user: str | None = field(repr=False)
    password: str | None = field(repr=False)
    passfile: str | None
    """File that holds the password; it is read for every connection, so that it may change."""
    sentinel_user: str | None = field(repr=False)
    sentinel_password: str | None = field(repr=False)

    def secret(self) -> str | None:
        """Read the password as it is now.

        Raises:
            OSError: the file cannot be read.
        """
        if self.passfile is None:
            return self.password
        text = Path(self.passfile).read_text(encoding="utf-8", errors="replace")
        return text.rstrip("\r\n")


def read_address(url: StoreUrl) -> Address:
    """Take a URL apart.

    Raises:
        StoreUrlInvalid: naming everything in it that cannot be used.
    """
    secure, sentinel = url.scheme.startswith("rediss"), url.scheme.endswith("sentinel")
    url.check_options(*_OPTIONS, *(_TLS if secure else ()), *(_SENTINEL if sentinel else ()))
    faults: list[Fault] = []
    login, _, hosts = url.host.rpartition("@")
    user, _, password = login.partition(":")
    address = Address(
        hosts=_hosts(url, hosts, 26379 if sentinel else 6379, faults),
        database=_database(url, faults),
        prefix=_prefix(url, faults),
        ttl_seconds=_ttl(url, faults),
        timeout_seconds=timeout_option(url),
        volatile=_volatile(url, faults),
        tls=_tls(url, faults) if secure else None,
        master=_master(url, faults) if sentinel else "",
        safe=url.safe,
        user=unquote(user) or None,
        password=unquote(password) or None,
        passfile=url.options.get("passfile") or None,
        sentinel_user=url.options.get("sentinel_user") or None,
        sentinel_password=url.options.get("sentinel_password") or None,
    )
    if address.user and address.password is None and address.passfile is None:
        problem = "a user needs a password: USER:PASSWORD@HOST, or ?passfile=; one alone is :PASSWORD@HOST"
        faults.append(_fault(url, "", problem))
    if address.password and address.passfile:
        faults.append(_fault(url, "passfile", "there is a password before the @ too; give one of the two"))
    if address.timeout_seconds <= 0:
        faults.append(_fault(url, "timeout", "must be longer than nothing"))
    if faults:
        raise StoreUrlInvalid(faults)
    return address


def _fault(url: StoreUrl, option: str, problem: str) -> Fault:
    return Fault(f"{url.safe}: ?{option}=" if option else url.safe, problem)


def _hosts(url: StoreUrl, text: str, port: int, faults: list[Fault]) -> tuple[tuple[str, int], ...]:
    found = []
    for part in text.split(","):
        match = _HOST.match(part)
        number = int(match["port"] or port) if match else 0
        if match is None or not 0 < number < 65536:
            faults.append(_fault(url, "", "name a server: HOST or HOST:PORT, several by commas"))
            return ()
        found.append((unquote(match["host"].strip("[]")), number))
    return tuple(found)


def _database(url: StoreUrl, faults: list[Fault]) -> int:
    match = _DATABASE.match(url.path)
    if match is None:
        faults.append(_fault(url, "", "what follows the host is the number of a database, as in /0"))
        return 0
    return int(match[1] or 0)


def _prefix(url: StoreUrl, faults: list[Fault]) -> str:
    prefix = url.options.get("prefix", _DEFAULT_PREFIX)
    if set(prefix) & set("{}*?[]\\"):
        # Braces make a hash tag, the others a pattern; both would put keys where they are not looked for.
        faults.append(_fault(url, "prefix", "must be without braces, brackets, backslashes, * and ?"))
    return f"{prefix}:" if prefix else ""


def _ttl(url: StoreUrl, faults: list[Fault]) -> float:
    text = url.options.get("ttl")
    if text is None:
        return 0.0
    try:
        seconds = parse_duration(text)
    except ValueError as error:
        faults.append(_fault(url, "ttl", str(error)))
        return 0.0
    if seconds < 1:
        faults.append(_fault(url, "ttl", "must be a second or longer; leave it out to keep finished runs"))
    return seconds


def _volatile(url: StoreUrl, faults: list[Fault]) -> bool:
    text = url.options.get("volatile", "false")
    if text not in ("true", "false"):
        faults.append(_fault(url, "volatile", f'"{text}" is neither true nor false'))
    return text == "true"


def _master(url: StoreUrl, faults: list[Fault]) -> str:
    master = url.options.get("master", "")
    if not master:
        faults.append(_fault(url, "", "name the master that the Sentinels watch: ?master=NAME"))
    return master


def _tls(url: StoreUrl, faults: list[Fault]) -> Tls:
    verify: Any = url.options.get("verify", "full")
    if verify not in _VERIFY:
        faults.append(_fault(url, "verify", f'"{verify}" is none of full, ca, none'))
    cert, key = url.options.get("cert"), url.options.get("key")
    if key and not cert:
        faults.append(_fault(url, "key", "belongs to a certificate: add ?cert="))
    return Tls(url.options.get("ca"), cert, key, cast("Verify", verify))
