"""The warden: a small process beside the runner that starts programs and ends them for certain.

    runner ── socket ──► warden             forks one keeper for each program
       │                    │
       └──── control ───► keeper            the subreaper of all that its program starts
                            │
                         program ...        in a session of its own; its children, and theirs

The keeper ends every descendant when the runner shuts its end of `control`, when the runner is gone (end of
file, or its pidfd), or, on the same word from the runner, what a finished program left behind.
As *subreaper* it inherits what was orphaned, whatever session, group or environment that chose, so it is done
only when the kernel says that it has no child left; then it closes `control`. Nothing is guessed.
The warden is a subreaper too: if a keeper is killed, it ends what that one kept.
Where there are no subreapers (not Linux), the program's process group is ended.

Law: a program by itself, run by path with `-I -S`: standard library only, no threads, no user code.
Why a process beside the runner: `preexec_fn` is unsafe in a process with threads, PR_SET_PDEATHSIG spares
grandchildren and follows the thread that forked; and a fork of this small process takes half a millisecond.
"""

from __future__ import annotations

import errno
import gc
import marshal
import os
import select
import signal
import socket
import subprocess
import sys
import time
import traceback
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Any

PR_SET_CHILD_SUBREAPER = 36
HEADER_BYTES = 4
CHANNEL_VARIABLE = b"CAIRN_WORKER_CHANNEL"


class Watch:
    """What a warden or a keeper waits on: the runner's end of a socket, the runner's death, its children."""

    def __init__(self, line: socket.socket, death: int | None) -> None:
        self._line = line
        self._death = death
        self._wake, wake_writer = os.pipe()
        os.set_blocking(self._wake, False)
        os.set_blocking(wake_writer, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(wake_writer, warn_on_full_buffer=False)

    def wait(self) -> tuple[bool, bool]:
        """Sleep until something happens; return whether the line speaks and whether the runner is dead."""
        fds = [self._line.fileno(), self._wake, *([] if self._death is None else [self._death])]
        ready, _, _ = select.select(fds, [], [])
        if self._wake in ready:
            os.read(self._wake, 4096)
        return fds[0] in ready, self._death in ready


def main() -> None:
    """Serve the runner until it is gone.

    Arguments: the socket's number, the runner's process id, a folder to remove at the end.
    """
    line = socket.socket(fileno=int(sys.argv[1]))
    runner, folder = int(sys.argv[2]), sys.argv[3]
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: None)  # not SIG_IGN, which programs would inherit
    reaper = become_subreaper()
    keepers = Keepers(reaper=reaper)
    gc.disable()
    gc.freeze()  # a fork copies each page that it writes to, and a collection writes to all
    serve(line, pidfd(runner), keepers, reaper=reaper)
    while keepers.pids:
        keepers.collect()
        time.sleep(0.002)
    if folder:
        remove(folder)


class Keepers:
    """The keepers under the warden, and what is left of those that were killed."""

    def __init__(self, *, reaper: bool) -> None:
        self.pids: set[int] = set()
        self._reaper = reaper

    def collect(self) -> None:
        """Take note of keepers that have ended; one that was killed leaves orphans, which are ended too."""
        if self._reaped() and self._reaper:
            while orphans := descendants(os.getpid(), self.pids):
                for pid in orphans:
                    kill(pid)
                time.sleep(0.005)
                self._reaped()

    def _reaped(self) -> bool:
        """Whether a keeper among those that ended did not end well."""
        killed = False
        for pid, status in reaped():
            killed = killed or (pid in self.pids and status != 0)
            self.pids.discard(pid)
        return killed


def serve(line: socket.socket, death: int | None, keepers: Keepers, *, reaper: bool) -> None:
    """Fork a keeper for each set of descriptors that comes over the line, until the runner is gone."""
    watch = Watch(line, death)
    while True:
        speaks, dead = watch.wait()
        keepers.collect()
        if dead:
            return
        if speaks:
            word, fds, _, _ = socket.recv_fds(line, 1, 8)
            if not word:
                return
            keepers.pids |= fork_keeper(line, death, fds, reaper=reaper)


def fork_keeper(line: socket.socket, death: int | None, fds: list[int], *, reaper: bool) -> set[int]:
    """Fork; the child keeps one program and leaves by `_exit`. Empty if the system gives no process."""
    for fd in fds:
        os.set_inheritable(fd, False)
    try:
        pid = os.fork()
    except OSError:
        pid = -1  # closing the descriptors below tells the runner
    if pid == 0:
        code = 1
        try:
            line.close()
            keep(socket.socket(fileno=fds[0]), death, fds[1:], reaper=reaper)
            code = 0
        except BaseException:  # noqa: BLE001 - nothing may run on into the warden's own loop
            traceback.print_exc()
        finally:
            os._exit(code)
    for fd in fds:
        os.close(fd)
    return {pid} if pid > 0 else set()


