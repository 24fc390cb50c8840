"""An attempt: one claim's time with one run, in a runner process or inside a program.

Everything that both have in common is here, so that a run cannot tell where it runs: opening the session with
patience, the words `poke`, `drain` and `stop` whenever they come, and what is written where the run cannot
go on.
All methods belong to the event loop's thread; others use `call_soon_threadsafe`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress

from cairn_runtime.engine.loop import Ending
from cairn_runtime.errors import CairnError, StoreUnavailable, Superseded
from cairn_runtime.model.values import JSONObject
from cairn_runtime.runner.session import AlreadyOver, Session, SessionSettings, open_session
from cairn_runtime.runner.starting import fail_run
from cairn_runtime.runner.tidying import Tidying
from cairn_runtime.runner.traces import AttemptTrace
from cairn_runtime.runner.verdicts import verdict
from cairn_runtime.store.base import Fence, Store
from cairn_runtime.store.codec import Codec
from cairn_runtime.store.keys import codec_from_environment
from cairn_runtime.store.patience import insist
from cairn_runtime.store.retention import Policy

log = logging.getLogger("cairn.attempt")

TELLING_SECONDS = 2.0
"""How long the end of an attempt may wait for its numbers to be stored."""
DRAINED = Ending("Running", "Drained", "the runner was asked to stop before it began", drained=True)


class Attempt:
    """One claim's time with one run."""

    def __init__(
        self,
        store: Store,
        run_id: str,
        fence: Fence,
        *,
        codec: Codec | None = None,
        settings: SessionSettings | None = None,
        before: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self.run_id = run_id
        self.fence = fence
        self.started = False
        """Whether the session was open: the run's tasks may have run."""
        self.on_saved: Callable[[int], None] | None = None
        """Told the seq of the newest durable checkpoint, after each save."""
        self._store = store
        self._codec = codec or codec_from_environment()
        self._settings = settings or SessionSettings()
        self._before = before
        self._opening: asyncio.Task[Session] | None = None
        self._session: Session | None = None
        self._draining = False
        self._error: BaseException | None = None
        self._lost = False
        """Whether there is nobody left to write to: another holds the run, or the store is gone."""

    @property
    def saved_seq(self) -> int:
        """Seq of the newest durable checkpoint; 0 before the session is open."""
        return self._session.control.saved_seq if self._session else 0

    def metrics(self) -> JSONObject | None:
        """What the run has counted so far, for any thread; None before the session is open."""
        return self._session.control.metrics.to_json() if self._session else None

    async def tell_metrics(self) -> None:
        """Leave the final numbers in the row, once and with little patience: only sums depend on them.

        To be called when the attempt is over and its heartbeats have ended: no older numbers come after.
        """
        metrics = self.metrics()
        if metrics is None or self._lost:
            return
        with suppress(CairnError, TimeoutError):
            async with asyncio.timeout(TELLING_SECONDS):
                await self._store.heartbeat(self.run_id, self.fence, metrics)

    def poke(self) -> None:
        """Say that signals may have come."""
        if self._session is not None:
            self._session.loop.poke()

    def drain(self, grace_seconds: float) -> None:
        """Start nothing new, give running tasks so long, then end."""
        self._draining = True
        if self._session is not None:
            self._session.loop.drain(grace_seconds)
        elif self._opening is not None:
            self._opening.cancel()

    def stop(self, error: BaseException) -> None:
        """End at once, saving nothing more."""
        if self._error is None:
            self._error = error
        if self._session is not None:
            self._session.loop.stop(error)
        elif self._opening is not None:
            self._opening.cancel()

    async def run(self) -> Ending:
        """Run until the run is over, waits, or is drained.

        Where the run itself cannot go on, that is written into its row before the error is raised.

        Raises:
            CairnError: why it ended otherwise; see `verdicts`.
        """
        try:
            session = await self._opened()
            if session is None:
                return DRAINED
            try:
                if session.trace is None:
                    return await self._run(session)
                return await _traced(session.trace, self._run(session))
            finally:
                await session.close()
        except AlreadyOver as over:
            return Ending(over.run.phase, over.run.reason, over.run.message)
        except CairnError as error:
            self._lost = isinstance(error, Superseded | StoreUnavailable)
            await self._judge(error)
            raise

    async def _opened(self) -> Session | None:
        """Open the session with patience; None where the word to stop came first."""
        if not self._told_to_end:
            self._opening = asyncio.ensure_future(insist(self._open, seconds=self._settings.patience_seconds))
            try:
                return await self._opening
            except asyncio.CancelledError:
                if not self._told_to_end:
                    raise
            finally:
                self._opening.cancel()
        if self._error is not None:
            raise self._error
        return None

    @property
    def _told_to_end(self) -> bool:
        return self._draining or self._error is not None

    async def _open(self) -> Session:
        if self._before is not None:
            await self._before()
        return await open_session(self._store, self.run_id, self.fence, self._codec, self._settings)

    async def _run(self, session: Session) -> Ending:
        if self._error is not None:
            raise self._error
        if self._draining:
            return DRAINED
        self._session = session
        self.started = True
        on_saved = self.on_saved
        if on_saved is not None:
            session.loop.on_saved = lambda: on_saved(session.control.saved_seq)
        tidying = _tidying(self._store, session)
        try:
            ending = await session.loop.run()
            await tidying.finish()
        finally:
            await tidying.close()
        return ending

    async def _judge(self, error: CairnError) -> None:
        """Write into the row why the run must stop, where it must; the error itself goes on to the caller."""
        if not verdict(error, started=self.started).fails_run:
            return
        try:
            await fail_run(self._store, self.run_id, self.fence, error.reason, error.message)
        except CairnError as second:
            # The error that matters is on its way to the caller already.
            facts = {"run_id": self.run_id, "error": second.message}
            log.error("reason could not be stored", extra=facts)  # noqa: TRY400 - no fault of ours


def _tidying(store: Store, session: Session) -> Tidying:
    """What prunes this run while it runs."""
    history = session.workflow.checkpoint.history
    policy = Policy(history.keep_last, history.max_age)
    tidying = Tidying(store, session.run.run_id, policy, head_seq=session.run.head_seq)
    session.control.on_committed = tidying.saw
    return tidying


async def _traced(trace: AttemptTrace, work: Coroutine[object, object, Ending]) -> Ending:
    """Await an attempt's work and tell its trace how that ended, whatever comes."""
    phase, reason = "", "Interrupted"
    try:
        ending = await work
        phase, reason = ending.phase, ending.reason
    except CairnError as error:
        phase, reason = "Failed" if verdict(error, started=True).fails_run else "", error.reason
        raise
    else:
        return ending
    finally:
        trace.end(phase, reason)
