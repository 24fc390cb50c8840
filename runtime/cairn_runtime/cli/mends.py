"""What mends an error whose own words do not say it: one line, below the error and in what a doctor finds.

Words of drivers and servers are matched by pattern: while they connect they give no codes. Pure.
"""

from __future__ import annotations

import re

from cairn_runtime.cli.kubectl import WORKFLOWS
from cairn_runtime.errors import (
    CairnError,
    ClusterError,
    ClusterUnavailable,
    NotFound,
    StoreError,
    StoreTooNew,
)

_MENDS: tuple[tuple[str, str], ...] = (
    (r"not known|translate host name|getaddrinfo|No address|resolution",
     "the host's name is not known here: mend it in the URL, or ask the name server"),
    (r"refused(?!.*password)|Connect call failed",
     "nothing listens there: start the server, or mend host and port in the URL"),
    (r"password|authentication|WRONGPASS|NOAUTH|pg_hba",
     "mend user and password in the URL, or let them in on the server"),
    (r"certificate|SSL|TLS",
     "mend the server's certificate; in the URL sslmode and sslrootcert (Postgres), ca and verify (Redis)"),
    (r"this user may not|that this user may write",
     "let this user write there, or name another place: --store sqlite:////absolute/path.db"),
    (r"permission|NOPERM|may not|right",
     "give the store's user its rights: docs/howto/use-postgres.md, docs/howto/use-redis.md"),
    (r"timed? ?out|no answer|did not answer",
     "no answer: a firewall, a wrong host, or a server at its limit"),
)  # fmt: skip
"""The first that fits counts."""


def mend_of(error: CairnError) -> str:
    """What mends an error; empty where the message itself says it, or nothing is known."""
    match error:
        case StoreTooNew():
            return "bring this program, or the image that it is in, to the release that changed the store"
        case StoreError():
            return _of_a_store(error.message)
        case ClusterUnavailable():
            return "see: kubectl config get-contexts; kubectl cluster-info"
    if type(error) is NotFound and WORKFLOWS in error.message:
        return "list what there is: kubectl cairn get; in every namespace: kubectl cairn get -A"
    if type(error) is ClusterError and "context" in error.message:
        return "see: kubectl config get-contexts"
    return ""


def _of_a_store(message: str) -> str:
    if (rule := re.search(r"ACL SETUSER [^(]*", message)) is not None:
        return rule[0].strip()
    return next((mend for pattern, mend in _MENDS if re.search(pattern, message, re.IGNORECASE)), "")
