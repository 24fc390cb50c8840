"""Runner processes without a supervisor, started as a pod would, and looked at while they run."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cairn_runtime.model.ids import new_id
from cairn_runtime.store.base import Fence, Run, Store

RUNNER = (sys.executable, "-P", "-m", "cairn_runtime.runner")
PATIENT = (sys.executable, "-P", str(Path(__file__).with_name("patient.py")))
"""One whose collector hears all that it has to say."""
PATIENCE_SECONDS = 60.0


class Runner:
    """One runner process, its output and its last word."""

    def __init__(self, process: asyncio.subprocess.Process, folder: Path) -> None:
        self.process = process
        self._folder = folder

    @classmethod
    async def start(
        cls,
        url: str,
        run_id: str,
        fence: Fence,
        folder: Path,
        *,
        argv: tuple[str, ...] = RUNNER,
        **environ: str,
    ) -> Runner:
        """Start a runner under a claim; `environ` adds to what it is told."""
        given = {
            **os.environ,
            "CAIRN_RUN_ID": run_id,
            "CAIRN_EPOCH": str(fence.epoch),
            "CAIRN_CLAIM": fence.claim_id,
            "CAIRN_STORE_URL": url,
            "CAIRN_HEARTBEAT_SECONDS": "0.1",
            "CAIRN_TERMINATION_MESSAGE": str(folder / "word"),
            **environ,
        }
        with (folder / "log").open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                *argv, stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log, env=given, cwd=folder
            )
        return cls(process, folder)

    async def ended(self) -> int:
        """Wait for the exit code."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            return await self.process.wait()

    def send(self, number: signal.Signals) -> None:
        """Send a signal."""
        self.process.send_signal(number)

    @property
    def word(self) -> dict[str, Any]:
        """The last word."""
        word: dict[str, Any] = json.loads((self._folder / "word").read_text())
        return word

    @property
    def log(self) -> str:
        """All that it said."""
        return (self._folder / "log").read_text()

    @property
    def messages(self) -> list[str]:
        """The messages of its log lines."""
        return [json.loads(line)["message"] for line in self.log.splitlines() if line.startswith("{")]


async def claimed(store: Store, run: Run) -> Fence:
    """Claim a run for a new process."""
    return await store.claim(run.run_id, (await store.run(run.run_id)).epoch, new_id())


async def until(store: Store, run_id: str, holds: Callable[[Run], bool]) -> Run:
    """Wait until a run's row is as it should be."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not holds(row := await store.run(run_id)):  # noqa: ASYNC110 - another process changes it
            await asyncio.sleep(0.01)
    return row


async def until_there(path: Path) -> str:
    """Wait until a file is there and says something."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not (path.exists() and path.read_text()):  # noqa: ASYNC110 - another process writes it
            await asyncio.sleep(0.01)
    return path.read_text()


async def until_it_says(runner: Runner, message: str) -> None:
    """Wait until a message is in a runner's log."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while message not in runner.log:  # noqa: ASYNC110 - another process writes it
            await asyncio.sleep(0.01)
