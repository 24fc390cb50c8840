"""The worker: a process that calls sync steps with a timeout, one by one, until the runner closes the pipe.

    runner ► {"folders": ...}          once
    runner ► {"call": ..., "ref": ...} ◄ {"kind": "started"}: the code is loaded, the clock runs
                                       ◄ {"kind": "checkpoint" | "progress" | "draining" | "log", ...}
    runner ► {"answer": ...}           for all of these but "log"
                                       ◄ {"kind": "returned" | "park" | "refused" | "failed", ...}

Law: nothing heavy is imported (no pydantic, no event loop) and nothing of the runner's secrets is known here.
The process may be killed at any instruction; whatever it must not lose, it has sent.
Its keeper kills it when the runner dies, so nothing here watches for that.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Mapping
from contextlib import suppress
from datetime import timedelta
from threading import Lock
from typing import Any, cast

from cairn_runtime import errors
from cairn_runtime.engine.context import Call, Park, State, SyncContext, TaskPort
from cairn_runtime.engine.execute.copies import end_copy
from cairn_runtime.engine.execute.faults import as_fault, bounded, step_traceback
from cairn_runtime.engine.execute.frames import MAX_BYTES, Channel, pack
from cairn_runtime.engine.execute.functions import Function, understand
from cairn_runtime.engine.execute.loading import Loader
from cairn_runtime.errors import CairnError, StepError, StepFailed, WriteRefused
from cairn_runtime.model.ids import to_wire, utc_now
from cairn_runtime.model.values import JSONObject, JSONValue, NotJSON, jsonify

_MAX_LOG_BYTES = 16_384


def main() -> None:
    """Serve calls until the runner closes the channel."""
    channel = Channel(int(os.environ.pop("CAIRN_WORKER_CHANNEL")))
    hello = channel.receive()
    if hello is None:
        return
    sys.argv[:] = ["cairn-worker"]
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True, errors="backslashreplace")  # type: ignore[union-attr]
    logging.basicConfig(handlers=[_ToRunner(channel)], force=True)
    worker = Worker(channel, Loader(cast("list[str]", hello["folders"])))
    while (message := channel.receive()) is not None:
        worker.serve(message)


class Worker:
    """Calls functions, and says what became of it."""

    def __init__(self, channel: Channel, loader: Loader) -> None:
        self._channel = channel
        self._loader = loader
        self._functions: dict[str, Function] = {}
        self._pid = os.getpid()

    def serve(self, message: JSONObject) -> None:
        """Run one call and send its outcome."""
        logging.getLogger().setLevel(cast("int", message["level"]))
        port = PipePort(self._channel)
        try:
            outcome = self._call(message, port)
        except BaseException as error:  # noqa: BLE001 - sys.exit() in a step is the step's failure
            end_copy(self._pid, error)
            outcome = _fault(error, port)
        end_copy(self._pid)
        port.close()
        for stream in (sys.stdout, sys.stderr):
            with suppress(Exception):
                stream.flush()
        self._channel.send(outcome)

    def _call(self, message: JSONObject, port: PipePort) -> bytes:
        ref = cast("str", message["ref"])
        if ref not in self._functions:
            self._functions[ref] = understand(ref, self._loader.find(ref))
        function = self._functions[ref]
        call, context = _given(message, port)
        if span := cast("str", message["traceparent"]):
            os.environ["TRACEPARENT"] = span
        self._channel.send(pack({"kind": "started"}))
        arguments = (call.state, context)[: function.shape]
        value = function.target(*arguments)
        if hasattr(type(value), "__await__"):
            value = _awaited(value)
        clean = _clean(value, "value")
        return _bounded_frame({"kind": "returned", "value": clean, "goto": context.next_step}, "the result")


def _given(message: JSONObject, port: PipePort) -> tuple[Call, SyncContext]:
    """Rebuild what the step is given; its clock starts now."""
    fields = cast("dict[str, Any]", message["call"])
    call = Call(**{**fields, "state": State(fields["state"]), "port": cast("TaskPort", port)})
    seconds = call.timeout_seconds
    deadline = None if seconds is None else utc_now() + timedelta(seconds=seconds)
    return call, SyncContext(call, port, deadline)


def _awaited(value: Any) -> object:  # noqa: ANN401 - any awaitable
    """Await what a sync function returned: a decorator may hide that it is async."""
    import asyncio  # noqa: PLC0415 - hardly ever needed here, and slow to load

    async def outer() -> object:
        return await value

    return asyncio.run(outer())


class PipePort:
    """The Context's way to the runner: a question, an answer, one at a time."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._asking = Lock()
        self._closed = False
        self.refusal: CairnError | None = None
        """What the runner answered last, if that was an error."""

    @property
    def draining(self) -> bool:
        """Whether SIGTERM came."""
        return bool(self._ask({"kind": "draining"}, "the question"))

    def checkpoint(self, writes: Mapping[str, object], key: str | None) -> None:
        """Commit writes in the middle of the task."""
        message: JSONObject = {"kind": "checkpoint", "writes": _clean(writes, "value"), "key": key}
        self._ask(message, "the writes")

    def save_progress(self, value: object) -> None:
        """Keep a value for the task's next attempt."""
        self._ask({"kind": "progress", "value": cast("JSONValue", value)}, "the progress")

    def close(self) -> None:
        """The call is over: a thread that the step left behind must not speak in the name of the next one."""
        with self._asking:
            self._closed = True

    def _ask(self, message: JSONObject, what: str) -> JSONValue:
        frame = _bounded_frame(message, what)
        with self._asking:
            if self._closed:
                raise RuntimeError("the step has ended; its Context is of no use any more")
            self._channel.send(frame)
            answer = self._channel.receive()
        if answer is None:
            os._exit(0)  # the runner is gone
        if "error" in answer:
            self.refusal = _rebuilt(cast("str", answer["error"]), cast("str", answer["message"]))
            raise self.refusal
        return answer["answer"]


