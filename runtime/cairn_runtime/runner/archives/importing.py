"""Lines as a store's runs: what the file as a whole must be, and what happens where a run is not.

One bad run ends with a word in the report, and the next one follows; `arrivals` says what becomes of each.
A file whose end is missing or wrong is no export, however much of it was imported before that was seen.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from hashlib import sha256

from cairn_runtime.errors import (
    CairnError,
    Fault,
    FormatUnknown,
    InvalidInput,
    StoreUnavailable,
)
from cairn_runtime.runner.archives.arrivals import Arrival, Wishes, aside
from cairn_runtime.runner.archives.exporting import Left, Report
from cairn_runtime.runner.archives.lines import (
    VERSION,
    CheckpointLine,
    EndLine,
    GapLine,
    Header,
    LeftLine,
    Line,
    RunLine,
    Trailer,
    read_line,
)
from cairn_runtime.store.base import (
    Store,
)
from cairn_runtime.store.codec import Codec


class Importer:
    """Takes an archive's lines; `report` says what came of them."""

    def __init__(self, store: Store, codec: Codec, wishes: Wishes) -> None:
        self.report = Report()
        self._store = store
        self._codec = codec
        self._wishes = wishes
        self._digest = sha256()
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
        numbered = enumerate(lines, 1)
        self._begin(numbered)
        try:
            for number, raw in numbered:
                line = await aside(partial(self._read, raw, number), len(raw))
                if isinstance(line, Trailer):
                    self._finish(line, numbered)
                    return self.report
                if isinstance(line, InvalidInput):
                    await self._lose(line)
                else:
                    await self._take(line)
        finally:
            if self._arrival is not None:
                await self._arrival.abandon()
        raise InvalidInput(
            [Fault("", "the file was cut short: its trailer is missing; import it again, whole")]
        )

    def _read(self, raw: bytes, number: int) -> Line | InvalidInput:
        """Read a line and count it into the digest; one that is none is answered as what is wrong with it."""
        try:
            line: Line | InvalidInput = read_line(raw, number)
        except InvalidInput as error:
            line = error
        if not isinstance(line, Trailer):
            self._digest.update(raw)
        return line

    def _begin(self, numbered: Iterator[tuple[int, bytes]]) -> None:
        _, raw = next(numbered, (1, b""))
        if not raw:
            raise InvalidInput([Fault("", "the file is empty, or was cut short at its beginning")])
        header = read_line(raw, 1)
        if not isinstance(header, Header):
            raise InvalidInput([Fault("line 1", "is no header of an export")])
        if header.version > VERSION:
            raise FormatUnknown(
                f"the export has version {header.version}; this release reads up to {VERSION}"
            )
        self._digest.update(raw)

    def _finish(self, trailer: Trailer, rest: Iterator[tuple[int, bytes]]) -> None:
        if trailer.sha256 != self._digest.hexdigest():
            raise InvalidInput(
                [Fault("trailer", "the file is not what was exported: its SHA-256 does not match")]
            )
        if next(rest, None) is not None:
            raise InvalidInput([Fault("trailer", "something follows the end of the export")])

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
