"""What a server must be like before anything is kept on it, and how it is.

Asked when the store opens: is this a release that has what the scripts need, a master, does it keep what it
is given (AOF), does it throw nothing away (`noeviction`).
INFO tells all of it and is allowed almost everywhere; where it is not, CONFIG is tried; where neither is
allowed nothing is known, which is said loudly in the log and in `check`.
"""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass

from cairn_runtime.errors import StoreUnavailable, StoreUnusable
from cairn_runtime.store.base import Concern
from cairn_runtime.store.redis.addresses import Address
from cairn_runtime.store.redis.faults import refused
from cairn_runtime.store.redis.nodes import Node, Nodes
from cairn_runtime.store.redis.replies import Refusal, Reply, command

log = logging.getLogger(__name__)

OLDEST = (6, 2)
WAITAOF_SINCE = (7, 2)
_CONFIG_KEYS = ("maxmemory-policy", "appendonly", "appendfsync")
_VERSION = re.compile(r"(\d+)\.(\d+)")
_HERE = re.compile(r"localhost\Z|127\.[\d.]+\Z|::1\Z")
_VOLATILE = "or write ?volatile=true into the URL if the runs may be forgotten"
_SYNCED: dict[str | None, str] = {
    # While it syncs, such a server keeps writes in memory and answers them: killing its process loses them.
    "everysec": "synced each second; if the server fails the last second or two may be lost",
    "no": "not synced; if its machine fails what the system has not written yet may be lost",
    None: "synced nobody knows when; if the server fails the last seconds may be lost",
}


@dataclass(frozen=True, slots=True)
class Server:
    """What is known of a server; None: it could not be seen."""

    version: tuple[int, int] | None
    role: str | None
    clustered: bool
    aof: bool | None
    fsync: str | None
    policy: str | None
    used_bytes: int | None
    limit_bytes: int | None
    """`maxmemory`; None where there is no limit, or it could not be seen."""

    @property
    def name(self) -> str:
        """What answers, with its version."""
        return f"Redis {'.'.join(map(str, self.version))}" if self.version else "Redis of an unknown version"

    @property
    def waits_for_disk(self) -> bool:
        """Whether a claim can wait until it is synced."""
        return bool(self.aof) and self.version is not None and self.version >= WAITAOF_SINCE

    @property
    def durable(self) -> str:
        """What "durable" means here, in one sentence."""
        if self.aof is None:
            return "what the server keeps: it does not show whether it has an append-only file"
        if not self.aof:
            return "nothing: all is gone with the server's process"
        if self.fsync == "always":
            return (
                "synced in the server's append-only file, at each commit; a failover may lose the last ones"
            )
        claims = (
            "claims wait for the sync" if self.waits_for_disk else "claims too (this server has no WAITAOF)"
        )
        return f"in the server's append-only file, {_SYNCED.get(self.fsync, _SYNCED[None])}, {claims}"


async def inspect(node: Node, address: Address) -> Server:
    """Ask a server how it is.

    Raises:
        CairnError: it refused, and not because it may not be asked.
        Lost, redis.RedisError, OSError: no answer.
    """
    (reply,) = await node.ask("read", command("INFO"), 1)
    info = _pairs(reply, address) if not _forbidden(reply) else {}
    if info.get("loading") == "1":
        raise StoreUnavailable(f"{address.safe}: the server is reading its data from disk")
    config = await _config(node, address)
    aof, policy = info.get("aof_enabled"), info.get("maxmemory_policy") or config.get("maxmemory-policy")
    if aof is None and "appendonly" in config:
        aof = "1" if config["appendonly"] == "yes" else "0"
    version = _VERSION.match(info.get("redis_version", ""))
    return Server(
        version=(int(version[1]), int(version[2])) if version else None,
        role=info.get("role"),
        clustered=info.get("cluster_enabled") == "1",
        aof=None if aof is None else aof == "1",
        fsync=config.get("appendfsync"),
        policy=policy,
        used_bytes=_number(info.get("used_memory")),
        limit_bytes=_number(info.get("maxmemory")) or None,
    )


async def _config(node: Node, address: Address) -> dict[str, str]:
    """Read what CONFIG tells, where it may be asked; managed services rename or forbid it."""
    data = b"".join(command("CONFIG", "GET", key) for key in _CONFIG_KEYS)
    found: dict[str, str] = {}
    for reply in await node.ask("read", data, len(_CONFIG_KEYS)):
        if isinstance(reply, list) and len(reply) == 2:
            found[reply[0].decode()] = reply[1].decode()
        elif isinstance(reply, Refusal) and not _forbidden(reply):
            raise refused(address.safe, reply)
    return found


