"""The runner process: one claim, one run, from the environment to an exit code.

    main thread     the event loop: session, engine, store            user code may hold it
    heartbeat       a thread with a loop and a store of its own
    guard           a thread that ends the process where a held loop does not
    supervisor      a socket: announcements go out, its end means that nobody waits for us: drain

It ends when the run is over, when nothing can be done before somebody answers, when it was drained, or when
it may not go on; what happened stands in the store, and the exit code only says what to do with this process:

    0   done, parked or drained     1   the run failed      69  the store does not answer
    70  a fault of ours             75  superseded          78  this run or this runner cannot go on
"""

from __future__ import annotations

import asyncio
import logging
import os
from contextlib import suppress
from functools import partial

from cairn_runtime import __version__
from cairn_runtime.engine.execute import CodeSource, Executor, Watchdog
from cairn_runtime.engine.loop import Ending
from cairn_runtime.errors import (
    EXIT_CONFIG,
    EXIT_DONE,
    EXIT_FAILED,
    EXIT_SUPERSEDED,
    CairnError,
    SettingsInvalid,
)
from cairn_runtime.runner.announcements import AnnouncedExecutor, Line, Notice, inherited
from cairn_runtime.runner.attempts import DRAINED, Attempt
from cairn_runtime.runner.heartbeats import Heart, Pulse
from cairn_runtime.runner.lastwords import LastWord, leave_message
from cairn_runtime.runner.logs import secrets_of, set_up_logs
from cairn_runtime.runner.session import SessionSettings
from cairn_runtime.runner.settings import Settings, hide_secrets, read_settings
from cairn_runtime.runner.stopping import Guard, Stopping
from cairn_runtime.runner.traces import Traces, log_keys, open_traces, secrets_in
from cairn_runtime.runner.verdicts import EXIT_CRASHED, verdict
from cairn_runtime.store.base import Fence, Store
from cairn_runtime.store.keys import codec_of
from cairn_runtime.store.opening import store_for

log = logging.getLogger("cairn.runner")

LEAVE_SECONDS = 3.0
"""How long what is left (threads that user code holds, exit handlers) may keep a process that is done."""
LATE_SECONDS = 5.0
"""How much longer than its grace a drain may take, and how long a loop may not hear that it is superseded."""


def main(stopping: Stopping | None = None) -> int:
    """Run the process; returns its exit code."""
    try:
        settings = read_settings(os.environ)
    except SettingsInvalid as error:
        set_up_logs(None, "INFO", fixed={})
        facts = {"reason": error.reason, "error": error.message}
        log.error("runner was not started", extra=facts)  # noqa: TRY400 - the message says it all
        return error.exit_code
    hide_secrets(os.environ)
    set_up_logs(
        settings.log_format,
        settings.log_level,
        fixed={"run_id": settings.run_id, "epoch": settings.epoch, **log_keys(os.environ, settings.run_id)},
        secrets=[settings.claim_id, *secrets_of(settings.store_url), *secrets_in(os.environ)],
    )
    traces = open_traces(os.environ, own_process=True)
    try:
        return asyncio.run(Process(settings, stopping or Stopping(), traces).serve())
    finally:
        if traces is not None:
            traces.close()


