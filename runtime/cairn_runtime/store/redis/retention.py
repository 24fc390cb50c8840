"""What keeps checkpoints in the Redis store and what takes them away: pins, holds, prunes, deletion.

The half of `RedisStore` that no runner waits for; also how both speak with the servers.
A hold lies with the run that is held (`marks`), and the child remembers which runs it holds (`held`), in
another slot. The order of the steps makes every prefix of them safe: the child's note is written before the
hold and removed after it, so a hold without a note does not come about, and a note without a hold says
nothing.
A prune is chosen from what was read and carried out only if no mark was set since; else it is chosen again.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeAlias, TypeVar, cast

import orjson

from cairn_runtime.errors import CairnError, CheckpointNotFound, RunNotFound, StoreUnavailable, StoreUnusable
from cairn_runtime.store.audits import check_entry, entry_in, entry_out, following
from cairn_runtime.store.base import Entry, Gap, NewEntry, Swap, Usage
from cairn_runtime.store.pruning import droppable, gaps_with, hold_counts
from cairn_runtime.store.redis.addresses import Address
from cairn_runtime.store.redis.faults import Lost, fault
from cairn_runtime.store.redis.indexes import Changes, RunIndex
from cairn_runtime.store.redis.keys import Keys
from cairn_runtime.store.redis.nodes import Nodes
from cairn_runtime.store.redis.records import fields_of, moment_of, seq_of, usage_of
from cairn_runtime.store.redis.replies import Argument, Reply, command
from cairn_runtime.store.redis.scripts import script
from cairn_runtime.store.rows import check_heads, still_held

_P = ParamSpec("_P")
_T = TypeVar("_T")
_S = TypeVar("_S", bound="RedisRetention")
_Method: TypeAlias = Callable[Concatenate[_S, _P], Coroutine[Any, Any, _T]]
_PAGE = 250
_BESIDE = 20
"""So many more than are asked for are read at once: the snapshot that ends what is needed may be near."""
_MANY = 2**63
_TRIES = 10
_AUDIT_TRIES = 200
_SWAPPED = 50
_COUNTED = 1000
"""Headers of a run that one call of `usage.lua` looks at: about a millisecond."""


def speaking(call: _Method[_S, _P, _T]) -> _Method[_S, _P, _T]:
    """Let a method raise errors of ours only."""

    @wraps(call)
    async def translated(self: _S, *args: _P.args, **kwargs: _P.kwargs) -> _T:
        try:
            return await call(self, *args, **kwargs)
        except CairnError:
            raise
        except Exception as error:
            raise self.translate(error) from error

    return cast("_Method[_S, _P, _T]", translated)


def reading(call: _Method[_S, _P, _T]) -> _Method[_S, _P, _T]:
    """The same for a method that only reads: where a connection ended under it, it is tried once more."""

    @wraps(call)
    async def repeated(self: _S, *args: _P.args, **kwargs: _P.kwargs) -> _T:
        try:
            return await call(self, *args, **kwargs)
        except Lost as error:
            if error.late:
                raise
            self.doubt()
            return await call(self, *args, **kwargs)

    return speaking(cast("_Method[_S, _P, _T]", repeated))


class RedisRetention:
    """Pins, holds, prunes, gaps and tombstones; see `store.base.Store` for what each method promises."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._keys = Keys(address.prefix)
        self._ttl = b"%d" % int(address.ttl_seconds * 1000)
        self._opened: Nodes | None = None
        self._index: RunIndex
        self._changes: Changes

    @property
    def _nodes(self) -> Nodes:
        if self._opened is None:
            raise StoreUnusable(f"the store {self._address.safe} is not open")
        return self._opened

    def doubt(self) -> None:
        """A call got no answer: another server may be the right one now."""
        if self._opened is not None:
            self._opened.doubt()

    def translate(self, error: Exception) -> Exception:
        """Say in our words what went wrong; a mistake of ours stays what it is."""
        ours = fault(self._address.safe, error)
        if ours is not None:
            self.doubt()
        return ours or error

    async def _run_script(self, name: str, run_id: str, *arguments: Argument) -> Reply:
        """Run a script that changes a run."""
        keys = self._keys.of(run_id)
        return await self._nodes.ask_write(keys.row, script(name).on(keys, *arguments))

    # -- pins ----------------------------------------------

    @speaking
    async def pin(self, checkpoint_id: str, *, pinned: bool) -> None:
        """Keep a checkpoint from every prune, or let it go."""
        run_id, seq = await self._place_of(checkpoint_id)
        await self._mark(run_id, checkpoint_id, seq, "p", "", "1" if pinned else "0")

    async def _place_of(self, checkpoint_id: str) -> tuple[str, int]:
        """The run and seq of a checkpoint. Raises `CheckpointNotFound`."""
        found = await self._index.find(checkpoint_id)
        if found is None:
            raise CheckpointNotFound(checkpoint_id)
        return found

    async def _mark(self, run_id: str, checkpoint_id: str, seq: int, *mark: str) -> None:
        """Set or remove a mark. Raises `CheckpointNotFound` where the checkpoint went meanwhile."""
        if await self._run_script("mark", run_id, checkpoint_id, seq, *mark, self._ttl) != 1:
            raise CheckpointNotFound(checkpoint_id)

    @reading
    async def pins(self, run_id: str) -> set[int]:
        """Seqs of a run that are pinned."""
        return {int(mark[2:]) for mark in await self._marks(run_id) if mark.startswith(b"p:")}

    async def _marks(self, run_id: str) -> dict[bytes, bytes]:
        marks = self._keys.of(run_id).marks
        return fields_of(await self._nodes.ask(marks, command("HGETALL", marks)))

    # -- holds ----------------------------------------------

    @speaking
    async def hold(self, checkpoint_id: str, child_run_id: str) -> None:
        """Keep a fork's origin until the child has its own first checkpoint."""
        run_id, seq = await self._place_of(checkpoint_id)
        held = self._keys.of(child_run_id).held
        await self._nodes.ask(held, command("SADD", held, run_id), "write")
        await self._mark(run_id, checkpoint_id, seq, "h", child_run_id, "1")

    @speaking
    async def release_hold(self, child_run_id: str) -> None:
        """Let go of the origin."""
        held = self._keys.of(child_run_id).held
        await self._release(child_run_id, await self._nodes.ask(held, command("SMEMBERS", held)))

    async def _release(self, child_run_id: str, holding: Sequence[bytes]) -> None:
        held = self._keys.of(child_run_id).held
        for run_id in holding:
            await self._run_script("release", run_id.decode(), child_run_id, self._ttl)
            await self._nodes.ask(held, command("SREM", held, run_id), "write")

    @reading
    async def holds(self, run_id: str) -> dict[int, set[str]]:
        """Seqs of a run that are held, and by which children."""
        found: dict[int, set[str]] = {}
        for seq, child, _ in _holds_in(await self._marks(run_id)):
            found.setdefault(seq, set()).add(child)
        return found

    async def _judged_holds(self, marks: dict[bytes, bytes]) -> tuple[dict[int, set[str]], list[bytes]]:
        """The holds that count, and the marks of those that do not."""
        holds = _holds_in(marks)
        rows = [self._keys.of(child).row for _, child, _ in holds]
        states = await self._nodes.ask_all([(row, command("HMGET", row, "head", "deleted")) for row in rows])
        live: dict[int, set[str]] = {}
        stale: list[bytes] = []
        for (seq, child, taken_at), (head, deleted) in zip(holds, states, strict=True):
            seconds, _ = (
                await self._nodes.ask(self._keys.runs, command("TIME")) if head is None else (taken_at, b"")
            )
            age = float(int(seconds) - taken_at)
            child_head = None if head is None else int(head)
            if hold_counts(child_head=child_head, child_deleted=deleted is not None, age_seconds=age):
                live.setdefault(seq, set()).add(child)
            else:
                stale.append(b"h:%d:%b" % (seq, child.encode()))
        return live, stale

    # -- prunes ----------------------------------------------

    @speaking
    async def prune(self, run_id: str, drop: list[int]) -> int:
        """Remove those of the given seqs that nothing needs."""
        wanted = [seq for seq in drop if 0 < seq < _MANY]
        for _ in range(_TRIES):
            marks = await self._marks(run_id)
            live, stale = await self._judged_holds(marks)
            keep = {int(mark[2:]) for mark in marks if mark.startswith(b"p:")} | set(live)
            rows = await self._history(run_id, min(wanted), max(wanted)) if wanted else {}
            gone = droppable({seq: kind for seq, (kind, _) in rows.items()}, wanted, keep)
            answer = await self._run_script("prune", run_id, *self._chosen(marks, stale, gone, rows))
            if isinstance(answer, int):
                return answer
            if answer[0] == b"gone":
                raise RunNotFound(run_id)
        raise StoreUnavailable(
            f"{self._address.safe}: run {run_id} is pinned and held faster than it is pruned"
        )

    def _chosen(
        self,
        marks: dict[bytes, bytes],
        stale: list[bytes],
        gone: set[int],
        rows: dict[int, tuple[str, bytes]],
    ) -> list[Argument]:
        """What a prune does, as arguments of its script."""
        left = rows.keys() - gone
        # Only what stands beside a gap is named in one.
        edges = [seq for seq in left if seq + 1 not in left or seq - 1 not in left]
        headers = {seq: orjson.loads(rows[seq][1]) for seq in edges}
        gaps = gaps_with(_gaps_in(marks), gone, {seq: header[3] for seq, header in headers.items()})
        out: list[Argument] = [marks.get(b"rev", b"0"), gaps_text(gaps), self._ttl, len(stale), *stale]
        for seq in sorted(gone):
            out += [seq, str(orjson.loads(rows[seq][1])[1])]
        return out

    async def _history(self, run_id: str, first: int, last: int) -> dict[int, tuple[str, bytes]]:
        """Kind and header by seq, of what a prune of these is decided by: from before the first until a
        snapshot after the last, or the head.
        """
        log = self._keys.of(run_id).log
        found: dict[int, tuple[str, bytes]] = {}
        start = b"%d" % (first - 1)
        count = min(last - first + _BESIDE, _PAGE)
        while True:
            page = await self._nodes.ask(log, command("XRANGE", log, start, "+", "COUNT", count))
            for entry in page:
                kind, header = entry[1][:2]
                seq = seq_of(entry)
                found[seq] = ("snapshot" if kind == b"s" else "delta", header)
                if seq > last and kind == b"s":
                    return found
            if len(page) < count:
                return found
            start = b"%d" % (seq_of(page[-1]) + 1)

    @speaking
    async def swap_payloads(self, run_id: str, swaps: list[Swap]) -> int:
        """Put other bytes in the place of payloads that are still the old ones."""
        done = 0
        # The script gets all bytes twice, and nobody else is served while it runs.
        for at in range(0, max(len(swaps), 1), _SWAPPED):
            part: list[Argument] = [value for swap in swaps[at : at + _SWAPPED] for value in swap]
            done += await self._swap(run_id, "payloads", *part)
        return done

    @speaking
    async def swap_progress(self, run_id: str, task: str, old: bytes, new: bytes) -> bool:
        """Put other bytes in the place of a task's progress that is still the old one."""
        return await self._swap(run_id, "progress", task, old, new) == 1

    async def _swap(self, run_id: str, *arguments: Argument) -> int:
        answer = await self._run_script("swap", run_id, *arguments)
        if not isinstance(answer, int):
            raise RunNotFound(run_id)
        return answer

    @reading
    async def gaps(self, run_id: str) -> list[Gap]:
        """The gaps that prunes left."""
        return _gaps_in(await self._marks(run_id))

    @reading
    async def usage(self, run_ids: list[str]) -> dict[str, Usage]:
        """Count what is kept of many runs; of one that was pruned, part by part."""
        check_heads(run_ids)
        found: dict[str, Usage] = {}
        after = dict.fromkeys(run_ids, b"0")
        while after:
            places = [(self._keys.of(run_id), seq) for run_id, seq in after.items()]
            count = script("usage")
            calls = [(keys.row, count.on(keys, seq, _COUNTED)) for keys, seq in places]
            counted = dict(zip(after, await self._nodes.ask_all(calls), strict=True))
            there = {run_id: answer for run_id, answer in counted.items() if answer[0] != b"gone"}
            for run_id, answer in there.items():
                found[run_id] = usage_of(answer, found[run_id].bytes if run_id in found else 0)
            after = {run_id: answer[2] for run_id, answer in there.items() if answer[2]}
        return found

    # -- the audit ----------------------------------------------

    @speaking
    async def audit(self, entry: NewEntry) -> Entry:
        """Append a line to the audit: made again where another came first."""
        check_entry(entry)
        key = self._keys.audit
        for _ in range(_AUDIT_TRIES):
            seconds, microseconds = await self._nodes.ask(key, command("TIME"))
            last, hash_ = await self._nodes.ask(key, command("HMGET", key, "last", "hash"))
            before = None if last is None else (int(last), hash_.decode())
            made = following(before, entry, moment_of(int(seconds) * 1_000_000 + int(microseconds)))
            call = script("audit").at(key, entry.id, hash_ or b"", made.number, made.hash, entry_out(made))
            match await self._nodes.ask(key, call, "write"):
                case 1:
                    return made
                case [b"known", line]:
                    return entry_in(line)
        raise StoreUnavailable(f"{self._address.safe}: the audit grows faster than a line is added")

    @reading
    async def audits(self, *, after: int = 0, limit: int = 1000) -> list[Entry]:
        """Read lines of the audit."""
        key = self._keys.audit
        last = int(await self._nodes.ask(key, command("HGET", key, "last")) or 0)
        first = max(after, 0) + 1
        fields = [f"n:{number}" for number in range(first, min(first + limit, last + 1))]
        if not fields:
            return []
        lines = await self._nodes.ask(key, command("HMGET", key, *fields))
        return [entry_in(line) for line in lines if line is not None]

    # -- deletion ----------------------------------------------

    @speaking
    async def delete_run(self, run_id: str) -> bool:
        """Remove a run's rows, leaving a tombstone."""
        held = self._keys.of(run_id).held
        for _ in range(_TRIES):
            holding = await self._nodes.ask(held, command("SMEMBERS", held))
            live, stale = await self._judged_holds(await self._marks(run_id))
            if live:
                raise still_held(run_id, live)
            answer = await self._run_script("delete", run_id, *stale)
            if answer == 1:
                await self._release(run_id, holding)
                return True
            if answer == [b"gone"]:
                return False
        raise StoreUnavailable(f"{self._address.safe}: run {run_id} is held faster than it is deleted")


def _holds_in(marks: dict[bytes, bytes]) -> list[tuple[int, str, int]]:
    """Seq, child and time (seconds) of the holds among marks."""
    found = []
    for mark, at in marks.items():
        if mark.startswith(b"h:"):
            _, seq, child = mark.split(b":", 2)
            found.append((int(seq), child.decode(), int(at)))
    return found


def gaps_text(gaps: Sequence[Gap]) -> bytes:
    """Write gaps as they lie among the marks."""
    return orjson.dumps([[gap.first_seq, gap.last_seq, gap.hash_before, gap.hash_after] for gap in gaps])


def _gaps_in(marks: dict[bytes, bytes]) -> list[Gap]:
    text = marks.get(b"gaps")
    return [] if text is None else [Gap(*row) for row in orjson.loads(text)]
