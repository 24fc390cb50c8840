"""What an error of Redis or of redis-py means to whoever uses the store; said here and nowhere else.

Three things come in: a `Refusal` (the server answered with an error), a `Lost` (no answer came, or none that
belongs to the call), and what redis-py raises while it makes a connection.
Where nobody can tell, it is `StoreUnavailable`: the caller sends the same again, which every script allows.
Texts of the server are repeated, those of our commands never: they may hold values.
"""

from __future__ import annotations

import re
import ssl

from redis import exceptions as driver

from cairn_runtime.errors import (
    CairnError,
    CheckpointTooLarge,
    StoreLoginRefused,
    StoreUnavailable,
    StoreUnusable,
)
from cairn_runtime.store.redis.replies import Refusal


class Lost(Exception):
    """A connection ended before the answer came: the call may have been carried out.

    `late` tells that the server took longer than it was given, so that asking again would wait as long again.
    """

    def __init__(self, why: str, *, late: bool = False) -> None:
        super().__init__(why)
        self.late = late


class NotMaster(Lost):
    """The server is a replica, or has become one: what it says may be old, and it writes nothing."""


_BUSY = "the server cannot answer now"
_REPLICA = "the server is a replica, and only a master is written to or read from"
_UNAVAILABLE = {
    "ASK": "the cluster is moving these keys",
    "BUSY": _BUSY,
    "CLUSTERDOWN": "the cluster has no server for these keys now",
    "LOADING": "the server is reading its data from disk",
    "MASTERDOWN": _REPLICA,
    "MISCONF": "the server cannot write to its disk, and refuses writes until it can",
    "MOVED": "the cluster is moving these keys",
    "NOREPLICAS": "fewer replicas than the server's `min-replicas-to-write` are there",
    "OOM": "the server's memory is full (`maxmemory`): give it more, or delete and prune runs",
    "READONLY": _REPLICA,
    "TRYAGAIN": "the cluster is moving these keys",
}
"""First word of a reply that may be another one later."""
_LOGIN = {
    "NOAUTH": "the server asks for a password: write it into the URL, or name its file by ?passfile=",
    "WRONGPASS": "user or password are wrong",
}
"""First word of a reply that may be another one once user and password fit."""
_NO_RIGHT = "the user may not do this"
_COMMAND = re.compile(r"permissions to run the '([a-z|_-]+)' command")
_OF_RIGHTS = re.compile(r"\bNOPERM\b|The user executing the script can't")
_UNUSABLE = {
    "WRONGTYPE": "a key of this store holds something else: another program uses the same prefix",
    "CROSSSLOT": "the keys of one run lie in several slots: the run's id holds a brace",
    "NOSCRIPT": "the server forgets scripts at once",
    "UNKILLABLE": _BUSY,
}
"""First word of a reply that will be the same until somebody changes something."""
_KNOWN: tuple[tuple[type[CairnError], dict[str, str]], ...] = (
    (StoreUnavailable, _UNAVAILABLE),
    (StoreLoginRefused, _LOGIN),
    (StoreUnusable, _UNUSABLE),
)
_DRIVER: tuple[tuple[type[Exception], type[CairnError], str], ...] = (
    (driver.AuthenticationWrongNumberOfArgsError, StoreLoginRefused, _LOGIN["WRONGPASS"]),
    (driver.AuthenticationError, StoreLoginRefused, _LOGIN["WRONGPASS"]),
    (driver.AuthorizationError, StoreUnusable, _NO_RIGHT),
    (driver.NoPermissionError, StoreUnusable, _NO_RIGHT),
    (driver.BusyLoadingError, StoreUnavailable, _UNAVAILABLE["LOADING"]),
    (driver.MaxConnectionsError, StoreUnavailable, "too many connections"),
    (driver.ReadOnlyError, StoreUnavailable, _REPLICA),
    (driver.MasterDownError, StoreUnavailable, _REPLICA),
    (driver.ClusterDownError, StoreUnavailable, _UNAVAILABLE["CLUSTERDOWN"]),
    (driver.OutOfMemoryError, StoreUnavailable, _UNAVAILABLE["OOM"]),
    (driver.TimeoutError, StoreUnavailable, "the server did not answer in time"),
    (driver.ConnectionError, StoreUnavailable, "no connection"),
    (driver.DataError, StoreUnusable, "the URL cannot be used"),
    (driver.ResponseError, StoreUnusable, "the server refused"),
    (driver.RedisError, StoreUnavailable, "the server could not be used"),
)
"""From the special to the general: redis-py's tree, whose classes overlap."""


def _allowing(text: str) -> str:
    """The ACL rule without which the server refused."""
    if (command := _COMMAND.search(text)) is not None:
        return f"ACL SETUSER ... +{command[1]}"
    if " key" in text:
        return "ACL SETUSER ... ~cairn:*, or the ?prefix= of the URL"
    return "cairn doctor names the rule (Redis 7), docs/howto/use-redis.md lists all"


def refused(place: str, refusal: Refusal) -> CairnError:
    """Translate an error that the server answered with."""
    code, text = refusal
    if _OF_RIGHTS.search(f"{code} {text}"):
        return StoreUnusable(f"{place}: {_NO_RIGHT}: {_allowing(text)} ({text})")
    for kind, known in _KNOWN:
        if code in known:
            return kind(f"{place}: {known[code]} ({text})")
    if "bulk length" in text or "string exceeds maximum" in text:
        problem = (
            "a value is larger than the server takes (`proto-max-bulk-len`, 512 MiB unless set otherwise)"
        )
        return CheckpointTooLarge(f"{place}: {problem}")
    if "max number of clients" in text:
        return StoreUnavailable(f"{place}: too many connections ({text})")
    # Inside a script the code stands behind the script's name in some releases of the server.
    for word in (word for _, known in _KNOWN for word in known):
        if f" {word} " in f" {text} " or f"-{word} " in text:
            return refused(place, Refusal(word, text))
    return StoreUnusable(f"{place}: the server refused ({text})")


def fault(place: str, error: BaseException) -> CairnError | None:
    """Translate an error; None where it is a mistake of ours."""
    if isinstance(error, Lost):
        return StoreUnavailable(f"{place}: {error}")
    # redis-py raises its own in the place of what TLS said.
    for cause in (error, error.__cause__, error.__context__):
        if isinstance(cause, ssl.SSLCertVerificationError):
            why = getattr(cause, "verify_message", "") or cause
            return StoreUnusable(f"{place}: the server's certificate is not trusted: {why}")
        if isinstance(cause, FileNotFoundError | PermissionError):
            return StoreUnusable(f"{place}: a file that the URL names cannot be read: {cause}")
    for kind, ours, problem in _DRIVER:
        if isinstance(error, kind):
            words = f"{problem}: {_allowing(str(error))}" if problem == _NO_RIGHT else problem
            return ours(f"{place}: {words} ({error})")
    if isinstance(error, TimeoutError | OSError | EOFError):
        return StoreUnavailable(f"{place}: no connection ({str(error) or type(error).__name__})")
    return None
