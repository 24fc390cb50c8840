"""What Postgres, libpq and the network say, as our errors: decided here and nowhere else.

Two questions are asked of each: may the same call succeed later without anybody doing anything
(`StoreUnavailable`), and what is there to do if not (`StoreUnusable`).
Whatever is not known may be a proxy's or a newer server's: from a statement it is `StoreUnusable` with the
server's words, while connecting it is `StoreUnavailable`.
No message holds a password: libpq shows none, and values of statements are never quoted.
Pure: no I/O.
"""

from __future__ import annotations

import re

from cairn_runtime.errors import (
    CairnError,
    InvalidInput,
    StoreError,
    StoreLoginRefused,
    StoreUnavailable,
    StoreUnusable,
)

UNIQUE_VIOLATION = "23505"

_POOLER = (
    "a pooler that hands connections around by transaction stands before this server? then add "
    "?pooler=transaction to the URL"
)
_RIGHTS = "the role of this store needs that right; see docs/howto/use-postgres.md"
_SCHEMA = "the schema of this store is not (or no more) there; it is made by: cairn runs --store URL"
_AGAIN = "try again"

_STATES: dict[str, tuple[type[StoreError], str]] = {
    "25006": (StoreUnavailable, "this server is a standby or read-only now; the store waits for the primary"),
    "25P03": (StoreUnavailable, _AGAIN),
    "26000": (StoreUnusable, _POOLER),
    "42P05": (StoreUnusable, _POOLER),
    "3D000": (StoreUnusable, "create the database first"),
    "3F000": (StoreUnusable, _SCHEMA),
    "40001": (StoreUnavailable, _AGAIN),
    "40003": (StoreUnavailable, _AGAIN),
    "40P01": (StoreUnavailable, _AGAIN),
    "42501": (StoreUnusable, _RIGHTS),
    "42P01": (StoreUnusable, _SCHEMA),
    "42703": (StoreUnusable, _SCHEMA),
    "53100": (StoreUnavailable, "make room on the server's disk: nothing that was acknowledged is lost"),
    "53300": (StoreUnavailable, "the server has no connection left; raise max_connections or use a pooler"),
    "55P03": (StoreUnavailable, "another transaction holds a lock and does not finish"),
    "57014": (StoreUnavailable, "the statement took longer than ?timeout= allows, or was cancelled"),
    "58030": (StoreUnavailable, "the server's disk did not do what it was asked"),
    "XX001": (StoreUnusable, "the server found its data damaged; restore it from a backup"),
    "XX002": (StoreUnusable, "the server found an index damaged; REINDEX it"),
}
_CLASSES: dict[str, tuple[type[StoreError], str]] = {
    "08": (StoreUnavailable, _AGAIN),
    "28": (StoreLoginRefused, "user, password or the server's pg_hba.conf do not fit"),
    "40": (StoreUnavailable, _AGAIN),
    "53": (StoreUnavailable, _AGAIN),
    "57": (StoreUnavailable, "the server is starting, stopping or was told to end this connection"),
    "58": (StoreUnavailable, "the server's system failed"),
}
_NO_TEXT = frozenset({"22021", "22P05"})
"""A zero byte, or a character that the database's encoding lacks."""

_LOGIN: tuple[tuple[str, str], ...] = (
    (r"password authentication failed|no password supplied|authentication failed", "mend user or password"),
    (r'role ".*" does not exist|role ".*" is not permitted to log in', "create the role, or name another"),
    (r"no pg_hba\.conf entry|pg_hba\.conf rejects", "the server does not let this user in from here"),
)
_CONNECTING: tuple[tuple[str, str], ...] = (
    (r'database ".*" does not exist', "create the database first"),
    (r"permission denied for database", _RIGHTS),
    (r"certificate verify failed|does not match host name|root certificate file|certificate authority",
     "the server's certificate is not one that sslrootcert and sslmode accept"),
    (r"does not support SSL|SSL.* was required|requires? (a valid )?(client|SSL)",
     "sslmode does not fit the server"),
    (r'definition of service ".*" not found|service file', "mend the service file, or ?service="),
    (r"private key file|certificate file", "mend sslkey or sslcert"),
    (r"invalid \S+ value|invalid (integer|port)", "mend the option in the URL"),
)  # fmt: skip
"""What else libpq says while connecting, which comes without a code. A server that speaks another language
than English is not understood: then it is tried again until the patience of the caller ends."""


class Refused(Exception):
    """The server answered a statement with an error; the connection lives unless it says otherwise.

    Like `Lost` it never leaves this package.
    """

    def __init__(self, sqlstate: str, message: str) -> None:
        super().__init__(message)
        self.sqlstate = sqlstate


class Lost(Exception):
    """The connection ended, or gave no answer: nobody knows whether the statement was carried out."""


def fault(error: Refused | Lost, place: str) -> CairnError:
    """Translate what went wrong with a statement."""
    if isinstance(error, Lost):
        return StoreUnavailable(f"{place}: {error}")
    state = error.sqlstate
    if state in _NO_TEXT:
        return InvalidInput(
            f"{place}: {error}; Postgres keeps no zero byte in text, and the database needs the encoding UTF8"
        )
    if state[:2] == "22":
        return InvalidInput(f"{place}: {error}")
    kind, meaning = _STATES.get(state) or _CLASSES.get(state[:2]) or (StoreUnusable, "Postgres refused")
    return kind(f"{place}: {error}; {meaning}")


def connect_fault(message: str, place: str) -> StoreError:
    """Translate what libpq says when it cannot connect."""
    words = "; ".join(line.strip() for line in message.splitlines() if line.strip())
    for kind, known in ((StoreLoginRefused, _LOGIN), (StoreUnusable, _CONNECTING)):
        for pattern, meaning in known:
            if re.search(pattern, words):
                return kind(f"{place}: {words}; {meaning}")
    return StoreUnavailable(f"{place}: {words}")