class Process:
    """What runs inside the process."""

    def __init__(self, settings: Settings, stopping: Stopping, traces: Traces | None = None) -> None:
        self._settings = settings
        self._stopping = stopping
        self._traces = traces
        self._fence = Fence(settings.epoch, settings.claim_id)
        self._guard = Guard()
        self._line: Line | None = None

    async def serve(self) -> int:
        """Run the attempt and say the last word; returns the exit code."""
        self._guard.start()
        try:
            await self._connect()
            log.info("runner started", extra={"version": __version__, "pid": os.getpid()})
            code, word = await self._outcome()
        except OSError as error:
            code, word = EXIT_CONFIG, self._word("", "SettingsInvalid", f"CAIRN_SUPERVISOR_FD: {error}")
        self._guard.leave_within(LEAVE_SECONDS, code)
        self._say_last(code, word)
        if self._line is not None:
            await self._line.close()
        return code

    async def _connect(self) -> None:
        """Take over the supervisor's socket. Raises `OSError`."""
        if self._settings.supervisor_fd is not None:
            end = inherited(self._settings.supervisor_fd)
            self._line = await Line.over(end, on_lost=self._stopping.ask)

    async def _outcome(self) -> tuple[int, LastWord]:
        try:
            store = store_for(self._settings.store_url)
            codec = codec_of(self._settings.keys_file)
        except CairnError as error:
            return self._refusal(error, started=False)
        attempt = Attempt(
            store,
            self._settings.run_id,
            self._fence,
            codec=codec,
            settings=self._session_settings(),
            before=store.open,
        )
        self._obey(attempt)
        heart = self._heart(attempt)
        heart.start()
        try:
            try:
                ending = await attempt.run()
            finally:
                heart.stop()
                await attempt.tell_metrics()
            return EXIT_FAILED if ending.phase == "Failed" else EXIT_DONE, await self._last_word(
                store, ending
            )
        except CairnError as error:
            return self._refusal(error, started=attempt.started)
        except Exception as error:
            log.exception("runner failed")
            return EXIT_CRASHED, self._word("", type(error).__name__, str(error))
        finally:
            with suppress(CairnError):
                await store.close()

    def _session_settings(self) -> SessionSettings:
        return SessionSettings(
            self._settings.patience_seconds,
            self._settings.linger_seconds,
            make_executor=self._executor,
            owns_event_loop=True,
            spec=self._settings.spec,
            traces=self._traces,
        )

    def _executor(self, code: CodeSource) -> Executor:
        if self._line is None:
            return Executor(code=code, watchdog=Watchdog())
        executor = AnnouncedExecutor(code=code, watchdog=Watchdog())
        executor.announce(self._line.say, self._settings.hold_at)
        return executor

    def _obey(self, attempt: Attempt) -> None:
        """Pass the word to stop on, also if it came already; and end where a held loop does not hear it."""
        loop = asyncio.get_running_loop()
        grace = self._settings.grace_seconds
        last = partial(self._say_at_once, EXIT_DONE, self._drained())

        def asked() -> None:
            self._guard.leave_within(grace + LATE_SECONDS, EXIT_DONE, last)
            loop.call_soon_threadsafe(attempt.drain, grace)

        self._stopping.on_insisted = last
        self._stopping.on_asked = asked
        if self._stopping.asked:
            asked()
        if self._line is not None:
            line = self._line
            attempt.on_saved = lambda seq: line.say(Notice("saved", seq=seq))

    def _heart(self, attempt: Attempt) -> Heart:
        loop = asyncio.get_running_loop()

        def lost(error: CairnError) -> None:
            word = self._word("", error.reason, error.message)
            self._guard.leave_within(
                LATE_SECONDS, EXIT_SUPERSEDED, partial(self._say_at_once, EXIT_SUPERSEDED, word)
            )
            loop.call_soon_threadsafe(attempt.stop, error)

        def signals() -> None:
            loop.call_soon_threadsafe(attempt.poke)

        pulse = Pulse(
            self._settings.run_id, self._fence, on_signals=signals, on_lost=lost, metrics=attempt.metrics
        )
        return Heart(pulse, self._settings.store_url, self._settings.heartbeat_seconds)

    def _refusal(self, error: CairnError, *, started: bool) -> tuple[int, LastWord]:
        """What an error that ended the attempt means."""
        judged = verdict(error, started=started)
        return judged.exit_code, self._word("Failed" if judged.fails_run else "", error.reason, error.message)

    async def _last_word(self, store: Store, ending: Ending) -> LastWord:
        word = self._word(ending.phase, ending.reason, ending.message)
        with suppress(CairnError):
            head = (await store.heads([self._settings.run_id])).get(self._settings.run_id)
            if head is not None:
                return word._replace(head_seq=head.seq, head_id=head.id)
        return word

    def _drained(self) -> LastWord:
        return self._word(DRAINED.phase, DRAINED.reason, "the process ended before its tasks did")

    def _word(self, phase: str, reason: str, message: str) -> LastWord:
        return LastWord(self._settings.run_id, self._settings.epoch, phase, reason, message)

    def _say_last(self, code: int, word: LastWord) -> None:
        log.log(
            logging.INFO if code == EXIT_DONE else logging.ERROR,
            "runner ended",
            extra={"exit_code": code, "word": word.to_json()},
        )
        leave_message(self._settings.termination_message, word)
        if self._line is not None:
            self._line.say(_last(code, word))

    def _say_at_once(self, code: int, word: LastWord) -> None:
        """The last word of a process that is ended by force, on whatever thread."""
        leave_message(self._settings.termination_message, word)
        if self._line is not None:
            self._line.shout(_last(code, word))


def _last(code: int, word: LastWord) -> Notice:
    return Notice("last", body={"code": code, "word": word.to_json()})
