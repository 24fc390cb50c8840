"""Who asked for what, written into a store before it is done.

First the line, then the act: a process that dies between the two leaves a line of something that did not come
off, never an act without a line. The id is made from the act, so that a repeated one is one line.
Who calls: whatever changes a run from outside of its runner.
"""

from __future__ import annotations

import getpass
import os
import socket

from cairn_runtime.model.ids import new_id
from cairn_runtime.store.audits import new_entry
from cairn_runtime.store.base import Store
from cairn_runtime.store.patience import insist

VARIABLE = "CAIRN_USER"
_PATIENCE_SECONDS = 5.0
_MOST = 256


def whoever() -> str:
    """Who this program acts for: `CAIRN_USER`, else the user and the machine that it runs on."""
    named = os.environ.get(VARIABLE, "").replace("\0", "").strip()
    if named:
        return named[:_MOST]
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"[:_MOST]


async def note(store: Store, what: str, *, source: str = "", target: str = "", act: str = "") -> None:
    """Write that somebody asks for something; `act` tells it from others, a new one each time if empty.

    Raises:
        StoreUnavailable: no answer; what was asked for is not to be done.
    """
    entry = new_entry(whoever(), what, act or new_id(), source=source, target=target)
    await insist(lambda: store.audit(entry), seconds=_PATIENCE_SECONDS)
