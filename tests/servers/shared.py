"""The shared ones: one Postgres and one Redis for all workers of a test run, or those whose URLs are given.

The first test that asks starts the server, under a lock; all others read its address.
A start that failed is remembered: a hundred tests fail at once with the same words, not one after another.
Nobody may stop a shared server or change its settings; a test that must takes a private one.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
from collections.abc import Callable
from typing import Protocol

from tests.servers.sessions import Session

ENDING_SECONDS = 15


class Shareable(Protocol):
    """A server, or several, that live on without the process which started them."""

    @property
    def url(self) -> str: ...

    def start(self) -> None: ...

    def detach(self) -> list[int]: ...


def shared_url(session: Session, kind: str, make: Callable[[], Shareable]) -> str:
    """Return the address of the session's server of a kind; start it if nobody has.

    Raises:
        AssertionError: it could not be started, now or before.
    """
    with session.locked(kind):
        state = session.folder / f"{kind}.json"
        if not state.exists():
            state.write_text(json.dumps(_started(make)))
        facts: dict[str, str] = json.loads(state.read_text())
    if "failed" in facts:
        raise AssertionError(facts["failed"])
    return facts["url"]


def end_shared(session: Session) -> None:
    """End the session's servers and remove its folder; called by the owner when all tests are done."""
    for state in session.folder.glob("*.json"):
        facts = json.loads(state.read_text())
        for keeper in facts.get("keepers", []):
            _end(keeper)
    session.end()


def _started(make: Callable[[], Shareable]) -> dict[str, object]:
    try:
        server = make()
        server.start()
    except Exception as error:  # noqa: BLE001 - told to every test that needs it
        return {"failed": f"{type(error).__name__}: {error}"}
    return {"url": server.url, "keepers": server.detach()}


def _end(keeper: int) -> None:
    """Tell a keeper to end, and wait until it has."""
    with contextlib.suppress(ProcessLookupError):
        death = os.pidfd_open(keeper)
        signal.pidfd_send_signal(death, signal.SIGTERM)
        select.select([death], [], [], ENDING_SECONDS)
        os.close(death)
