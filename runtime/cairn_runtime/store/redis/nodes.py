"""Which server has a key, and the wires to it: one server, the master behind Sentinels, or a cluster.

A node has three lanes, each a wire of its own, so that none waits for what another is busy with: `write`
for what is small and must be quick, `read` for answers that may be large, and `wait` for calls that the
server answers only after its disk did.
A server that turns out to be a replica is not read from: `ROLE` is asked with the first call of a wire and
again after a second, in the same packet as the call.
Nothing is repeated here but what the server said it did not do (MOVED, ASK, TRYAGAIN, NOSCRIPT).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from typing import Literal, TypeAlias

from redis import exceptions as driver
from redis.asyncio.sentinel import Sentinel
from redis.crc import key_slot

from cairn_runtime.errors import StoreUnavailable
from cairn_runtime.store.redis.addresses import Address
from cairn_runtime.store.redis.faults import Lost, NotMaster, refused
from cairn_runtime.store.redis.replies import Refusal, Reply, command
from cairn_runtime.store.redis.scripts import Call, Command
from cairn_runtime.store.redis.wires import Wire, connect, tls_options

Lane: TypeAlias = Literal["write", "read", "wait"]
Host: TypeAlias = tuple[str, int]
_REDIRECTS = 8
_TRY_AGAIN_SECONDS = 0.05
_MASTER_SECONDS = 1.0
_REFUSALS = frozenset(
    b"absent again closed deleted differs epoch finished gone held lost other taken".split()
)
"""First words of the scripts' answers that nothing was done."""
_PIPELINED = 500
"""Commands in one packet: more would hold up the server's other clients."""
_ROLE = command("ROLE")
_ASKING = command("ASKING")
_SLOTS = command("CLUSTER", "SLOTS")


class Node:
    """One server, and the wires to it."""

    def __init__(
        self, address: Address, find: Callable[[], Awaitable[Host]], alone: Callable[[], bool]
    ) -> None:
        self.watched = False
        """Whether the server may become a replica that still answers; in a cluster it redirects."""
        self.host: Host | None = None
        """Where it was found last."""
        self._address = address
        self._find = find
        self._alone = alone
        self._wires: dict[Lane, Wire] = {}
        self._connecting: dict[Lane, asyncio.Lock] = {}

    async def ask(self, lane: Lane, data: bytes, count: int) -> list[Reply]:
        """Send packed commands and wait for their replies.

        Raises:
            Lost: no answer, or not from a master; redis.RedisError, OSError: no connection.
        """
        wire = self._wires.get(lane)
        if wire is None or not wire.usable:
            wire = await self._connected(lane)
        if not self.watched or (now := asyncio.get_running_loop().time()) < wire.master_until:
            return await wire.ask(data, count)
        role, *replies = await wire.ask(_ROLE + data, count + 1)
        if isinstance(role, list) and role[0] != b"master":
            self.drop("the server is a replica now")
            raise NotMaster("the server is a replica, and only a master is read from")
        # Whoever may not ask (Refusal) learns it from the first write: a replica refuses those.
        wire.master_until = now + _MASTER_SECONDS
        return replies

    def doubt_master(self, lane: Lane) -> None:
        """Ask with the next call whether the server is a master still."""
        if lane in self._wires:
            self._wires[lane].master_until = 0.0

    async def _connected(self, lane: Lane) -> Wire:
        """Make the wire of a lane; callers that come together get the same."""
        lock = self._connecting.setdefault(lane, asyncio.Lock())
        async with lock:
            wire = self._wires.get(lane)
            if wire is None or not wire.usable:
                # What waits for the disk of the server may take as long as the server is given for it.
                patience = self._address.timeout_seconds * (2 if lane == "wait" else 1)
                self.host = await self._find()
                wire = await connect(self._address, self.host, patience, self._alone)
                if any(other.host != wire.host for other in self._wires.values()):
                    self.drop("another server is the master now")
                self._wires[lane] = wire
            return wire

    def drop(self, why: str) -> None:
        """End all wires; the next call makes new ones."""
        for wire in self._wires.values():
            wire.end(why)
        self._wires.clear()

    async def close(self) -> None:
        """End all wires and wait for their sockets."""
        wires = [*self._wires.values()]
        self._wires.clear()
        await asyncio.gather(*(wire.close() for wire in wires))


