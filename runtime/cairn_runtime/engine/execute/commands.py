"""Steps that run a program: `run:` in a shell, `argv:` without.

The program gets the state and, in a foreach, the item as files, and writes its own JSON to `$CAIRN_OUTPUT`.
What it prints goes to the log. When it has ended, what it left in the background has a second to finish
printing and is then ended too: a later attempt, in another pod, would not find it either.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import shutil
import signal
from pathlib import Path

import orjson

from cairn_runtime.engine.context import Call, idempotency_key, shared_channels, step_fields, traceparent
from cairn_runtime.engine.execute.actions import SHELL, Action
from cairn_runtime.engine.execute.coroutines import overrun
from cairn_runtime.engine.execute.faults import bounded
from cairn_runtime.engine.execute.outputs import read_output
from cairn_runtime.engine.execute.sources import Files
from cairn_runtime.engine.execute.threads import Threads
from cairn_runtime.engine.execute.wards import Emit, Ended, Program, Ward, Warden
from cairn_runtime.errors import StepError, StepFailed, StepUnusable
from cairn_runtime.model.values import JSONValue

PIPE_GRACE_SECONDS = 1.0
_LARGE_BYTES = 64 * 1024
_NAMES = ("CommandFailed", "StepFailed", "StepError", "CairnError", "Exception", "BaseException")
_UNUSABLE = {
    errno.ENOENT: "program not found: {program}",
    errno.EACCES: "not executable: {program}",
    errno.ENOEXEC: "{program} cannot be run: it is no program (does its first line lack #!/bin/sh?)",
    errno.E2BIG: "the command line or the environment is too long for {program}",
}
_PASSING = frozenset({errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.ETXTBSY})
"""What the system refuses now and may allow later."""
_log = logging.getLogger("cairn.step")


class Commands:
    """Runs programs, at most `limit` at once."""

    def __init__(self, files: Files, warden: Warden, threads: Threads, limit: int) -> None:
        self._files = files
        self._warden = warden
        self._threads = threads
        self._lanes = asyncio.Semaphore(limit)

    async def run(self, action: Action, call: Call) -> JSONValue:
        """Run one attempt; the value is what the program wrote to `$CAIRN_OUTPUT`.

        Raises:
            StepError: it could not start, failed, overran, or wrote what cannot be stored.
            asyncio.CancelledError: the caller was cancelled; the program was ended first.
        """
        async with self._lanes:
            place = self._files.new_place()
            try:
                await self._attempt(action, call, place)
                return await self._output(place / "output.json", any_value=action.collects)
            finally:
                shutil.rmtree(place, ignore_errors=True)

    async def _attempt(self, action: Action, call: Call, place: Path) -> None:
        env = _environment(call, place)
        cwd = self._files.working_folder()
        if cwd is None:
            cwd = str(place / "work")
            os.mkdir(cwd)  # noqa: PTH102 - a string on its way to the system
        ward = await self._warden.start(Program(action.argv, cwd, env), _to_log(call))
        ended = await _watched(ward, call.timeout_seconds)
        if ended.code != 0:
            raise _failure(ended, action, cwd, ward.streams[1].last)

    async def _output(self, path: Path, *, any_value: bool) -> JSONValue:
        """Read the output; in a thread if that would hold up the event loop."""
        if _size(path) < _LARGE_BYTES:
            return read_output(str(path), any_value=any_value)
        value, error = await self._threads.run(lambda: read_output(str(path), any_value=any_value))
        if error is not None:
            raise error
        return value  # type: ignore[return-value] # read_output's


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


async def _watched(ward: Ward, seconds: float | None) -> Ended:
    """Wait for the program's end, or end it; nothing of it is left afterwards."""
    grace = 0.0
    try:
        done, _ = await asyncio.wait([ward.ended], timeout=seconds)
        if not done and seconds is not None:
            raise overrun(seconds)
        grace = PIPE_GRACE_SECONDS
        return ward.ended.result()
    finally:
        await ward.settle(grace)


def _environment(call: Call, place: Path) -> dict[str, str]:
    """Write the files that the program reads, and name them."""
    state, output = place / "state.json", place / "output.json"
    state.write_bytes(orjson.dumps(dict(shared_channels(call.state))))
    env = {
        "CAIRN_STATE": str(state),
        "CAIRN_OUTPUT": str(output),
        "CAIRN_RUN_ID": call.run_id,
        "CAIRN_STEP": call.step,
        "CAIRN_TASK": call.task,
        "CAIRN_VISIT": str(call.visit),
        "CAIRN_ATTEMPT": str(call.attempt),
        "CAIRN_IDEMPOTENCY_KEY": idempotency_key(call.key_base, call.task),
    }
    if span := traceparent.get():
        env["TRACEPARENT"] = span
    if call.index is not None:
        item = place / "item.json"
        item.write_bytes(orjson.dumps(call.item))
        env |= {"CAIRN_ITEM": str(item), "CAIRN_INDEX": str(call.index)}
    return env


def _to_log(call: Call) -> Emit:
    fields = step_fields(call)

    def emit(stream: str, line: str) -> None:
        _log.info("%s", line, extra={**fields, "stream": stream})

    return emit


def _failure(ended: Ended, action: Action, cwd: str, last_line: str) -> StepError:
    """Say in words how a program ended, if not well."""
    program = action.argv[0]
    if ended.errno in _PASSING:
        told = f"{program} cannot be started now: {os.strerror(ended.errno)}"
        return StepFailed(told, error=_NAMES[0], mro=_NAMES)
    if ended.stage == "folder":
        return StepUnusable(f"the working folder {cwd} cannot be entered: {os.strerror(ended.errno)}")
    if ended.stage:
        told = _UNUSABLE.get(ended.errno, "{program} cannot be started: " + os.strerror(ended.errno))
        return StepUnusable(told.format(program=program) + _interpreter(ended, cwd, program))
    if ended.code is None:
        told = "the process that keeps the command was killed, and the command with it"
    elif ended.code < 0:
        told = f"the command was killed by {signal_name(-ended.code)}"
    elif ended.code > 128 and action.argv[:2] == SHELL and _is_signal(ended.code - 128):
        told = f"the command ended with code {ended.code} ({signal_name(ended.code - 128)})"
    else:
        told = f"the command ended with code {ended.code}"
    said = f": {bounded(last_line, 1024)}" if last_line else ""
    return StepFailed(told + said, error=_NAMES[0], mro=_NAMES)


def _interpreter(ended: Ended, cwd: str, program: str) -> str:
    """A script whose first line names a program that is not there is itself `not found` to the system."""
    if ended.errno == errno.ENOENT and "/" in program and Path(cwd, program).exists():
        return " (the file is there: the interpreter in its first line is not)"
    return ""


def signal_name(number: int) -> str:
    """The signal in words, with what it often means."""
    name = signal.Signals(number).name if _is_signal(number) else f"signal {number}"
    return f"{name} (out of memory?)" if number == signal.SIGKILL else name


def _is_signal(number: int) -> bool:
    return number in set(signal.Signals)
