"""A lab for whole runs: a memory store, steps as plain functions, sessions that can die and start again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any
from uuid import uuid4

from tests.unit.engine.builders import workflow

from cairn_runtime.engine.control import Control
from cairn_runtime.engine.execute import Action, CodeSource, Executor
from cairn_runtime.engine.frontier import RunState
from cairn_runtime.engine.history import newest_valid
from cairn_runtime.engine.loop import Ending
from cairn_runtime.errors import CheckpointNotFound
from cairn_runtime.model.workflow import Step
from cairn_runtime.runner.session import Session, SessionSettings, open_session
from cairn_runtime.store.base import Checkpoint, NewRun, NewSignal, Origin, Run, Store
from cairn_runtime.store.codec import Codec

Function = Callable[..., Any]


class Functions(Executor):
    """An executor whose steps are functions of the test, by step name; everything else is the real one."""

    functions: dict[str, Function]

    def prepare(self, step: Step) -> Action:
        """Take the test's async function instead of loading a module."""
        function = self.functions[step.name]
        return Action(
            "async", step.name, bool(step.foreach and step.foreach.collect), function=function, shape=2
        )


async def nothing(_state: Any, _ctx: Any) -> None:
    """A step that writes nothing."""


class Lab:
    """One run on one store; `run` is one runner's time with it."""

    def __init__(
        self, store: Store, steps: Sequence[Any], functions: dict[str, Function], **spec: Any
    ) -> None:
        self.store = store
        self.codec = Codec()
        self.run_id = str(uuid4())
        self.manifest = workflow(steps, **spec).model_dump(mode="json", by_alias=True, exclude_none=True)
        self.functions = {step["name"]: nothing for step in steps} | functions
        self.claims = 0

    async def create(self, origin: Origin | None = None, key_base: str = "") -> None:
        """Make the run's row."""
        await self.store.create_run(
            NewRun(
                run_id=self.run_id,
                workflow="default/test/uid",
                manifest=self.manifest,
                graph_hash="",
                key_base=key_base or self.run_id,
                origin=origin,
            )
        )

    async def open(self, **settings: Any) -> Session:
        """Claim the run and make its loop ready."""
        if self.claims == 0:
            await self.create()
        self.claims += 1
        row = await self.store.run(self.run_id)
        fence = await self.store.claim(self.run_id, row.epoch, f"claim-{row.epoch + 1}")
        return await open_session(
            self.store,
            self.run_id,
            fence,
            self.codec,
            SessionSettings(make_executor=self.executor, **settings),
        )

    def executor(self, code: CodeSource) -> Executor:
        """Make the executor of one session."""
        made = Functions(code=code)
        made.functions = self.functions
        return made

    async def run(self, **settings: Any) -> Ending:
        """Run until the run is over, waits or is drained."""
        session = await self.open(**settings)
        try:
            return await session.loop.run()
        finally:
            await session.close()

    async def row(self) -> Run:
        """The run's row."""
        return await self.store.run(self.run_id)

    async def state(self) -> RunState:
        """The state of the newest valid checkpoint."""
        return (await newest_valid(self.store, self.codec, await self.row())).folded.state

    async def steps(self) -> list[str]:
        """What each checkpoint is named after, oldest first."""
        listed = await self.store.checkpoints(self.run_id, limit=1000)
        return [name_of(checkpoint) for checkpoint in reversed(listed)]

    async def send(self, name: str, value: Any, wait: str = "") -> None:
        """Send a signal."""
        await self.store.send(self.run_id, NewSignal(name, value, f"client-{uuid4()}", wait))

    async def at(self, seq: int) -> Checkpoint:
        """A checkpoint by its number."""
        for checkpoint in await self.store.load(self.run_id, seq):
            if checkpoint.seq == seq:
                return checkpoint
        raise CheckpointNotFound(str(seq))


def name_of(checkpoint: Checkpoint) -> str:
    """`step#visit`, with the position of an item; the first one is `start`."""
    if not checkpoint.step:
        return "start"
    item = "" if checkpoint.item is None else f"[{checkpoint.item}]"
    return f"{checkpoint.step}#{checkpoint.visit}{item}"


__all__ = ["Control", "Lab", "name_of", "nothing"]
