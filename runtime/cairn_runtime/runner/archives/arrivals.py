"""One run on its way into a store: proved while it comes, and never over what is there.

    a run that is not there ... its row is made stopped, checkpoints are appended, then it gets its last word
    the same history ......... nothing is written
    a copy that is shorter ... is gone on with: an import that was broken off, or an older one
    anything else ............ HistoryConflict; the run that is there is not touched

Every header must be what its hash says and hang on the one before, and every payload that can be read must be
what its header says; a payload whose key is not here is proved by its header only.
An unfinished run arrives Cancelled with the reason `Imported`: nobody claims it, and a fork goes on from it.
Signals are left behind: a fork takes none.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import TypeVar, assert_never

from cairn_runtime.errors import (
    Fault,
    HistoryConflict,
    InvalidInput,
    KeyMissing,
    PayloadError,
    RunNotFound,
)
from cairn_runtime.model.ids import new_id, to_wire
from cairn_runtime.model.values import JSONObject
from cairn_runtime.runner.archives.exporting import PATIENCE_SECONDS, Left, Report
from cairn_runtime.runner.archives.lines import (
    CheckpointLine,
    EndLine,
    GapLine,
    RunLine,
    checkpoint_in,
    new_of,
)
from cairn_runtime.runner.auditing import note
from cairn_runtime.store.base import (
    FINISHED,
    GENESIS_HASH,
    IMPORTING,
    Checkpoint,
    Fence,
    Gap,
    Outcome,
    Run,
    Store,
)
from cairn_runtime.store.chain import is_sealed, skips_of
from cairn_runtime.store.codec import Codec
from cairn_runtime.store.patience import insist

_T = TypeVar("_T")
IMPORTED = "Imported"
"""Reason of a run that was not finished where it comes from."""
_BATCH_ROWS, _BATCH_BYTES = 200, 8 * 1024**2
_MANY_BYTES = 64 * 1024
_NOT_TAKEN = frozenset({"deletionPolicy", "held"})
"""Notes of the operator that hold where they were written only: a copy is nobody's to sweep."""


@dataclass(frozen=True, slots=True)
class Wishes:
    """What is different in the store that imports."""

    namespace: str = ""
    """The namespace of all runs; empty: as they were."""
    installation: str = ""
    """The operator's installation that may fork them; empty: as they were."""


