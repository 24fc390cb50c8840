"""Running a run from a terminal: the supervisor does the work, a show tells of it.

    supervisor ── announcements ──> show <── what is new in the store ── follower
    runner     ── its output, a file ──────> show

The show may be late or wrong for a moment; the run never waits for it, and what is said at the end is read
from the store.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from cairn_runtime.cli.following import Folding, Follower
from cairn_runtime.cli.prints import Reader, Tail, record_of
from cairn_runtime.cli.shows import Show
from cairn_runtime.cli.views.summaries import restart_text
from cairn_runtime.cli.views.units import moment
from cairn_runtime.errors import CairnError
from cairn_runtime.model.ids import from_wire, utc_now
from cairn_runtime.runner.announcements import Notice
from cairn_runtime.runner.inprocess import InProcess
from cairn_runtime.runner.supervisor import Supervisor, SupervisorSettings
from cairn_runtime.runner.watching import Finish, Watch, obeying
from cairn_runtime.store.base import Checkpoint, Run, Store

log = logging.getLogger("cairn.cli")

TICK_SECONDS = 0.1
LOOK_SECONDS = 0.2
_BY_SIGNAL = re.compile(r"killed by signal (\d+)")
_LOGS = ("cairn", "cairn_runtime")


@dataclass(frozen=True, slots=True)
class Course:
    """How a run is run."""

    store_url: str
    again: str
    """The command that goes on with the run."""
    in_process: bool = False
    kill_at: str = ""
    debug: bool = False


async def drive(store: Store, run: Run, course: Course, show: Show) -> Finish:
    """Run a run until nothing more is to be done here, and tell of it.

    Raises:
        CairnError: the run could not be watched over.
    """
    telling = _Telling(store, run, course, show)
    with _log_file(course) as path:
        watch = _watch(store, run, course, path, telling)
        telling.watch, telling.tail = watch, Tail(path, Reader(debug=course.debug))
        with obeying(watch), _own_log(course, show):
            show.begin(run)
            beside = asyncio.create_task(telling.go_on())
            try:
                return await watch.watch()
            finally:
                telling.over.set()
                await _told(beside, show)


async def _told(beside: asyncio.Task[None], show: Show) -> None:
    """Wait until everything was told; a fault in the telling must not hide how the run ended."""
    try:
        await beside
    except Exception:
        log.exception("telling of the run failed")
        show.end()


def _watch(store: Store, run: Run, course: Course, path: Path, telling: _Telling) -> Watch:
    if course.in_process:
        return InProcess(store, run, listen=telling.hear)
    settings = SupervisorSettings(
        course.store_url,
        output=path,
        kill_at=course.kill_at,
        log_format="json",
        log_level="DEBUG" if course.debug else "INFO",
    )
    return Supervisor(store, run, settings, listen=telling.hear)


class _Telling:
    """Brings to the show what the store, the runner and the person at the keyboard do."""

    def __init__(self, store: Store, run: Run, course: Course, show: Show) -> None:
        self.watch: Watch | None = None
        self.tail: Tail | None = None
        self.over = asyncio.Event()
        """Set when nothing more will happen."""
        self._show = show
        self._course = course
        self._follower = Follower(store, run.run_id, run.head_seq)
        self._folding = Folding(store, run.run_id)
        self._seq = run.head_seq
        self._died = ""
        self._words: list[tuple[int, str]] = []
        """What is to be said once the checkpoints of the epochs before have been told."""
        self._interrupts = 0
        self._begun = False

    async def go_on(self) -> None:
        """Look and tell, again and again, until it is over; then tell what is left.

        It is never cancelled: what was read and not yet told would be lost.
        """
        wait = 0.0
        while not self.over.is_set():
            if wait <= 0:
                await self._look()
                wait = LOOK_SECONDS
            self._tell_interrupts()
            self._print()
            self._show.tick()
            with suppress(TimeoutError):
                async with asyncio.timeout(TICK_SECONDS):
                    await self.over.wait()
            wait -= TICK_SECONDS
        self._tell_interrupts()
        await self._look()
        for line in self.tail.read_all() if self.tail else ():
            self._show.printed(line)
        self._show.end()

    def hear(self, notice: Notice) -> None:
        """Take an announcement; restarts are told in words."""
        self._show.heard(notice)
        match notice.event:
            case "killed":
                self._words.append(
                    (0, f"killed the runner in the middle of {notice.task}, as asked (--kill-at)")
                )
            case "crashed":
                self._died = _signal_name(notice.outcome)
            case "attempt" if self._died:
                self._words.append((notice.attempt, self._died))
                self._died = ""
            case "sleeping":
                self._show.say(f"nothing to do until {moment(from_wire(notice.outcome), utc_now())}")

    async def _look(self) -> None:
        """Read what is new; a store that does not answer now is the runner's trouble, not the show's."""
        words, self._words = self._words, []
        try:
            run, fresh = await self._follower.look()
            if self._show.wants_state:
                await self._fold(run, fresh)
        except CairnError:
            self._words = words + self._words
            return
        for epoch, text in words:
            told = [row for row in fresh if row.epoch < epoch] if epoch else fresh
            self._tell(run, told)
            fresh = fresh[len(told) :]
            self._show.say(restart_text(text, epoch, self._seq) if epoch else text)
        self._tell(run, fresh)

    def _tell(self, run: Run, fresh: list[Checkpoint]) -> None:
        if fresh:
            self._seq = fresh[-1].seq
        self._show.saw(run, fresh)

    async def _fold(self, run: Run, fresh: list[Checkpoint]) -> None:
        headers = fresh
        if not self._begun and run.head_seq:
            headers = await self._follower.store.checkpoints(run.run_id, limit=1)
        await self._folding.catch_up(headers)
        self._begun = self._begun or bool(headers)
        self._show.saw_state(self._folding)

    def _print(self) -> None:
        for line in self.tail.read() if self.tail else ():
            self._show.printed(line)

    def _tell_interrupts(self) -> None:
        """Answer Ctrl-C at once, since draining may take a while."""
        count = self.watch.interrupts if self.watch else 0
        if count > self._interrupts:
            stop = "stopping at once" if count > 1 else "draining; again to stop at once"
            self._show.say(f"{stop}; go on with: {self._course.again}")
        self._interrupts = count


def _signal_name(how: str) -> str:
    """`killed by signal 9` as `SIGKILL`."""
    match = _BY_SIGNAL.fullmatch(how)
    if match is None:
        return how
    try:
        return signal.Signals(int(match[1])).name
    except ValueError:
        return how


@contextmanager
def _log_file(course: Course) -> Iterator[Path]:
    """A file for the runner's output, for this user alone, gone at the end."""
    if course.in_process:
        yield Path(os.devnull)
        return
    with tempfile.TemporaryDirectory(prefix="cairn-log-") as folder:
        yield Path(folder, "runner.log")


