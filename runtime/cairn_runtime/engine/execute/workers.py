"""Worker processes, from the runner's side: a pool for one run, each worker one call at a time.

A worker that overran, died, or was interrupted is ended with all that it started and never used again; one
that answered goes back to the pool, its imports warm.
The clock of a timeout starts when the step's code is loaded, since a first import may take longer than that.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import sys
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, cast

from cairn_runtime import errors
from cairn_runtime.engine.context import Call, Park, shared_channels, step_fields, traceparent
from cairn_runtime.engine.execute.actions import Action, Returned
from cairn_runtime.engine.execute.commands import signal_name
from cairn_runtime.engine.execute.coroutines import overrun
from cairn_runtime.engine.execute.faults import log_failure, message_of
from cairn_runtime.engine.execute.frames import Decoder, pack
from cairn_runtime.engine.execute.sources import Files
from cairn_runtime.engine.execute.wards import Program, Ward, Warden
from cairn_runtime.errors import StepError, StepFailed, StepTimeout
from cairn_runtime.model.ids import from_wire
from cairn_runtime.model.values import JSONObject

LOAD_SECONDS = 120.0
"""For starting a worker and importing the step's code."""
LAST_SECONDS = 5.0
"""For a worker that has closed its channel to end, so that its exit code or signal is known."""
LEAVE_SECONDS = 1.0
"""For an idle worker to leave by itself, running its exit hooks."""
_BOOT = "import sys; sys.path[:] = sys.argv[2:]\nfrom cairn_runtime.engine.execute.worker import main; main()"
"""A worker imports what the runner could import: `prepare` has tried it there."""
_DIED = ("WorkerDied", "StepFailed", "StepError", "CairnError", "Exception", "BaseException")
_log = logging.getLogger("cairn.step")


class Workers:
    """At most `limit` workers, started as they are needed, the warmest used first."""

    def __init__(self, files: Files, warden: Warden, limit: int) -> None:
        self._files = files
        self._warden = warden
        self._lanes = asyncio.Semaphore(limit)
        self._idle: list[Worker] = []

    async def run(self, action: Action, call: Call) -> Returned:
        """Run one attempt in a worker.

        Raises:
            StepError: the step failed, overran, or its worker died.
            Park: the step waits.
            asyncio.CancelledError: the caller was cancelled; the worker was ended first.
        """
        async with self._lanes:
            worker = await self._take()
            whole = False
            try:
                outcome = await worker.call(action, call)
                whole = True
            finally:
                if whole and worker.alive:
                    self._idle.append(worker)
                else:
                    await worker.retire()
        return _returned(outcome, worker, call)

    async def close(self) -> None:
        """End every worker; first let each leave by itself."""
        idle, self._idle = self._idle, []
        for worker in idle:
            worker.dismiss()
        if idle:
            await asyncio.wait([worker.ward.gone for worker in idle], timeout=LEAVE_SECONDS)
        await asyncio.gather(*(worker.retire() for worker in idle))

    async def _take(self) -> Worker:
        while self._idle:
            worker = self._idle.pop()
            if worker.still_there():
                return worker
            await worker.retire()
        argv = [sys.executable, "-P", "-c", _BOOT, "cairn-worker", *sys.path]
        cwd = self._files.working_folder() or self._files.root()
        output = _Output()
        worker = Worker(await self._warden.start(Program(argv, cwd, {}, channel=True), output.emit), output)
        try:
            await worker.send({"folders": [*self._files.code_folders()]})
        except BaseException:
            await worker.retire()
            raise
        return worker


class _Output:
    """What a worker prints, with the keys of the task that it has at the moment."""

    def __init__(self) -> None:
        self.fields: dict[str, object] = {}

    def emit(self, stream: str, line: str) -> None:
        _log.info("%s", line, extra={**self.fields, "stream": stream})


