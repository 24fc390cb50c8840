"""Histories to look at, written through the planner and the engine's control; no step runs."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from datetime import UTC, datetime
from typing import Any

from cairn_runtime.engine.compiled import CompiledWorkflow, compile_workflow
from cairn_runtime.engine.control import Control, Mark
from cairn_runtime.engine.frontier import RunState
from cairn_runtime.engine.plan import Planner
from cairn_runtime.errors import StepFailed
from cairn_runtime.model.ids import run_id_for
from cairn_runtime.model.workflow import Workflow
from cairn_runtime.runner.naming import workflow_key
from cairn_runtime.store.base import NewRun, Outcome, Phase, Run, Store, Wait
from cairn_runtime.store.codec import Codec

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
DIGEST: list[dict[str, Any]] = [
    {"name": "fetch", "run": "true", "foreach": {"in": "state.urls", "collect": "pages"}},
    {"name": "draft", "run": "true", "needs": ["fetch"]},
    {
        "name": "check",
        "run": "true",
        "needs": ["draft"],
        "next": [{"to": "draft", "when": "state.score < 7"}, {"to": "sign", "otherwise": True}],
    },
    {"name": "sign", "approval": {"message": "Publish?"}},
    {"name": "send", "run": "true", "needs": ["sign"]},
]


def document(steps: Sequence[dict[str, Any]] = DIGEST, name: str = "digest", **spec: Any) -> dict[str, Any]:
    """A Workflow as JSON."""
    channels = {"score": {"initial": 0}, "text": {}, "pages": {}}
    return {
        "apiVersion": "cairn.dev/v1alpha1",
        "kind": "Workflow",
        "metadata": {"name": name},
        "spec": {
            "steps": deepcopy(list(steps)),
            "state": {"channels": channels},
            "input": {"urls": ["a", "b"]},
            **spec,
        },
    }


def workflow(steps: Sequence[dict[str, Any]] = DIGEST, **spec: Any) -> Workflow:
    """A Workflow as the model reads it."""
    return Workflow.model_validate(document(steps, **spec))


def compiled(raw: dict[str, Any] | None = None) -> CompiledWorkflow:
    """A Workflow made ready; reducers of user code keep the newest."""
    return compile_workflow(Workflow.model_validate(raw or document()), lambda path: lambda old, new: new)


class Writer:
    """Writes the history of one run, a checkpoint for each task that ends."""

    def __init__(self, store: Store, run: Run, ready: CompiledWorkflow, codec: Codec | None = None) -> None:
        self.store = store
        self.run = run
        self.control = Control.at_head(store, codec or Codec(), run, ready.graph_hash)
        self.planner = Planner(ready, RunState(), [])

    @classmethod
    async def begin(
        cls,
        store: Store,
        raw: dict[str, Any] | None = None,
        *,
        nonce: str = "1",
        codec: Codec | None = None,
    ) -> Writer:
        """Create and claim a run, and write its first checkpoint."""
        raw = raw or document()
        ready = compiled(raw)
        key = workflow_key("default", raw["metadata"]["name"])
        run_id = run_id_for(key.rpartition("/")[2], nonce)
        await store.create_run(NewRun(run_id, key, raw, ready.graph_hash, run_id))
        await store.claim(run_id, 0, f"claim-{nonce}", "0.1.0")
        writer = cls(store, await store.run(run_id), ready, codec)
        writer.planner.begin(ready.input)
        await writer.save("", 0, None)
        return writer

    async def done(self, step: str, returned: Any = None, *, snapshot: bool = False) -> None:
        """End a step."""
        visit = self.planner.state.visits[step]
        self.planner.finish(step, returned)
        await self.save(step, visit, None, snapshot=snapshot)

    async def item(self, step: str, item: int, returned: Any = None) -> None:
        """End an item of a foreach."""
        visit = self.planner.state.visits[step]
        self.planner.finish_item(step, item, returned)
        await self.save(step, visit, item)

    async def fail(self, step: str, message: str) -> None:
        """Let a step fail for good, and the run with it."""
        visit = self.planner.state.visits[step]
        self.planner.fail(step, None, StepFailed(message, error="ValueError"))
        await self.save(step, visit, None, Outcome("Failed", "StepFailed", message))

    async def save(
        self,
        step: str,
        visit: int,
        item: int | None,
        outcome: Outcome | None = None,
        *,
        snapshot: bool = False,
    ) -> None:
        """Advance, and write what happened as one checkpoint, with the row that follows from it."""
        self.planner.advance(NOW)
        state = self.planner.state
        mark = Mark(step, visit, item, state.next_steps(), {})
        self.control.cut(self.planner.events[:], state, mark, snapshot=snapshot)
        self.planner.events.clear()
        await self.control.save(outcome or _outcome(state))


async def waiting_run(store: Store, *, nonce: str = "1") -> Run:
    """A run of `digest` that has looped once and waits for its approval, at checkpoint 7."""
    writer = await Writer.begin(store, nonce=nonce)
    await writer.item("fetch", 1, "page b")
    await writer.item("fetch", 0, "page a")
    await writer.done("draft", {"text": "first"})
    await writer.done("check", {"score": 5})
    await writer.done("draft", {"text": "second"})
    await writer.done("check", {"score": 8})
    return await store.run(writer.run.run_id)


def _outcome(state: RunState) -> Outcome:
    waits: tuple[Wait, ...] = tuple(task.wait for task in state.parked() if task.wait)
    running = len(waits) < len(state.tasks) + len(state.groups)
    phase: Phase = "Succeeded" if state.idle else "Running" if running else "Waiting"
    return Outcome(phase, waits=waits)