@contextmanager
def _own_log(course: Course, show: Show) -> Iterator[None]:
    """In this process: bring to the show what the engine and the steps log."""
    if not course.in_process:
        yield
        return
    handler = _ToShow(show, debug=course.debug)
    loggers = [logging.getLogger(name) for name in _LOGS]
    before = [(logger.level, logger.propagate) for logger in loggers]
    for logger in loggers:
        logger.addHandler(handler)
        logger.setLevel(logging.DEBUG if course.debug else logging.INFO)
        logger.propagate = False
    try:
        yield
    finally:
        for logger, (level, propagate) in zip(loggers, before, strict=True):
            logger.removeHandler(handler)
            logger.setLevel(level)
            logger.propagate = propagate


class _ToShow(logging.Handler):
    """Passes on what is for people: what steps said, and what went wrong."""

    def __init__(self, show: Show, *, debug: bool) -> None:
        super().__init__()
        self._show = show
        self._reader = Reader(debug=debug)

    def emit(self, record: logging.LogRecord) -> None:
        """Pass one record on."""
        try:
            for line in self._reader.take(record_of(record)):
                self._show.printed(line)
        except Exception:  # noqa: BLE001 - logging's own rule: a handler never raises
            self.handleError(record)


@contextmanager
def standard_output_kept() -> Iterator[None]:
    """Send what anything here prints to standard error, so that standard output stays one document."""
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        yield
    finally:
        sys.stdout.flush()
        os.dup2(kept, 1)
        os.close(kept)
