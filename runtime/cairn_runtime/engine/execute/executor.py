"""The Executor: one per run; makes steps ready and runs their attempts, each in the way that fits it.

The engine calls `prepare` once per step and `execute` once per attempt, many of them at the same time.
`execute` for an async function without a timeout is the hot path: nothing stands in it but the call, the
Context if the function asks for one, and the translation of what it raises.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from concurrent.futures import Future
from datetime import timedelta
from functools import partial

from cairn_runtime.engine.context import Call, Context, SyncContext, step_fields
from cairn_runtime.engine.execute.actions import Action, Returned, ready
from cairn_runtime.engine.execute.commands import Commands
from cairn_runtime.engine.execute.copies import end_copy
from cairn_runtime.engine.execute.coroutines import within
from cairn_runtime.engine.execute.faults import as_fault, log_failure, step_traceback
from cairn_runtime.engine.execute.loading import Loader
from cairn_runtime.engine.execute.sources import CodeSource, Files
from cairn_runtime.engine.execute.threads import Threads
from cairn_runtime.engine.execute.wards import Warden
from cairn_runtime.engine.execute.watchdog import Watchdog
from cairn_runtime.engine.execute.workers import Workers
from cairn_runtime.errors import CairnError, StepError, StepFailed, StepUnusable
from cairn_runtime.model.ids import utc_now
from cairn_runtime.model.workflow import Step

LANES = 64
"""Threads, worker processes and commands at once, of each; more wait. Async steps have no bound."""
_HIDDEN = "this call would block the event loop: the step is async, but a decorator hides it"


class Executor:
    """Runs the tasks of one run and owns the threads, processes and files that this takes.

    Args:
        code: where the Workflow's code lies.
        watchdog: ends this process when an async step cannot be ended; None where the process is not ours.
        lanes: how many threads, worker processes and commands, of each, may be busy at once.
    """

    def __init__(self, *, code: CodeSource, watchdog: Watchdog | None = None, lanes: int = LANES) -> None:
        self._watchdog = watchdog
        self._pid = os.getpid()
        self._files = Files(code)
        self._loader: Loader | None = None
        self._threads = Threads(lanes)
        self._warden = Warden(self._files.root)
        self._workers = Workers(self._files, self._warden, lanes)
        self._commands = Commands(self._files, self._warden, self._threads, lanes)

    def prepare(self, step: Step) -> Action:
        """Make a step ready; imports its module on this thread.

        Raises:
            StepUnusable: with the line of the user's file where there is one.
            ValueError: the step has nothing to run (approval, signal, sleep).
        """
        try:
            return ready(step, self._code)
        except OSError as error:
            raise _no_room(error) from None

    def load_function(self, ref: str) -> Callable[..., object]:
        """Load a function that is no step, e.g. a reducer's.

        Raises:
            StepUnusable: it cannot be loaded, or called.
        """
        found = self._code().find(ref)
        if not callable(found):
            raise StepUnusable(f"{ref}: {type(found).__name__} cannot be called")
        return found

    async def execute(self, action: Action, call: Call) -> Returned:
        """Run one attempt.

        Raises:
            StepError: why the attempt failed.
            Park: the step waits.
            CairnError: what the engine itself answered to a checkpoint or saved progress.
            asyncio.CancelledError: the engine cancelled; what could be ended has been.
        """
        if action.kind == "async":
            if call.timeout_seconds is not None:
                return await self._timed(action, call, call.timeout_seconds)
            context: Context | None = None
            try:
                if action.shape == 1:
                    value = await action.function(call.state)
                else:
                    context = Context(call)
                    value = await action.function(*(call.state, context)[: action.shape])
            except BaseException as error:  # noqa: BLE001 - sys.exit() in a step is the step's failure
                end_copy(self._pid, error)
                fault = _raised(error, call)
            else:
                end_copy(self._pid)
                return Returned(value, None if context is None else context.next_step)
            raise fault
        if action.kind == "sync" and call.timeout_seconds is None:
            return await self._threaded(action, call)
        try:
            if action.kind == "sync":
                return await self._workers.run(action, call)
            return Returned(await self._commands.run(action, call))
        except (OSError, UnicodeEncodeError) as error:
            problem = _no_room(error)
        raise problem

    async def close(self) -> None:
        """End everything that is left; the Executor is of no use afterwards."""
        self._threads.close()
        await self._workers.close()
        await self._warden.close()
        if self._loader is not None:
            self._loader.close()
        self._files.close()

    def _code(self) -> Loader:
        if self._loader is None:
            self._loader = Loader(self._files.code_folders())
        return self._loader

    async def _timed(self, action: Action, call: Call, seconds: float) -> Returned:
        """Await an async function that has a timeout."""
        context = Context(call, utc_now() + timedelta(seconds=seconds))
        work = _called(self._pid, action.function, (call.state, context)[: action.shape])
        value, error = await within(seconds, work, call.task, self._watchdog)
        if error is not None:
            raise _raised(error, call)
        return Returned(value, context.next_step)

    async def _threaded(self, action: Action, call: Call) -> Returned:
        """Call a sync function in a thread; await what it returned if a decorator hid that it is async."""
        port = _ThreadPort(call, asyncio.get_running_loop())
        context = SyncContext(call, port)
        arguments = (call.state, context)[: action.shape]
        try:
            value, error = await self._threads.run(partial(_call_once, self._pid, action.function, arguments))
            if error is None and hasattr(type(value), "__await__"):
                value = await value  # type: ignore[misc] # just asked
        except BaseException as caught:  # noqa: BLE001 - of what the function returned, or a cancellation
            value, error = None, caught
        finally:
            port.close()
        if error is not None:
            raise _raised(error, call)
        return Returned(value, context.next_step)


class _ThreadPort:
    """A step's way from its thread to the engine on the event loop."""

    def __init__(self, call: Call, loop: asyncio.AbstractEventLoop) -> None:
        self._port = call.port
        self._loop = loop
        self._closed = False
        self._asked: Future[None] | None = None

    @property
    def draining(self) -> bool:
        """Whether SIGTERM came."""
        return self._port.draining

    def checkpoint(self, writes: Mapping[str, object], key: str | None) -> None:
        """Commit writes in the middle of the task."""
        self._ask(lambda: self._port.checkpoint(writes, key))

    def save_progress(self, value: object) -> None:
        """Keep a value for the task's next attempt."""
        self._ask(lambda: self._port.save_progress(value))

    def close(self) -> None:
        """The attempt is over: a thread that goes on all the same reaches the run no more."""
        self._closed = True
        if self._asked is not None:
            self._asked.cancel()

    def _ask(self, question: Callable[[], Coroutine[object, object, None]]) -> None:
        if asyncio._get_running_loop() is self._loop:  # noqa: SLF001 - the asking one raises where there is none
            raise RuntimeError(_HIDDEN)
        self._asked = asyncio.run_coroutine_threadsafe(self._unless_closed(question), self._loop)
        self._asked.result()

    async def _unless_closed(self, question: Callable[[], Coroutine[object, object, None]]) -> None:
        if self._closed:
            raise asyncio.CancelledError
        await question()