class Worker:
    """One worker process: its ward, its channel, and the messages that have come."""

    def __init__(self, ward: Ward, output: _Output) -> None:
        assert ward.channel is not None  # noqa: S101 - asked for
        self.ward = ward
        self._output = output
        self._channel = ward.channel
        self._decoder = Decoder()
        self._messages: asyncio.Queue[JSONObject | None] = asyncio.Queue()
        self._loop = asyncio.get_running_loop()
        self._reading = True
        self.refusal: BaseException | None = None
        """What the engine answered last to a question of the step, if that was an error."""
        self._loop.add_reader(self._channel.fileno(), self._read)
        ward.ended.add_done_callback(lambda _: self._finish())

    @property
    def alive(self) -> bool:
        """Whether it can take a call."""
        return self._reading and not self.ward.ended.done()

    def still_there(self) -> bool:
        """Whether it can take a call, also where the loop has not heard yet that an idle one was killed."""
        if not self.alive:
            return False
        try:
            return self._channel.recv(1, socket.MSG_PEEK) != b""
        except BlockingIOError:
            return True
        except OSError:
            return False

    async def send(self, message: JSONObject) -> None:
        """Send a message; that the worker is dead is told by what comes back."""
        with suppress(BrokenPipeError, ConnectionResetError):
            await self._loop.sock_sendall(self._channel, pack(message))

    def dismiss(self) -> None:
        """Tell an idle worker to leave."""
        self._finish()
        self._channel.close()

    async def retire(self) -> None:
        """End the worker and all that it started."""
        self._finish()
        await self.ward.settle()

    async def call(self, action: Action, call: Call) -> JSONObject | None:
        """Run one call; the worker's last message, None if it died.

        Raises:
            StepTimeout: it overran; the caller ends the worker.
        """
        self.refusal = None
        self._output.fields = step_fields(call)
        started = False
        try:
            async with asyncio.timeout(LOAD_SECONDS) as clock:
                await self.send(_request(action, call))
                while (message := await self._messages.get()) is not None:
                    if message["kind"] == "started":
                        started = True
                        clock.reschedule(self._loop.time() + (call.timeout_seconds or LOAD_SECONDS))
                    elif not await self._served(message, call):
                        return message
        except TimeoutError:
            late = overrun(call.timeout_seconds or 0.0) if started else _loading_overran(action)
            raise late from None
        finally:
            for stream in self.ward.streams:
                stream.drain()
        # The channel ends before the process does: how that ended is worth a moment, a core dump takes one.
        await asyncio.wait([self.ward.ended], timeout=LAST_SECONDS)
        return None

    async def _served(self, message: JSONObject, call: Call) -> bool:
        """Answer a question of the step; False for its outcome."""
        match message["kind"]:
            case "draining":
                await self.send({"answer": call.port.draining})
            case "checkpoint":
                writes = cast("dict[str, object]", message["writes"])
                await self._ask(call.port.checkpoint(writes, cast("str | None", message["key"])))
            case "progress":
                await self._ask(call.port.save_progress(message["value"]))
            case _:
                return False
        return True

    async def _ask(self, question: Any) -> None:  # noqa: ANN401 - a coroutine of the port
        try:
            await question
        except Exception as error:  # noqa: BLE001 - the step may catch it; if not, `refusal` is raised
            self.refusal = error
            await self.send({"error": type(error).__name__, "message": message_of(error)})
        else:
            await self.send({"answer": None})

    def _read(self) -> None:
        try:
            data = self._channel.recv(1 << 18)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        self._sort(data)
        if not data:
            self._finish()

    def _sort(self, data: bytes) -> None:
        """Queue what the call waits for; pass log lines on at once, since threads write them at any time."""
        for message in self._decoder.feed(data):
            if message["kind"] == "log":
                _log_record(message, self._output.fields)
            else:
                self._messages.put_nowait(message)

    def _finish(self) -> None:
        """The worker has ended: take what it sent before, then the end."""
        if not self._reading:
            return
        self._reading = False
        self._loop.remove_reader(self._channel.fileno())
        with suppress(OSError):
            while data := self._channel.recv(1 << 18):
                self._sort(data)
        self._messages.put_nowait(None)


def _request(action: Action, call: Call) -> JSONObject:
    """The call as the worker reads it."""
    level = min(_log.getEffectiveLevel(), logging.getLogger().level)
    given: JSONObject = {
        "run_id": call.run_id,
        "task": call.task,
        "step": call.step,
        "visit": call.visit,
        "index": call.index,
        "item": call.item,
        "attempt": call.attempt,
        "key_base": call.key_base,
        "state": dict(shared_channels(call.state)),
        "progress": call.progress,
        "signal": call.signal,
        "timeout_seconds": call.timeout_seconds,
    }
    return {"ref": action.ref, "level": level, "call": given, "traceparent": traceparent.get()}


def _returned(message: JSONObject | None, worker: Worker, call: Call) -> Returned:
    """Turn the worker's last message into what `execute` returns or raises."""
    if message is None:
        raise _died(worker)
    match message["kind"]:
        case "returned":
            return Returned(message["value"], cast("str | None", message["goto"]))
        case "park":
            until = cast("str | None", message["until"])
            raise Park(
                None if until is None else from_wire(until),
                signal=cast("str | None", message["signal"]),
                message=cast("str", message["message"]),
            )
        case "refused" if worker.refusal is not None:
            raise worker.refusal.with_traceback(None)
        case _:
            raise _failed(message, call)


def _failed(message: JSONObject, call: Call) -> StepError:
    """Rebuild what the step raised; its traceback goes to the log."""
    kind: type[StepError] = getattr(errors, cast("str", message["class"]), StepFailed)
    names = tuple(cast("list[str]", message["names"]))
    fault: StepError = kind(cast("str", message["message"]), error=cast("str", message["error"]), mro=names)
    if message["trace"]:
        log_failure(fault, cast("str", message["trace"]), step_fields(call))
    return fault


def _died(worker: Worker) -> StepFailed:
    """Say how a worker ended in the middle of a call."""
    code = worker.ward.ended.result().code if worker.ward.ended.done() else None
    if code is None:
        told = "the worker process died"
    elif code < 0:
        told = f"the worker process was killed by {signal_name(-code)}"
    else:
        told = f"the worker process ended with code {code} in the middle of the step"
    return StepFailed(told, error=_DIED[0], mro=_DIED)


def _loading_overran(action: Action) -> StepTimeout:
    return StepTimeout(f"loading {action.ref} took longer than {LOAD_SECONDS:.0f} s and was ended")


def _log_record(message: JSONObject, fields: Mapping[str, object]) -> None:
    """Pass on what the step logged, with the task's keys."""
    logger = logging.getLogger(cast("str", message["name"]))
    level = cast("int", message["level"])
    if not logger.isEnabledFor(level):
        return
    extra = {**cast("dict[str, object]", message["extra"]), **fields}
    record = logger.makeRecord(logger.name, level, "", 0, message["text"], (), None, extra=extra)
    record.exc_text = cast("str", message["trace"]) or None
    logger.handle(record)