def keep(control: socket.socket, death: int | None, fds: list[int], *, reaper: bool) -> None:
    """Start the program that the runner asks for, report its end, and leave when nothing of it is left."""
    request = receive(control)
    if request is None:
        return
    reaper = reaper and become_subreaper()
    watch = Watch(control, death)
    program = start(request, fds, control)
    for fd in fds:
        os.close(fd)
    if program is None:
        return
    while True:
        speaks, dead = watch.wait()
        for pid, status in reaped():
            if pid == program.pid:
                program.returncode = os.waitstatus_to_exitcode(status)
                tell(control, "ended", program.returncode)
        if speaks or dead:
            break
        if reaper and not has_children():
            return
    if reaper:
        end_descendants()
    else:
        end_group(program.pid, running=program.returncode is None)
    if program.returncode is None:
        tell(control, "ended", -signal.SIGKILL)


def receive(control: socket.socket) -> dict[str, Any] | None:
    """Read the request: 4 bytes of length, then marshalled; None if the runner went away first."""
    data = b""
    while len(data) < HEADER_BYTES or len(data) < HEADER_BYTES + int.from_bytes(data[:HEADER_BYTES], "big"):
        chunk = control.recv(1 << 16)
        if not chunk:
            return None
        data += chunk
    request: dict[str, Any] = marshal.loads(data[HEADER_BYTES:])  # noqa: S302 - from our own runner
    return request


def tell(control: socket.socket, *words: int | str) -> None:
    """Send the runner one line; if it is gone, that is found out by the watch."""
    try:
        control.sendall(" ".join(map(str, words)).encode() + b"\n")
    except OSError:
        return


def start(request: dict[str, Any], fds: list[int], control: socket.socket) -> subprocess.Popen[bytes] | None:
    """Start the program in a session of its own, or tell the runner why it cannot be.

    The child runs no Python between fork and exec; what the keeper handles, exec sets back to default.
    """
    env: dict[bytes, bytes] = request["env"]
    channel = fds[2:]
    for fd in channel:
        env[CHANNEL_VARIABLE] = str(fd).encode()
    try:
        return subprocess.Popen(  # noqa: S603 - running the user's program is the task
            request["argv"],
            stdout=fds[0],
            stderr=fds[1],
            cwd=request["cwd"],
            env=env,
            pass_fds=channel,
            start_new_session=True,
        )
    except OSError as error:
        in_folder = error.filename == request["cwd"]
        tell(control, "failed", error.errno or errno.EINVAL, "folder" if in_folder else "program")
        return None


def reaped() -> list[tuple[int, int]]:
    """Collect children that have ended: process id and wait status."""
    out: list[tuple[int, int]] = []
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return out
        if pid == 0:
            return out
        out.append((pid, status))


def has_children() -> bool:
    """Whether any child, own or inherited, is left; asks without collecting it."""
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


def end_descendants() -> None:
    """Kill every descendant, again and again, until the kernel says that there is none."""
    pause = 0.001
    while has_children():
        for pid in descendants(os.getpid(), set()):
            kill(pid)
        time.sleep(pause)
        reaped()
        pause = min(pause * 2, 0.2)


def end_group(program: int, *, running: bool) -> None:
    """Kill the program's process group: the most that a system without subreapers offers."""
    try:
        os.killpg(program, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        if running:
            kill(program)
    if running:
        os.waitpid(program, 0)


def kill(pid: int) -> None:
    """Send SIGKILL to a process that may have gone."""
    try:
        os.kill(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return


def descendants(root: int, spared: set[int]) -> list[int]:
    """All processes under `root`, read from /proc, but the spared ones and what is under them."""
    children: dict[int, list[int]] = {}
    for entry in os.listdir("/proc"):  # noqa: PTH208 - thousands of short names; paths cost more than the call
        if entry.isdigit() and (parent := parent_of(entry)) is not None:
            children.setdefault(parent, []).append(int(entry))
    found: list[int] = []
    queue = [root]
    while queue:
        young = [pid for pid in children.get(queue.pop(), []) if pid not in spared]
        found += young
        queue += young
    return found


def parent_of(pid: str) -> int | None:
    """The parent's process id; None if the process has gone. The name in the line may hold anything."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:  # noqa: PTH123 - as above
            line = file.read()
    except OSError:
        return None
    return int(line.rpartition(b")")[2].split()[1])


def become_subreaper() -> bool:
    """Ask the kernel for this process's orphaned descendants; False where it knows no such thing."""
    if not sys.platform.startswith("linux"):
        return False
    try:
        import ctypes  # noqa: PLC0415 - some builds of Python come without it

        return bool(ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0)
    except (ImportError, OSError, AttributeError):
        return False


def pidfd(runner: int) -> int | None:
    """A descriptor that speaks when the runner is dead; None where there is no such thing."""
    try:
        fd = os.pidfd_open(runner)
    except (AttributeError, OSError):
        return None
    if os.getppid() != runner:
        os._exit(0)
    return fd


def remove(folder: str) -> None:
    """Remove the folder with the runner's temporary files: they hold state."""
    import shutil  # noqa: PLC0415 - needed once, at the end

    shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
