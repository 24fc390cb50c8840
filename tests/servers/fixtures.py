"""What a test asks for. Drivers are imported by the fixtures' bodies: unit tests load none.

postgres_url      a fresh schema on the shared Postgres; dropped afterwards
redis_url         a fresh prefix on the shared Redis; its keys are removed afterwards
pgbouncer_url     the same Postgres behind a pooler in transaction mode, a fresh schema too
servers           makes servers of the test's own: `servers.postgres(tls=True)`, `servers.redis(...)`
private_postgres, private_redis    one of them, with the settings that there are by default
proxy_to          makes a proxy in front of a server: `proxy_to(private_redis)`
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from tests.servers.sessions import Session

if TYPE_CHECKING:
    from tests.servers.making import Servers
    from tests.servers.postgres import Postgres
    from tests.servers.proxy import Proxy
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
def proxy_to(servers: Servers) -> Callable[..., Proxy]:
    """Make a proxy in front of a server of the test's own, or of a URL."""
    return servers.proxy


@pytest.fixture(scope="session")
def shared_postgres(servers_session: Session) -> Iterator[str]:
    """The address of the Postgres that all tests share."""
    from tests.servers import making, places  # noqa: PLC0415

    url = making.shared_postgres(servers_session)
    yield url
    places.close(url)


@pytest.fixture(scope="session")
def shared_redis(servers_session: Session) -> Iterator[str]:
    """The address of the Redis that all tests share."""
    from tests.servers import making, places  # noqa: PLC0415

    url = making.shared_redis(servers_session)
    yield url
    places.close(url)


@pytest.fixture
def postgres_url(shared_postgres: str) -> Iterator[str]:
    """A place of the test's own in the shared Postgres."""
    from tests.servers.places import drop_schema  # noqa: PLC0415

    schema = f"t_{uuid4().hex[:12]}"
    yield with_option(shared_postgres, "schema", schema)
    drop_schema(shared_postgres, schema)


@pytest.fixture
def redis_url(shared_redis: str) -> Iterator[str]:
    """A place of the test's own in the shared Redis."""
    from tests.servers.places import remove_keys  # noqa: PLC0415

    prefix = f"t_{uuid4().hex[:12]}:"
    yield with_option(shared_redis, "prefix", prefix)
    remove_keys(shared_redis, prefix)


def with_option(url: str, name: str, value: str) -> str:
    """Add an option to a URL."""
    return f"{url}{'&' if '?' in url else '?'}{name}={value}"
