"""A store's runs as lines: whole, in order, page by page.

A run that goes on meanwhile is exported up to the head that it had when it was come to; what a prune takes
meanwhile is a gap in the file too.
What is damaged is left out and said, in the file and to the caller, and everything else goes on: a backup of
the rest is worth having. Only a store that does not answer ends an export.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import TypeVar

from cairn_runtime.errors import CairnError, StoreUnavailable
from cairn_runtime.model.ids import utc_now
from cairn_runtime.model.values import JSONObject, JSONValue
from cairn_runtime.runner.archives.lines import checkpoint_out, header_of, run_out, write_line
from cairn_runtime.store.base import GENESIS_HASH, Checkpoint, Gap, Run, Store
from cairn_runtime.store.chain import is_sealed, skips_of
from cairn_runtime.store.patience import insist

_T = TypeVar("_T")
PATIENCE_SECONDS = 60.0
"""How long a store that does not answer is asked again."""


@dataclass(frozen=True, slots=True)
class Left:
    """What could not be moved: a run, or some of its checkpoints."""

    run: str
    reason: str
    message: str
    first: int | None = None
    last: int | None = None


@dataclass(slots=True)
class Report:
    """What was moved, and what was not."""

    runs: int = 0
    checkpoints: int = 0
    bytes: int = 0
    """Of payloads, as they are stored."""
    there: int = 0
    """An import: runs that were there already, the same."""
    left: list[Left] = field(default_factory=list)


class Exporter:
    """Writes runs of a store; `lines` gives the bytes, `report` says what was in them."""

    def __init__(self, store: Store, release: str) -> None:
        self.report = Report()
        self._store = store
        self._release = release
        self._digest = sha256()

    async def lines(self, run_ids: Sequence[str]) -> AsyncIterator[bytes]:
        """Write an archive of some runs.

        Raises:
            StoreUnavailable: the store does not answer any more.
        """
        yield self._line("header", header_of(self._store.url, self._release, utc_now()))
        for run_id in run_ids:
            try:
                async for line in self._run(run_id):
                    yield line
                self.report.runs += 1
            except StoreUnavailable:
                raise
            except CairnError as error:
                yield self._left(Left(run_id, error.reason, error.message))
        report = self.report
        counts: JSONObject = {
            "runs": report.runs,
            "checkpoints": report.checkpoints,
            "left": len(report.left),
            "sha256": self._digest.hexdigest(),
        }
        yield write_line("trailer", counts)

    async def _run(self, run_id: str) -> AsyncIterator[bytes]:
        run = await self._ask(lambda: self._store.run(run_id))
        yield self._line("run", run_out(run))
        walk = _Walk(run)
        while page := await self._ask(lambda: self._store.read(run_id, after=walk.seq)):
            gaps = await self._ask(lambda: self._store.gaps(run_id)) if walk.jumps_in(page) else []
            for row in page:
                if row.seq > run.head_seq:
                    break
                if row.seq > walk.seq + 1:
                    yield self._jump(walk, row, gaps)
                yield self._checkpoint(walk, row)
            if page[-1].seq >= run.head_seq:
                break
        if walk.seq < run.head_seq:
            text = "the run's row names them, and they are not there"
            yield self._left(Left(run_id, "Missing", text, walk.seq + 1, run.head_seq))
        yield self._line("end", await self._beside(run))

    def _jump(self, walk: _Walk, row: Checkpoint, gaps: Sequence[Gap]) -> bytes:
        first, last = walk.seq + 1, row.seq - 1
        if any(gap.first_seq <= first and last <= gap.last_seq for gap in gaps):
            return self._line("gap", {"first": first, "last": last})
        return self._left(Left(row.run_id, "Missing", "not there, and no prune took them", first, last))

    def _checkpoint(self, walk: _Walk, row: Checkpoint) -> bytes:
        problem = walk.problem(row)
        walk.seq = row.seq
        if problem:
            return self._left(Left(row.run_id, "CheckpointCorrupted", problem, row.seq, row.seq))
        walk.sound, walk.hash = row.seq, row.hash
        self.report.checkpoints += 1
        self.report.bytes += row.size
        return self._line("checkpoint", checkpoint_out(row))

    async def _beside(self, run: Run) -> JSONObject:
        pins = await self._ask(lambda: self._store.pins(run.run_id))
        progress = await self._ask(lambda: self._store.progress(run.run_id))
        kept: JSONObject = {task: b64encode(value).decode() for task, value in progress.items()}
        return {"run": run.run_id, "pins": list[JSONValue](sorted(pins)), "progress": kept}

    def _left(self, left: Left) -> bytes:
        self.report.left.append(left)
        return self._line(
            "left",
            {
                "run": left.run,
                "first": left.first,
                "last": left.last,
                "reason": left.reason,
                "message": left.message,
            },
        )

    def _line(self, kind: str, body: JSONObject) -> bytes:
        line = write_line(kind, body)
        self._digest.update(line)
        return line

    async def _ask(self, call: Callable[[], Awaitable[_T]]) -> _T:
        return await insist(call, seconds=PATIENCE_SECONDS)


class _Walk:
    """How far a run has been written, and what the next checkpoint must hang on."""

    def __init__(self, run: Run) -> None:
        self.head = run.head_seq
        self.seq = 0
        """The last one that was come to."""
        self.sound = 0
        """The last one that was written."""
        self.hash = GENESIS_HASH

    def jumps_in(self, page: Sequence[Checkpoint]) -> bool:
        """Whether seqs are missing in or before a page."""
        return page[-1].seq - self.seq != len(page)

    def problem(self, row: Checkpoint) -> str:
        """Say why a checkpoint cannot be exported; empty: it can."""
        if not is_sealed(row):
            return "its header was altered"
        if self.sound == row.seq - 1 and skips_of(row) is None and row.parent_hash != self.hash:
            return f"its parent hash is not the hash of checkpoint {self.sound}"
        return ""
