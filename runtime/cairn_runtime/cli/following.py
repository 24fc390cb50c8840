"""Following a run by reading its store again and again: what is new since the last look.

Asks for the run's row, and for checkpoints only where the head has moved: to look at a run that waits is one
small read.
Who calls: `cairn watch`, and `cairn run` for what it shows.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from cairn_runtime.engine.fold import fold_one, read_payload
from cairn_runtime.engine.frontier import RunState
from cairn_runtime.errors import CheckpointCorrupted, CheckpointNotFound, PayloadError
from cairn_runtime.model.values import JSONValue
from cairn_runtime.store.base import Checkpoint, Run, Store
from cairn_runtime.store.codec import Codec
from cairn_runtime.store.keys import codec_from_environment

_PAGE = 500
_ONE_BY_ONE = 16
"""Above so many new checkpoints all since the last snapshot are read at once."""


class Follower:
    """Remembers how far a run was read."""

    def __init__(self, store: Store, run_id: str, since: int = 0) -> None:
        self.store = store
        self.run_id = run_id
        self.seq = since

    async def look(self) -> tuple[Run, list[Checkpoint]]:
        """Read the row, and the headers of the checkpoints that are new, oldest first."""
        run = await self.store.run(self.run_id)
        found: list[Checkpoint] = []
        before: int | None = run.head_seq + 1
        while before is not None and before > self.seq + 1:
            page = await self.store.checkpoints(
                self.run_id, before=before, limit=min(_PAGE, before - self.seq - 1)
            )
            fresh = [row for row in page if row.seq > self.seq]
            found += fresh
            before = fresh[-1].seq if fresh else None
        self.seq = max(self.seq, run.head_seq)
        found.reverse()
        return run, found


@dataclass(slots=True)
class Folding:
    """A run's state, folded on as checkpoints come, and which steps were skipped on the way."""

    store: Store
    run_id: str
    state: RunState = field(default_factory=RunState)
    seq: int = 0
    skipped: set[str] = field(default_factory=set)
    """Steps whose last visit was skipped."""
    totals: dict[str, int] = field(default_factory=dict)
    """Items of the last foreach of each step."""
    codec: Codec = field(default_factory=codec_from_environment)

    async def catch_up(self, headers: list[Checkpoint]) -> None:
        """Fold new checkpoints; where that cannot be done the state stays as it was."""
        if not headers or headers[-1].seq <= self.seq:
            return
        try:
            for row in await self._rows(headers):
                self._take(row)
        except (CheckpointNotFound, PayloadError):
            # Pruned meanwhile, or damaged: whoever looks is not the one to judge; `verify` is.
            return

    async def _rows(self, headers: list[Checkpoint]) -> list[Checkpoint]:
        """The new checkpoints with their payloads, or in one read all since the last snapshot."""
        fresh = [row for row in headers if row.seq > self.seq]
        if len(fresh) <= _ONE_BY_ONE and fresh[0].seq == self.seq + 1:
            return [await self.store.checkpoint(row.id) for row in fresh]
        rows = await self.store.load(self.run_id, headers[-1].seq)
        return (
            rows
            if not self.seq or rows[0].seq > self.seq + 1
            else [row for row in rows if row.seq > self.seq]
        )

    def _take(self, row: Checkpoint) -> None:
        if row.kind == "delta" and row.seq != self.seq + 1:
            raise CheckpointCorrupted(seq=row.seq)
        for event in _events(row, self.codec):
            self._note(event)
        self.state = fold_one(self.state, row, self.codec)
        self.seq = row.seq

    def _note(self, event: list[JSONValue]) -> None:
        """Remember what the state itself forgets."""
        match event:
            case ["skip", str(step), *_]:
                self.skipped.add(step)
            case ["ready", str(step), *_]:
                self.skipped.discard(step)
            case ["enter", str(step), _, _, list(items), *_]:
                self.skipped.discard(step)
                self.totals[step] = len(items)


def _events(row: Checkpoint, codec: Codec) -> list[list[JSONValue]]:
    events = read_payload(row, codec)["events"]
    return (
        [event for event in events if isinstance(event, list) and event] if isinstance(events, list) else []
    )
