"""The run's line to its store: events become checkpoints here, and checkpoints become durable.

`Control` holds the fence and the head that this runner believes in.
`cut` makes a checkpoint of events (encoded, sealed, encrypted, not yet written), `save` writes what was cut,
in order, in commits of bounded size.
A commit that got no answer is sent again byte for byte under the same write_id until `patience_seconds` are
over: if the process dies in between, the next one finds either all of it or nothing.
`Superseded` is never survived: somebody else holds the run, and nothing this runner still knows counts.

Who calls: the loop (one task at a time per method; a lock keeps commits in order).
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NamedTuple, TypeVar

import orjson

from cairn_runtime.engine.apply import Event
from cairn_runtime.engine.counting import count_events
from cairn_runtime.engine.frontier import RunState
from cairn_runtime.errors import CheckpointTooLarge
from cairn_runtime.model.ids import new_id, task_key
from cairn_runtime.model.metrics import RunMetrics, read_metrics
from cairn_runtime.model.values import JSONObject, JSONValue
from cairn_runtime.store.base import GENESIS_HASH, Beat, Checkpoint, Fence, Outcome, Run, Signal, Store
from cairn_runtime.store.chain import SKIPS, sealed
from cairn_runtime.store.codec import FORMAT_VERSION, SALT_BYTES, Codec, Encoded
from cairn_runtime.store.patience import insist

log = logging.getLogger("cairn.control")

SNAPSHOT_FLOOR_BYTES = 64 * 1024
"""Deltas below this are never worth a snapshot."""
SLOW_SAVE_SECONDS = 0.1
_T = TypeVar("_T")


class Mark(NamedTuple):
    """Where in the run a checkpoint stands: the task that ended last, and what the run would do next."""

    step: str
    visit: int
    item: int | None
    next: tuple[str, ...]
    metadata: JSONObject


@dataclass(slots=True)
class Control:
    """One runner's right to write one run."""

    store: Store
    codec: Codec
    run_id: str
    fence: Fence
    graph_hash: str
    patience_seconds: float = 60.0
    head_seq: int = 0
    """Seq of the newest checkpoint that was cut."""
    head_hash: str = GENESIS_HASH
    delta_bytes: int = 0
    saved_seq: int = 0
    """Seq of the newest checkpoint that is durable."""
    skipped: tuple[int, int] | None = None
    """Corrupt checkpoints that the next one, a snapshot, leaves behind."""
    on_committed: Callable[[Sequence[Checkpoint]], None] | None = None
    """Told what has become durable, after every commit of checkpoints."""
    metrics: RunMetrics = field(default_factory=RunMetrics)
    """What the run's runners have counted, this one included."""
    _threshold: int = SNAPSHOT_FLOOR_BYTES
    _queue: list[Checkpoint] = field(default_factory=list)
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    @classmethod
    def at_head(
        cls, store: Store, codec: Codec, run: Run, graph_hash: str, patience_seconds: float = 60.0
    ) -> Control:
        """Write on from the run's head, under the fence that its row shows."""
        return cls(
            store,
            codec,
            run.run_id,
            run.fence,
            graph_hash,
            patience_seconds,
            head_seq=run.head_seq,
            head_hash=run.head_hash or GENESIS_HASH,
            saved_seq=run.head_seq,
            metrics=read_metrics(run.metrics) or RunMetrics(),
        )

    def fall_back(self, parent: Checkpoint) -> None:
        """Write on from an earlier checkpoint: the next one is a snapshot that names what it skips."""
        self.skipped = (parent.seq + 1, self.head_seq)
        self.head_hash = parent.hash

    @property
    def unsaved(self) -> int:
        """Checkpoints that were cut and are not durable yet."""
        return self.head_seq - self.saved_seq

    def cut(self, events: list[Event], state: RunState, mark: Mark, *, snapshot: bool = False) -> None:
        """Make the next checkpoint of events; it holds the full state too where that is due.

        Raises:
            CheckpointTooLarge: these events are over the bound, or the state of a snapshot that must be.
        """
        snapshot = snapshot or self.skipped is not None
        body: dict[str, Any] = {"events": events}
        if snapshot:
            body["state"] = state.to_json()
        plain = self.codec.plain(body, salt=os.urandom(SALT_BYTES))
        deltas = self.delta_bytes + len(plain)
        encoded = None
        if not snapshot and deltas > self._threshold:
            encoded = self._pack_whole(events, state, deltas)
            snapshot = encoded is not None
        count_events(self.metrics, events)
        encoded = encoded or self.codec.pack(plain)
        self.delta_bytes = 0 if snapshot else deltas
        self._append(encoded.payload, encoded.digest, mark, snapshot=snapshot)

    def _pack_whole(self, events: list[Event], state: RunState, deltas: int) -> Encoded | None:
        """Pack a snapshot where the deltas weigh as much as one may, if it is within the bounds."""
        whole = state.to_json()
        weight = len(orjson.dumps(whole))
        if weight <= min(deltas, self.codec.limits.plain_bytes // 2):
            # What a payload cannot hold is folded from its deltas, however many: no reason to end a run.
            with suppress(CheckpointTooLarge):
                body: dict[str, Any] = {"events": events, "state": whole}
                encoded = self.codec.encode(body, salt=os.urandom(SALT_BYTES))
                self._threshold = max(SNAPSHOT_FLOOR_BYTES, weight)
                return encoded
        self._threshold = max(weight, deltas + deltas // 2)
        return None

    def _append(self, payload: bytes, digest: str, mark: Mark, *, snapshot: bool) -> None:
        now = time.time()
        checkpoint_id = new_id(now)
        metadata = mark.metadata
        if self.skipped is not None:
            metadata = {**metadata, SKIPS: list(self.skipped)}
            self.skipped = None
        made = sealed(
            Checkpoint(
                self.run_id,
                self.head_seq + 1,
                checkpoint_id,
                self.head_hash,
                "",
                self.fence.epoch,
                checkpoint_id,
                "snapshot" if snapshot else "delta",
                mark.step,
                mark.visit,
                mark.item,
                mark.next,
                metadata,
                datetime.fromtimestamp(now, UTC),
                FORMAT_VERSION,
                self.graph_hash,
                digest,
                len(payload),
                payload,
            )
        )
        self.head_seq, self.head_hash = made.seq, made.hash
        # Encrypted once, here: a commit that is sent again is the same bytes.
        self._queue.append(self.codec.lock(made))

    async def save(self, outcome: Outcome | None = None) -> None:
        """Make all that was cut durable, and the row's change with it.

        Signals that the outcome consumes go in one commit with the checkpoints they led to, however large.

        Raises:
            Superseded, RunNotFound: another claim holds the run, or it is gone; nothing was written.
            StoreUnavailable: no answer within the patience.
        """
        async with self._lock:
            while self._queue or outcome is not None:
                whole = outcome is not None and bool(outcome.consumed)
                batch = self._queue[:] if whole else self._batch()
                last = len(batch) == len(self._queue)
                await self._commit(batch, outcome if last else None)
                self._queue = self._queue[len(batch) :]
                if last:
                    outcome = None

    def _batch(self) -> list[Checkpoint]:
        """As many checkpoints from the front as fit a commit, at least one."""
        room = self.codec.limits.commit_bytes
        for n, checkpoint in enumerate(self._queue):
            room -= checkpoint.size
            if room < 0:
                return self._queue[: max(n, 1)]
        return self._queue[:]

    async def _commit(self, batch: list[Checkpoint], outcome: Outcome | None) -> None:
        started = time.monotonic()
        write_id = batch[0].write_id if batch else new_id()
        head = self.saved_seq
        await insist(
            lambda: self.store.commit(self.run_id, self.fence, head, write_id, batch, outcome),
            seconds=self.patience_seconds,
            on_failure=self._count_failure if batch else None,
        )
        self.saved_seq += len(batch)
        took = time.monotonic() - started
        if batch:
            self.metrics.saves.observe(took)
            if self.on_committed is not None:
                self.on_committed(batch)
        if took > SLOW_SAVE_SECONDS:
            log.warning("save was slow", extra=_facts(batch) | {"seconds": round(took, 3)})

    def _count_failure(self) -> None:
        self.metrics.failures += 1

    async def put_progress(self, task: str, value: JSONValue) -> None:
        """Keep a task's progress; what the task stands on must be saved before. Raises like `save`."""
        data = self.codec.lock_progress(self.run_id, task, orjson.dumps(value))
        await self._ask(lambda: self.store.put_progress(self.run_id, self.fence, task, data))

    async def look(self) -> tuple[Beat, list[Signal]]:
        """Ask for the store's time, then for the signals: one sent later has a later time. Raises like
        `save`.
        """
        beat = await self._ask(lambda: self.store.heartbeat(self.run_id, self.fence))
        return beat, await self._ask(lambda: self.store.signals(self.run_id))

    async def _ask(self, call: Callable[[], Awaitable[_T]]) -> _T:
        return await insist(call, seconds=self.patience_seconds)


def _facts(batch: list[Checkpoint]) -> dict[str, object]:
    """What a line about a save says of it: how much it was, and the task that ended last in it."""
    facts: dict[str, object] = {"checkpoints": len(batch), "bytes": sum(row.size for row in batch)}
    if batch and batch[-1].step:
        last = batch[-1]
        facts["task"] = task_key(last.step, last.visit, last.item)
    return facts
