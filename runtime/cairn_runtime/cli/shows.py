"""Who is told what while a run runs: nobody (a document at the end), a log, or a live table.

A show is told everything and decides what is worth a line; none of them can disturb the run.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Protocol

from cairn_runtime.cli.following import Folding
from cairn_runtime.cli.outputs import Output, write
from cairn_runtime.cli.prints import Printed
from cairn_runtime.cli.views import lines
from cairn_runtime.cli.views.boards import Board
from cairn_runtime.model.ids import short_id, utc_now
from cairn_runtime.model.workflow import Workflow
from cairn_runtime.runner.announcements import Notice
from cairn_runtime.runner.naming import workflow_name
from cairn_runtime.store.base import Checkpoint, Run


class Show(Protocol):
    """What is told while a run runs."""

    @property
    def wants_state(self) -> bool:
        """Whether `saw_state` is worth the reading."""
        ...

    def begin(self, run: Run) -> None:
        """The run is about to start."""

    def heard(self, notice: Notice) -> None:
        """The runner, or who watches over it, announced something."""

    def saw(self, run: Run, fresh: Sequence[Checkpoint]) -> None:
        """The row as it is now, and the checkpoints that are new."""

    def saw_state(self, folding: Folding) -> None:
        """The newest state."""

    def printed(self, line: Printed) -> None:
        """A step, or the runner, printed a line."""

    def say(self, text: str) -> None:
        """A word to the person: a restart, a drain."""

    def tick(self) -> None:
        """Time has passed."""

    def end(self) -> None:
        """Nothing more comes."""


class SafeShow:
    """Passes everything on to a show; when that fails, once, everything goes to a quiet one.

    A terminal may be closed and a picture may be wrong; the run that is told of must not notice.
    """

    def __init__(self, show: Show) -> None:
        self._show = show
        self.error: Exception | None = None
        """Why the show failed."""

    @property
    def wants_state(self) -> bool:
        """As the show."""
        return self._show.wants_state

    def begin(self, run: Run) -> None:
        """As the show."""
        self._try(lambda show: show.begin(run))

    def heard(self, notice: Notice) -> None:
        """As the show."""
        self._try(lambda show: show.heard(notice))

    def saw(self, run: Run, fresh: Sequence[Checkpoint]) -> None:
        """As the show."""
        self._try(lambda show: show.saw(run, fresh))

    def saw_state(self, folding: Folding) -> None:
        """As the show."""
        self._try(lambda show: show.saw_state(folding))

    def printed(self, line: Printed) -> None:
        """As the show."""
        self._try(lambda show: show.printed(line))

    def say(self, text: str) -> None:
        """As the show."""
        self._try(lambda show: show.say(text))

    def tick(self) -> None:
        """As the show."""
        self._try(lambda show: show.tick())

    def end(self) -> None:
        """As the show."""
        self._try(lambda show: show.end())

    def _try(self, call: Callable[[Show], None]) -> None:
        try:
            call(self._show)
        except Exception as error:  # noqa: BLE001 - whatever it is, the run goes on
            self.error = error
            failed, self._show = self._show, QuietShow()
            with suppress(Exception):
                failed.end()
            self._show.say(f"the display failed and is left out: {type(error).__name__}: {error}")
            with suppress(Exception):
                call(self._show)


class QuietShow:
    """For programs: what steps print goes to standard error, everything else waits for the document."""

    wants_state = False

    def begin(self, run: Run) -> None:
        """Say nothing."""

    def heard(self, notice: Notice) -> None:
        """Say nothing."""

    def saw(self, run: Run, fresh: Sequence[Checkpoint]) -> None:
        """Say nothing."""

    def saw_state(self, folding: Folding) -> None:
        """Say nothing."""

    def printed(self, line: Printed) -> None:
        """Pass it on to standard error."""
        write(sys.stderr, f"{line.line}\n")

    def say(self, text: str) -> None:
        """Tell it on standard error."""
        write(sys.stderr, f"{text}\n")

    def tick(self) -> None:
        """Say nothing."""

    def end(self) -> None:
        """Say nothing."""


class PlainShow(QuietShow):
    """For logs and pipes: a line for each checkpoint and for each change of phase."""

    def __init__(self, output: Output) -> None:
        self._output = output

    def begin(self, run: Run) -> None:
        """Say which run it is."""
        self._output.text([f"{workflow_name(run)}, run {short_id(run.run_id)}"])

    def saw(self, run: Run, fresh: Sequence[Checkpoint]) -> None:  # noqa: ARG002 - the end tells of the row
        """Write a line for each new checkpoint."""
        self._output.text([lines.checkpoint_line(row, self._output.now) for row in fresh])

    def say(self, text: str) -> None:
        """Write it among the checkpoints, where it happened."""
        self._output.text([text])


class LiveShow:
    """For a terminal: a table that redraws itself, with what steps print above it."""

    wants_state = True

    def __init__(self, workflow: Workflow) -> None:
        from rich.live import Live

        from cairn_runtime.cli.views import live

        self._views = live
        self._console = live.new_console()
        self._live = Live(
            console=self._console, auto_refresh=False, transient=False, vertical_overflow="crop"
        )
        self._board = Board(workflow)
        self._run: Run | None = None
        self._started = time.monotonic()
        self._restarts = 0

    def begin(self, run: Run) -> None:
        """Put up the table."""
        self._run = run
        self._live.start()
        self.tick()

    def heard(self, notice: Notice) -> None:
        """Take it to the board."""
        self._restarts += notice.event == "crashed"
        self._board.hear(notice, time.monotonic())

    def saw(self, run: Run, fresh: Sequence[Checkpoint]) -> None:  # noqa: ARG002 - the board shows states
        """Take the row to the header."""
        self._run = run

    def saw_state(self, folding: Folding) -> None:
        """Take it to the board."""
        self._board.see(folding.state, folding.skipped, folding.totals)

    def printed(self, line: Printed) -> None:
        """Print it above the table."""
        self._console.print(self._views.printed(line.task, line.text, line.level))

    def say(self, text: str) -> None:
        """Print it above the table."""
        self._console.print(self._views.note(text))

    def tick(self) -> None:
        """Draw again."""
        if self._run is None:
            return
        now, size = time.monotonic(), self._console.size
        seconds = now - self._started
        head = self._views.header(
            workflow=workflow_name(self._run),
            run=short_id(self._run.run_id),
            phase=self._run.phase,
            facts=_facts(self._run, seconds, self._restarts),
            width=size.width,
        )
        rows = self._board.rows(now)
        drawn = self._views.frame(head, rows, seconds=seconds, width=size.width, height=size.height)
        self._live.update(drawn, refresh=True)

    def end(self) -> None:
        """Draw the last time and leave it standing."""
        self.tick()
        self._live.stop()


def _facts(run: Run, seconds: float, restarts: int) -> list[str]:
    from cairn_runtime.cli.views.units import span

    facts = [span(seconds), f"checkpoint {run.head_seq}"]
    if run.epoch > 1:
        facts.append(f"epoch {run.epoch}")
    if restarts:
        facts.append("1 restart" if restarts == 1 else f"{restarts} restarts")
    if run.heartbeat_at and run.phase == "Running" and (utc_now() - run.heartbeat_at).total_seconds() > 15:
        facts.append("the runner does not show itself")
    return facts
