"""Making servers of a test's own, and ending them: the one door for fixtures and for programs.

with Servers(Session.new()) as servers:
    postgres = servers.postgres(settings={"synchronous_commit": "off"})
    proxy = servers.proxy(postgres)
"""

from __future__ import annotations

from contextlib import ExitStack
from types import TracebackType
from typing import Any, Self, TypeVar

from tests.servers.kept import Kept
from tests.servers.postgres import Postgres
from tests.servers.proxy import Proxy
from tests.servers.redis import Redis
from tests.servers.sessions import Session
from tests.servers.shared import shared_url

K = TypeVar("K", bound=Kept)


class Servers:
    """Servers that end together, the last one started first."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self._ending = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ending.close()

    def postgres(self, **options: Any) -> Postgres:
        """Start a Postgres; see `Postgres` for what can be asked for."""
        return self.started(Postgres(self.session, **options))

    def redis(self, **options: Any) -> Redis:
        """Start a Redis; see `Redis` for what can be asked for."""
        return self.started(Redis(self.session, **options))

    def proxy(self, server: Kept, protocol: str | None = None) -> Proxy:
        """Put a proxy in front of a server; it speaks the server's protocol."""
        proxy = Proxy((server.host, server.port), protocol or server.kind, port=self.session.new_port())
        self._ending.callback(proxy.close)
        return proxy

    def started(self, server: K) -> K:
        """Start a server that ends with the others."""
        self._ending.callback(server.end)
        server.start()
        return server


def shared_postgres(session: Session) -> str:
    """The address of the session's Postgres."""
    return shared_url(
        session, "postgres", "CAIRN_TEST_POSTGRES_URL", lambda: Postgres(session, detached=True)
    )


def shared_redis(session: Session) -> str:
    """The address of the session's Redis."""
    return shared_url(session, "redis", "CAIRN_TEST_REDIS_URL", lambda: Redis(session, detached=True))
