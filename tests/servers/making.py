"""Making servers of a test's own, and ending them: the one door for fixtures and for programs.

with Servers(Session.new()) as servers:
    postgres = servers.postgres(settings={"synchronous_commit": "off"})
    proxy = servers.proxy(postgres)
"""

from __future__ import annotations

import os
from contextlib import ExitStack
from types import TracebackType
from typing import Any, Protocol, Self, TypeVar

from tests.servers.clusters import RedisCluster, RedisSentinel
from tests.servers.kept import Kept
from tests.servers.poolers import PgBouncer
from tests.servers.postgres import Postgres, Standby
from tests.servers.proxy import Proxy
from tests.servers.redis import Redis
from tests.servers.sessions import Session
from tests.servers.shared import shared_url

S = TypeVar("S", bound="Startable")


class Startable(Protocol):
    """A server, or several that start and end together."""

    def start(self) -> None: ...

    def end(self) -> None: ...


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

    def standby(self, primary: Postgres) -> Standby:
        """Start a copy that follows a server and can be promoted."""
        return self.started(Standby(primary))

    def pgbouncer(self, server: Postgres | str) -> PgBouncer:
        """Start a pooler in transaction mode in front of a server, or of an address."""
        url = server if isinstance(server, str) else server.url
        return self.started(PgBouncer(self.session, url))

    def redis_cluster(self) -> RedisCluster:
        """Start three masters that share the slots."""
        return self.started(RedisCluster(self.session))

    def redis_sentinel(self, sentinels: int = 3) -> RedisSentinel:
        """Start a master, a replica, and sentinels that watch them."""
        return self.started(RedisSentinel(self.session, sentinels))

    def proxy(self, server: Kept, protocol: str | None = None) -> Proxy:
        """Put a proxy in front of a server; it speaks the server's protocol."""
        proxy = Proxy((server.host, server.port), protocol or server.kind, port=self.session.new_port())
        self._ending.callback(proxy.close)
        return proxy

    def started(self, server: S) -> S:
        """Start a server that ends with the others."""
        self._ending.callback(server.end)
        server.start()
        return server


def shared_postgres(session: Session) -> str:
    """The address of the Postgres that all tests share, or that is given."""
    return os.environ.get("CAIRN_TEST_POSTGRES_URL") or shared_url(
        session, "postgres", lambda: Postgres(session, detached=True)
    )


def shared_pgbouncer(session: Session) -> str:
    """The address of the same Postgres behind a pooler in transaction mode."""
    server_url = shared_postgres(session)
    return shared_url(session, "pgbouncer", lambda: PgBouncer(session, server_url, detached=True))


def shared_redis(session: Session) -> str:
    """The address of the Redis that all tests share, or that is given."""
    return os.environ.get("CAIRN_TEST_REDIS_URL") or shared_url(
        session, "redis", lambda: Redis(session, detached=True)
    )


def shared_redis_cluster(session: Session) -> str:
    """The address of a Redis cluster that all tests share."""
    return shared_url(session, "cluster", lambda: RedisCluster(session, detached=True))
