"""Running a run inside a program: the same watch, with attempts on the program's own event loop.

A step that crashes the interpreter crashes the program; the run goes on when somebody runs it again.
Nothing of the program is touched: no signal handlers, no logging, no watchdog.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from dataclasses import dataclass

from cairn_runtime.engine.execute import CodeSource, Executor
from cairn_runtime.errors import EXIT_DONE, EXIT_FAILED, CairnError
from cairn_runtime.model.workflow import Restart
from cairn_runtime.runner.announcements import AnnouncedExecutor, Say
from cairn_runtime.runner.attempts import Attempt
from cairn_runtime.runner.heartbeats import Pulse
from cairn_runtime.runner.moves import Exit
from cairn_runtime.runner.session import SessionSettings, plain_executor
from cairn_runtime.runner.traces import open_traces
from cairn_runtime.runner.verdicts import verdict
from cairn_runtime.runner.watching import Watch
from cairn_runtime.store.base import Fence, Run, Store
from cairn_runtime.store.codec import Codec
from cairn_runtime.store.keys import codec_from_environment

_NO_RESTART = Restart(limit=0)


@dataclass(frozen=True, slots=True)
class InProcessSettings:
    """How a run is run inside a program."""

    patience_seconds: float = 60.0
    linger_seconds: float = 0.0
    grace_seconds: float = 25.0
    heartbeat_seconds: float = 5.0


class InProcess(Watch):
    """Watches over a run whose attempts are made on this event loop."""

    def __init__(
        self,
        store: Store,
        run: Run,
        settings: InProcessSettings | None = None,
        *,
        codec: Codec | None = None,
        listen: Say | None = None,
        on_saved: Callable[[int], None] | None = None,
    ) -> None:
        self._settings = settings or InProcessSettings()
        super().__init__(
            store, run, restart=_NO_RESTART, patience_seconds=self._settings.patience_seconds, listen=listen
        )
        self.error: CairnError | None = None
        """Why the last attempt ended, where the run itself did not say so."""
        self._codec = codec or codec_from_environment()
        self._on_saved = on_saved
        self._attempt: Attempt | None = None

    def interrupt(self) -> None:
        """Drain; the second time end the tasks at once."""
        super().interrupt()
        if self._attempt is not None:
            self._attempt.drain(self._grace())

    async def attempt(self, fence: Fence) -> Exit:
        """Make one attempt on this event loop."""
        settings = self._settings
        session = SessionSettings(
            settings.patience_seconds,
            settings.linger_seconds,
            make_executor=self._executor,
            traces=open_traces(os.environ),
        )
        attempt = self._attempt = Attempt(self.store, self.run_id, fence, codec=self._codec, settings=session)
        attempt.on_saved = self._on_saved
        if self.interrupts:
            attempt.drain(self._grace())
        pulse = Pulse(
            self.run_id, fence, on_signals=attempt.poke, on_lost=attempt.stop, metrics=attempt.metrics
        )
        beating = asyncio.ensure_future(pulse.go_on(self.store, settings.heartbeat_seconds))
        try:
            ending = await attempt.run()
        except CairnError as error:
            self.error = error
            return Exit(verdict(error, started=attempt.started).exit_code, error.reason, error.message)
        finally:
            beating.cancel()
            await asyncio.gather(beating, return_exceptions=True)
            await attempt.tell_metrics()
            self._attempt = None
        code = EXIT_FAILED if ending.phase == "Failed" else EXIT_DONE
        return Exit(code, ending.reason, ending.message)

    def _grace(self) -> float:
        return self._settings.grace_seconds if self.interrupts == 1 else 0.0

    def _executor(self, code: CodeSource) -> Executor:
        if self._listen is None:
            return plain_executor(code)
        executor = AnnouncedExecutor(code=code)
        executor.announce(self.say)
        return executor