def _forbidden(reply: Reply) -> bool:
    return isinstance(reply, Refusal) and (reply.code == "NOPERM" or "unknown command" in reply.text)


def _pairs(reply: Reply, address: Address) -> dict[str, str]:
    if isinstance(reply, Refusal):
        raise refused(address.safe, reply)
    lines = reply.decode(errors="replace").splitlines()
    return {name: value for name, colon, value in (line.partition(":") for line in lines) if colon}


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and text.isdigit() else None


def concerns(server: Server) -> list[Concern]:
    """What of a server is not as it should be, where it was let in all the same (`?volatile=true`)."""
    found: list[Concern] = []
    if server.policy not in (None, "noeviction"):
        text = f"the server throws keys away when its memory is full (maxmemory-policy {server.policy})"
        found.append(Concern(True, text, "CONFIG SET maxmemory-policy noeviction; CONFIG REWRITE"))
    if server.aof is False:
        text = "the server keeps no append-only file: a restart forgets every run"
        found.append(Concern(True, text, "CONFIG SET appendonly yes; CONFIG REWRITE"))
    if server.aof and server.fsync == "no":
        text = "nobody syncs the server's append-only file (appendfsync no): if its machine fails, what the"
        text += " system has not written yet is lost"
        found.append(Concern(False, text, "CONFIG SET appendfsync everysec; CONFIG REWRITE"))
    if server.aof is None or server.policy is None:
        text = "it cannot be seen whether the server keeps what it is given"
        found.append(Concern(False, text, "let the user of the URL call INFO: ACL SETUSER ... +info"))
    if server.used_bytes is not None and server.limit_bytes is None:
        text = "maxmemory is not set: the system ends the server when the machine's memory is used up"
        found.append(Concern(False, text, "CONFIG SET maxmemory 2gb, or what there is; CONFIG REWRITE"))
    return found


def way_concerns(address: Address) -> list[Concern]:
    """Whether others can listen on the way to the servers."""
    if address.tls is not None or all(_HERE.match(host) for host, _ in address.hosts):
        return []
    text = "the connection is not encrypted, and leaves this machine"
    return [Concern(False, text, "write rediss:// into the URL, and ?ca= where the authority is your own")]


def refuse_unfit(server: Server, address: Address) -> None:
    """Refuse a server that cannot keep runs.

    Raises:
        StoreUnavailable: it is a replica.
        StoreUnusable: an old release, a cluster's database, or it may forget; with the line that mends it.
    """
    place = address.safe
    if server.version is not None and server.version < OLDEST:
        text = f"the server is Redis {'.'.join(map(str, server.version))}; 6.2 is the oldest that works"
        raise StoreUnusable(f"{place}: {text}")
    if server.role not in (None, "master"):
        raise StoreUnavailable(f"{place}: the server is a replica; name the master, or use redis+sentinel://")
    if server.clustered and address.database:
        raise StoreUnusable(f"{place}: a cluster has database 0 only")
    if address.volatile:
        return
    problems, lines = [], []
    if server.policy not in (None, "noeviction"):
        problems.append(f"throws keys away when its memory is full (maxmemory-policy {server.policy})")
        lines.append("CONFIG SET maxmemory-policy noeviction")
    if server.aof is False:
        problems.append("keeps no append-only file, so a restart forgets every run")
        lines.append("CONFIG SET appendonly yes")
    if problems:
        # Without the last one the next restart is the old server again.
        mended = f"mend it with: {'; '.join([*lines, 'CONFIG REWRITE'])}; {_VOLATILE}"
        raise StoreUnusable(f"{place}: the server {', and it '.join(problems)}; {mended}")
    if server.aof is None or server.policy is None:
        log.warning("cannot see whether the server keeps what it is given", extra={"store": place})


async def admit(nodes: Nodes, address: Address) -> Server:
    """Look at every server before the store is used, and find the nodes of a cluster.

    Raises like `inspect` and `refuse_unfit`.
    """
    first = await inspect(nodes.first, address)
    if not first.clustered:
        refuse_unfit(first, address)
        nodes.first.watched = True
        return first
    await nodes.join_cluster()
    servers = [await inspect(node, address) for node in nodes.masters()]
    for server in servers:
        refuse_unfit(server, address)
    # Of all servers the one that keeps least: what it says holds for all.
    return min(servers, key=lambda server: (server.aof is not False, server.fsync == "always"))
