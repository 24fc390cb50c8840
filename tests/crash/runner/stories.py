"""A run's story under faults: told by supervised runner processes, checked against the undisturbed one."""

from __future__ import annotations

import asyncio
import json
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.crash.runner.flows import Flow

from cairn_runtime.engine.history import newest_valid
from cairn_runtime.model.ids import task_key
from cairn_runtime.runner.accepting import accept
from cairn_runtime.runner.announcements import Notice
from cairn_runtime.runner.library import run
from cairn_runtime.runner.starting import find_or_create
from cairn_runtime.runner.supervisor import SupervisorSettings, supervise
from cairn_runtime.runner.watching import Finish
from cairn_runtime.store.base import NewSignal, Run, Store
from cairn_runtime.store.chain import verify_history
from cairn_runtime.store.codec import Codec
from cairn_runtime.store.opening import open_store

FAULTY = (sys.executable, "-P", str(Path(__file__).with_name("faulty.py")))


@dataclass
class Story:
    """One run on one store, with the file of its effects."""

    flow: Flow
    url: str
    store: Store
    folder: Path
    heard: list[Notice] = field(default_factory=list)

    async def tell(self, row: Run | None = None, *, answering: bool = True) -> Finish:
        """Supervise the run to its end, answering what it waits for; or only until it waits."""
        row = row or await find_or_create(self.store, accept(self.flow.manifest))
        for name, value in self.flow.signals.items():
            # Sent before anything waits for it: it is kept.
            await self.store.send(row.run_id, NewSignal(name, value, f"signal-{name}"))
        while True:
            finish = await supervise(self.store, row, self.settings(), listen=self.heard.append, obey=False)
            row = finish.run
            if not answering or not await answer(self.store, self.flow, row):
                return finish

    def settings(self, **changes: Any) -> SupervisorSettings:
        """How its runner processes run."""
        given: dict[str, Any] = {
            "output": self.folder / "runner.log",
            "command": FAULTY,
            "heartbeat_seconds": 0.5,
            "log_format": "json",
        }
        return SupervisorSettings(self.url, **{**given, **changes})

    def effects(self) -> list[tuple[str, int, str]]:
        """What the tasks left outside: task, epoch, idempotency key."""
        path = self.folder / "effects"
        lines = path.read_text().splitlines() if path.exists() else []
        return [(task, int(epoch), key) for task, epoch, key in map(str.split, lines)]

    async def until_done(self, tasks: int) -> None:
        """Wait until so many tasks have left their trace."""
        async with asyncio.timeout(60):
            while len(self.effects()) < tasks:  # noqa: ASYNC110 - another process leaves them
                await asyncio.sleep(0.01)

    async def until_logged(self, words: str) -> None:
        """Wait until the runner's log says something."""
        async with asyncio.timeout(60):
            while words not in (self.folder / "runner.log").read_text():  # noqa: ASYNC110 - the same
                await asyncio.sleep(0.01)

    def crashes(self) -> int:
        """How many runner processes died."""
        return sum(notice.event == "crashed" for notice in self.heard)

    async def state(self, row: Run) -> dict[str, Any]:
        """The channels at the newest valid checkpoint."""
        folded = (await newest_valid(self.store, Codec(), row)).folded
        return comparable(self.flow, folded.state.channels)

    async def check(self, row: Run) -> None:
        """The laws: the end of the undisturbed run, a sound history, nothing committed done again."""
        headers = (await self.store.checkpoints(row.run_id, limit=1000))[::-1]
        faults = [finding for finding in verify_history(headers) if finding.fault]
        assert faults == []
        committed = {
            task_key(header.step, header.visit, header.item): header.epoch
            for header in headers
            if header.step
        }
        keys: dict[str, str] = {}
        for task, epoch, key in self.effects():
            assert task in committed, f"{task} left an effect and was never committed"
            assert epoch <= committed[task], f"{task} ran in epoch {epoch}, committed in {committed[task]}"
            assert keys.setdefault(task, key) == key, f"{task} ran under two idempotency keys"
        assert set(keys) == await undisturbed_tasks(self.flow)
        assert await self.state(row) == (await undisturbed(self.flow))[0]


async def answer(store: Store, flow: Flow, row: Run) -> bool:
    """Answer an open approval; whether there was one."""
    for wait in row.waits:
        if wait.kind == "approval":
            signal = NewSignal(wait.name, flow.approvals[wait.name], f"answer-{wait.name}", wait.name)
            await store.send(row.run_id, signal)
            return True
    return False


def comparable(flow: Flow, channels: dict[str, Any]) -> dict[str, Any]:
    """The channels, without the order that branches side by side may have either way."""
    channels = dict(channels)
    if not flow.needs_order:
        channels["seen"] = sorted(channels["seen"])
    return channels


_undisturbed: dict[str, tuple[dict[str, Any], set[str]]] = {}


async def undisturbed(flow: Flow) -> tuple[dict[str, Any], set[str]]:
    """The end of the same run when nothing happens to it, and the tasks that leave effects."""
    if flow.name not in _undisturbed:
        store = await open_store("memory:")
        row = await find_or_create(store, accept(flow.manifest))
        for name, value in flow.signals.items():
            await store.send(row.run_id, NewSignal(name, value, "s"))
        result = await run(flow.manifest, store=store)
        while result.phase == "Waiting":
            assert await answer(store, flow, await store.run(result.run))
            result = await run(flow.manifest, store=store)
        assert result.phase == "Succeeded", result
        tasks = {
            task_key(header.step, header.visit, header.item)
            for header in await store.checkpoints(result.run, limit=1000)
            if header.step and not waits(flow, header.step)
        }
        _undisturbed[flow.name] = (comparable(flow, result.state), {str(task) for task in tasks})
        await store.close()
    return _undisturbed[flow.name]


async def undisturbed_tasks(flow: Flow) -> set[str]:
    """The tasks of the undisturbed run that leave an effect."""
    return (await undisturbed(flow))[1]


def waits(flow: Flow, name: str) -> bool:
    """Whether a step waits and runs no code."""
    step = next(step for step in flow.steps if step["name"] == name)
    return not {"python", "run"} & step.keys()


def fault(**what: Any) -> str:
    """The variable's text for `faulty.py`."""
    return json.dumps(what)
