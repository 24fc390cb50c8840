"""The local supervisor: runs a run in runner processes and starts them again, as the operator would.

    supervisor ── environment ──> runner process       store URL and claim, never in argv
        │  <──── socket ──────────    │                announcements; its end tells the runner to drain
        └───────────── store ─────────┘                what happened

The runner is a session of its own: Ctrl-C at the terminal reaches the supervisor alone, which passes on
SIGTERM and waits for the drain; a second one kills. If the supervisor itself is killed, the socket's end
drains the runner.
The runner writes its output straight to a file or descriptor: a pipe would break with its supervisor, and a
step that prints would fail.
"""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from cairn_runtime.errors import Fault, InvalidInput
from cairn_runtime.model.workflow import Restart
from cairn_runtime.runner.announcements import Line, Notice, Say, names
from cairn_runtime.runner.moves import Exit
from cairn_runtime.runner.session import workflow_of
from cairn_runtime.runner.settings import SECRET, LogFormat
from cairn_runtime.runner.verdicts import EXIT_CRASHED
from cairn_runtime.runner.watching import Finish, Watch, obeying
from cairn_runtime.store.base import Fence, Run, Store

KILL_AFTER_SECONDS = 0.1
"""Between the start of the task of `kill_at` and the kill, so that it falls in the middle."""
LATE_SECONDS = 10.0
"""How much longer than its grace a runner may take to drain before it is killed."""
_HEARD_SECONDS = 1.0
RUNNER = (sys.executable, "-P", "-m", "cairn_runtime.runner")
"""`-P`: the folder from which `cairn run` is called must not shadow the standard library."""


@dataclass(frozen=True, slots=True)
class SupervisorSettings:
    """How runner processes are run."""

    store_url: str = field(repr=False)
    """The run's store; may hold a password."""
    output: Path | int = 2
    """Where the runners' standard output and error go: a file that is added to, or a descriptor."""
    kill_at: str = ""
    """Step or task (`draft`, `draft#2`, `fetch#1[5]`) in whose middle the runner is killed, once."""
    restart: Restart | None = None
    """Limits of starting again; None: those of the run's Workflow."""
    patience_seconds: float = 60.0
    linger_seconds: float = 0.0
    grace_seconds: float = 25.0
    heartbeat_seconds: float = 5.0
    log_format: LogFormat | None = None
    log_level: str = "INFO"
    command: tuple[str, ...] = RUNNER
    """What a runner process is started with."""


async def supervise(
    store: Store, run: Run, settings: SupervisorSettings, *, listen: Say | None = None, obey: bool = True
) -> Finish:
    """Run a run in runner processes until nothing more is to be done here.

    Args:
        store: an open store, for reading what happened and for claims.
        run: the run's row.
        settings: how the processes are run.
        listen: gets announcements, on the event loop.
        obey: take over SIGINT, SIGTERM and SIGHUP meanwhile.

    Raises:
        StoreUnavailable, RunNotFound: the row could not be read.
        ManifestInvalid, FormatUnknown: the stored Workflow cannot be read.
        InvalidInput: the runner's output cannot be written.
    """
    supervisor = Supervisor(store, run, settings, listen=listen)
    if not obey:
        return await supervisor.watch()
    with obeying(supervisor):
        return await supervisor.watch()


