"""Claims wait for the server's disk where it can wait; a server of 7.0 plays one of 7.2 here.

It passes every command on, but for its version and for WAITAOF, whose answers the test chooses.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from tests.contract.redis.opened import opened

from cairn_runtime.errors import StoreUnavailable
from cairn_runtime.store.contract.cases import Writer, begun, new_run
from cairn_runtime.store.redis.replies import Refusal, ReplyReader, command


@dataclass
class Newer:
    """What the server in between was asked, connection by connection, and how WAITAOF is answered."""

    synced: list[int] = field(default_factory=lambda: [1, 0])
    heard: list[list[str]] = field(default_factory=list)


def written(reply: Any) -> bytes:
    """Write a reply as a server does."""
    match reply:
        case None:
            return b"$-1\r\n"
        case int():
            return b":%d\r\n" % reply
        case bytes():
            return b"$%d\r\n%b\r\n" % (len(reply), reply)
        case Refusal():
            return f"-{reply.text}\r\n".encode()
    return b"*%d\r\n" % len(reply) + b"".join(map(written, reply))


@asynccontextmanager
async def newer(server, state: Newer) -> AsyncIterator[str]:
    """A server of 7.2, at the address that is given."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        names: list[str] = []
        state.heard.append(names)
        behind, to = await asyncio.open_connection(server.host, server.port)
        requests, replies = ReplyReader(), ReplyReader()
        while data := await reader.read(65536):
            for request in requests.feed(data):
                names.append(request[0].decode())
                if request[0] == b"WAITAOF":
                    writer.write(written(state.synced))
                    continue
                to.write(command(*request))
                found: list[Any] = []
                while not found:
                    found = replies.feed(await behind.read(65536))
                if request[0] == b"INFO":
                    found = [re.sub(rb"redis_version:[\d.]+", b"redis_version:7.2.1", found[0])]
                writer.write(written(found[0]))
        to.close()
        writer.close()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"redis://127.0.0.1:{listening.sockets[0].getsockname()[1]}/0"
    finally:
        listening.close()


async def test_a_claim_waits_until_it_is_synced(private_redis):
    """WAITAOF follows the claim on its own connection, since it waits for the writes of that one."""
    state = Newer()
    async with newer(private_redis, state) as url, opened(url) as store:
        writer = await begun(store)
        await writer.commit()
        health = await store.check()

    (waiting,) = [names for names in state.heard if "WAITAOF" in names]
    assert waiting[-2:] in (["EVALSHA", "WAITAOF"], ["EVAL", "WAITAOF"])
    assert "claims wait for the sync" in health.durable


async def test_a_claim_that_was_not_synced_in_time_is_claimed_again(private_redis):
    """The caller hears that nothing is sure; the same claim again waits for the same bytes."""
    state = Newer(synced=[0, 0])
    async with newer(private_redis, state) as url, opened(url) as store:
        run = await store.create_run(new_run())
        with pytest.raises(StoreUnavailable, match="did not sync"):
            await store.claim(run.run_id, 0, "mine")
        with private_redis.admin() as client:
            before = client.info("persistence")["aof_current_size"]
        state.synced = [1, 0]

        fence = await store.claim(run.run_id, 0, "mine")
        await Writer(store, run.run_id, fence).commit()
        with private_redis.admin() as client:
            after = client.info("persistence")["aof_current_size"]

    assert fence == (1, "mine")
    assert after > before


async def test_claims_do_not_wait_for_each_other(private_redis):
    """Ten claims at once are ten answers."""
    state = Newer()
    async with newer(private_redis, state) as url, opened(url) as store:
        runs = [await store.create_run(new_run()) for _ in range(10)]

        fences = await asyncio.gather(*(store.claim(run.run_id, 0, f"c{n}") for n, run in enumerate(runs)))

    assert [fence.claim_id for fence in fences] == [f"c{n}" for n in range(10)]
