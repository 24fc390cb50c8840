"""Watching over a run until there is nothing more to do: look, decide, act, as the operator does.

    look (row, signals, time) ──> next_move ──> claim and attempt | pause | sleep | give up | finish
      ^                                              │
      └──────────────────────────────────────────────┘

How an attempt is made is left to the two that inherit: a process of its own, or this very event loop.
Each attempt is claimed from the epoch of the one before: if anybody else has claimed in between, this watch
is over.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import assert_never

from cairn_runtime import __version__
from cairn_runtime.errors import EXIT_FAILED, EXIT_SUPERSEDED, StoreUnavailable, Superseded
from cairn_runtime.model.ids import utc_now
from cairn_runtime.model.workflow import Restart
from cairn_runtime.runner.announcements import Notice, Say
from cairn_runtime.runner.forking import release_hold
from cairn_runtime.runner.moves import End, Exit, Facts, Fail, Sleep, Start, Tally, is_due, next_move
from cairn_runtime.runner.starting import claim_run, fail_run
from cairn_runtime.runner.stopping import SIGNALS
from cairn_runtime.store.base import Fence, Run, Store
from cairn_runtime.store.patience import insist

GLANCE_SECONDS = 1.0
"""How often a sleeping run's row is looked at for signals."""


@dataclass(frozen=True, slots=True)
class Finish:
    """How a watch ended."""

    run: Run
    """The row as it was left."""
    exit_code: int
    """What a command should end with; see the exit codes of the command line."""
    reason: str = ""
    message: str = ""
    restarts: int = 0
    """Attempts that followed one that had ended badly, or was killed."""
    killed: bool = False
    """Whether the kill that was asked for took place."""


class Watch:
    """Watches over one run; `interrupt` asks it to stop."""

    def __init__(
        self, store: Store, run: Run, *, restart: Restart, patience_seconds: float, listen: Say | None = None
    ) -> None:
        self.store = store
        self.run_id = run.run_id
        self.interrupts = 0
        self.killed = False
        self._restart = restart
        self._patience = patience_seconds
        self._listen = listen
        self._epoch = run.epoch
        self._tally = Tally(head_seq=run.head_seq)
        self._exit: Exit | None = None
        self._on_purpose = False
        self._restarts = 0
        self._slept_until: datetime | None = None
        self._wake = asyncio.Event()

    def interrupt(self) -> None:
        """Ask to stop: once to drain, again to end at once."""
        self.interrupts += 1
        self._wake.set()

    def say(self, notice: Notice) -> None:
        """Pass an announcement on to whoever listens."""
        if self._listen is not None:
            self._listen(notice)

    async def attempt(self, fence: Fence) -> Exit:
        """Make one attempt under a claim and say how it ended; an interrupt must end it."""
        raise NotImplementedError

    async def watch(self) -> Finish:
        """Go on until nothing more is to be done here.

        Raises:
            StoreUnavailable, RunNotFound: the row could not be read.
        """
        while True:
            facts = await self._look()
            move = next_move(facts, self._restart)
            match move:
                case Start():
                    await self._start(facts, move)
                case Sleep():
                    await self._sleep(move.until)
                case Fail():
                    return await self._give_up(facts.run, move)
                case End():
                    return self._finish(facts.run, move)
                case _:
                    assert_never(move)

    async def _look(self) -> Facts:
        """Read once all that the next move is decided from."""
        run = await insist(lambda: self.store.run(self.run_id), seconds=self._patience)
        due = False
        if run.phase == "Waiting":
            signals = await insist(lambda: self.store.signals(self.run_id), seconds=self._patience)
            due = is_due(run, signals, utc_now())
        return Facts(
            run,
            utc_now(),
            tally=self._tally,
            exit=self._exit,
            due=due,
            interrupted=self.interrupts > 0,
            on_purpose=self._on_purpose,
        )

    async def _start(self, facts: Facts, move: Start) -> None:
        last = facts.exit
        again = last is not None and (last.code != 0 or move.after_seconds > 0)
        if again and last is not None:
            self.say(Notice("crashed", attempt=self._epoch, outcome=_how(last), seconds=move.after_seconds))
        if move.after_seconds and await self._interrupted_within(move.after_seconds):
            return
        self._tally = move.tally
        self._restarts += again
        self._on_purpose = False
        try:
            fence = await claim_run(self.store, self.run_id, self._epoch, runner=__version__)
        except (Superseded, StoreUnavailable) as error:
            self._exit = Exit(error.exit_code, error.reason, error.message)
            return
        self._epoch = fence.epoch
        self.say(Notice("attempt", attempt=fence.epoch))
        self._exit = await self.attempt(fence)
        await self._let_origin_go()

    async def _let_origin_go(self) -> None:
        """A fork that has a checkpoint of its own needs its origin no more."""
        run = await insist(lambda: self.store.run(self.run_id), seconds=self._patience)
        await release_hold(self.store, run)

    async def _sleep(self, until: datetime) -> None:
        """Sleep a while; the row is looked at again before the time is over, for signals."""
        if until != self._slept_until:
            self._slept_until = until
            left = max(0.0, (until - utc_now()).total_seconds())
            self.say(Notice("sleeping", outcome=until.isoformat(), seconds=left))
        left = (until - utc_now()).total_seconds()
        await self._interrupted_within(min(max(left, 0.01), GLANCE_SECONDS))

    async def _interrupted_within(self, seconds: float) -> bool:
        """Pause; whether somebody asked to stop meanwhile."""
        try:
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        except TimeoutError:
            return False
        return True

    async def _give_up(self, run: Run, move: Fail) -> Finish:
        """Take the run from whatever is left of its runner, then write why it is given up."""
        try:
            fence = await claim_run(self.store, self.run_id, self._epoch, runner=__version__)
            await fail_run(self.store, self.run_id, fence, move.reason, move.message)
        except Superseded as error:
            return self._finish(run, End(EXIT_SUPERSEDED, error.reason, error.message))
        run = await insist(lambda: self.store.run(self.run_id), seconds=self._patience)
        return self._finish(run, End(EXIT_FAILED, move.reason, move.message))

    def _finish(self, run: Run, end: End) -> Finish:
        return Finish(run, end.exit_code, end.reason, end.message, self._restarts, self.killed)


def _how(exit_: Exit) -> str:
    """How an attempt ended, in words."""
    if exit_.message or exit_.reason:
        return f"{exit_.reason}: {exit_.message}".strip(": ")
    return f"killed by signal {-exit_.code}" if exit_.code < 0 else f"exit code {exit_.code}"


@contextmanager
def obeying(watch: Watch) -> Iterator[None]:
    """Let SIGINT, SIGTERM and SIGHUP interrupt a watch; on the main thread, inside a running loop.

    A signal that is ignored (nohup, a job in the background of a shell) stays ignored.
    """
    loop = asyncio.get_running_loop()
    before = {number: signal.getsignal(number) for number in SIGNALS}
    taken = [number for number, handler in before.items() if handler is not signal.SIG_IGN]
    for number in taken:
        loop.add_signal_handler(number, watch.interrupt)
    try:
        yield
    finally:
        for number in taken:
            loop.remove_signal_handler(number)
            handler = before[number]
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