class Nodes:
    """All servers of a store."""

    def __init__(self, address: Address, alone: Callable[[], bool]) -> None:
        self._address = address
        self._alone = alone
        self._sentinel: Sentinel | None = None
        self.first = Node(address, self._find, alone)
        """The server, or whichever node of the cluster answers first."""
        self._waitaof = command("WAITAOF", 1, 0, int(address.timeout_seconds * 1000))
        self._stale = False
        self._by_host: dict[Host, Node] = {}
        self._slots: list[tuple[int, int, Host]] = []
        self._owners: dict[bytes, Node] = {}
        """Which node had a key when it was last asked for."""

    @property
    def clustered(self) -> bool:
        """Whether these are the nodes of a cluster."""
        return bool(self._slots)

    async def ask(self, key: bytes, call: Command, lane: Lane = "read") -> Reply:
        """Send one command to the server that has its key.

        Raises:
            CairnError: the server's refusal, translated.
            Lost, redis.RedisError, OSError: see `faults`.
        """
        if self._stale:
            await self.join_cluster()
        node = self._owners.get(key) or self._owner(key) if self._slots else self.first
        (reply,) = await node.ask(lane, _first_form(call), 1)
        if type(reply) is Refusal:
            return await self._again(key, call, reply, node, lane)
        return reply

    async def ask_write(self, key: bytes, call: Command, lane: Lane = "write") -> Reply:
        """Run a script that changes a run; its refusal is believed from a master only. Raises like `ask`.

        A replica refuses to write, but a script reads first, and what it read there may be old: a run that is
        not there yet, a head that has moved on. A refusal is asked for again, with ROLE in the same packet.
        """
        reply = await self.ask(key, call, lane)
        if type(reply) is list and self.first.watched and reply[0] in _REFUSALS:
            self.first.doubt_master(lane)
            reply = await self.ask(key, call, lane)
        return reply

    async def ask_synced(self, key: bytes, call: Command) -> Reply:
        """Send one command and wait until what it wrote is synced on its server. Raises like `ask`.

        Both go over one connection, since WAITAOF waits for the writes of its own.
        """
        reply = await self.ask_write(key, call, "wait")
        synced = await self.ask(key, self._waitaof, "wait")
        if not isinstance(synced, list) or synced[0] < 1:
            raise StoreUnavailable(
                f"{self._address.safe}: the server did not sync its append-only file in time"
            )
        return reply

    async def ask_all(self, calls: Sequence[tuple[bytes, Command]], lane: Lane = "read") -> list[Reply]:
        """Send many commands, each to the server that has its key; the replies come in their order.

        Raises like `ask`.
        """
        if self._stale:
            await self.join_cluster()
        replies: list[Reply] = [None] * len(calls)
        by_node: dict[Node, list[int]] = {}
        for n, (key, _) in enumerate(calls):
            by_node.setdefault(self._owner(key) if self._slots else self.first, []).append(n)
        parts = [self._ask_node(node, calls, at, replies, lane) for node, at in by_node.items()]
        if len(parts) == 1:
            await parts[0]
        else:
            await asyncio.gather(*parts)
        return replies

    async def _ask_node(
        self,
        node: Node,
        calls: Sequence[tuple[bytes, Command]],
        at: list[int],
        replies: list[Reply],
        lane: Lane,
    ) -> None:
        """Send those of the calls that belong to one node, in packets."""
        for start in range(0, len(at), _PIPELINED):
            part = at[start : start + _PIPELINED]
            packet = b"".join(_first_form(calls[n][1]) for n in part)
            for n, reply in zip(part, await node.ask(lane, packet, len(part)), strict=True):
                again = type(reply) is Refusal
                replies[n] = await self._again(*calls[n], reply, node, lane) if again else reply

    async def _again(self, key: bytes, call: Command, reply: Reply, node: Node, lane: Lane) -> Reply:
        """Do what the server asked for in the place of an answer; anything else is raised."""
        data, asking, whole = _first_form(call), False, False
        for _ in range(_REDIRECTS):
            if type(reply) is not Refusal:
                return reply
            match reply.code:
                case "NOSCRIPT" if isinstance(call, Call) and not whole:
                    data, whole = call.whole(), True
                case "MOVED":
                    node, asking = await self._moved(key, reply), False
                case "ASK":
                    node, asking = self._node(_host_in(reply)), True
                case "TRYAGAIN":
                    await asyncio.sleep(_TRY_AGAIN_SECONDS)
                case "READONLY" | "MASTERDOWN":
                    node.drop("the server is a replica now")
                    break
                case _:
                    break
            if asking:
                _, reply = await node.ask(lane, _ASKING + data, 2)
            else:
                (reply,) = await node.ask(lane, data, 1)
        if type(reply) is Refusal:
            raise refused(self._address.safe, reply)
        return reply

    async def everywhere(self, data: bytes) -> list[Reply]:
        """Send one command to every master. Raises like `ask`."""
        replies = [(await node.ask("read", data, 1))[0] for node in self.masters()]
        for reply in replies:
            if type(reply) is Refusal:
                raise refused(self._address.safe, reply)
        return replies

    def masters(self) -> list[Node]:
        """All masters."""
        hosts = dict.fromkeys(host for _, _, host in self._slots)
        return [self._node(host) for host in hosts] if hosts else [self.first]

    async def join_cluster(self) -> None:
        """Learn which server has which slots. Raises like `ask`."""
        for node in (self.first, *self._by_host.values()):
            with suppress(Lost, driver.RedisError, OSError):
                (reply,) = await node.ask("read", _SLOTS, 1)
                if isinstance(reply, list):
                    self._slots = [
                        (low, high, _host_of(where, self._address)) for low, high, where, *_ in reply
                    ]
                    self._owners.clear()
                    self._stale = False
                    return
                if isinstance(reply, Refusal):
                    raise refused(self._address.safe, reply)
        raise StoreUnavailable(f"{self._address.safe}: no node of the cluster answers")

    def _owner(self, key: bytes) -> Node:
        """The node that has a key."""
        slot = key_slot(key)
        for low, high, host in self._slots:
            if low <= slot <= high:
                if len(self._owners) > 10_000:
                    self._owners.clear()
                node = self._owners[key] = self._node(host)
                return node
        raise StoreUnavailable(f"{self._address.safe}: no server of the cluster has slot {slot} now")

    def _node(self, host: Host) -> Node:
        node = self._by_host.get(host)
        if node is None:

            async def find() -> Host:
                return host

            node = self._by_host[host] = Node(self._address, find, self._alone)
            node.host = host
        return node

    async def _moved(self, key: bytes, reply: Refusal) -> Node:
        """Go where the server points, and learn the slots anew."""
        host = _host_in(reply)
        await self.join_cluster()
        node = self._owners[key] = self._node(host)
        return node

    async def _find(self) -> Host:
        """Where the (first) server is: the first host that answers, or what the Sentinels say."""
        if self._address.master:
            return await self._master()
        if len(self._address.hosts) == 1:
            return self._address.hosts[0]
        return await _answering(self._address)

    async def _master(self) -> Host:
        """Ask the Sentinels."""
        address = self._address
        if self._sentinel is None:
            options = {
                "username": address.sentinel_user,
                "password": address.sentinel_password,
                "socket_timeout": address.timeout_seconds,
                "socket_connect_timeout": address.timeout_seconds,
                "protocol": 2,
                **({"ssl": True} if address.tls else {}),
                **tls_options(address),
            }
            self._sentinel = Sentinel(address.hosts, sentinel_kwargs=options)  # type: ignore[no-untyped-call]
        host, port = await self._sentinel.discover_master(address.master)
        return str(host), int(port)

    def doubt(self) -> None:
        """After a call got no answer: in a cluster another server may have its keys now."""
        self._stale = self.clustered

    async def close(self) -> None:
        """Let go of every connection."""
        await asyncio.gather(self.first.close(), *(node.close() for node in self._by_host.values()))
        self._by_host.clear()
        self._slots.clear()
        self._owners.clear()
        if self._sentinel is not None:
            sentinel, self._sentinel = self._sentinel, None
            for client in sentinel.sentinels:
                await client.aclose()


def _first_form(call: Command) -> bytes:
    return call if isinstance(call, bytes) else call.by_digest()


async def _answering(address: Address) -> Host:
    """The first of several hosts that lets us in."""
    problem: Exception | None = None
    for host in address.hosts:
        try:
            wire = await connect(address, host)
        except (driver.RedisError, OSError, Lost) as error:
            problem = error
        else:
            await wire.close()
            return host
    raise problem or Lost("no server is named")


def _host_in(reply: Refusal) -> Host:
    """Read `MOVED 3999 10.0.0.1:6381`."""
    host, _, port = reply.text.split(" ")[2].rpartition(":")
    return host, int(port)


def _host_of(where: Iterable[Reply], address: Address) -> Host:
    """Read a node of CLUSTER SLOTS; an empty host is the one that was asked."""
    host, port, *_ = where
    return (host or address.hosts[0][0].encode()).decode(), int(port)