class Supervisor(Watch):
    """Watches over a run whose attempts are processes."""

    def __init__(
        self, store: Store, run: Run, settings: SupervisorSettings, *, listen: Say | None = None
    ) -> None:
        restart = settings.restart or workflow_of(run).spec.restart
        super().__init__(
            store, run, restart=restart, patience_seconds=settings.patience_seconds, listen=listen
        )
        self._settings = settings
        self._process: asyncio.subprocess.Process | None = None
        self._last: Exit | None = None
        self._timers: list[asyncio.TimerHandle] = []

    def interrupt(self) -> None:
        """Ask the runner to drain; the second time kill it."""
        super().interrupt()
        self._pass_on()

    async def attempt(self, fence: Fence) -> Exit:
        """Run one runner process to its end."""
        self._last = None
        ours, theirs = socket.socketpair()
        with ours:
            try:
                with theirs, _opened(self._settings.output) as output:
                    process = await self._spawn(fence, theirs.fileno(), output)
            except OSError as error:
                return Exit(EXIT_CRASHED, "RunnerNotStarted", str(error))
            self._process = process
            try:
                return self._ended(await self._accompany(process, ours))
            finally:
                await self._clear(process)

    async def _accompany(self, process: asyncio.subprocess.Process, ours: socket.socket) -> int:
        """Listen to a runner until it has ended; returns its exit code."""
        line = await Line.over(ours, on_notice=self._hear)
        try:
            self._pass_on()
            code = await process.wait()
            with suppress(TimeoutError):
                async with asyncio.timeout(_HEARD_SECONDS):
                    await line.heard_all()
        finally:
            await line.close()
        return code

    async def _spawn(self, fence: Fence, line: int, output: int) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            *self._settings.command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=self._environment(fence, line),
            pass_fds=(line,),
            start_new_session=True,
        )

    def _ended(self, code: int) -> Exit:
        last = self._last
        if last is None:
            return Exit(code, spoke=False)
        # A process may be ended by force after its last word; how it ended is the kernel's word.
        return last._replace(code=code)

    async def _clear(self, process: asyncio.subprocess.Process) -> None:
        """Leave nothing of the attempt behind, also if this very task was cancelled."""
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()
        self._process = None
        if process.returncode is None:
            _kill(process)
            await process.wait()

    def _environment(self, fence: Fence, line: int) -> dict[str, str]:
        settings = self._settings
        own = {name: value for name, value in os.environ.items() if name not in SECRET}
        own |= {
            "CAIRN_RUN_ID": self.run_id,
            "CAIRN_EPOCH": str(fence.epoch),
            "CAIRN_CLAIM": fence.claim_id,
            "CAIRN_STORE_URL": settings.store_url,
            "CAIRN_KEYS_FILE": os.environ.get("CAIRN_KEYS_FILE", ""),
            "CAIRN_PATIENCE": f"{settings.patience_seconds:.3f}s",
            "CAIRN_LINGER": f"{settings.linger_seconds:.3f}s",
            "CAIRN_GRACE": f"{settings.grace_seconds:.3f}s",
            "CAIRN_HEARTBEAT_SECONDS": repr(settings.heartbeat_seconds),
            "CAIRN_LOG_LEVEL": settings.log_level,
            "CAIRN_SUPERVISOR_FD": str(line),
        }
        if settings.log_format is not None:
            own["CAIRN_LOG_FORMAT"] = settings.log_format
        if settings.kill_at and not self.killed:
            own["CAIRN_HOLD_AT"] = settings.kill_at
        return own

    def _hear(self, notice: Notice) -> None:
        """Take an announcement of the runner."""
        if notice.event == "last":
            self._last = _last_exit(notice)
            return
        self.say(notice)
        if notice.event == "started" and not self.killed and names(self._settings.kill_at, notice.task):
            self._later(KILL_AFTER_SECONDS, self._kill_at, notice)

    def _kill_at(self, notice: Notice) -> None:
        if self._process is not None and not self.killed:
            self.killed = self._on_purpose = True
            self.say(Notice("killed", notice.task))
            _kill(self._process)

    def _pass_on(self) -> None:
        """Pass the interrupts on to the runner that is there."""
        if self._process is None or not self.interrupts:
            return
        if self.interrupts > 1:
            _kill(self._process)
            return
        with suppress(ProcessLookupError):
            self._process.terminate()
        self._later(self._settings.grace_seconds + LATE_SECONDS, _kill, self._process)

    def _later(self, seconds: float, call: object, argument: object) -> None:
        self._timers.append(asyncio.get_running_loop().call_later(seconds, call, argument))  # type: ignore[arg-type]


def _last_exit(notice: Notice) -> Exit | None:
    match notice.body:
        case {"code": int(code), "word": {"reason": str(reason), "message": str(message)}}:
            return Exit(code, reason, message)
    return None


def _kill(process: asyncio.subprocess.Process) -> None:
    with suppress(ProcessLookupError):
        process.kill()


@contextmanager
def _opened(output: Path | int) -> Iterator[int]:
    """A descriptor for a runner's output; a file is for this user alone, since steps may print anything."""
    if isinstance(output, int):
        yield output
        return
    try:
        output.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        fd = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    except OSError as error:
        problem = f"the runner's output cannot be written there: {error.strerror or error}"
        raise InvalidInput([Fault(str(output), problem)]) from None
    try:
        yield fd
    finally:
        os.close(fd)