class Arrival:
    """One run on its way into the store."""

    def __init__(self, store: Store, codec: Codec, wishes: Wishes, line: RunLine, report: Report) -> None:
        notes = {name: value for name, value in line.annotations.items() if name not in _NOT_TAKEN}
        if wishes.installation:
            notes["installation"] = wishes.installation
        notes["imported"] = _provenance(line)
        self.new = new_of(line, namespace=wishes.namespace, annotations=notes)
        self._line = line
        self._store = store
        self._codec = codec
        self._report = report
        self._fence = Fence(line.epoch + 1, new_id())
        self._mine = False
        """Whether the fence is ours: this run is being written."""
        self._row: Run
        self._head, self._hash = 0, GENESIS_HASH
        """The store's head: seq and hash."""
        self._seq, self._last_hash = 0, GENESIS_HASH
        """The last checkpoint of the file that was sound."""
        self._seen = 0
        """The last one that the file had or said that it has not."""
        self._met = False
        """Whether a checkpoint of the file was found here."""
        self._gap: GapLine | None = None
        self._rows: list[Checkpoint] = []
        self._gaps: list[Gap] = []
        self._size = 0
        self._writing: asyncio.Future[None] | None = None
        self._bad: list[Left] = []
        self._skips: list[tuple[int, int]] = []

    async def begin(self) -> None:
        """Make the row, or look at the one that is there."""
        try:
            await self._ask(lambda: self._store.run(self.new.run_id))
        except RunNotFound:
            await self._note()
        self._row = await self._ask(lambda: self._store.import_run(self.new, self._fence))
        self._mine = self._row.fence == self._fence
        self._head, self._hash = self._row.head_seq, self._row.head_hash or GENESIS_HASH

    async def take(self, line: GapLine | CheckpointLine | EndLine) -> None:
        """Take the next line of the run."""
        match line:
            case GapLine():
                self._gap = line
            case CheckpointLine():
                await self._checkpoint(checkpoint_in(self.new.run_id, line))
            case EndLine():
                if line.run != self.new.run_id:
                    raise InvalidInput([Fault("end.run", "names another run than the one that it ends")])
                await self._end(line)
            case _:
                assert_never(line)

    def lacks(self, last: int) -> None:
        """The file itself says that it has nothing up to a seq."""
        self._seen = max(self._seen, last)

    async def _checkpoint(self, row: Checkpoint) -> None:
        if row.seq <= self._seen:
            raise InvalidInput([Fault(f"checkpoint {row.seq}", f"comes after checkpoint {self._seen}")])
        self._prove(row)
        self._bridge(row)
        self._seen = row.seq
        if not await aside(partial(self._readable, row), row.size):
            return
        self._seq, self._last_hash = row.seq, row.hash
        self._rows.append(row)
        self._size += row.size
        if len(self._rows) >= _BATCH_ROWS or self._size >= _BATCH_BYTES:
            await self._flush()

    def _bridge(self, row: Checkpoint) -> None:
        """Account for what is missing before a checkpoint: pruned, skipped, or lost."""
        gap, self._gap = self._gap, None
        if gap is not None:
            if gap.last != row.seq - 1 or not self._seen < gap.first <= gap.last or row.kind != "snapshot":
                raise InvalidInput([Fault(f"checkpoint {row.seq}", "no prune leaves a gap before it")])
            # What stands on its sides are the neighbours here, as where it comes from.
            first = max(gap.first, self._head + 1)
            if first <= gap.last:
                before = self._hash if first == self._head + 1 else self._last_hash
                self._gaps.append(Gap(first, gap.last, before, row.hash))
        elif row.seq > self._seen + 1:
            self._miss(row.seq - 1)

    def _miss(self, last: int) -> None:
        text = "the file does not have them, and no prune took them"
        self._bad.append(Left(self.new.run_id, "Missing", text, self._seen + 1, last))

    def _prove(self, row: Checkpoint) -> None:
        """Check a header and how it hangs on the one before it. Raises `HistoryConflict`."""
        if not is_sealed(row):
            raise HistoryConflict(f"checkpoint {row.seq}: its hash is not that of its header")
        skips = skips_of(row)
        if skips is not None:
            self._skips.append(skips)
        elif row.seq == self._seq + 1 and row.parent_hash != self._last_hash:
            raise HistoryConflict(
                f"checkpoint {row.seq}: its parent hash is not the hash of checkpoint {self._seq}"
            )

    def _readable(self, row: Checkpoint) -> bool:
        """Whether a payload is what its header says, as far as there is a key for it."""
        try:
            self._codec.decode_checkpoint(row)
        except KeyMissing:
            return True
        except PayloadError as error:
            self._bad.append(Left(row.run_id, error.reason, error.message, row.seq, row.seq))
            return False
        return True

    async def _flush(self) -> None:
        """Compare what should be here already, and append the rest."""
        rows, gaps, self._rows, self._gaps, self._size = self._rows, self._gaps, [], [], 0
        await self._compare([row for row in rows if row.seq <= self._head])
        new = [row for row in rows if row.seq > self._head]
        if not new:
            return
        if self._head and not self._met and not self._mine:
            raise HistoryConflict(
                "the copy that is here has nothing in common with the file; delete it first"
            )
        if new[0].seq == self._head + 1 and skips_of(new[0]) is None and new[0].parent_hash != self._hash:
            raise HistoryConflict(f"checkpoint {new[0].seq}: another history than the one that is here")
        await self._take_over()
        await self._settled()
        run_id, fence, head = self.new.run_id, self._fence, self._head
        # While it is written the next ones are read and proved.
        call = self._ask(lambda: self._store.import_checkpoints(run_id, fence, head, new, gaps))
        self._writing = asyncio.ensure_future(call)
        self._head, self._hash = new[-1].seq, new[-1].hash
        self._report.checkpoints += len(new)
        self._report.bytes += sum(row.size for row in new)

    async def _settled(self) -> None:
        """Wait for the batch that is being written."""
        writing, self._writing = self._writing, None
        if writing is not None:
            await writing

    async def abandon(self) -> None:
        """Let go of the run as far as it came; what its last batch met is no more of interest."""
        writing, self._writing = self._writing, None
        if writing is not None:
            await asyncio.wait({writing})
            writing.exception()

    async def _compare(self, rows: list[Checkpoint]) -> None:
        """Hold checkpoints against those here, as far as they were not pruned. Raises `HistoryConflict`."""
        if not rows:
            return
        if self._mine:
            raise InvalidInput([Fault(f"checkpoint {rows[0].seq}", "comes twice")])
        first, last = rows[0].seq, rows[-1].seq
        asked = {"before": last + 1, "limit": last - first + 1}
        found = await self._ask(lambda: self._store.checkpoints(self.new.run_id, **asked))
        here = {row.seq: row.hash for row in found}
        for row in rows:
            if here.get(row.seq, row.hash) != row.hash:
                raise HistoryConflict(f"checkpoint {row.seq}: another history than the one that is here")
        self._met = self._met or any(row.seq in here for row in rows)

    async def _take_over(self) -> None:
        """Become the writer of a copy that is here. Raises `HistoryConflict` where it is none."""
        if self._mine:
            return
        run = self._row
        if run.phase != "Cancelled" or run.reason not in (IMPORTING, IMPORTED):
            raise HistoryConflict(
                f"the run that is here is no copy and has {run.head_seq} checkpoints; nothing was changed"
            )
        await self._note()
        claim_id = self._fence.claim_id
        self._fence = await self._ask(lambda: self._store.claim(run.run_id, run.epoch, claim_id))
        self._mine = True

    async def _note(self) -> None:
        """Say in the audit that the run is written; nothing is said where a copy is as the file."""
        await note(self._store, "import", target=self.new.run_id, act=self._fence.claim_id)

    async def _end(self, line: EndLine) -> None:
        await self._flush()
        await self._settled()
        if self._line.head > self._seen:
            self._miss(self._line.head)
        self._report.left += [left for left in self._bad if not self._explained(left)]
        if not self._mine:
            if self._row.reason != IMPORTING:
                self._report.there += 1
                return
            await self._take_over()
        run_id, fence = self.new.run_id, self._fence
        for task, value in line.progress.items():
            await self._ask(partial(self._store.put_progress, run_id, fence, task, value))
        for seq in line.pins:
            await self._pin(seq)
        write_id, head, outcome = new_id(), self._head, _outcome(self._line)
        await self._ask(lambda: self._store.commit(run_id, fence, head, write_id, [], outcome))
        self._report.runs += 1

    async def _pin(self, seq: int) -> None:
        rows = await self._ask(lambda: self._store.checkpoints(self.new.run_id, before=seq + 1, limit=1))
        if rows and rows[0].seq == seq:
            await self._ask(lambda: self._store.pin(rows[0].id, pinned=True))

    def _explained(self, left: Left) -> bool:
        """Whether a later snapshot says that it goes on without these checkpoints."""
        return any(
            left.first is not None and left.last is not None and first <= left.first and left.last <= last
            for first, last in self._skips
        )

    async def _ask(self, call: Callable[[], Awaitable[_T]]) -> _T:
        return await insist(call, seconds=PATIENCE_SECONDS)


async def aside(work: Callable[[], _T], size: int) -> _T:
    """Do work on some bytes; on a thread where they are many, so that what is under way goes on meanwhile."""
    return await asyncio.to_thread(work) if size >= _MANY_BYTES else work()


def _provenance(line: RunLine) -> JSONObject:
    """What the row was where it comes from, as a note beside the copy."""
    return {
        "phase": line.phase,
        "reason": line.reason,
        "epoch": line.epoch,
        "createdAt": to_wire(line.created_at),
        "updatedAt": to_wire(line.updated_at),
    }


def _outcome(line: RunLine) -> Outcome:
    """The last word of a copy: what its run was, or that it was not finished."""
    if line.phase in FINISHED and line.reason != IMPORTING:
        return Outcome(line.phase, line.reason, line.message)
    return Outcome(
        "Cancelled", IMPORTED, f"was {line.phase} where it comes from; fork it to go on: cairn resume"
    )
