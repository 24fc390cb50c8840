"""Redis in numbers: a cluster of three masters, and a master with a replica that sentinels watch.

Both are as small and as quick as they can be: what is proved with them is that a store finds its way, that it
stays inside one slot where it must, and that it survives a failover; not that Redis works.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from functools import partial
from itertools import permutations

import redis
from tests.servers.kept import Kept
from tests.servers.programs import library_path, redis_server
from tests.servers.redis import Redis
from tests.servers.sessions import Session

SLOTS = 16_384
MASTERS = 3
SERVICE = "cairn"


class RedisCluster:
    """Three masters that share the slots."""

    def __init__(self, session: Session, *, detached: bool = False) -> None:
        """Lay out the masters; `nodes` can be killed and started one by one."""
        self.bus_ports = [session.new_port() for _ in range(MASTERS)]
        self.nodes = [Redis(session, settings=_as_master(port), detached=detached) for port in self.bus_ports]

    @property
    def url(self) -> str:
        """The address of one of them; a client of clusters finds the others."""
        return self.nodes[0].url

    @property
    def addresses(self) -> list[tuple[str, int]]:
        """Where each of them is."""
        return [(node.host, node.port) for node in self.nodes]

    def start(self) -> None:
        """Start them, introduce them, give out the slots, and wait until each knows all of it."""
        for node in self.nodes:
            node.start()
        for number, node in enumerate(self.nodes):
            with node.admin() as client:
                client.execute_command("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
                slots = range(number * SLOTS // MASTERS, (number + 1) * SLOTS // MASTERS)
                client.execute_command("CLUSTER", "ADDSLOTS", *slots)
                for other, bus_port in zip(self.nodes[:number], self.bus_ports, strict=False):
                    client.execute_command("CLUSTER", "MEET", other.host, other.port, bus_port)
        for node in self.nodes:
            node.wait_ready(partial(_is_whole, node))

    def detach(self) -> list[int]:
        """Let them live on without this process; return their keepers."""
        return [keeper for node in self.nodes for keeper in node.detach()]

    def end(self) -> None:
        """End all of them."""
        for node in self.nodes:
            node.end()


class Sentinel(Kept):
    """One sentinel."""

    kind = "sentinel"

    def __init__(self, session: Session, master: Redis, *, quorum: int) -> None:
        """Lay out a sentinel that watches a master."""
        super().__init__(session)
        self.id = secrets.token_hex(20)
        lines = [
            f"sentinel myid {self.id}",
            f"port {self.port}",
            "bind 127.0.0.1",
            f"dir {self.folder}",
            f"sentinel monitor {SERVICE} {master.host} {master.port} {quorum}",
            f"sentinel down-after-milliseconds {SERVICE} 500",
            f"sentinel failover-timeout {SERVICE} 3000",
        ]
        self._write(lines)

    def introduce(self, other: Sentinel) -> None:
        """Tell it of another before it starts; they would meet by themselves, two seconds later."""
        self._write([f"sentinel known-sentinel {SERVICE} {other.host} {other.port} {other.id}"])

    def _write(self, lines: list[str]) -> None:
        with (self.folder / "sentinel.conf").open("a") as file:
            file.write("\n".join(lines) + "\n")

    def command(self) -> list[str]:
        """Run it on its file, in which it also writes."""
        return [str(redis_server()), str(self.folder / "sentinel.conf"), "--sentinel"]

    def environment(self) -> Mapping[str, str]:
        """Add the libraries of an unpacked server."""
        return {**super().environment(), **library_path(redis_server())}

    def ready(self) -> bool:
        """Whether it answers."""
        try:
            with self.client() as client:
                return bool(client.ping())
        except (redis.ConnectionError, redis.TimeoutError):
            return False

    def client(self) -> redis.Redis:
        """Ask this sentinel."""
        return redis.Redis(self.host, self.port, socket_timeout=10, retry=None, decode_responses=True)


class RedisSentinel:
    """A master, a replica that follows it, and the sentinels that choose between them."""

    def __init__(self, session: Session, sentinels: int = 3) -> None:
        """Lay them out."""
        self.service = SERVICE
        self.master = Redis(session)
        self.replica = Redis(session, settings={"replicaof": f"{self.master.host} {self.master.port}"})
        quorum = sentinels // 2 + 1
        self.sentinels = [Sentinel(session, self.master, quorum=quorum) for _ in range(sentinels)]
        for one, other in permutations(self.sentinels, 2):
            one.introduce(other)

    @property
    def url(self) -> str:
        """The address of the master, as the store is given it."""
        hosts = ",".join(f"{host}:{port}" for host, port in self.addresses)
        return f"redis+sentinel://{hosts}/0?master={self.service}"

    @property
    def addresses(self) -> list[tuple[str, int]]:
        """Where the sentinels are."""
        return [(sentinel.host, sentinel.port) for sentinel in self.sentinels]

    def start(self) -> None:
        """Start them, and wait until the replica follows and every sentinel knows of all."""
        for server in (self.master, self.replica, *self.sentinels):
            server.start()
        self.replica.wait_ready(self._follows)
        for sentinel in self.sentinels:
            sentinel.wait_ready(partial(self._knows_all, sentinel))

    def end(self) -> None:
        """End them, the watchers first."""
        for server in (*self.sentinels, self.replica, self.master):
            server.end()

    def fail_over(self) -> None:
        """Kill the master, and wait until the sentinels have agreed on the replica."""
        self.master.kill()
        for sentinel in self.sentinels:
            sentinel.wait_ready(partial(self._names, sentinel, self.replica))

    def _follows(self) -> bool:
        with self.replica.admin() as client:
            return bool(client.info("replication").get("master_link_status") == "up")

    def _knows_all(self, sentinel: Sentinel) -> bool:
        with sentinel.client() as client:
            facts = client.sentinel_master(self.service)
            others = len(self.sentinels) - 1
            return bool(facts["num-slaves"] == 1 and facts["num-other-sentinels"] == others)

    def _names(self, sentinel: Sentinel, server: Redis) -> bool:
        with sentinel.client() as client:
            master: tuple[str, int] = client.sentinel_get_master_addr_by_name(self.service)
            return master == (server.host, server.port)


def _as_master(bus_port: int) -> dict[str, str]:
    """Lines of redis.conf; the port for gossip is ours, not "the port and 10,000" in the range of clients."""
    return {"cluster-enabled": "yes", "cluster-port": str(bus_port), "cluster-node-timeout": "1000"}


def _is_whole(node: Redis) -> bool:
    with node.admin() as client:
        facts = client.cluster("INFO")
        return facts["cluster_state"] == "ok" and int(facts["cluster_known_nodes"]) == MASTERS
