"""Programs under guard, seen from the runner: the warden is started at first need, a program is a `Ward`.

A ward has ended when its program has; it is gone when nothing that it started is left.
`end` is one system call that cannot be cancelled: from then on the keeper kills, whatever becomes of this
process.
"""

from __future__ import annotations

import asyncio
import logging
import marshal
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cairn_runtime.engine.execute.lines import Lines

GONE_SECONDS = 10.0
"""How long the end of a killed program is waited for; one in an uninterruptible call may take longer."""
SECRETS = frozenset({b"CAIRN_STORE_URL", b"CAIRN_CLAIM", b"CAIRN_EPOCH", b"CAIRN_KEYS_FILE"})
"""What the runner knows and steps must not."""
_SCRIPT = str(Path(__file__).with_name("warden.py"))
_log = logging.getLogger("cairn.execute")

Emit = Callable[[str, str], None]
"""Takes the stream's name (`stdout`, `stderr`) and one line of it."""


@dataclass(frozen=True, slots=True)
class Program:
    """What is started: arguments, folder, environment on top of the runner's, whether it gets a channel."""

    argv: Sequence[str]
    cwd: str
    env: Mapping[str, str]
    channel: bool = False

    def request(self) -> bytes:
        """The program as its keeper reads it: marshalled, since both are the same interpreter.

        Raises:
            UnicodeEncodeError: text that no program could be given.
        """
        env = _harmless()
        env.update({os.fsencode(name): os.fsencode(value) for name, value in self.env.items()})
        argv = [os.fsencode(text) for text in self.argv]
        data = marshal.dumps({"argv": argv, "cwd": os.fsencode(self.cwd), "env": env})
        return len(data).to_bytes(4, "big") + data


@dataclass(frozen=True, slots=True)
class Ended:
    """How a program ended: its exit code, negative for a signal; or why it never started; or unknown."""

    code: int | None = None
    errno: int = 0
    stage: str = ""


class Ward:
    """One program under its keeper. Futures, not coroutines: waiting for them may be given up at any time."""

    def __init__(self, loop: asyncio.AbstractEventLoop, control: socket.socket) -> None:
        self.ended: asyncio.Future[Ended] = loop.create_future()
        self.gone: asyncio.Future[None] = loop.create_future()
        self.channel: socket.socket | None = None
        self.streams: tuple[Lines, ...] = ()
        self._loop = loop
        self._control = control
        self._data = b""
        loop.add_reader(control.fileno(), self._read)

    def end(self) -> None:
        """Have everything that is left of the program killed."""
        if self._control.fileno() >= 0 and not self.gone.done():
            try:
                self._control.shutdown(socket.SHUT_WR)
            except OSError:
                return

    async def settle(self, grace_seconds: float = 0.0) -> None:
        """End it, wait until it is gone, pass on what it printed last and close all pipes.

        Args:
            grace_seconds: time for what the program left in the background to finish printing.
        """
        try:
            if grace_seconds and self.streams:
                await asyncio.wait([stream.eof for stream in self.streams], timeout=grace_seconds)
            self.end()
            await asyncio.wait([self.gone], timeout=GONE_SECONDS)
            if not self.gone.done():
                _log.error("a killed program is not gone yet", extra={"waited_seconds": GONE_SECONDS})
        finally:
            self.close()

    def close(self) -> None:
        """Let go of all descriptors; the keeper takes that as the word to kill."""
        for stream in self.streams:
            stream.drain()
            stream.close()
        self._close_control()
        if self.channel is not None:
            self.channel.close()

    def _read(self) -> None:
        try:
            data = self._control.recv(4096)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        *messages, self._data = (self._data + data).split(b"\n")
        for message in messages:
            if not self.ended.done():
                self.ended.set_result(_ended(message.decode().split()))
        if not data:
            self._close_control()

    def _close_control(self) -> None:
        if self._control.fileno() < 0:
            return
        self._loop.remove_reader(self._control.fileno())
        self._control.close()
        if not self.ended.done():
            self.ended.set_result(Ended())
        if not self.gone.done():
            self.gone.set_result(None)


class Warden:
    """Starts programs for one executor. `folder` holds temporary files and goes when the runner does."""

    def __init__(self, folder: Callable[[], str]) -> None:
        self._folder = folder
        self._line: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._wards: set[Ward] = set()

    async def start(self, program: Program, emit: Emit) -> Ward:
        """Start a program; whether that went well is told by `ended`.

        Raises:
            OSError: no process or descriptor is to be had.
            UnicodeEncodeError: text that no program could be given.
        """
        request = program.request()
        loop = asyncio.get_running_loop()
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        ward = Ward(loop, ours)
        self._wards.add(ward)
        ward.gone.add_done_callback(lambda _: self._wards.discard(ward))
        given = [theirs.detach()]
        try:
            for name in ("stdout", "stderr"):
                reader, writer = os.pipe()
                given.append(writer)
                ward.streams += (Lines(loop, reader, _named(emit, name)),)
            if program.channel:
                ward.channel, far = socket.socketpair()
                ward.channel.setblocking(False)
                given.append(far.detach())
            self._hand_over(given)
        except BaseException:
            ward.close()
            raise
        finally:
            for fd in given:
                os.close(fd)
        try:
            await loop.sock_sendall(ours, request)
        except (BrokenPipeError, ConnectionResetError):
            return ward  # the keeper is dead; `ended` says so
        except BaseException:
            ward.close()
            raise
        return ward

    async def close(self) -> None:
        """End every program and let the warden go; it leaves when the last keeper has."""
        for ward in self._wards:
            ward.end()
        if self._line is None or self._process is None:
            return
        self._line.close()
        self._line = None
        for _ in range(int(GONE_SECONDS / 0.005)):
            if self._process.poll() is not None:
                return
            await asyncio.sleep(0.005)
        _log.error("the warden did not end", extra={"pid": self._process.pid})
        self._process.kill()
        self._process.wait()

    def _hand_over(self, fds: list[int]) -> None:
        """Send descriptors to the warden; start it, or start it anew if something killed it."""
        for last in (False, True):
            if self._line is None or self._process is None or self._process.poll() is not None:
                self._launch()
            assert self._line is not None  # noqa: S101 - told to the type checker
            try:
                socket.send_fds(self._line, [b"+"], fds)
            except (BrokenPipeError, ConnectionResetError):
                if last:
                    raise
                self._line.close()
                self._line = None
            else:
                return

    def _launch(self) -> None:
        if self._line is not None:
            self._line.close()
        self._line, far = socket.socketpair()
        self._line.setblocking(False)
        with far:
            self._process = subprocess.Popen(  # noqa: S603 - our own script
                [sys.executable, "-I", "-S", _SCRIPT, str(far.fileno()), str(os.getpid()), self._folder()],
                pass_fds=[far.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                env=_harmless(),
                start_new_session=True,
            )


def _harmless() -> dict[bytes, bytes]:
    """The runner's environment without its secrets; what a process was started with, others can read."""
    return {name: value for name, value in os.environb.items() if name not in SECRETS}


def _named(emit: Emit, stream: str) -> Callable[[str], None]:
    return lambda line: emit(stream, line)


def _ended(words: list[str]) -> Ended:
    """Read the keeper's line."""
    match words:
        case ["ended", code]:
            return Ended(code=int(code))
        case [_, number, stage]:
            return Ended(errno=int(number), stage=stage)
        case _:
            raise ValueError(f"a keeper said {words!r}")