async def _called(
    pid: int, function: Callable[..., Awaitable[object]], arguments: tuple[object, ...]
) -> object:
    """Call within the task that is watched: a callable object may do much before it returns a coroutine."""
    try:
        value = await function(*arguments)
    except BaseException as error:
        end_copy(pid, error)
        raise
    end_copy(pid)
    return value


def _call_once(pid: int, function: Callable[..., object], arguments: tuple[object, ...]) -> object:
    """Call in a thread, of which a copy of the process has a copy too."""
    try:
        value = function(*arguments)
    except BaseException as error:
        end_copy(pid, error)
        raise
    end_copy(pid)
    return value


def _raised(error: BaseException, call: Call) -> BaseException:
    """What `execute` raises for what user code raised; the step's traceback goes to the log."""
    task = asyncio.current_task()
    if isinstance(error, GeneratorExit) or (
        isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling()
    ):
        return error
    fault = as_fault(error)
    if isinstance(fault, StepFailed) and not isinstance(error, CairnError):
        log_failure(fault, step_traceback(error), step_fields(call))
    return fault


def _no_room(error: Exception) -> StepError:
    """The machine refused a process, a pipe or a file: not the step's fault, and it may pass."""
    fault = as_fault(error)
    names = fault.error_names if isinstance(fault, StepError) else ()
    return StepFailed(f"the step could not be started: {error}", error=type(error).__name__, mro=names)