def _rebuilt(name: str, message: str) -> CairnError:
    """The runner's error as an object of its class, so that a step can tell a refused write from the rest."""
    kind = getattr(errors, name, CairnError)
    if isinstance(kind, type) and issubclass(kind, StepError):
        return kind(message)
    return CairnError(message)


def _fault(error: BaseException, port: PipePort) -> bytes:
    """What a call raised, as a message."""
    fault = as_fault(error)
    if isinstance(fault, Park):
        until = None if fault.until is None else to_wire(fault.until)
        message = bounded(fault.message)
        return pack({"kind": "park", "until": until, "signal": fault.signal, "message": message})
    if fault is port.refusal:
        return pack({"kind": "refused"})
    if not isinstance(fault, StepError):
        fault = StepFailed(bounded(str(fault)))
    trace = step_traceback(error) if not isinstance(error, CairnError) else ""
    return pack(
        {
            "kind": "failed",
            "class": type(fault).__name__,
            "message": bounded(fault.message),
            "error": fault.error,
            "names": list(fault.error_names),
            "trace": trace,
        }
    )


def _clean(value: object, path: str) -> JSONValue:
    """The value as JSON.

    Raises:
        WriteRefused: naming the path of what is not.
    """
    try:
        return jsonify(value, path)
    except NotJSON as error:
        raise WriteRefused(f"{error.path.removeprefix('value.')}: {error.problem}") from None


def _bounded_frame(message: JSONObject, what: str) -> bytes:
    """Pack a message that holds values of the step.

    Raises:
        WriteRefused: too large, or text that is not Unicode.
    """
    try:
        frame = pack(message)
    except TypeError as error:
        raise WriteRefused(f"{what} cannot be stored: {error}") from None
    if len(frame) > MAX_BYTES:
        size = f"{len(frame) / 1024**2:.0f} MiB"
        raise WriteRefused(f"{what} has {size}; at most {MAX_BYTES // 1024**2} MiB pass")
    return frame


class _ToRunner(logging.Handler):
    """Sends log records to the runner, which adds the task's keys."""

    def __init__(self, channel: Channel) -> None:
        super().__init__()
        self._channel = channel

    def emit(self, record: logging.LogRecord) -> None:
        """Send one record; a text that cannot be made is the step's own mistake and says so."""
        try:
            text = bounded(record.getMessage(), _MAX_LOG_BYTES)
            trace = step_traceback(record.exc_info[1]) if record.exc_info and record.exc_info[1] else ""
        except Exception:  # noqa: BLE001 - user code: format arguments, __str__
            self.handleError(record)
            return
        extra = {name: _plain(value) for name, value in vars(record).items() if name not in _RECORD}
        fields: JSONObject = {"name": bounded(record.name), "level": record.levelno, "text": text}
        self._channel.send(pack({"kind": "log", **fields, "trace": trace, "extra": extra}))


_RECORD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "run_id", "task", "attempt"}


def _plain(value: object) -> JSONValue:
    """A log line's extra as JSON: as it is if it is small and plain, else its text."""
    if value is None or isinstance(value, bool | int | float):
        return value if not isinstance(value, int) or abs(value) < 2**63 else str(value)
    try:
        return bounded(str(value), 1024)
    except Exception:  # noqa: BLE001 - user code
        return type(value).__name__


if __name__ == "__main__":
    main()
