"""Lines as a store's runs: which run a line belongs to, and what happens where a run is not what it must be.

One bad run ends with a word in the report, and the next one follows; `arrivals` says what becomes of each.
Lines are read and checked on a thread of their own, while those before them are proved and written.
"""

from __future__ import annotations

from collections.abc import Iterable

from cairn_runtime.errors import CairnError, Fault, InvalidInput, StoreUnavailable
from cairn_runtime.runner.archives.ahead import ahead
from cairn_runtime.runner.archives.arrivals import Arrival, Wishes
from cairn_runtime.runner.archives.exporting import Left, Report
from cairn_runtime.runner.archives.lines import (
    CheckpointLine,
    EndLine,
    GapLine,
    LeftLine,
    Line,
    RunLine,
)
from cairn_runtime.runner.archives.reading import whole
from cairn_runtime.store.base import Store
from cairn_runtime.store.codec import Codec


class Importer:
    """Takes an archive's lines; `report` says what came of them."""

    def __init__(self, store: Store, codec: Codec, wishes: Wishes) -> None:
        self.report = Report()
        self._store = store
        self._codec = codec
        self._wishes = wishes
        self._arrival: Arrival | None = None
        self._skipping = False
        """Whether lines are passed over until the next run begins."""

    async def take(self, lines: Iterable[bytes]) -> Report:
        """Import an archive.

        Raises:
            InvalidInput: it is none, or its end is missing or wrong; whole runs before that were imported.
            FormatUnknown: a newer release wrote it.
            StoreUnavailable: the store does not answer any more; the same again goes on.
        """
        try:
            async with ahead(whole(lines)) as items:
                async for line in items:
                    if isinstance(line, InvalidInput):
                        await self._lose(line)
                    else:
                        await self._take(line)
        finally:
            if self._arrival is not None:
                await self._arrival.abandon()
        return self.report

    async def _take(self, line: Line) -> None:
        if isinstance(line, RunLine):
            await self._lose_unended()
            self._skipping = False
        elif self._skipping:
            return
        try:
            await self._carry(line)
        except StoreUnavailable:
            raise
        except (CairnError, ValueError) as error:
            await self._lose(error)

    async def _lose(self, error: CairnError | ValueError) -> None:
        """Give up the run that is under way, and pass over the rest of it."""
        if not self._skipping:
            run = self._arrival.new.run_id if self._arrival else ""
            reason = error.reason if isinstance(error, CairnError) else "InvalidInput"
            self.report.left.append(Left(run, reason, str(error)))
        await self._give_up()

    async def _give_up(self) -> None:
        arrival, self._arrival, self._skipping = self._arrival, None, True
        if arrival is not None:
            await arrival.abandon()

    async def _lose_unended(self) -> None:
        if self._arrival is not None:
            await self._lose(InvalidInput([Fault("", "its end is missing")]))

    async def _carry(self, line: Line) -> None:
        match line:
            case RunLine():
                self._arrival = Arrival(self._store, self._codec, self._wishes, line, self.report)
                await self._arrival.begin()
            case LeftLine():
                await self._left(line)
            case GapLine() | CheckpointLine() | EndLine():
                if self._arrival is None:
                    raise InvalidInput([Fault("", "stands outside of any run")])
                await self._arrival.take(line)
                if isinstance(line, EndLine):
                    self._arrival = None
            case _:
                raise InvalidInput([Fault("", "stands in the wrong place")])

    async def _left(self, line: LeftLine) -> None:
        """Pass on what the export said; where it gave up the run that is under way, so does the import."""
        self.report.left.append(Left(line.run, line.reason, line.message, line.first, line.last))
        if self._arrival is None:
            return
        if line.last is not None:
            self._arrival.lacks(line.last)
        else:
            await self._give_up()
