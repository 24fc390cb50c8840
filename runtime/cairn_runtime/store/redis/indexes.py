"""All runs of the store: the index by age, who has a checkpoint, and what changed.

The index is one sorted set in a slot of its own, so no script writes it together with a run's row. It is a
hint:
a run is written into it before its row is made, so that no row is without it; what it names is believed
only when the row was read; where it was lost it is put together again from the rows (`repair`).
An empty member says that the index is whole: it is gone when somebody deleted the index.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterable, Sequence

from cairn_runtime.model.ids import new_id
from cairn_runtime.store.redis.addresses import Address
from cairn_runtime.store.redis.faults import refused
from cairn_runtime.store.redis.keys import Keys
from cairn_runtime.store.redis.nodes import Nodes
from cairn_runtime.store.redis.records import member_of, run_in
from cairn_runtime.store.redis.replies import Refusal, Reply, command
from cairn_runtime.store.redis.scripts import script

log = logging.getLogger(__name__)

_WHOLE = b""
_PAGE, _SMALLEST_PAGE = 500, 20
_LOOK_AT = 5_000
"""Members of the index that one call of `list_runs.lua` looks at: a millisecond or two."""
_SKEW_SECONDS = 600.0
"""How far the clock of a writer may be behind that of the server."""
_ON_THE_WAY_SECONDS = 3600.0
"""How long a run may be in the index and not made yet."""
_REMEMBERED = 4096


class RunIndex:
    """The index of all runs."""

    def __init__(self, nodes: Nodes, keys: Keys, address: Address) -> None:
        self._nodes = nodes
        self._keys = keys
        self._address = address
        self._where: dict[str, str] = {}
        """Runs in which checkpoints were found lately, by id: a guess, asked first."""

    # -- keeping it ----------------------------------------------

    async def announce(self, run_id: str, workflow: str, thread: str) -> int:
        """Write a run into the index before its row is made; answer the time by the clock of its server."""
        row = self._keys.of(run_id).row
        seconds, microseconds = await self._nodes.ask(row, command("TIME"))
        now = int(seconds) * 1_000_000 + int(microseconds)
        member = member_of(run_id, workflow, thread)
        await self._nodes.ask(self._keys.runs, command("ZADD", self._keys.runs, "NX", now, member), "write")
        return now

    async def add(self, member: bytes, created: bytes | int) -> None:
        """Write a run whose row is there into the index."""
        score = created if isinstance(created, bytes) else b"%d" % created
        await self._nodes.ask(self._keys.runs, command("ZADD", self._keys.runs, score, member), "write")

    async def retract(self, member: bytes, now: int) -> None:
        """Take back what was announced for a row that belongs to somebody else."""
        await self._nodes.ask(self._keys.runs, script("forget").at(self._keys.runs, member, now), "write")

    async def forget(self, member: bytes, score: bytes) -> None:
        """Take a run out of the index that has no row, unless it may still be on the way."""
        (now, _) = await self._nodes.ask(self._keys.runs, command("TIME"))
        if int(now) - float(score) / 1e6 > _ON_THE_WAY_SECONDS:
            await self._nodes.ask(
                self._keys.runs, script("forget").at(self._keys.runs, member, score), "write"
            )

    async def ensure(self) -> None:
        """Put the index together again if it was lost."""
        if await self._nodes.ask(self._keys.runs, command("ZSCORE", self._keys.runs, _WHOLE)) is None:
            await self.repair()

    async def repair(self) -> int:
        """Write every row of every server into the index; answer how many there are."""
        count = 0
        for node in self._nodes.masters():
            cursor = b"0"
            while True:
                scan = command("SCAN", cursor, "MATCH", self._keys.any_row, "COUNT", 1000)
                (reply,) = await node.ask("read", scan, 1)
                if isinstance(reply, Refusal):
                    raise refused(self._address.safe, reply)
                cursor, rows = reply
                count += await self._add_rows(rows)
                if cursor == b"0":
                    break
        await self._nodes.ask(self._keys.runs, command("ZADD", self._keys.runs, 0, _WHOLE), "write")
        if count:
            log.info("put the index of runs together again", extra={"runs": count})
        return count

    async def _add_rows(self, rows: Sequence[bytes]) -> int:
        reads = [(row, command("HMGET", row, "workflow", "thread", "created")) for row in rows]
        pairs: list[bytes | str | int] = []
        for row, (workflow, thread, created) in zip(rows, await self._nodes.ask_all(reads), strict=True):
            if workflow is not None and created is not None:
                name = member_of(self._keys.run_of(row), workflow.decode(), (thread or b"").decode())
                pairs += [created, name]
        if pairs:
            await self._nodes.ask(self._keys.runs, command("ZADD", self._keys.runs, *pairs), "write")
        return len(pairs) // 2

    # -- reading it ----------------------------------------------

    async def newest(
        self, *, below: bytes = b"+inf", workflow: str = "", thread: str = "", page: int = _PAGE
    ) -> AsyncIterator[list[tuple[bytes, bytes]]]:
        """Give pages of (member, score), newest first, at or below a score; members may come twice."""
        # A page begins with the last member of the one before, so it must hold more than one.
        page = max(page, _SMALLEST_PAGE)
        prefix = workflow if workflow.endswith("/") else ""
        exact = "" if prefix else workflow
        while True:
            # Where nothing is left out, no more is looked at than is wanted.
            look_at = max(_LOOK_AT, page) if workflow or thread else page + 1
            asked = (below, exact, prefix, thread, page, look_at)
            last, *flat = await self._nodes.ask(
                self._keys.runs, script("list_runs").at(self._keys.runs, *asked)
            )
            found = list(zip(flat[::2], flat[1::2], strict=True))
            yield found
            if not last or last == below:
                # Where more runs than a page have one score, those behind cannot be told apart by it.
                return
            below = last

    async def everything(self) -> list[tuple[bytes, bytes]]:
        """All (member, score); one that is there throughout is never missed."""
        found: dict[bytes, bytes] = {}
        cursor = b"0"
        while True:
            scan = command("ZSCAN", self._keys.runs, cursor, "COUNT", 1000)
            cursor, flat = await self._nodes.ask(self._keys.runs, scan)
            found.update(zip(flat[::2], flat[1::2], strict=True))
            if cursor == b"0":
                whole = found.pop(_WHOLE, None)
                if whole is not None:
                    return list(found.items())
                await self.repair()
                found, cursor = {}, b"0"

    # -- checkpoints ----------------------------------------------

    async def find(self, checkpoint_id: str) -> tuple[str, int] | None:
        """Find the run and seq of a checkpoint.

        Runs that began before the id was made are asked first, the newest before the others; then the rest.
        """
        guess = self._where.get(checkpoint_id)
        if guess is not None:
            found = await self._among(checkpoint_id, [guess])
            if found is not None:
                return found
        asked: set[str] = set()
        made = _made_at(checkpoint_id)
        ways = [b"%d" % made, b"+inf"] if made is not None else [b"+inf"]
        for below in ways:
            async for page in self.newest(below=below):
                runs = [run for member, _ in page if (run := run_in(member)) not in asked]
                asked.update(runs)
                found = await self._among(checkpoint_id, runs)
                if found is not None:
                    return found
        return None

    async def elsewhere(self, run_id: str, checkpoint_ids: Iterable[str], most: int) -> str | None:
        """The first of some ids that the newest other runs have; None: none of them."""
        async for page in self.newest(page=most):
            runs = [run for member, _ in page if (run := run_in(member)) != run_id]
            for checkpoint_id in checkpoint_ids:
                if await self._among(checkpoint_id, runs) is not None:
                    return checkpoint_id
            break
        return None

    async def _among(self, checkpoint_id: str, runs: Sequence[str]) -> tuple[str, int] | None:
        reads = [
            (ids, command("HGET", ids, checkpoint_id)) for ids in (self._keys.of(run).ids for run in runs)
        ]
        for run_id, seq in zip(runs, await self._nodes.ask_all(reads), strict=True):
            if seq is not None:
                if len(self._where) >= _REMEMBERED:
                    self._where.clear()
                self._where[checkpoint_id] = run_id
                return run_id, int(seq)
        return None


def _made_at(checkpoint_id: str) -> int | None:
    """When a UUIDv7 was made, with room for a clock that is behind, in microseconds; None for another id."""
    digits = checkpoint_id.replace("-", "")
    if len(digits) != 32 or digits[12] != "7":
        return None
    try:
        return int(digits[:12], 16) * 1000 + int(_SKEW_SECONDS * 1e6)
    except ValueError:
        return None


class Changes:
    """What changed, learned by looking at every row: no commit writes anything but its own run's keys.

    A cursor numbers a look of this object; another one, or another process, does not know it and names all.
    """

    def __init__(self, nodes: Nodes, keys: Keys, index: RunIndex) -> None:
        self._nodes = nodes
        self._keys = keys
        self._index = index
        self._id = new_id()
        self._look = 0
        self._seen: dict[str, tuple[Reply, int]] = {}
        """When each row was last changed, and the look that saw it first."""
        # Two looks at once could each miss what the other has written down already.
        self._lock = asyncio.Lock()

    async def since(self, cursor: str) -> tuple[list[str], str]:
        """Name the runs whose row changed since the cursor."""
        origin, _, number = cursor.rpartition(":")
        known = origin == self._id and number.isascii() and number.isdigit()
        async with self._lock:
            await self._look_at_all()
            since = int(number) if known and int(number) <= self._look else 0
            named = [run_id for run_id, (_, look) in self._seen.items() if look > since]
            return named, f"{self._id}:{self._look}"

    async def _look_at_all(self) -> None:
        members = await self._index.everything()
        rows = [self._keys.of(run_in(member)).row for member, _ in members]
        stamps = await self._nodes.ask_all([(row, command("HGET", row, "at")) for row in rows])
        self._look += 1
        there: set[str] = set()
        for (member, score), stamp in zip(members, stamps, strict=True):
            run_id = run_in(member)
            if stamp is None:
                await self._index.forget(member, score)
            else:
                there.add(run_id)
                if self._seen.get(run_id, (None, 0))[0] != stamp:
                    self._seen[run_id] = (stamp, self._look)
        for run_id in self._seen.keys() - there:
            if self._seen[run_id][0] is not None:
                # Expired: named once more, so that whoever watches lets go of it.
                self._seen[run_id] = (None, self._look)
