"""What a test asks for. Drivers are imported by the fixtures' bodies: unit tests load none.

    postgres_url        a fresh schema on the shared Postgres, dropped afterwards
    pgbouncer_url       the same behind a pooler in transaction mode
    redis_url           a fresh prefix on the shared Redis, its keys removed afterwards
    redis_cluster_url   the same on a cluster of three masters
    servers             makes servers of the test's own: `servers.postgres(tls=True)`, `servers.redis(...)`,
                        `servers.standby(primary)`, `servers.redis_sentinel()`, `servers.proxy(server)`
    private_postgres, private_redis     one of them, as they are by default

A server of the test's own has `url`, `host`, `port`, `log`, and can be told to `kill()`, `start()`, `stop()`,
`pause()`, `resume()`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from tests.servers.sessions import Session

if TYPE_CHECKING:
    from tests.servers.making import Servers
    from tests.servers.postgres import Postgres
    from tests.servers.redis import Redis

SESSION = pytest.StashKey[Session]()


@pytest.fixture(scope="session")
def servers_session(request: pytest.FixtureRequest) -> Session:
    """The folder and the owner of this test run's servers."""
    return request.config.stash[SESSION]


@pytest.fixture
def servers(servers_session: Session) -> Iterator[Servers]:
    """Make servers of the test's own; they end with it."""
    from tests.servers.making import Servers  # noqa: PLC0415 - see above

    with Servers(servers_session) as made:
        yield made


@pytest.fixture
def private_postgres(servers: Servers) -> Postgres:
    """A Postgres of the test's own."""
    return servers.postgres()


@pytest.fixture
def private_redis(servers: Servers) -> Redis:
    """A Redis of the test's own: append-only, synced every second, no eviction."""
    return servers.redis()


@pytest.fixture
def postgres_url(servers_session: Session, server_connections: None) -> Iterator[str]:
    """A place of the test's own in the shared Postgres."""
    from tests.servers import making, places  # noqa: PLC0415

    server, schema = making.shared_postgres(servers_session), f"t_{uuid4().hex[:12]}"
    yield with_option(server, "schema", schema)
    places.drop_schema(server, schema)


@pytest.fixture
def pgbouncer_url(servers_session: Session, postgres_url: str) -> str:
    """The same place, by way of a pooler in transaction mode."""
    from tests.servers import making  # noqa: PLC0415

    schema = postgres_url.rpartition("schema=")[2]
    pooler = with_option(making.shared_pgbouncer(servers_session), "schema", schema)
    return with_option(pooler, "pooler", "transaction")


@pytest.fixture
def redis_url(servers_session: Session, server_connections: None) -> Iterator[str]:
    """A place of the test's own in the shared Redis."""
    from tests.servers import making, places  # noqa: PLC0415

    server, prefix = making.shared_redis(servers_session), f"t_{uuid4().hex[:12]}"
    yield with_option(server, "prefix", prefix)
    places.remove_keys(server, prefix)


@pytest.fixture
def redis_cluster_url(servers_session: Session, server_connections: None) -> Iterator[str]:
    """A place of the test's own in the shared cluster."""
    from tests.servers import making, places  # noqa: PLC0415

    server, prefix = making.shared_redis_cluster(servers_session), f"t_{uuid4().hex[:12]}"
    yield with_option(server, "prefix", prefix)
    places.remove_keys(server, prefix)


@pytest.fixture(scope="session")
def server_connections() -> Iterator[None]:
    """Close what was opened to clean up after tests."""
    from tests.servers import places  # noqa: PLC0415

    yield
    places.close_all()


def with_option(url: str, name: str, value: str) -> str:
    """Add an option to a URL."""
    return f"{url}{'&' if '?' in url else '?'}{name}={value}"
